"""What may be cut and how matrices are taken out of tensors: by exact sizes, and by nothing that only divides."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bench_shadows.diagnostics.weights.families import sort_tensors
from bench_shadows.diagnostics.weights.layouts import Cut, Sizes, View, fused_cuts


def array(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("library", [np.asarray, jnp.asarray])
@pytest.mark.parametrize(
    ("axes", "picks", "shape", "expected"),
    [
        ("oi", (), (6, 4), "oi->oi"),
        ("Lio", (), (3, 6, 4), "lio->lio"),
        ("iLo", (), (6, 3, 4), "ilo->lio"),
        ("ioo", (), (6, 2, 4), "iab->iab"),
        ("iLoo", (), (6, 3, 2, 4), "ilab->liab"),
        ("iLio", (), (2, 3, 4, 6), "alwo->lawo"),
        ("oio", (), (2, 6, 4), "aiw->awi"),
        ("Eio", ((0, 1),), (3, 6, 4), "eio->eio"),
        ("ELoi", ((0, 2),), (3, 2, 6, 4), "eloi->eloi"),
        ("Soio", ((0, 1),), (2, 2, 6, 4), "saiw->sawi"),
        ("iSoo", ((1, 2),), (6, 3, 2, 4), "isaw->siaw"),
    ],
)
def test_a_view_takes_matrices_out(
    library: Any, axes: str, picks: tuple[tuple[int, int], ...], shape: tuple[int, ...], expected: str
) -> None:
    tensor, view = array(*shape), View(axes, picks)
    by_hand = np.einsum(expected, tensor)
    if picks:
        by_hand = by_hand[picks[0][1]]
    rows, columns = view.shape(shape)
    by_hand = by_hand.reshape(-1, rows, columns)
    np.testing.assert_array_equal(np.asarray(view.take(library(tensor))), by_hand)
    if view.stacked is not None:
        np.testing.assert_array_equal(np.asarray(view.take(library(tensor), 1)), by_hand[1:2])


def test_a_cut_takes_rows_or_columns_of_groups() -> None:
    matrix = array(1, 12, 5)
    cut = Cut(2, 1, 3)
    np.testing.assert_array_equal(cut.apply(matrix, 1)[0], matrix[0][[1, 2, 7, 8]])
    np.testing.assert_array_equal(cut.apply(matrix.swapaxes(1, 2), 2)[0], matrix[0][[1, 2, 7, 8]].T)


CONFIG = {"hidden_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.mark.parametrize(
    ("kind", "outputs", "inputs", "config", "starts"),
    [
        ("rows", 48, 24, CONFIG, [0, 24, 36]),
        ("rows", 72, 24, CONFIG, None),  # divides by four heads, and is no 4 + 2 + 2 heads of six
        ("rows", 48, 24, CONFIG | {"head_dim": 8}, None),
        ("rows", 64, 24, CONFIG | {"head_dim": 8}, [0, 32, 48]),
        ("rows", 48, 24, {"hidden_size": 24}, None),
        ("rows", 48, 24, CONFIG | {"num_key_value_heads": 3}, None),
        ("rows", 36, 24, {"num_attention_heads": 4, "multi_query": True}, [0, 24, 30]),
        ("rows", 36, 24, {"n_heads": 4, "d_model": 24, "multi_query_attention": True}, [0, 24, 30]),
        ("rows", 48, 24, {"n_heads": 4, "d_model": 24, "attn_config": {"kv_n_heads": 2}}, [0, 24, 36]),
        ("heads", 48, 24, CONFIG | {"multi_query": True, "new_decoder_architecture": True}, [0, 12, 18]),
        ("heads", 48, 24, CONFIG | {"multi_query": True}, None),
        ("heads", 72, 24, CONFIG | {"multi_query": False}, [0, 6, 12]),
        ("thirds", 72, 24, {}, [0, 24, 48]),
        ("thirds", 24, 72, {}, None),
        ("thirds", 96, 24, {"num_attention_heads": 4, "head_dim": 8}, [0, 32, 64]),
        ("thirds", 72, 24, {"num_attention_heads": 5}, None),
        ("codegen", 72, 24, {"n_head": 4}, [0, 6, 12]),
        ("codegen", 72, 24, {"n_head": 6}, None),
    ],
)
def test_attention_is_cut_where_the_config_gives_exactly_that_side(
    kind: str, outputs: int, inputs: int, config: dict[str, Any], starts: list[int] | None
) -> None:
    cuts = fused_cuts(kind, 3, outputs, inputs, Sizes.of(config))
    assert (cuts and [cut.start for cut in cuts]) == starts


@pytest.mark.parametrize(
    ("outputs", "config", "cut"), [(80, {}, True), (81, {}, False), (80, {"intermediate_size": 40}, True),
                                   (80, {"intermediate_size": 20}, False)]
)  # fmt: skip
def test_halves_are_cut_where_the_inner_size_is_half(outputs: int, config: dict[str, Any], cut: bool) -> None:
    assert (fused_cuts("halves", 2, outputs, 24, Sizes.of(config)) is not None) == cut


def test_experts_that_fit_both_ways_stay_whole_until_a_sibling_decides() -> None:
    """Hidden size 16, inner size 8: gate_up is [16, 16] either way; the down projection's sides tell."""
    name = "model.layers.0.mlp.experts."
    config = {"model_type": "qwen3_moe", "hidden_size": 16, "moe_intermediate_size": 8}
    fused = {f"{name}gate_up_proj": array(2, 16, 16)}
    alone = sort_tensors(fused, config)
    assert {place.module for place in alone.places} == {
        "mlp.experts.0.gate_proj+up_proj",
        "mlp.experts.1.gate_proj+up_proj",
    }
    assert {place.inputs_first for place in alone.places} == {None}
    assert alone.notices[0].startswith("1 fused matrices stand whole")
    for down, first in (((2, 8, 16), True), ((2, 16, 8), False)):
        both = sort_tensors(fused | {f"{name}down_proj": array(*down)}, config)
        assert len(both.places) == 6
        assert {place.inputs_first for place in both.places} == {first}


