"""What the page's charts draw are the numbers of the tables: means over seeds, with gaps where nothing is."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_run import small_config, write_run
from hypothesis import given
from hypothesis import strategies as st

from bench_shadows.config import to_dict
from bench_shadows.files import write_json
from bench_shadows.report.common import explorer
from bench_shadows.report.common.run import Run, read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read_run(write_run(tmp_path_factory.mktemp("run"), small_config(seeds=(0, 1, 2)), missing_fits=0.3))


def test_depth_holds_the_mean_over_seeds_of_every_module_and_layer(run: Run) -> None:
    found = explorer.payload(run)
    assert found is not None
    weights = found["weights"]
    alpha = weights["quantities"][0]["modules"]["self_attn.v_proj"]["D"]
    for row, point in enumerate(weights["steps"]):
        for layer in weights["layers"]:
            mine = run.diagnostics.where(
                module="self_attn.v_proj", condition="D", step=point["step"], layer=layer
            )["alpha"]
            shown = alpha["mean"][row][layer]
            if np.isfinite(mine).any():
                assert shown == pytest.approx(np.nanmean(mine), rel=1e-3)
            else:
                assert shown is None
            assert (alpha["half"][row][layer] is None) == (np.isfinite(mine).sum() < 3)


def test_training_holds_every_control_and_suite_and_no_number_that_is_none(run: Run) -> None:
    found = explorer.payload(run)
    text = json.dumps(found, allow_nan=False)
    assert len(text) < 400_000
    assert found is not None
    labels = [one["label"] for one in found["training"]]
    assert len(labels) == len(set(labels)) == 17
    for one in found["training"]:
        for curve in one["curves"].values():
            assert len(curve["x"]) == len(curve["mean"])
    held_out = next(one for one in found["training"] if one["label"] == "held-out text, bits per byte")
    end = run.evaluation.where(suite="likelihood", task="all", metric="bits_per_byte", condition="B", step=216)
    assert held_out["curves"]["B"]["mean"][-1] == pytest.approx(np.mean(end["value"]), rel=1e-3)


def test_one_seed_has_no_intervals_and_an_empty_run_nothing(tmp_path: Path) -> None:
    one = explorer.payload(read_run(write_run(tmp_path / "one", small_config(("A", "C")))))
    assert '"half"' not in json.dumps(one)
    (tmp_path / "none").mkdir()
    write_json(tmp_path / "none/config.json", to_dict(small_config()))
    assert explorer.payload(read_run(tmp_path / "none")) is None


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=5))
def test_numbers_keep_four_digits(values: list[float]) -> None:
    shown = explorer.numbers(np.array([*values, np.nan]))
    assert shown[-1] is None
    assert shown[:-1] == pytest.approx(values, rel=1e-3)
