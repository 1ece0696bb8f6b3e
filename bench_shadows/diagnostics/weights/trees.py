"""Trees of arrays, live or restored: names of their leaves, and which of them are the parameters of a model.

What libraries wrap around an array (an NNX variable, a Linen box, a haliax named array) is taken off by its kind,
never by the word of a key: `value` is also what Flax calls the value projection.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from bench_shadows.diagnostics.weights.names import OPTIMIZER, no_two_alike, of_optimizer

PARAMETERS = "params"
_AVERAGE = ("ema", "avg", "average", "polyak")
# Keys under which a dict that was made from NNX variables or Linen boxes keeps their arrays.
_BOXED = {"value", "raw_value"}
_HOLDERS = {"kernel", "bias", "scale", "embedding", "weight", "w", "b"}


def named_leaves(tree: Any, where: str = "the tree") -> dict[str, Any]:
    """Every leaf with a shape, by its path joined with dots. Raises RunError for a name that stands twice."""
    paths = [(path, leaf) for path, leaf in _walk(tree, ()) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]
    names = [".".join(path) for path, _ in _without_boxes(paths)]
    no_two_alike(names, where)
    return dict(zip(names, (leaf for _, leaf in paths), strict=True))


def parameters(leaves: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The leaves that are a model's parameters, and why the others are none.

    A state of a training holds them under `params` (T5X: `target`), beside the optimizer's moments, averages and
    counters: only they are read. In a tree without such a key everything is, but for an optimizer's state.
    """
    others = {name: OPTIMIZER for name in leaves if of_optimizer(name)}
    left = {name: name.split(".") for name in leaves if name not in others}
    roots = {word for parts in left.values() for word in parts if word in (PARAMETERS, "target")}
    root = PARAMETERS if PARAMETERS in roots else "target" if "target" in roots and others else None
    if root is not None:
        depth = min(parts.index(root) for parts in left.values() if root in parts)
        for name, parts in left.items():
            if len(parts) <= depth or parts[depth] != root:
                average = any(word in part.lower() for part in parts[: depth + 1] for word in _AVERAGE)
                others[name] = (
                    "an average of the parameters, to be read on its own" if average else f"not under `{root}`"
                )
    return {name: leaf for name, leaf in leaves.items() if name not in others}, others


def _walk(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_box)[0]:
        here = path + tuple(part for key in keys for part in _part(key).split("/") if part)
        if _is_box(leaf):
            yield from _walk(_inside(leaf), here)
        else:
            yield here, leaf


def _part(key: Any) -> str:
    return str(next(getattr(key, name) for name in ("key", "name", "idx") if hasattr(key, name)))


def _is_box(node: Any) -> bool:
    """An NNX variable, a Linen box of partitioning, or a haliax named array."""
    library = type(node).__module__.partition(".")[0]
    if library == "flax":
        return hasattr(node, "get_raw_value") or (hasattr(node, "unbox") and hasattr(node, "value"))
    return library == "haliax" and hasattr(node, "array") and hasattr(node, "axes")


def _inside(box: Any) -> Any:
    if hasattr(box, "get_raw_value"):
        return box.get_raw_value()
    return box.array if hasattr(box, "axes") else box.value


def _without_boxes(
    paths: list[tuple[tuple[str, ...], Any]],
) -> list[tuple[tuple[str, ...], Any]]:
    """Paths without the last `value` of a stored box: where it is alone under a kernel, or ends every path."""
    children: dict[tuple[str, ...], int] = {}
    for path, _ in paths:
        children[path[:-1]] = children.get(path[:-1], 0) + 1
    every = all(path and path[-1] in _BOXED for path, _ in paths) and len(paths) > 0

    def is_box(path: tuple[str, ...]) -> bool:
        if len(path) < 2 or path[-1] not in _BOXED or children[path[:-1]] > 1:
            return False
        return every or path[-2] in _HOLDERS

    return [(path[:-1] if is_box(path) else path, leaf) for path, leaf in paths]
