"""Text from a decoder, token by token, with the keys and values of earlier positions kept.

The network is the decoder's own: its embedding, layers, norm and head run here with another `attend`, one that
writes a layer's new keys and values into a cache and reads all of it. Prompts are padded on the left, so that the
rows of a batch always write the same column of the cache.

Letters: B rows at once, P columns of their prompts, T new columns, S columns of the cache, L layers, G key-value
heads, K head width, V vocabulary.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bench_shadows.config import Config, ModelConfig, VisionConfig
from bench_shadows.model.attention import einsum_attention
from bench_shadows.model.decoder import Layer, rope_tables, with_parameters
from bench_shadows.model.network import build_network

CHUNK = 16
"""New tokens of one call: between two calls the host sees what is finished."""
_SHORTEST = 16  # columns of a prompt; columns and rows are rounded up to powers of two, so that shapes are few
_SCORES = 2**28  # attention scores (float32) of a batch's prompts in one layer
_COLUMNS = {"cpu": 2**13}
_COLUMNS_ON_ACCELERATORS = 2**18
"""Of a batch, its texts and what is generated behind them."""

Parameters = Mapping[str, Any]
Cache = tuple[jax.Array, jax.Array]  # keys and values [L, B, S, G, K]


class Sampling(NamedTuple):
    """How a token is drawn. Temperature 0 is greedy: the likeliest one, the first of equals."""

    temperature: float = 0.0
    top_p: float = 1.0
    """Only the likeliest tokens that reach this probability together (arXiv 1904.09751)."""
    seed: int = 0


GREEDY = Sampling()


class State(NamedTuple):
    """Where a batch stands between two calls."""

    cache: Cache
    chosen: jax.Array
    """Tokens [B] int32 that are not in the cache yet ..."""
    column: jax.Array
    """... and the column that they go to."""
    done: jax.Array
    """Rows [B] bool that have come to the stop token: they only say it again."""
    pads: jax.Array
    """Columns [B] before each prompt."""
    keys: jax.Array
    """Of each row's draws, [B]."""


