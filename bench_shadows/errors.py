"""The errors a user can cause and mend. Each message is complete: what, where, what was expected, what to do."""


class BenchShadowsError(Exception):
    """Something failed while running; the command prints the message and exits with `exit_code`."""

    exit_code = 1


class ConfigError(BenchShadowsError):
    """A config, a command line or their combination cannot be; nothing was started."""

    exit_code = 2


class DataError(BenchShadowsError):
    """Documents, rows or a corpus are missing, malformed or too few."""


class SourceError(DataError):
    """A source is not there or cannot be opened; nothing was read."""

    exit_code = 2


class RunError(BenchShadowsError):
    """A run folder, a checkpoint or a stage cannot be used as it is."""
