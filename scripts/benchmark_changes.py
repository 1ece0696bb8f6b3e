"""What a comparison with a reference costs, beside the spectra that a checkpoint needs anyway.

    python scripts/benchmark_changes.py

Prints milliseconds a matrix, the best of five, of matrices that are compared four at a time.
"""

import time
from collections.abc import Callable

import numpy as np

from bench_shadows.diagnostics import change, spectrum, update

SHAPES = ((128, 64), (512, 128), (1024, 1024), (4096, 1024))
LAYERS = 4


def best(function: Callable[..., object], *arrays: np.ndarray, times: int = 5) -> float:
    """Milliseconds a matrix."""
    function(*arrays)  # compiles
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function(*arrays)
        taken.append(time.perf_counter() - start)
    return 1e3 * min(taken) / LAYERS


def main() -> None:
    print(f"{'shape':>12}  spectrum  changes  update_rank  subspace_overlap")
    for shape in SHAPES:
        rng = np.random.default_rng(0)
        before = rng.normal(size=(LAYERS, *shape)).astype(np.float32)
        after = before + 0.1 * rng.normal(size=before.shape).astype(np.float32)
        figures = [best(spectrum.eigenvalues, after)]
        figures += [best(f, after, before) for f in (change.changes, update.update_rank, update.subspace_overlap)]
        cells = (f"{figure:{width}.2f}" for figure, width in zip(figures, (8, 8, 12, 17), strict=True))
        print(f"{shape[0]:>6} x {shape[1]:<4}", *cells)


if __name__ == "__main__":
    main()
