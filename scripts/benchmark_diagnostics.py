"""Our diagnostics against WeightWatcher's, on the same matrices, in one run.

    python scripts/benchmark_diagnostics.py                one layer of the paper's shapes, a minute
    python scripts/benchmark_diagnostics.py --layers=32    all 224 matrices of the paper's model, several minutes

Every measurement is a process of its own, with its BLAS threads and its cores pinned: WeightWatcher by its front
door (`WeightWatcher(model=...).analyze()`) on one core with one BLAS thread and on all cores with as many
threads; ours in float32 and float64 on one core and on all. On a machine with CUDA both sides use it (its default
there is float32 on the GPU with another threshold for eigenvalues), and WeightWatcher is measured with CUDA hidden
as well: its best of all is what ours is held against, its numbers are those without CUDA. Prints a table and
writes JSON; needs the extra `peers`. A busy machine makes its figures worthless: look at the load that is printed
with them.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("alpha", "ks_distance", "x_min", "sigma", "spikes")
THEIRS = ("alpha", "D", "xmin", "sigma", "num_pl_spikes")


def shapes(width: int, ff: int, kv: int) -> dict[str, tuple[int, int]]:
    """The seven matrices of one decoder layer, [in, out]."""
    attention = {"q_proj": (width, width), "k_proj": (width, kv), "v_proj": (width, kv), "o_proj": (width, width)}
    return attention | {"gate_proj": (width, ff), "up_proj": (width, ff), "down_proj": (ff, width)}


def write_matrices(folder: Path, layers: int, width: int, ff: int, kv: int) -> None:
    """Matrices like trained ones: noise of initial size and updates whose energy falls off."""
    rng = np.random.default_rng(0)
    for name, (rows, columns) in shapes(width, ff, kv).items():
        stack = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (layers, rows, columns))
        for layer in range(layers):
            k = min(rows, columns) // 4
            energy = 0.3 * np.arange(1, k + 1.0, dtype=np.float32) ** -rng.uniform(0.4, 0.9)
            left = rng.standard_normal((rows, k), np.float32) * energy / np.sqrt(rows)
            stack[layer] = left @ rng.standard_normal((k, columns), np.float32) / np.sqrt(columns) * 8
            stack[layer] += 0.02 * rng.standard_normal((rows, columns), np.float32)
        stack.flush()


def read_matrices(folder: Path) -> dict[str, np.ndarray]:
    """The stacks by name, in memory, so that no disk is measured."""
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


def measure_ours(stacks: dict[str, np.ndarray], precision: Any) -> dict[str, Any]:
    """Two runs of `diagnose`, the first with compilation."""
    import jax

    from bench_shadows.diagnostics import analyse
    from bench_shadows.diagnostics.weights import weights

    tree = {"layers": {name: {"kernel": stack} for name, stack in stacks.items()}}
    opened, identity = weights.open_tree(tree), analyse.Identity("benchmark")
    seconds = []
    for _ in range(2):
        began, cpu = time.perf_counter(), time.process_time()
        rows = analyse.diagnose(opened, identity, precision)
        seconds.append((time.perf_counter() - began, time.process_time() - cpu))
    values = {f"{row['module']}.{row['layer']}": [row[name] for name in PARTS] for row in rows}
    (first, _), (wall, cpu) = seconds
    return {"first": first, "wall": wall, "cpu": cpu, "device": jax.default_backend(), "values": values}


def measure_weightwatcher(stacks: dict[str, np.ndarray], threads: int) -> dict[str, Any]:
    """One run of `analyze` with its default settings."""
    import threadpoolctl
    import torch
    import weightwatcher

    torch.set_num_threads(threads)
    names, model = [], torch.nn.Sequential()
    for name, stack in stacks.items():
        for layer, matrix in enumerate(stack):
            linear = torch.nn.Linear(1, 1, bias=False)
            linear.weight = torch.nn.Parameter(torch.from_numpy(matrix), requires_grad=False)
            linear.out_features, linear.in_features = matrix.shape
            model.append(linear)
            names.append(f"{name}.{layer}")
    with threadpoolctl.threadpool_limits(threads, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            table = weightwatcher.WeightWatcher(model=model).analyze()
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    values = dict(zip(names, table[list(THEIRS)].to_numpy(float).tolist(), strict=True))
    device = "gpu" if torch.cuda.is_available() else "cpu"
    return {"first": wall, "wall": wall, "cpu": cpu, "device": device, "values": values}


def worker(kind: str, setting: str, cores: int, folder: Path) -> None:
    """One measurement in this process; the result goes to standard output as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    stacks = read_matrices(folder)
    loaded = time.perf_counter()
    ours = kind == "ours"
    result = measure_ours(stacks, setting) if ours else measure_weightwatcher(stacks, int(setting))
    # imports, compilation and one run; ours has made a second one
    result["cold"] = time.perf_counter() - loaded - (result["wall"] if ours else 0)
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result))


