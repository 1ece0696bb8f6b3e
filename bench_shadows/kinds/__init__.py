"""The kinds of study: a folder each, whose `KIND` is all that the rest of the project asks."""

import functools
import importlib
import pkgutil
from collections.abc import Sequence

from bench_shadows.kinds.kind import Kind

__all__ = ["Kind", "kind_of", "kinds"]


@functools.cache
def kinds() -> tuple[Kind, ...]:
    """Every kind there is, by the names of their folders."""
    found = sorted(one.name for one in pkgutil.iter_modules(__path__) if one.ispkg)
    return tuple(importlib.import_module(f"{__name__}.{name}").KIND for name in found)


def kind_of(conditions: Sequence[str]) -> Kind:
    """The kind that any of these conditions belongs to; the study of documents if none knows them."""
    known = [kind for kind in kinds() if set(conditions) & set(kind.conditions)]
    return next(iter(known), None) or next(kind for kind in kinds() if kind.name == "documents")
