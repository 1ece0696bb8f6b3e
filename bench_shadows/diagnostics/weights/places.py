"""A matrix's place in a checkpoint, and how stacks of layers are told from other tensors of three axes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench_shadows.diagnostics.weights.layouts import View

LETTERS = set("ioLES")


class AmbiguousError(Exception):
    """A tree that can be read in two ways."""


@dataclass(frozen=True)
class Place:
    """One matrix, or a whole stack over layers (`layers` > 0), and where it is found in its tensor."""

    tensor: str
    component: str
    module: str
    layer: int | None
    view: View
    shape: tuple[int, int]
    """Rows and columns of a matrix."""
    inputs_first: bool | None
    """[in, out], as JAX keeps kernels; torch's linear layers are [out, in]. None: not known."""
    layers: int = 0
    """Matrices on the axis of layers."""
    first_layer: int = 0
    """The layer that the first of them is."""

    @property
    def all_layers(self) -> range:
        """The layers of all its matrices."""
        if self.layers:
            return range(self.first_layer, self.first_layer + self.layers)
        return range(0) if self.layer is None else range(self.layer, self.layer + 1)

    def renamed(self, module: str) -> "Place":
        """The same under another module's name, the layer's number in it."""
        picked = [str(place) for _, place in self.view.picks]
        if self.view.cut is not None:
            picked.append(self.module.rpartition(".")[2])
        return replace(self, module=".".join([module, *picked]))


def shared_axis(shapes: Mapping[str, tuple[int, ...]], stem: str, layers: int | None = None) -> int | None:
    """The axis, first or second, that all tensors of two and more axes share, so that it can be that of layers.

    Args:
      shapes: of all tensors below a stem, norms and biases included: those of one layer are vectors, stacked they
        have two axes.
      stem: what their names have in common, for the message.
      layers: how many layers the config says, which decides where both axes are shared.

    Raises:
      AmbiguousError: where both are shared and nothing decides.
    """
    several = {name: shape for name, shape in shapes.items() if len(shape) >= 2}
    shared = [at for at in (0, 1) if several and len({shape[at] for shape in several.values()}) == 1]
    if len(shared) == 2 and layers is not None:
        fits = [at for at in shared if next(iter(several.values()))[at] == layers]
        shared = fits if len(fits) == 1 else shared
    if len(shared) == 2:
        raise AmbiguousError(readings(several, stem))
    return shared[0] if shared else None


def readings(shapes: Mapping[str, tuple[int, ...]], stem: str) -> str:
    """Both readings of tensors that share their first and their second axis, and how to say which is meant."""
    name, shape = max(shapes.items(), key=lambda item: len(item[1]))
    one, two = shape[0], shape[1]
    return (
        f"{name} {list(shape)} and its siblings may be {one} layers of {list(shape[1:])} or, on the second axis, "
        f"{two} layers of {[shape[0], *shape[2:]]}: say which with the layout {stem}*=L* or {stem}*=?L*"
    )
