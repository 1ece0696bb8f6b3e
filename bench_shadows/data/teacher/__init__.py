"""Condition D's teachers: rules, offline and deterministic, or a language model behind an endpoint."""
