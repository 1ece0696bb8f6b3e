"""One model, written as many libraries write it, is read as the same matrices: every one, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import zoo
from checkpoint_files import save_model

from bench_shadows.diagnostics.weights.weights import Weights, open_tree, open_weights

ALIKE = {"embedding", "output head", "norm", "bias"}


def read(opened: Weights) -> dict[tuple[str, str, int | None], np.ndarray]:
    """Every matrix, [out, in] where it is known which side is which."""
    found = {}
    for stack in opened.stacks:
        array = np.asarray(opened.read(stack))
        assert array.shape == (len(stack.layers), *stack.shape)
        for layer, matrix in zip(stack.layers, array, strict=True):
            key = (stack.component, stack.module, layer)
            assert key not in found, f"{key} stands twice"
            found[key] = matrix.T if stack.inputs_first else matrix
    return found


def check(opened: Weights, layout: zoo.Layout, model: zoo.Matrices) -> None:
    assert opened.family == layout.family
    found = read(opened)
    assert found.keys() == {(layout.component, module, layer) for module, layer in model}
    for (module, layer), matrix in model.items():
        np.testing.assert_array_equal(found[layout.component, module, layer], matrix, err_msg=f"{module} {layer}")
    assert set(opened.skipped.values()) <= ALIKE
    assert opened.read_parameters == sum(matrix.size for matrix in model.values())
    everything = sum(int(np.prod(leaf.shape)) for leaf in opened.tensors.values())
    assert opened.read_parameters + sum(one.parameters for one in opened.left_out) == everything


@pytest.mark.parametrize("name", zoo.LAYOUTS)
def test_every_layout_gives_the_same_matrices(name: str, tmp_path: Path) -> None:
    layout = zoo.LAYOUTS[name]
    model = zoo.matrices(layout.kv_heads, layout.gated)
    written = layout.write(model)
    if layout.config:
        opened = open_weights(save_model(tmp_path, written, layout.config, shards=2))
    else:
        opened = open_tree(zoo.nested(written))
    check(opened, layout, model)


@pytest.mark.parametrize("name", [name for name, layout in zoo.LAYOUTS.items() if not layout.config])
def test_trees_are_read_from_a_training_state_too(name: str) -> None:
    layout = zoo.LAYOUTS[name]
    model = zoo.matrices(layout.kv_heads, layout.gated)
    tree = zoo.nested(layout.write(model))
    params = tree.get("params", tree.get("target", tree))
    moments = {"0": {"count": np.int32(3), "mu": params, "nu": params}}
    state = {"step": np.int32(3), "params": params, "opt_state": moments, "ema_params": params}
    opened = open_tree(state)
    found = read(opened)
    assert found.keys() == {(layout.component, module, layer) for module, layer in model}
    reasons = {
        name.split(".")[0]: reason for name, reason in opened.skipped.items() if not name.startswith("params")
    }
    assert reasons == {
        "step": "not under `params`",
        "opt_state": "optimizer state",
        "ema_params": "an average of the parameters, to be read on its own",
    }
