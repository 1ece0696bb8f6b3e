"""Every implementation of attention is the written-out formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.model.attention import attention, choose, einsum_attention


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
    np.testing.assert_allclose(einsum_attention(q, k, v), expected, atol=1e-5)


def test_xla_equals_the_reference_forward_and_backward() -> None:
    qkv = inputs(2, 33, 4, 2, 8)

    def both(implementation: str) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        return jax.value_and_grad(lambda qkv: (attention(*qkv, implementation) ** 2).sum())(qkv)

    jax.tree.map(
        lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4), both("xla"), both("einsum")
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
    ("platform", "capability", "dtype", "head_dim", "chosen", "reason"),
    [
        ("cpu", "", jnp.float32, 32, "einsum", ""),
        ("tpu", "", jnp.bfloat16, 128, "xla", ""),
        ("gpu", "9.0", jnp.bfloat16, 128, "cudnn", ""),
        ("gpu", "7.5", jnp.float16, 64, "xla", "compute capability"),
        ("gpu", "9.0", jnp.float32, 64, "xla", "16-bit"),
        ("gpu", "9.0", jnp.bfloat16, 256, "xla", "heads"),
    ],
)
def test_a_device_gets_its_fastest_and_a_fallback_is_said(
    platform: str,
    capability: str,
    dtype: type,
    head_dim: int,
    chosen: str,
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert choose(FakeDevice(platform, capability), jnp.dtype(dtype), head_dim) == chosen  # type: ignore[arg-type]
    assert reason in capsys.readouterr().err
