"""The console script `bench-shadows`: hears a Ctrl-C before anything that takes time is imported.

Importing `bench_shadows.main` changes nothing in somebody else's process; only this command listens.
"""

import os

try:
    from bench_shadows import interrupts
except KeyboardInterrupt:  # it came while what hears it was read
    os._exit(130)


def entry() -> None:
    """Runs the command line; ends the process with its exit code."""
    interrupts.listen()
    from bench_shadows.main import entry as run

    run()
