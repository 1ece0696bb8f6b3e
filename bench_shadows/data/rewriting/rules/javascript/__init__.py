"""Python programs of the common subset made into JavaScript that gives the same results."""

from bench_shadows.data.rewriting.rules.javascript.emitter import to_javascript
from bench_shadows.data.rewriting.rules.javascript.scopes import NotConvertedError

__all__ = ["NotConvertedError", "to_javascript"]
