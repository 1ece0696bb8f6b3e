"""How much arithmetic a token costs, and which share of the device's peak a run reaches."""

from bench_shadows.config import Config, ModelConfig, VisionConfig
from bench_shadows.parameters import layer_weights

PEAK_BFLOAT16 = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA L4": 121e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA B200": 2250e12,
}
"""Dense bfloat16 FLOP/s of one device by the beginning of its `device_kind`; makers' data sheets, no sparsity."""


def flops_per_token(model: ModelConfig, seq_len: int, causal: bool = True) -> float:
    """Floating-point operations of training one token, forward and backward, recomputation not counted.

    6 for each weight of a matrix product (2 forward, 4 backward; the output matrix counts, the embedding's look-up
    does not), and 12 * layers * heads * head_dim * seq_len for attention's two products, halved where a position
    that is masked is not counted (`causal`, our convention for MFU). PaLM, arXiv 2204.02311, appendix B.
    """
    attention, feed_forward = layer_weights(model)
    weights = model.num_layers * (attention + 3 * feed_forward) + model.vocab_size * model.hidden_size
    scores = 12 * model.num_layers * model.num_heads * model.head_dim * seq_len
    return 6.0 * weights + scores / (2 if causal else 1)


def recomputed_flops_per_token(model: ModelConfig, seq_len: int, remat: str) -> float:
    """What rematerialisation adds to `flops_per_token` (causal): products that a policy (`train.remat`) repeats.

    `full` repeats a layer but for its last product, whose result nothing needs; `attention` the gate's and up's
    products; `gate` the up's.
    """
    attention, feed_forward = layer_weights(model)
    weights = {"full": attention + 2 * feed_forward, "attention": 2 * feed_forward, "gate": feed_forward}
    scores = 2 * model.num_heads * model.head_dim * seq_len if remat == "full" else 0
    return model.num_layers * (2.0 * weights.get(remat, 0) + scores)


def flops_per_image(vision: VisionConfig, width: int) -> float:
    """Floating-point operations of training on one image, by the convention of `flops_per_token`.

    Encoder and projector into a decoder of `width`; the pixels take no gradient, and no patch is masked.
    """
    size, patches = vision.hidden_size, vision.image_tokens
    pixels = 3 * vision.patch_size**2 * size
    weights = vision.num_layers * (4 * size**2 + 2 * size * vision.intermediate_size)
    weights += (size + width) * width
    scores = 12 * vision.num_layers * size * patches
    return patches * (4.0 * pixels + 6.0 * weights + scores)


def recomputed_flops_per_image(vision: VisionConfig, remat: str) -> float:
    """What rematerialisation adds to `flops_per_image`.

    The encoder's attention keeps no scores: every policy but `none` makes them again, `full` their product with
    the values, too.
    """
    if remat == "none":
        return 0.0
    size, feed_forward = vision.hidden_size, vision.hidden_size * vision.intermediate_size
    weights = {"full": 4 * size**2 + feed_forward, "attention": feed_forward, "gate": feed_forward}
    scores = (4 if remat == "full" else 2) * size * vision.image_tokens
    return vision.image_tokens * vision.num_layers * (2.0 * weights.get(remat, 0) + scores)


def flops_per_row(config: Config, causal: bool = True) -> float:
    """Training one row, its image included; a row without one has a black image, which costs as much."""
    text = config.data.seq_len * flops_per_token(config.model, config.data.seq_len, causal)
    if not config.vision.image_size:
        return text
    return text + flops_per_image(config.vision, config.model.hidden_size)


def recomputed_flops_per_row(config: Config) -> float:
    """What `config.train.remat` adds to `flops_per_row`."""
    seq_len, remat = config.data.seq_len, config.train.remat
    text = seq_len * recomputed_flops_per_token(config.model, seq_len, remat)
    return text + (recomputed_flops_per_image(config.vision, remat) if config.vision.image_size else 0.0)


def peak_flops(device_kind: str) -> float | None:
    """Peak bfloat16 FLOP/s of one device; None where it is not known (a CPU)."""
    known = [name for name in PEAK_BFLOAT16 if device_kind.startswith(name)]
    return PEAK_BFLOAT16[max(known, key=len)] if known else None


def model_flops_utilization(
    rows_per_second: float, config: Config, device_kind: str, devices: int
) -> float | None:
    """MFU: the share of the devices' bfloat16 peak that the model's own arithmetic (causal) makes up, or None."""
    peak = peak_flops(device_kind)
    return None if peak is None else rows_per_second * flops_per_row(config) / (peak * devices)
