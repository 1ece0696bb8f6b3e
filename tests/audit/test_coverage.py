"""Parameters that are read and left out, against counts of one's own: plain, fp8 and every packed format."""

import ml_dtypes
import numpy as np
import pytest
from checkpoint_files import save_model

from bench_shadows.audit.coverage import Coverage, coverage, packed_weights
from bench_shadows.diagnostics.weights.weights import open_weights

OUT, IN = 32, 64
PARAMETERS = OUT * IN
NAME = "model.layers.0.self_attn.q_proj"
Tensors = dict[str, np.ndarray]


def array(dtype: type, *shape: int) -> np.ndarray:
    return np.ones(shape, dtype)


PACKED: dict[str, tuple[Tensors, dict, str]] = {
    "MXFP4": (
        {
            "model.layers.0.mlp.experts.gate_up_proj_blocks": array(np.uint8, 2, OUT // 2, IN // 32, 16),
            "model.layers.0.mlp.experts.gate_up_proj_scales": array(np.uint8, 2, OUT // 2, IN // 32),
        },
        {"quant_method": "mxfp4"},
        "MXFP4",
    ),
    "GPTQ": (
        {
            f"{NAME}.qweight": array(np.int32, IN // 8, OUT),
            f"{NAME}.qzeros": array(np.int32, 1, OUT // 8),
            f"{NAME}.scales": array(np.float16, 1, OUT),
            f"{NAME}.g_idx": array(np.int32, IN),
        },
        {},
        "GPTQ",
    ),
    "GPTQ of 8 bits": (
        {f"{NAME}.qweight": array(np.int32, IN // 4, OUT), f"{NAME}.scales": array(np.float16, 1, OUT)},
        {"quant_method": "gptq", "bits": 8},
        "GPTQ",
    ),
    "AWQ": (
        {
            f"{NAME}.qweight": array(np.int32, IN, OUT // 8),
            f"{NAME}.qzeros": array(np.int32, 1, OUT // 8),
            f"{NAME}.scales": array(np.float16, 1, OUT),
        },
        {},
        "AWQ",
    ),
    "NVFP4": (
        {
            f"{NAME}.weight": array(np.uint8, OUT, IN // 2),
            f"{NAME}.weight_scale": array(ml_dtypes.float8_e4m3fn, OUT, IN // 16),
            f"{NAME}.weight_scale_2": array(np.float32),
            f"{NAME}.input_scale": array(np.float32),
        },
        {"quant_method": "modelopt"},
        "NVFP4",
    ),
    "compressed-tensors": (
        {
            f"{NAME}.weight_packed": array(np.int32, OUT, IN // 8),
            f"{NAME}.weight_scale": array(np.float16, OUT, 2),
            f"{NAME}.weight_shape": array(np.int64, 2),
        },
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4}}}},
        "compressed-tensors",
    ),
    "bitsandbytes of 4 bits": (
        {
            f"{NAME}.weight": array(np.uint8, PARAMETERS // 2, 1),
            f"{NAME}.weight.absmax": array(np.uint8, PARAMETERS // 64),
            f"{NAME}.weight.quant_map": array(np.float32, 16),
            f"{NAME}.weight.nested_absmax": array(np.float32, 1),
            f"{NAME}.weight.nested_quant_map": array(np.float32, 256),
            f"{NAME}.weight.quant_state.bitsandbytes__nf4": array(np.uint8, 80),
        },
        {"quant_method": "bitsandbytes"},
        "bitsandbytes, 4 bits",
    ),
    "bitsandbytes of 8 bits": (
        {f"{NAME}.weight": array(np.int8, OUT, IN), f"{NAME}.SCB": array(np.float32, OUT)},
        {"quant_method": "bitsandbytes"},
        "bitsandbytes, 8 bits",
    ),
    "a method of its own": ({f"{NAME}.weight": array(np.int8, OUT, IN)}, {"quant_method": "hqq"}, "HQQ"),
}


def of(tmp_path, tensors: Tensors, config: dict | None = None) -> Coverage:
    return coverage(open_weights(save_model(tmp_path / "model", tensors, config or {})))


@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_is_named_and_counted_as_the_parameters_that_it_stands_for(tmp_path, name: str) -> None:
    tensors, settings, method = PACKED[name]
    plain = {f"model.layers.0.self_attn.{part}_proj.weight": array(np.float32, OUT, IN) for part in "kvo"}
    found = of(tmp_path, tensors | plain, {"quantization_config": settings})
    assert (found.tensors, found.read_tensors) == (len(tensors) + 3, 3)
    assert found.parameters == 4 * PARAMETERS
    assert found.read_parameters == 3 * PARAMETERS
    assert found.by_reason() == [(f"quantised: {method}", len(tensors), PARAMETERS)]


def test_fp8_with_scales_is_read_and_the_scales_are_no_parameters(tmp_path) -> None:
    tensors = {
        f"{NAME}.weight": array(ml_dtypes.float8_e4m3fn, OUT, IN),
        f"{NAME}.weight_scale_inv": array(np.float32, 1, 1),
        "model.norm.weight": array(np.float32, IN),
    }
    found = of(tmp_path, tensors, {"quantization_config": {"quant_method": "fp8"}})
    assert (found.read_parameters, found.parameters) == (PARAMETERS, PARAMETERS + IN)
    assert sorted(found.by_reason()) == [("norm", 1, IN), ("scale of a quantised tensor", 1, 0)]


def test_a_plain_model_has_nothing_packed(tmp_path) -> None:
    tensors = {f"{NAME}.weight": array(np.float32, OUT, IN), "position_ids": array(np.int64, 1, 9)}
    assert packed_weights(open_weights(save_model(tmp_path, tensors)).tensors, {}) == {}
