import math
from pathlib import Path
from typing import Any

import matrices
import numpy as np
import pyarrow.parquet as pq
import pytest

from bench_shadows.diagnostics import analyse
from bench_shadows.diagnostics.analyse import Identity
from bench_shadows.diagnostics.weights.weights import open_tree

IDENTITY = Identity("A-seed0", "A", 0, 10, 1.0)


def model(seed: int = 0, **modules: np.ndarray) -> Any:
    rng = np.random.default_rng(seed)
    stacks = {
        "self_attn": {"v_proj": {"kernel": rng.normal(size=(3, 32, 16)) * 0.2}},
        "mlp": {"up_proj": {"kernel": rng.normal(size=(3, 32, 64)) * 0.2}},
    }
    extra = {name: {"kernel": value} for name, value in modules.items()}
    return open_tree({"layers": stacks | extra, "norm": {"scale": np.ones(32)}})


def diagnosed(weights: Any) -> list[dict]:
    return analyse.diagnose(weights, IDENTITY)


def test_a_row_for_each_matrix_with_every_column() -> None:
    rows = diagnosed(model())
    assert len(rows) == 6
    for row in rows:
        assert set(row) == set(analyse.DIAGNOSTICS_SCHEMA.names)
        assert (row["model"], row["condition"], row["seed"], row["step"], row["fraction"]) == (
            "A-seed0", "A", 0, 10, 1.0,
        )  # fmt: skip
        assert row["status"] == "ok"
        assert row["in_range"] == (2 <= row["alpha"] <= 6)
        assert 1 <= row["effective_rank"] <= min(row["rows"], row["columns"])
    assert [(row["module"], row["layer"]) for row in rows if row["module"] == "mlp.up_proj"] == [
        ("mlp.up_proj", layer) for layer in range(3)
    ]


def test_what_cannot_be_known_is_null_with_a_reason_and_the_rest_stands() -> None:
    cases = matrices.impossible()
    rows = diagnosed(open_tree({f"m{i}": {"kernel": value} for i, (_, value) in enumerate(cases)}))
    for (status, _), row in zip(cases, sorted(rows, key=lambda row: row["tensor"]), strict=True):
        assert row["status"] == status, row["tensor"]
        for name in ("alpha", "sigma", "ks_distance", "x_min", "x_min_over_mean", "spikes", "in_range"):
            assert row[name] is None, (status, name)
        for name in ("effective_rank", "stable_rank", "lambda_max"):
            assert (row[name] is None) == (status in ("all zero", "not finite")), (status, name)


def test_no_number_in_a_table_is_nan_or_infinite(tmp_path: Path) -> None:
    rows = diagnosed(open_tree({f"m{i}": {"kernel": value} for i, (_, value) in enumerate(matrices.impossible())}))
    assert not [v for row in rows for v in row.values() if isinstance(v, float) and not math.isfinite(v)]


def test_changes_from_a_reference() -> None:
    before, after = model(0), model(1)
    rows, reference_rows = diagnosed(after), diagnosed(before)
    changes = analyse.compare(after, rows, before, reference_rows, "init", IDENTITY)
    assert len(changes) == 6
    by_matrix = {(row["module"], row["layer"]): row for row in reference_rows}
    for row, change in zip(rows, changes, strict=True):
        assert set(change) == set(analyse.CHANGES_SCHEMA.names)
        assert (change["reference"], change["status"]) == ("init", "ok")
        then = by_matrix[row["module"], row["layer"]]
        assert change["delta_effective_rank"] == row["effective_rank"] - then["effective_rank"]
        assert change["delta_alpha"] == row["alpha"] - then["alpha"]
        assert change["relative_change"] == pytest.approx(math.sqrt(2), rel=0.2), "two random matrices"
        assert abs(change["correlation"]) < 0.2


def test_a_reference_that_lacks_or_reshapes_a_matrix_is_reported() -> None:
    rng = np.random.default_rng(2)
    after = model(0, extra=rng.normal(size=(3, 20, 20)), wide=rng.normal(size=(3, 20, 24)))
    before = open_tree(
        {
            "layers": {
                "extra": {"kernel": rng.normal(size=(2, 20, 20))},
                "wide": {"kernel": rng.normal(size=(3, 20, 30))},
                "mlp": {"up_proj": {"kernel": rng.normal(size=(3, 32, 64))}},
            }
        },
        layout={"layers.*": "L*"},  # two layers of one where the others have three
    )
    changes = analyse.compare(after, diagnosed(after), before, diagnosed(before), "base", IDENTITY)
    status = {(row["module"], row["layer"]): row["status"] for row in changes}
    assert len(changes) == 12
    assert status["self_attn.v_proj", 0] == "not in the reference parameters"
    assert status["wide", 1] == "shape (20, 24) against (20, 30) in the reference"
    assert status["extra", 1] == "ok"
    assert status["extra", 2] == "not in the reference parameters"
    for row in changes:
        assert (row["mean_change"] is None) == (row["status"] != "ok")
        assert (row["delta_effective_rank"] is None) == (row["status"] != "ok")


def test_a_change_from_weights_that_are_not_finite_is_missing() -> None:
    good = np.random.default_rng(3).normal(size=(2, 16, 16))
    bad = good.copy()
    bad[1, 0, 0] = np.nan
    after, before = (open_tree({"layers": {"m": {"kernel": it}}}, layout={"layers.*": "L*"}) for it in (good, bad))
    ok, missing = analyse.compare(after, diagnosed(after), before, diagnosed(before), "init", IDENTITY)
    assert (ok["status"], ok["relative_change"]) == ("ok", 0.0)
    assert missing["status"] == "not finite"
    assert {missing[name] for name in analyse.CHANGE_METRICS} == {None}


def test_tables_on_disk(tmp_path: Path) -> None:
    rows = diagnosed(model())
    rows[0]["alpha"] = None
    path = tmp_path / "diagnostics.parquet"
    analyse.write_table(path, rows, analyse.DIAGNOSTICS_SCHEMA)
    assert pq.read_schema(path).equals(analyse.DIAGNOSTICS_SCHEMA)
    table = pq.read_table(path)
    assert table["alpha"].null_count == 1
    assert table.to_pylist()[1]["x_min"] == rows[1]["x_min"]
    with pytest.raises(ValueError, match="surprise"):
        analyse.write_table(path, [rows[0] | {"surprise": 1}], analyse.DIAGNOSTICS_SCHEMA)
    assert pq.read_table(path).equals(table), "the table before stands"
    analyse.write_table(path, [], analyse.CHANGES_SCHEMA)
    assert pq.read_table(path).num_rows == 0


def test_a_spectrum_is_described_alike_whatever_its_company() -> None:
    rng = np.random.default_rng(4)
    spectra = [np.sort(matrices.pareto(rng, 2.5, n)) for n in (9, 40, 128, 130)]
    together = analyse.describe(spectra)
    for values, row in zip(spectra, together, strict=True):
        (alone,) = analyse.describe([values])
        assert alone == pytest.approx(row, rel=1e-12)
    assert analyse.describe([]) == []
