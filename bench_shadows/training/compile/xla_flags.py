"""Flags of XLA that differ from its defaults, each with its reason, set before JAX starts. The user's own win.

What became the default is left out, and on TPUs that is all of it (tests/training/compile asks libtpu 0.0.42):
paper.py's step for v5e:16x16, compiled at full effort, has 13 collectives that start before they are waited for,
without any flag. Two that are often advised were tried on 4 layers of it for v5e:4x4.
xla_enable_async_all_reduce with xla_tpu_enable_async_collective_fusion_fuse_all_reduce left the collectives as
they were; xla_tpu_scoped_vmem_limit_kib=98304 made the compiler's own estimate of the rest longer by 1.3 %.

On GPUs jaxlib 0.10.2 has asynchronous collectives, pipelined reduce-scatters, Triton beside cuBLAS in the
autotuner, and command buffers for fusions, cuBLAS, cuDNN and custom calls by default. One layer of paper.py is
30 MiB in bfloat16, which is what the combiners of collectives take at once.

No flag here was timed by us.
"""

import importlib.util
import mmap
import os
from collections.abc import MutableMapping
from pathlib import Path

from bench_shadows.progress import say

GPU = {
    # The next layer's weights are gathered while this layer computes; off by default, on in NVIDIA's images
    # (docs.nvidia.com/jax-toolbox/environment-variables, docs.jax.dev/en/latest/gpu_performance_tips.html).
    "xla_gpu_enable_latency_hiding_scheduler": "true",
    # Across turns of the loop over layers, too: without it a gather cannot begin before its turn does
    # (docs.nvidia.com/jax-toolbox/performance-profiling/gpu-performance).
    "xla_gpu_enable_pipelined_all_gather": "true",
}

GPU_MEMORY_FRACTION = "0.9"
"""Of a GPU, taken by JAX at the start; its default is 0.75. The rest is NCCL's, cuDNN's and CUDA's own."""


def set_flags(environment: MutableMapping[str, str] = os.environ) -> None:
    """Adds the flags for this machine's GPUs, where it has some, to the environment, and says which.

    A flag that the user set stays as it is. One that the installed XLA does not know is left out: XLA would end
    the process.
    """
    platforms = environment.get("JAX_PLATFORMS") or "cuda"
    if not (_has_gpu() and ("cuda" in platforms or "gpu" in platforms)):
        return
    environment.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", GPU_MEMORY_FRACTION)
    given = environment.get("XLA_FLAGS", "").split()
    named = {word.lstrip("-").partition("=")[0] for word in given}
    wanted = [name for name in GPU if name not in named]
    known = known_names(wanted, "jaxlib")
    added = [f"--{name}={GPU[name]}" for name in wanted if name in known]
    environment["XLA_FLAGS"] = " ".join([*added, *given])
    if added:
        say(f"XLA_FLAGS: {' '.join(added)} (compile/xla_flags.py has the reasons; a value of yours wins)")
    for name in wanted:
        if name not in known:
            say(f"XLA_FLAGS: this jaxlib does not know {name}; it is left out")


def known_names(names: list[str], package: str) -> set[str]:
    """Those of the names that stand in a package's shared libraries, as names of flags do."""
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []
    libraries = [library for folder in folders for library in folder.glob("*.so")]
    return {name for name in names if any(_contains(library, name.encode()) for library in libraries)}


def _contains(library: Path, text: bytes) -> bool:
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"\0" + text + b"\0") >= 0


def _has_gpu() -> bool:
    plugins = (importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13))
    return any(Path("/dev").glob("nvidia[0-9]*")) and any(plugins)
