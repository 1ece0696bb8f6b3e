"""Our training step against the same decoder in PyTorch, on one device, in one run, in alternation.

    python scripts/benchmark_training.py                            configs/laptop.py on this machine's cores
    python scripts/benchmark_training.py --dtype=bfloat16
    python scripts/benchmark_training.py --config=configs/paper.py --rows=32      on one H100 or H200
    python scripts/benchmark_training.py --population=4             K runs side by side against K in a row

PyTorch's side is transformers' LlamaForCausalLM with our initial weights, SDPA, `torch.compile` where there is a
GPU, fused AdamW, clipping and sums over micro-batches as ours: each a process of its own that waits while the
other works. Both read the same tokens; before anything is compared, the losses of the first steps from the same
weights must agree (float32: 1e-4). Each side first tries its settings (micro-batches; threads, or layers scanned
and unrolled, or what is rematerialised), then runs with its fastest in a fresh process. Printed are medians over
rounds of tokens a second of wall time and of CPU time, their ratios, MFU (causal attention counted once,
recomputation not counted) where the device's peak is known, and peak memory: of a CPU process above what its
libraries take, of a GPU as its allocator counts. Writes JSON with --out.

Needs the extra `peers`. On a busy machine wall time says little: the load is printed along, and CPU seconds are
the better witness.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.config import Config, TrainConfig
from bench_shadows.config_file import load
from bench_shadows.progress import say
from bench_shadows.training.logs.throughput import model_flops_utilization

CHECKED_STEPS, RATE = 3, 1e-3
TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}  # of the losses of those steps, in nats
WARM_STEPS, SEARCH_STEPS = 1, 2
ROOT = Path(__file__).resolve().parents[1]
Setting = dict[str, Any]
Build = Callable[[], Any]


def tokens_of(config: Config) -> np.ndarray:
    """One batch of random ids, int32 [batch_size, seq_len]; the cost does not depend on what they are."""
    draw = np.random.default_rng(0)
    return draw.integers(0, config.model.vocab_size, (config.train.batch_size, config.data.seq_len)).astype(
        np.int32
    )


class Ours:
    """Our compiled step in this process. `population` runs side by side where it is more than one."""

    def __init__(self, config: Config, folder: Path, population: int = 1):
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the other side is on the same device
        import jax

        self._config, self._weights, self._population = config, folder / "weights.npz", population
        self._device = jax.devices()[0]

    def prepare(self, setting: Setting) -> list[float]:
        """Compiles; returns the losses of the first steps from the initial weights."""
        import jax

        from bench_shadows.data.rows.loader import Batch
        from bench_shadows.training.devices.feeding import place
        from bench_shadows.training.devices.sharding import accumulation_steps, build_mesh
        from bench_shadows.training.population import compile_population
        from bench_shadows.training.step import compile_step, initial_state

        config = dataclasses.replace(self._config, train=dataclasses.replace(self._config.train, **setting))
        mesh = build_mesh(config, [self._device])
        inputs = place(Batch(tokens_of(config)), accumulation_steps(config.train, mesh), mesh), np.float32(RATE)
        states = [initial_state(config, 0, mesh) for _ in range(self._population)]
        self._save(states[0].params)
        self._block = jax.block_until_ready
        if self._population == 1:
            step, self._states = compile_step(config, mesh), states[0]
            self._step = lambda state: step(state, *inputs)
        else:
            together, self._states = compile_population(config, mesh, self._population), tuple(states)
            of_all = (inputs,) * self._population

            def step_of_all(states: Any) -> Any:
                after, metrics = zip(*together(states, of_all), strict=True)
                return after, metrics[0]

            self._step = step_of_all
        return [float(self._one()) for _ in range(CHECKED_STEPS)]

    def _save(self, params: Any) -> None:
        from bench_shadows.model.huggingface import to_hugging_face

        if not self._weights.exists():
            np.savez(self._weights, **to_hugging_face(params))

    def _one(self) -> Any:
        self._states, metrics = self._step(self._states)
        return metrics["loss"]

    def steps(self, count: int) -> None:
        for _ in range(count):
            self._one()
        self._block(self._states)

    def device(self) -> str:
        return str(self._device.device_kind)

    def peak(self) -> int | None:
        """Bytes of the GPU's allocator; None on a CPU."""
        stats = self._device.memory_stats()
        return stats["peak_bytes_in_use"] if stats else None


