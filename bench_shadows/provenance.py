"""What a run was made by: versions, devices, revision and the times and hashes of its stages."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
"""Variables that change what the compilers make; ours (training/compile/xla_flags.py) are in them."""
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "tokenizers", "pyarrow")


def now() -> str:
    """The time, UTC, to the second, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def revision() -> str | None:
    """The git revision of this package's checkout, `+changes` where it differs; None outside a checkout."""
    root = Path(__file__).parents[1]

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != root:
            return None  # installed inside somebody else's repository
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def collect(command: list[str]) -> dict[str, Any]:
    """Everything but the stages, as plain JSON values."""
    versions = {"bench-shadows": importlib.metadata.version("bench-shadows"), "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    import jax  # slow, and a run that only resumes does not need it

    devices = jax.local_devices()
    return {
        "created": now(),
        "command": command,
        "revision": revision(),
        "versions": versions,
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in devices],
        "hosts": jax.process_count(),
        "flags": {name: os.environ[name] for name in FLAGS if name in os.environ},
    }


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None
