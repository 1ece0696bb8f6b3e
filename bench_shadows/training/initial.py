"""The weights of a Hugging Face folder, laid out over the mesh: the start of continued pretraining."""

import functools
from pathlib import Path

import jax

from bench_shadows.config import Config
from bench_shadows.model.decoder import Parameters
from bench_shadows.model.huggingface import read_parameter
from bench_shadows.model.pretrained import open_pretrained


def read_weights(config: Config, shapes: Parameters) -> Parameters:
    """Our parameters, float32, from `config.model.initial`.

    Each device gets its part of each parameter by itself: no host holds more than that and one parameter's part.

    Args:
      shapes: jax.ShapeDtypeStruct with shardings, as the parameters are to lie.
    Raises:
      ConfigError: another network than `config.model`.
      RunError, DataError: files that cannot be used.
    """
    folder = Path(config.model.initial)
    tensors = open_pretrained(folder, config.model, config.data.seq_len)

    def read(path: tuple[jax.tree_util.DictKey, ...], target: jax.ShapeDtypeStruct) -> jax.Array:
        name = ".".join(key.key for key in path)
        part = functools.partial(read_parameter, tensors, config.model, name)
        return jax.make_array_from_callback(target.shape, target.sharding, part)

    return jax.tree_util.tree_map_with_path(read, shapes)
