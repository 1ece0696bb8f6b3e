"""Every implementation of attention is the written-out formula."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.model.attention import IMPLEMENTATIONS, Attention, choose, einsum_attention, splash_attention


def inputs(rows: int, length: int, heads: int, kv_heads: int, width: int) -> tuple[jax.Array, ...]:
    keys = jax.random.split(jax.random.key(length), 3)
    shapes = [(rows, length, count, width) for count in (heads, kv_heads, kv_heads)]
    return tuple(jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))


def by_hand(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """softmax(q k / sqrt(K)) v, one query at a time, in float64."""
    out, share = np.zeros(q.shape), q.shape[2] // k.shape[2]
    for b, t, h in np.ndindex(q.shape[:3]):
        scores = k[b, : t + 1, h // share].astype(float) @ q[b, t, h] / np.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max())
        out[b, t, h] = weights @ v[b, : t + 1, h // share] / weights.sum()
    return out


@settings(max_examples=5, deadline=None)
@given(length=st.integers(1, 9), kv_heads=st.sampled_from([1, 2]), share=st.sampled_from([1, 2]))
def test_the_reference_is_the_formula(length: int, kv_heads: int, share: int) -> None:
    q, k, v = inputs(2, length, kv_heads * share, kv_heads, 4)
    expected = by_hand(*map(np.asarray, (q, k, v)))
    np.testing.assert_allclose(jax.jit(einsum_attention)(q, k, v), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("implementation", "length", "width"),
    [
        pytest.param(IMPLEMENTATIONS["xla"], 33, 8, id="xla"),
        pytest.param(functools.partial(splash_attention, interpret=True), 256, 128, id="splash"),
    ],
)
def test_an_implementation_equals_the_reference_forward_and_backward(
    implementation: Attention, length: int, width: int
) -> None:
    qkv = inputs(2, length, 4, 2, width)

    def both(attend: Attention) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        return jax.jit(jax.value_and_grad(lambda qkv: (attend(*qkv) ** 2).sum()))(qkv)

    jax.tree.map(
        lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3),
        both(implementation),
        both(einsum_attention),
    )


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="cuDNN's kernel runs on an NVIDIA GPU only")
@pytest.mark.parametrize("masked", [False, True])
def test_cudnn_equals_the_reference_forward_and_backward_in_half_precision(masked: bool) -> None:
    told = (documents(256),) if masked else ()
    qkv = tuple(array.astype(jnp.bfloat16) for array in inputs(2, 256, 4, 2, 128))
    (one, ones), (two, twos) = (
        jax.value_and_grad(lambda qkv, attend=attend: (attend(*qkv, *told).astype(jnp.float32) ** 2).mean())(qkv)
        for attend in (IMPLEMENTATIONS["cudnn"], einsum_attention)
    )
    np.testing.assert_allclose(one, two, rtol=2e-2)
    for gradient, wanted in zip(ones, twos, strict=True):
        largest = float(jnp.abs(wanted.astype(jnp.float32)).max())
        np.testing.assert_allclose(gradient.astype(jnp.float32), wanted.astype(jnp.float32), atol=3e-2 * largest)


def documents(length: int) -> jax.Array:
    """Two rows of documents of different lengths, one of a single token among them."""
    begins = np.zeros((2, length), int)
    begins[0, [0, 5, 6, length // 2]] = begins[1, [length // 3]] = 1
    return jnp.asarray(begins.cumsum(axis=1), jnp.int32)


@pytest.mark.parametrize(
    ("implementation", "length", "width"),
    [
        pytest.param(IMPLEMENTATIONS["einsum"], 33, 8, id="einsum"),
        pytest.param(IMPLEMENTATIONS["xla"], 33, 8, id="xla"),
        pytest.param(functools.partial(splash_attention, interpret=True), 256, 128, id="splash"),
    ],
)
def test_with_documents_told_apart_each_is_attended_to_as_if_it_were_alone(
    implementation: Attention, length: int, width: int
) -> None:
    qkv, numbers = inputs(2, length, 4, 2, width), documents(length)

    def alone(qkv: tuple[jax.Array, ...]) -> jax.Array:
        parts = []
        for row in range(2):
            edges = [0, *(np.flatnonzero(np.diff(numbers[row])) + 1), length]
            spans = itertools.pairwise(edges)
            outputs = [einsum_attention(*(array[row : row + 1, a:b] for array in qkv)) for a, b in spans]
            parts.append(jnp.concatenate(outputs, axis=1))
        return (jnp.concatenate(parts) ** 2).sum()

    together = jax.value_and_grad(lambda qkv: (implementation(*qkv, numbers) ** 2).sum())(qkv)
    jax.tree.map(
        lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3),
        together,
        jax.value_and_grad(alone)(qkv),
    )


def test_no_position_sees_a_later_one() -> None:
    q, k, v = inputs(1, 12, 2, 1, 4)
    before = einsum_attention(q, k, v)
    after = einsum_attention(q, k.at[:, 7:].add(5.0), v.at[:, 7:].add(5.0))
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert not np.allclose(before[:, 7:], after[:, 7:])


class FakeDevice:
    """What `choose` looks at; the real one needs the hardware."""

    def __init__(self, platform: str, compute_capability: str = "") -> None:
        self.platform, self.compute_capability = platform, compute_capability


@pytest.mark.parametrize(
    ("platform", "capability", "dtype", "head_dim", "seq_len", "chosen", "reason"),
    [
        ("cpu", "", jnp.float32, 32, 128, "einsum", ""),
        ("tpu", "", jnp.bfloat16, 128, 4096, "splash", ""),
        ("tpu", "", jnp.bfloat16, 64, 4096, "xla", "heads"),
        ("tpu", "", jnp.bfloat16, 128, 1000, "xla", "length"),
        ("gpu", "9.0", jnp.bfloat16, 128, 100, "cudnn", ""),
        ("gpu", "7.5", jnp.float16, 64, 128, "xla", "compute capability"),
        ("gpu", "9.0", jnp.float32, 64, 128, "xla", "16-bit"),
        ("gpu", "9.0", jnp.bfloat16, 256, 128, "xla", "heads"),
    ],
)
def test_a_device_gets_its_fastest_and_a_fallback_is_said(
    platform: str,
    capability: str,
    dtype: type,
    head_dim: int,
    seq_len: int,
    chosen: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert choose(FakeDevice(platform, capability), jnp.dtype(dtype), head_dim, seq_len) == chosen  # type: ignore[arg-type]
    assert reason in capsys.readouterr().err