class Generate(Protocol):
    """What `build_generate` makes."""

    def __call__(
        self,
        params: Parameters,
        prompts: Sequence[np.ndarray],
        max_new: int,
        stop: int,
        sampling: Sampling = GREEDY,
        finished: Callable[[np.ndarray], bool] | None = None,
        images: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """New tokens of each prompt, int32, at most `max_new`, without the stop token and what is behind it.

        Args:
          params: weights, as the decoder has them.
          prompts: token ids, one or more each.
          stop: the token that ends a text.
          sampling: a prompt's draw is a function of the seed and its place in `prompts`, not of its batch.
          finished: whether the new tokens of a row are enough, asked after every `CHUNK` of them; a row may have
            got more by then.
          images: uint8 [len(prompts), S, S, 3], what the prompts show; None: none of them has an image.
        """


def build_generate(config: ModelConfig, vision: VisionConfig | None = None) -> Generate:
    """A function that continues prompts, batched on the device, in float32; of a network with `vision`, if given.

    One program for the prompts and one for `CHUNK` further tokens are compiled for each rounded length and number
    of rows, whatever the checkpoint.
    """
    whole = Config(model=config, vision=vision or VisionConfig())
    model = nnx.eval_shape(lambda: build_network(whole, rngs=nnx.Rngs(0)))

    def logits(
        params: Parameters,
        tokens_BxT: jax.Array,
        pads_B: jax.Array,
        cache: Cache,
        column: jax.Array,
        images: jax.Array | None = None,
    ) -> tuple[jax.Array, Cache]:
        """Of the last of T columns, [B, V] float32, and the cache with all T."""
        decoder = with_parameters(model, dict(params))
        S = cache[0].shape[2]
        columns_T = column + jnp.arange(tokens_BxT.shape[1])
        positions_BxT = jnp.maximum(columns_T - pads_B[:, None], 0)
        cos, sin = (table[positions_BxT] for table in rope_tables(S, config.head_dim, config.rope_theta))
        seen_BxTxS = jnp.arange(S) <= columns_T[:, None]
        seen_BxTxS &= jnp.arange(S) >= pads_B[:, None, None]

        def apply(x_BxTxD: jax.Array, inputs: tuple[Layer, Cache]) -> tuple[jax.Array, Cache]:
            layer, kept = inputs

            def attend(q_BxTxHxK: jax.Array, k_BxTxGxK: jax.Array, v_BxTxGxK: jax.Array) -> jax.Array:
                nonlocal kept
                kept = (_written(kept[0], k_BxTxGxK, column), _written(kept[1], v_BxTxGxK, column))
                return einsum_attention(q_BxTxHxK, *kept, seen_BxTxS=seen_BxTxS)

            layer.self_attn.attend = attend  # of this trace's own copy of the layer
            return layer(x_BxTxD, (cos, sin)), kept

        x_BxTxD, cache = jax.lax.scan(apply, decoder.embed(tokens_BxT, images), (decoder.layers, cache))
        last_BxD = decoder.norm(x_BxTxD[:, -1])
        return jnp.matmul(last_BxD, decoder.head(), preferred_element_type=jnp.float32), cache

    @functools.partial(jax.jit, static_argnames=("room", "rule"))
    def begin(
        params: Parameters,
        tokens_BxP: jax.Array,
        pads: jax.Array,
        keys: jax.Array,
        stop: int,
        room: int,
        rule: Sampling,
        images: jax.Array | None,
    ) -> State:
        B, P = tokens_BxP.shape
        shape = (config.num_layers, B, P + room, config.num_kv_heads, config.head_dim)
        empty = jnp.zeros(shape, model.compute_dtype), jnp.zeros(shape, model.compute_dtype)
        logits_BxV, cache = logits(params, tokens_BxP, pads, empty, jnp.int32(0), images)
        state = State(cache, pads, jnp.int32(P), pads == P, pads, keys)  # rows without a prompt are done
        return _choose(state, logits_BxV, stop, rule)

    @functools.partial(jax.jit, static_argnames="rule", donate_argnames="state")
    def extend(params: Parameters, state: State, stop: int, count: int, rule: Sampling) -> tuple[State, jax.Array]:
        def goes_on(carry: tuple[State, jax.Array, jax.Array]) -> jax.Array:
            state, _, made = carry
            return (made < count) & ~state.done.all()

        def one(carry: tuple[State, jax.Array, jax.Array]) -> tuple[State, jax.Array, jax.Array]:
            state, new_BxC, made = carry
            token_Bx1 = state.chosen[:, None]
            new_BxC = jax.lax.dynamic_update_slice_in_dim(new_BxC, token_Bx1, made, axis=1)
            logits_BxV, cache = logits(params, token_Bx1, state.pads, state.cache, state.column)
            state = state._replace(cache=cache, column=state.column + 1)
            return _choose(state, logits_BxV, stop, rule), new_BxC, made + 1

        new_BxC = jnp.full((len(state.done), CHUNK), stop, jnp.int32)
        state, new_BxC, _ = jax.lax.while_loop(goes_on, one, (state, new_BxC, jnp.int32(0)))
        return state, new_BxC

    def generate(
        params: Parameters,
        prompts: Sequence[np.ndarray],
        max_new: int,
        stop: int,
        sampling: Sampling = GREEDY,
        finished: Callable[[np.ndarray], bool] | None = None,
        images: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        if any(len(prompt) == 0 for prompt in prompts):
            raise ValueError("a prompt needs a token")
        continued = [np.zeros(0, np.int32)] * len(prompts)
        params, rule = jax.device_put(params), sampling._replace(seed=0)  # which is no part of the program
        room = -(-max_new // CHUNK) * CHUNK
        for indices, columns, rows in plan_batches([len(prompt) for prompt in prompts], room, config.num_heads):
            tokens_BxP, pads_B = np.full((rows, columns), stop, np.int32), np.full(rows, columns, np.int32)
            for row, index in enumerate(indices):
                pads_B[row] = columns - len(prompts[index])
                tokens_BxP[row, pads_B[row] :] = prompts[index]
            places_B = np.pad(np.asarray(indices, np.uint32), (0, rows - len(indices)))
            seen = None if images is None else images[places_B]
            keys_B = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(sampling.seed), places_B)
            state = begin(params, tokens_BxP, pads_B, keys_B, stop, room, rule, seen)
            new_BxT = np.zeros((rows, 0), np.int32)
            while new_BxT.shape[1] < max_new:
                state, new_BxC = extend(params, state, stop, min(CHUNK, max_new - new_BxT.shape[1]), rule)
                new_BxT = np.concatenate([new_BxT, new_BxC], axis=1)
                done_B = np.asarray(state.done)
                if finished is not None:
                    done_B = done_B | [finished(_until(row, stop)) for row in new_BxT]
                    state = state._replace(done=done_B, chosen=jnp.where(done_B, stop, state.chosen))
                if done_B.all():
                    break
            for row, index in enumerate(indices):
                continued[index] = _until(new_BxT[row, :max_new], stop)
        return continued

    return generate


def _written(old_BxSxGxK: jax.Array, new_BxTxGxK: jax.Array, column: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(old_BxSxGxK, new_BxTxGxK, column, axis=1)


def _choose(state: State, logits_BxV: jax.Array, stop: int, rule: Sampling) -> State:
    """The state with the next tokens; `stop` for rows that are done."""
    if rule.temperature == 0:
        chosen_B = jnp.argmax(logits_BxV, axis=-1)
    else:
        logits_BxV = _most_likely(logits_BxV / rule.temperature, rule.top_p)
        keys_B = jax.vmap(jax.random.fold_in)(state.keys, state.column - state.pads)
        chosen_B = jax.vmap(jax.random.categorical)(keys_B, logits_BxV)
    chosen_B = jnp.where(state.done, stop, chosen_B.astype(jnp.int32))
    return state._replace(chosen=chosen_B, done=state.done | (chosen_B == stop))


def _most_likely(logits_BxV: jax.Array, share: float) -> jax.Array:
    """-inf in the place of the logits behind the first that reach the share together; ties stay together."""
    if share >= 1:
        return logits_BxV
    ranked_BxV = jnp.sort(logits_BxV, axis=-1, descending=True)
    probabilities_BxV = jax.nn.softmax(ranked_BxV, axis=-1)
    before_BxV = jnp.cumsum(probabilities_BxV, axis=-1) - probabilities_BxV
    least_Bx1 = jnp.min(ranked_BxV, axis=-1, keepdims=True, where=before_BxV < share, initial=jnp.inf)
    return jnp.where(logits_BxV >= least_Bx1, logits_BxV, -jnp.inf)


def _until(tokens_T: np.ndarray, stop: int) -> np.ndarray:
    """What stands before the first `stop`."""
    found = np.flatnonzero(tokens_T == stop)
    return tokens_T[: found[0]] if len(found) else tokens_T


def plan_batches(
    lengths: Sequence[int], room: int, heads: int, longest: int | None = None
) -> Iterator[tuple[list[int], int, int]]:
    """(indices of texts, columns, rows) of each batch, the longest texts first, `room` columns behind them.

    Columns and rows are few different numbers, since each pair of them is a program of its own; columns are
    rounded up to `longest` at most.
    """
    waiting = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while waiting:
        columns = max(_SHORTEST, _power_of_two(lengths[waiting[0]]))
        columns = min(columns, longest or columns)
        total = columns + room
        most = _COLUMNS.get(jax.default_backend(), _COLUMNS_ON_ACCELERATORS) // total
        most = max(1, min(most, _SCORES // (heads * columns * total)))
        rows = min(_power_of_two(len(waiting)), _power_of_two(most + 1) // 2)
        yield waiting[:rows], columns, rows
        waiting = waiting[rows:]


def _power_of_two(number: int) -> int:
    """The smallest that is not below."""
    return 1 << (number - 1).bit_length()