class Theirs:
    """LlamaForCausalLM in this process, trained as our step trains."""

    def __init__(self, config: Config, folder: Path):
        import torch

        self._config, self._weights = config, folder / "weights.npz"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._tokens = torch.from_numpy(tokens_of(config).astype(np.int64)).to(self._device)

    def prepare(self, setting: Setting) -> list[float]:
        """Builds the network with our initial weights; returns the losses of the first steps from there."""
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        from bench_shadows.export import llama_config

        train = self._config.train
        fields = llama_config(self._config, end_of_text=0)
        torch.set_num_threads(setting["threads"])
        model = LlamaForCausalLM(LlamaConfig(**fields, attn_implementation="sdpa", use_cache=False))
        weights = {name: torch.from_numpy(array) for name, array in np.load(self._weights).items()}
        missing, unexpected = model.load_state_dict(weights, strict=False)
        assert not unexpected, unexpected
        assert set(missing) <= {"lm_head.weight"}, missing  # tied
        model.to(self._device).train()
        self._parameters = list(model.parameters())
        groups = [
            {"params": [p for p in self._parameters if p.ndim > 1], "weight_decay": train.weight_decay},
            {"params": [p for p in self._parameters if p.ndim == 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, RATE, (train.beta1, train.beta2), train.epsilon, fused=True)
        on_gpu = self._device.type == "cuda"
        self._loss = torch.compile(self._loss_of(model)) if on_gpu else self._loss_of(model)
        self._batches = self._tokens.split(setting["micro_batch_size"])
        return [self._one().item() for _ in range(CHECKED_STEPS)]

    def _loss_of(self, model: Any) -> Callable[[Any], Any]:
        import torch

        half = self._config.train.compute_dtype == "bfloat16"
        count = self._tokens[:, 1:].numel()

        def loss(rows: Any) -> Any:
            """This micro-batch's part of the mean over the batch's tokens."""
            with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
                logits = model(input_ids=rows).logits[:, :-1]
            flat = logits.reshape(-1, logits.shape[-1]).float()
            return torch.nn.functional.cross_entropy(flat, rows[:, 1:].reshape(-1), reduction="sum") / count

        return loss

    def _one(self) -> Any:
        import torch

        total = torch.zeros((), device=self._device)
        for rows in self._batches:
            loss = self._loss(rows)
            loss.backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(self._parameters, self._config.train.clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return total

    def steps(self, count: int) -> None:
        for _ in range(count):
            loss = self._one()
        loss.item()

    def device(self) -> str:
        import torch

        return torch.cuda.get_device_name() if self._device.type == "cuda" else "cpu"

    def peak(self) -> int | None:
        import torch

        return torch.cuda.max_memory_allocated() if self._device.type == "cuda" else None


def serve(connection: Connection, build: Callable[[], Any], cores: Sequence[int]) -> None:
    """A worker: builds a side and calls its methods as it is told, until the connection closes."""
    os.sched_setaffinity(0, cores)  # before the libraries count the cores
    side, before = None, 0
    with contextlib.suppress(EOFError):
        while True:
            name, arguments = connection.recv()
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                if side is None:
                    side = build()
                    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                answer = getattr(side, name)(*arguments)
            except Exception as error:  # such as memory that is not enough: this setting is out
                connection.send((f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", None, 0, 0, 0))
                continue
            seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            connection.send((None, answer, seconds, cpu_seconds, grown))


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a worker said to one call, with what the call took."""

    value: Any
    seconds: float
    cpu_seconds: float
    grown_bytes: int


class FailedError(RuntimeError):
    """A setting that cannot run here."""


class Worker:
    """One side in a process of its own, on the given cores."""

    def __init__(self, build: Callable[[], Any], cores: Sequence[int]):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, build, cores), daemon=True)
        self._process.start()
        theirs.close()

    def __call__(self, name: str, *arguments: Any) -> Answer:
        self._connection.send((name, arguments))
        error, *answer = self._connection.recv()
        if error:
            raise FailedError(error)
        return Answer(*answer)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.join(10)
        self._process.kill()


def settings_of(side: str, train: TrainConfig, on_gpu: bool, cores: int, micro: Sequence[int]) -> list[Setting]:
    """What a side tries. On a CPU PyTorch's threads and our layers scanned or not, on a GPU what ours keep."""
    if side == "pytorch":
        ways: list[Setting] = [{"threads": threads} for threads in ({cores} if on_gpu else {cores, 1})]
    elif on_gpu:
        ways = [{"scan_layers": True, "remat": remat} for remat in ("none", "gate_up", "attention")]
    else:
        ways = [{"scan_layers": scan, "remat": "none"} for scan in (False, True)]
    sizes = [size for size in micro if train.batch_size % size == 0]
    return [{"micro_batch_size": size, **way} for way in ways for size in sizes]


def search(
    name: str, build: Build, cores: Sequence[int], settings: Sequence[Setting]
) -> tuple[Setting, list[float]]:
    """The fastest of a side's settings, and the losses of its first steps."""
    found = []
    with Worker(build, cores) as worker:
        for setting in settings:
            try:
                losses = worker("prepare", setting).value
                worker("steps", WARM_STEPS)
                seconds = min(worker("steps", 1).seconds for _ in range(SEARCH_STEPS))
            except FailedError as reason:
                say(f"{name} {setting}: {reason}")
                continue
            say(f"{name} {setting}: {seconds:.3f} s a step")
            found.append((seconds, setting, losses))
    if not found:
        raise SystemExit(f"{name}: no setting runs here")
    _, setting, losses = min(found, key=lambda one: one[0])
    return setting, losses


def alternate(
    sides: dict[str, tuple[Build, Setting, int]], config: Config, cores: Sequence[int], rounds: int, steps: int
) -> dict[str, Any]:
    """Each side's fresh process in turns, medians over rounds; of (build, setting, runs that one step trains)."""
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(build, cores)) for name, (build, _, _) in sides.items()}
        for name, (_, setting, _) in sides.items():
            workers[name]("prepare", setting)
            workers[name]("steps", WARM_STEPS)
        turns: dict[str, list[Answer]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, worker in workers.items():
                turns[name].append(worker("steps", steps))
        found = {}
        for name, worker in workers.items():
            tokens = steps * config.train.batch_size * config.data.seq_len * sides[name][2]
            rate = statistics.median(tokens / turn.seconds for turn in turns[name])
            peak, device = worker("peak"), worker("device").value
            found[name] = {
                "setting": sides[name][1],
                "tokens_per_second": rate,
                "tokens_per_second_of_rounds": [tokens / turn.seconds for turn in turns[name]],
                "tokens_per_cpu_second": statistics.median(tokens / turn.cpu_seconds for turn in turns[name]),
                "mfu": model_flops_utilization(rate / config.data.seq_len, config, device, 1),
                "peak_bytes": peak.value or peak.grown_bytes,
                "device": device,
            }
    return found


def compare(config: Config, options: argparse.Namespace, cores: Sequence[int], folder: Path) -> dict[str, Any]:
    """Ours against PyTorch, both at their best."""
    builds: dict[str, Build] = {
        "ours": functools.partial(Ours, config, folder),
        "pytorch": functools.partial(Theirs, config, folder),
    }
    chosen: dict[str, Setting] = {}
    losses: dict[str, list[float]] = {}
    for name, build in builds.items():
        settings = settings_of(name, config.train, options.gpu, len(cores), options.micro)
        chosen[name], losses[name] = search(name, build, cores, settings)
    apart = max(abs(one - two) for one, two in zip(losses["ours"], losses["pytorch"], strict=True))
    print(f"losses of the first {CHECKED_STEPS} steps: ours {losses['ours']}, PyTorch {losses['pytorch']}")
    if apart > (limit := TOLERANCE[config.train.compute_dtype]):
        raise SystemExit(f"the two do not compute the same: losses are {apart:.2e} apart, more than {limit:.0e}")
    sides: dict[str, tuple[Build, Setting, int]] = {
        name: (build, chosen[name], 1) for name, build in builds.items()
    }
    return {"losses_apart": apart, "sides": alternate(sides, config, cores, options.rounds, options.steps)}


def compare_population(
    config: Config, options: argparse.Namespace, cores: Sequence[int], folder: Path
) -> dict[str, Any]:
    """Runs side by side against one after the other, tokens of all runs counted."""
    setting = {name: getattr(config.train, name) for name in ("micro_batch_size", "scan_layers", "remat")}
    sides: dict[str, tuple[Build, Setting, int]] = {
        "in a row": (functools.partial(Ours, config, folder), setting, 1),
        "side by side": (functools.partial(Ours, config, folder, options.population), setting, options.population),
    }
    return {
        "population": options.population,
        "sides": alternate(sides, config, cores, options.rounds, options.steps),
    }


def show(result: dict[str, Any]) -> None:
    """The table."""
    print(f"{'':14}{'tokens/s':>10}{'per CPU s':>11}{'MFU':>8}{'peak GiB':>10}  setting")
    for name, side in result["sides"].items():
        mfu = "-" if side["mfu"] is None else f"{side['mfu']:.1%}"
        print(
            f"{name:14}{side['tokens_per_second']:10,.0f}{side['tokens_per_cpu_second']:11,.0f}{mfu:>8}"
            f"{side['peak_bytes'] / 2**30:10.2f}  {side['setting']}"
        )
    one, two = result["sides"]
    if "population" in result:
        one, two = two, one
    for key in ("tokens_per_second", "tokens_per_cpu_second"):
        print(f"{one} / {two}, {key}: {result['sides'][one][key] / result['sides'][two][key]:.2f}")
    print(f"load of the machine over the last minute: {result['load']:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "laptop.py")
    parser.add_argument("--dtype", choices=list(TOLERANCE), default="float32")
    parser.add_argument("--rows", type=int, help="of a step; left out: the config's batch")
    parser.add_argument(
        "--micro", type=lambda text: [int(size) for size in text.split(",")], default=[2, 4, 8, 16, 32]
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4, help="of one turn")
    parser.add_argument("--gpu", action="store_true", help="the settings to try are those of a GPU")
    parser.add_argument("--population", type=int, help="runs side by side against as many in a row")
    parser.add_argument("--out", type=Path, help="a JSON file")
    options = parser.parse_args()
    rows = {} if options.rows is None else {"batch_size": str(options.rows)}
    overrides = {"train.compute_dtype": options.dtype, **{f"train.{name}": value for name, value in rows.items()}}
    config = load(options.config, overrides)
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    with tempfile.TemporaryDirectory() as folder:
        work = compare_population if options.population else compare
        result = work(config, options, cores, Path(folder))
    result |= {
        "config": str(options.config),
        "dtype": options.dtype,
        "cores": len(cores),
        "load": os.getloadavg()[0],
    }
    show(result)
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