def run(
    kind: str, setting: str, cores: int, folder: Path, limit: float | None = None, cuda: bool = True
) -> dict[str, Any] | None:
    """`worker` in a process with BLAS pinned from the start; None if it takes more than `limit` seconds."""
    threads = setting if kind == "weightwatcher" else "1"
    pinned = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    command = [sys.executable, __file__, "--worker", kind, setting, str(cores), str(folder)]
    environment = os.environ | pinned | ({} if cuda else {"CUDA_VISIBLE_DEVICES": ""})
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, check=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) | {"kind": kind, "setting": setting, "cores": cores}


def largest_differences(ours: dict[str, list], theirs: dict[str, list]) -> dict[str, float]:
    """Largest relative difference of each quantity over all matrices."""
    one, two = (np.array([values[name] for name in sorted(theirs)], float) for values in (ours, theirs))
    return dict(zip(PARTS, np.max(np.abs(one - two) / np.abs(two), axis=0).tolist(), strict=True))


def main() -> None:
    """Parses, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--ff", type=int, default=4096)
    parser.add_argument("--kv", type=int, default=512)
    parser.add_argument("--out", type=Path, default=Path("benchmark_diagnostics.json"))
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        kind, setting, cores, folder = args.worker
        return worker(kind, setting, int(cores), Path(folder))

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    plan = [("weightwatcher", "1", 1, True), ("ours", "float32", 1, True), ("ours", "float64", 1, True)]
    if cores > 1:
        plan += [("ours", precision, cores, True) for precision in ("float32", "float64")]
        plan += [("weightwatcher", str(cores), cores, True)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_matrices(folder, args.layers, args.width, args.ff, args.kv)
        count = 7 * args.layers
        print(f"{count} matrices, {cores} cores, {platform.machine()}, load {os.getloadavg()}")
        heads = ("side", "setting", "cores", "device", "wall s", "CPU s", "ms/matrix", "cold s", "peak MB")
        print(("{:>14}" * len(heads)).format(*heads))
        results: list[dict[str, Any]] = []
        for kind, setting, used, cuda in plan:  # which grows where the first finds a GPU
            limit = 2 * results[0]["cold"] if results and cuda else None
            result = run(kind, setting, used, folder, limit, cuda)
            if result is None:  # threads that wait for each other on a busy machine: not its best setting
                print(("{:>14}" * 3 + "  stopped at twice the time of one thread").format(kind, setting, used))
                continue
            if not results and result["device"] == "gpu":
                plan += [(side, threads, n, False) for side, threads, n, _ in plan if side == "weightwatcher"]
            results.append(result)
            figures = [
                result["device"],
                f"{result['wall']:.2f}",
                f"{result['cpu']:.2f}",
                f"{1000 * result['wall'] / count:.1f}",
            ]
            figures += [f"{result['cold']:.2f}", f"{result['peak_mb']:.0f}"]
            print(("{:>14}" * len(heads)).format(kind, setting, used, *figures), flush=True)
    theirs = min(
        (r for r in results if r["kind"] == "weightwatcher"), key=lambda r: (r["device"] != "cpu", r["cores"])
    )
    summary: dict[str, Any] = {"matrices": count, "cores": cores, "load": os.getloadavg()}
    for result in results:
        if result["kind"] == "ours":
            rivals = [r for r in results if r["kind"] == "weightwatcher" and r["cores"] <= result["cores"]]
            summary[f"{result['setting']} on {result['cores']} cores"] = {
                "times the wall of its best": min(r["wall"] for r in rivals) / result["wall"],
                "times the CPU of its best": min(r["cpu"] for r in rivals) / result["cpu"],
                "times its best as a cold process": min(r["cold"] for r in rivals) / result["cold"],
                "largest differences": largest_differences(result["values"], theirs["values"]),
            }
    for result in results:
        del result["values"]
    print(json.dumps(summary, indent=2))
    args.out.write_text(json.dumps({"summary": summary, "measurements": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
