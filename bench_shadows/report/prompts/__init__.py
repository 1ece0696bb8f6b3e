"""The page of a study of prompts, and of `dedupe-prompts`."""
