"""Condition D's rewriting; the rules are the built-in teacher's."""

from bench_shadows.data.teacher.builtin import rewrite, rewrite_counted
from bench_shadows.data.teacher.outcome import Rewritten

__all__ = ["Rewritten", "rewrite", "rewrite_counted"]
