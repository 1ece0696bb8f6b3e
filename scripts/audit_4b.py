"""A checkpoint of a 4B model's shape, audited in a process of its own: wall time and peak memory.

    python scripts/audit_4b.py                           36 layers of 2560 x 9728, bf16: 8 GB on disk
    python scripts/audit_4b.py --layers=2                the same shapes, half a GB
    python scripts/audit_4b.py --weightwatcher           WeightWatcher on the same file besides
    python scripts/audit_4b.py --reference               against a second checkpoint, 20 % away: twice the disk

Shapes are Qwen3-4B's: 32 heads and 8 key-value heads of 128, a tied vocabulary of 151,936. Values are random with
a tail like trained weights have. Everything lies in a temporary folder (--folder says where) and is removed. A
busy machine makes times worthless: the load is printed beside them. `--weightwatcher` needs the extra `peers`; it
gets one BLAS thread, with which it is not slower than with two.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

HIDDEN, FF, HEADS, KV_HEADS, HEAD, VOCABULARY = 2560, 9728, 32, 8, 128, 151_936
SHAPES = {
    "self_attn.q_proj": (HEADS * HEAD, HIDDEN),
    "self_attn.k_proj": (KV_HEADS * HEAD, HIDDEN),
    "self_attn.v_proj": (KV_HEADS * HEAD, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HEADS * HEAD),
    "mlp.gate_proj": (FF, HIDDEN),
    "mlp.up_proj": (FF, HIDDEN),
    "mlp.down_proj": (HIDDEN, FF),
}
SHARD_LAYERS = 6  # in one file


def write_checkpoint(folder: Path, layers: int, seed: int = 0, base: Path | None = None) -> int:
    """Shards, index and config.json; from `base`, the same plus noise of 20 %. Returns the bytes written."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    config = {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_size": HIDDEN,
        "intermediate_size": FF,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "vocab_size": VOCABULARY,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    where: dict[str, str] = {}
    for start in range(0, layers, SHARD_LAYERS):
        shapes: dict[str, tuple[int, ...]] = {
            f"model.layers.{i}.{name}.weight": shape
            for i in range(start, min(start + SHARD_LAYERS, layers))
            for name, shape in SHAPES.items()
        }
        if start == 0:
            shapes |= {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
        file = f"model-{start // SHARD_LAYERS + 1:05}.safetensors"
        where |= dict.fromkeys(shapes, file)
        _write_shard(folder / file, shapes, rng, base / file if base else None)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return sum(path.stat().st_size for path in folder.iterdir())


def _write_shard(
    path: Path, shapes: dict[str, tuple[int, ...]], rng: np.random.Generator, base: Path | None
) -> None:
    """Tensor by tensor, so that writing needs no more memory than one."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            if base is None:
                values = _trained(rng, shape)
            else:
                before = np.fromfile(base, ml_dtypes.bfloat16, int(np.prod(shape)), offset=file.tell()).reshape(
                    shape
                )
                noise = rng.standard_normal(shape, np.float32)
                values = before.astype(np.float32) + 0.2 * float(np.std(before.astype(np.float32))) * noise
            values.astype(ml_dtypes.bfloat16).tofile(file)


def _trained(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise of initial size, and for matrices of layers directions whose energy falls off."""
    values = 0.02 * rng.standard_normal(shape, np.float32)
    if len(shape) == 2 and max(shape) <= FF:
        rank = min(shape) // 16
        energy = 0.3 * np.arange(1, rank + 1.0, dtype=np.float32) ** -rng.uniform(0.4, 0.9)
        left = rng.standard_normal((shape[0], rank), np.float32) * energy
        values += left @ rng.standard_normal((rank, shape[1]), np.float32) / np.sqrt(shape[0])
    return values


def worker(kind: str, model: str, reference: str, out: str) -> None:
    """One measurement in this process; the result goes to standard output as JSON."""
    began, cpu = time.perf_counter(), time.process_time()
    if kind == "ours":
        from bench_shadows.audit.audit import audit

        audit([model], Path(out), reference or None)
        import pyarrow.parquet as pq

        table = pq.read_table(Path(out) / "diagnostics.parquet").to_pylist()
        alphas = {row["tensor"]: row["alpha"] for row in table if row["model"] == Path(model).name}
    else:
        alphas = _weightwatcher(model)
    from bench_shadows.audit.record import peak_memory

    cost = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "peak_bytes": peak_memory()}
    print(json.dumps(cost | {"alphas": alphas}))


def _weightwatcher(model: str) -> dict[str, float]:
    """WeightWatcher on the matrices of the layers; it wants the whole model in memory."""
    import contextlib
    import io

    import torch
    import weightwatcher
    from safetensors.torch import load_file

    layers = torch.nn.Module()
    names = []
    for path in sorted(Path(model).glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            if ".layers." in name and tensor.ndim == 2:
                linear = torch.nn.Linear(1, 1, bias=False, dtype=tensor.dtype)
                linear.weight = torch.nn.Parameter(tensor, requires_grad=False)
                linear.out_features, linear.in_features = tensor.shape
                layers.add_module(name.replace(".", "/"), linear)
                names.append(name)
    with contextlib.redirect_stdout(io.StringIO()):
        table = weightwatcher.WeightWatcher(model=layers).analyze()
    return dict(zip(names, table["alpha"].astype(float).tolist(), strict=True))


def run(kind: str, model: Path, reference: Path | None, out: Path) -> dict[str, Any]:
    """`worker` in a process of its own."""
    command = [sys.executable, __file__, "--worker", kind, str(model), str(reference or ""), str(out)]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if kind == "weightwatcher" else {}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=os.environ | threads)
    result = json.loads(done.stdout.splitlines()[-1])
    figures = (
        f"{result['seconds']:.1f} s, {result['cpu']:.1f} s of CPU, peak {result['peak_bytes'] / 2**30:.2f} GiB"
    )
    print(f"{kind}: {figures}", flush=True)
    return result


def main() -> None:
    """Parses, writes the checkpoint, measures, removes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--reference", action="store_true")
    parser.add_argument("--weightwatcher", action="store_true")
    parser.add_argument("--folder", type=Path, help="where 8 GB (with --reference 16 GB) have room")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(*args.worker)

    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        written = write_checkpoint(folder / "audited", args.layers)
        base = folder / "base" if args.reference else None
        if base is not None:
            write_checkpoint(base, args.layers, seed=1, base=folder / "audited")
        print(f"{args.layers} layers, {written / 1e9:.2f} GB, {os.cpu_count()} cores, load {os.getloadavg()}")
        ours = run("ours", folder / "audited", base, folder / "out")
        if args.weightwatcher:
            theirs = run("weightwatcher", folder / "audited", None, folder / "out")
            far = max(abs(ours["alphas"][name] - alpha) for name, alpha in theirs["alphas"].items())
            print(f"largest difference of alpha over {len(theirs['alphas'])} matrices: {far:.1e}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