def test_a_family_that_the_sides_contradict_is_read_as_the_sides_say_and_it_is_said() -> None:
    tensors = {f"model.layers.{i}.mlp.up_proj.weight": array(24, 40) for i in range(2)}
    found = sort_tensors(tensors, {"hidden_size": 24})
    assert {place.inputs_first for place in found.places} == {True}
    assert found.notices == (
        "matrices of the decoder are stored [in, out], as 2 of them show by the side that is the hidden size; "
        "they are read so",
    )
    mixed = tensors | {"model.layers.2.mlp.up_proj.weight": array(40, 24)}
    found = sort_tensors(mixed, {"hidden_size": 24})
    assert {place.inputs_first for place in found.places} == {False}
    (notice,) = found.notices
    assert notice.startswith(
        "2 of 3 matrices of the decoder have the hidden size on the other side than the family"
    )


# No stack without a reason ------------------------------------------------------------------------------------


def test_convolutions_are_no_stacks() -> None:
    whisper = {"encoder.conv1.weight": array(96, 8, 3), "encoder.conv2.weight": array(96, 96, 3)}
    detector = {
        f"{block}.{name}.weight": array(*shape)
        for block, shapes in {"first": (16, 9, 3), "second": (16, 16, 3)}.items()
        for name, shape in {"down": shapes, "up": shapes}.items()
    }
    for tensors in (whisper, detector, {"stem": array(16, 3, 7, 7)}):
        found = sort_tensors(tensors)
        assert not found.places
        assert set(found.skipped.values()) <= {
            "convolution",
            "3 dimensions, and nothing says that one of them is of layers or experts",
        }


def test_a_recurrent_cell_is_cut_into_the_gates_that_its_recurrent_matrix_shows() -> None:
    for gates, names in ((4, {"input", "forget", "cell", "output"}), (3, {"reset", "update", "new"})):
        cell = {"rnn.weight_ih_l0": array(gates * 16, 20), "rnn.weight_hh_l0": array(gates * 16, 16)}
        found = sort_tensors(cell)
        expected = {f"rnn.weight_{kind}_l0.{gate}" for kind in ("ih", "hh") for gate in names}
        assert {place.module for place in found.places} == expected
        assert {place.shape for place in found.places} == {(16, 20), (16, 16)}
    plain = sort_tensors({"rnn.weight_ih_l0": array(16, 20), "rnn.weight_hh_l0": array(16, 16)})
    assert {place.module for place in plain.places} == {"rnn.weight_ih_l0", "rnn.weight_hh_l0"}


def test_experts_are_a_stack_by_their_name_and_parallel_counts() -> None:
    tensors = {"layers.0.moe.experts.up": array(8, 24, 40), "layers.0.moe.experts.down": array(8, 40, 24)}
    assert len(sort_tensors(tensors).places) == 16
    uneven = tensors | {"layers.0.moe.experts.more": array(5, 24, 40)}
    assert not sort_tensors(uneven).places


def test_attention_kernels_that_do_not_fit_each_other_are_left_out() -> None:
    kernels = {f"attn.{name}.kernel": array(24, 3, 8) for name in ("query", "key", "value")}
    assert len(sort_tensors(kernels | {"attn.out.kernel": array(3, 8, 24)}).places) == 4
    scanned = sort_tensors(kernels | {"attn.out.kernel": array(8, 3, 24)})  # three layers on the second axis
    assert {(place.layers, place.shape) for place in scanned.places} == {(3, (24, 8)), (3, (8, 24))}
    broken = sort_tensors(kernels | {"attn.out.kernel": array(5, 8, 24)})
    assert not broken.places
    assert set(broken.skipped.values()) == {
        "3 dimensions, and nothing says that one of them is of layers or experts"
    }


# Names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module", "layer"),
    [
        ("attention.attention.value.weight", "attention.attention.v_proj", None),
        ("albert.stack.3.attention.value.weight", "albert.stack.attention.v_proj", 3),
        ("critic.value.weight", "critic.value", None),
        ("stages.1.2.self_attn.out.weight", "stages.2.self_attn.o_proj", 1),
        ("decoder.blocks.4.cross_attn.query.weight", "cross_attn.q_proj", 4),
        ("MyLayer_3.up.kernel", "MyLayer_3.up", None),  # one alone counts nothing
    ],
)
def test_names_that_no_table_knows_keep_their_words(name: str, module: str, layer: int | None) -> None:
    (place,) = sort_tensors({name: array(16, 24)}).places
    assert (place.module, place.layer) == (module, layer)


def test_two_that_would_fall_together_stand_under_their_whole_names() -> None:
    tensors = {f"{block}.layers.0.up.weight": array(16, 24) for block in ("model", "transformer")}
    found = sort_tensors(tensors)
    assert {place.module for place in found.places} == {
        "model.layers.0.up.weight",
        "transformer.layers.0.up.weight",
    }
