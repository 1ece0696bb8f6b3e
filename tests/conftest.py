"""What every test can rely on."""

import signal


def pytest_configure() -> None:
    """Ctrl-C is heard, here and in children: a shell's background jobs would ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
