"""One model saved in many ways: the same table, and identical to the plain one."""

from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pyarrow.parquet as pq
import pytest
import zoo
from checkpoint_files import save_model

from bench_shadows.audit.audit import measure
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.main import main

# A whole fused matrix, or one of heads that the plain model joins, is compared by other tests of its own.
VARIANTS = [name for name, layout in zoo.LAYOUTS.items() if layout.kv_heads == 2 and layout.gated]
FIGURES = ("alpha", "effective_rank", "stable_rank", "lambda_max")


@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.startswith("Linen")])
def test_a_variant_gives_the_plain_models_table_and_is_identical_to_it(name: str, tmp_path: Path) -> None:
    layout, model = zoo.LAYOUTS[name], zoo.matrices()
    written = layout.write(model)
    plain = save_model(tmp_path / "plain", zoo.llama(model), zoo.config())
    if layout.config or name == "without a config":
        variant = save_model(tmp_path / "variant", written, layout.config, shards=2)
    else:
        variant = tmp_path / "variant"
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(variant, zoo.nested(written))
    measure([str(variant)], tmp_path / "out", reference=str(plain))
    changes = pq.read_table(tmp_path / "out" / "changes.parquet").to_pylist()
    assert len(changes) == len(model)
    assert {(row["status"], row["relative_change"]) for row in changes} == {("ok", 0.0)}
    tables: dict[str, dict[tuple[str, str, int], dict[str, float]]] = {}
    for row in pq.read_table(tmp_path / "out" / "diagnostics.parquet").to_pylist():
        tables.setdefault(row["model"], {})[row["component"], row["module"], row["layer"]] = row
    one, two = tables.values()
    assert one.keys() == two.keys()
    for key, row in one.items():
        for figure in FIGURES:
            assert row[figure] == pytest.approx(two[key][figure], rel=1e-9), (key, figure)


@pytest.mark.parametrize("heads", [4, None])
def test_nanogpt_and_gpt2_are_the_same_model(tmp_path: Path, heads: int | None) -> None:
    """Linear [3d, d] against Conv1D [d, 3d]: the square output projections, too."""
    rng = np.random.default_rng(0)
    sides = {"attn.c_attn": (72, 24), "attn.c_proj": (24, 24), "mlp.c_fc": (96, 24), "mlp.c_proj": (24, 96)}
    linear = {
        f"transformer.h.{i}.{name}.weight": rng.normal(size=shape).astype(np.float32)
        for i in range(3)
        for name, shape in sides.items()
    }
    config = {"model_type": "gpt2", "n_head": heads, "n_embd": 24, "n_layer": 3} if heads else None
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in linear.items()}
    conv = {name: np.ascontiguousarray(tensor.T) for name, tensor in linear.items()}
    nano = save_model(tmp_path / "nano", compiled, config)
    gpt2 = save_model(tmp_path / "gpt2", conv, config)
    result = measure([str(nano)], tmp_path / "out", reference=str(gpt2))
    changes = pq.read_table(tmp_path / "out" / "changes.parquet").to_pylist()
    assert {(row["status"], row["relative_change"]) for row in changes} == {("ok", 0.0)}
    assert len(changes) == 3 * 6
    assert result["models"][0]["notices"] == ["names are read without `_orig_mod.` in them"]


def test_a_square_matrix_of_unknown_orientation_is_no_evidence_for_deep(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mixers = {f"stages.{i}.mixer.weight": rng.normal(size=(24, 24)).astype(np.float32) for i in range(6)}
    turned = {name: np.ascontiguousarray(tensor.T) for name, tensor in mixers.items()}
    other = {name: rng.normal(size=(24, 24)).astype(np.float32) for name in mixers}
    paths = {
        name: str(save_model(tmp_path / name, tensors))
        for name, tensors in (("base", mixers), ("turned", turned), ("other", other))
    }
    measure([paths["turned"], paths["other"]], tmp_path / "out", reference=paths["base"])
    rows = pq.read_table(tmp_path / "out" / "changes.parquet").to_pylist()
    assert {(row["status"], row["relative_change"]) for row in rows if row["model"] == "turned"} == {("ok", 0.0)}
    assert {(row["status"], row["relative_change"]) for row in rows if row["model"] == "other"} == {
        ("rows and columns cannot be told apart", None)
    }


def test_an_optimizers_state_beside_the_model_is_no_weight(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model", zoo.llama(zoo.matrices()), zoo.config())
    written = zoo.llama(zoo.matrices())
    moments = {f"{kind}.{name}": tensor for kind in ("exp_avg", "exp_avg_sq") for name, tensor in written.items()}
    save_model(tmp_path / "optim", moments)
    (tmp_path / "optim" / "model.safetensors").rename(model / "optim.safetensors")
    (described,) = measure([str(model)], tmp_path / "out")["models"]
    assert (described["family"], described["matrices"]) == (zoo.STYLE, zoo.LAYERS * 7)
    assert described["skipped_counts"]["optimizer state"] == len(moments)


def test_a_stack_with_two_readings_is_refused_until_the_layout_is_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sides = {"one": 16, "two": 20}
    tree = {"blocks": {k: {"kernel": rng.normal(size=(3, 12, n)).astype(np.float32)} for k, n in sides.items()}}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", tree)
    command = ["audit", str(tmp_path / "tree"), "--out", str(tmp_path / "out")]
    with pytest.raises(RunError, match=r"3 layers of \[12, 16\] or, on the second axis, 12 layers of \[3, 16\]"):
        main(command)
    with pytest.raises(ConfigError, match=r"expected NAMES=AXES"):
        main([*command, "--layout", "blocks.*"])
    main([*command, "--layout", "blocks.*=L*"])
    rows = pq.read_table(tmp_path / "out" / "diagnostics.parquet").to_pylist()
    assert {(row["module"], row["layer"]) for row in rows} == {(k, i) for k in sides for i in range(3)}
