"""The audit: the diagnostics of released checkpoints, alone or against their base. No training, no accelerator.

Matrices are read stack by stack, and what is known of a stack is kept at once (`JsonLines`), so that memory
does not grow with a model and a killed audit goes on where it was. OUT holds:

    audit.json            the models: what was read, what was left out and why, how they are built
    diagnostics.parquet   a row for each matrix
    changes.parquet       a row for each matrix and reference
    findings.json         what the tables say: depth of modification, inertness, single matrices that stand out
    report                the page
    work/                 the journals
"""

import contextlib
import importlib.metadata
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from bench_shadows import __version__
from bench_shadows.audit.sources import Source, architecture, open_source, with_unique_names
from bench_shadows.diagnostics import analyse, regimes
from bench_shadows.diagnostics.safetensors import some
from bench_shadows.diagnostics.spectrum import Precision
from bench_shadows.diagnostics.weights import Stack, Weights
from bench_shadows.errors import ConfigError
from bench_shadows.files import atomic_path, exclusive, hash_json, remove, write_json
from bench_shadows.json_lines import JsonLines, read_pairs
from bench_shadows.progress import Progress
from bench_shadows.report.audit.scores import read_scores
from bench_shadows.training.compile.compile_cache import use_compile_cache

Row = dict[str, Any]
Pair = tuple[Source, Source]  # a model and its reference

VERSION = 1  # of audit.json
LARGE = 8192  # columns of a Gram matrix above which it is float32: in float64 three of it would not fit 2 GiB
PACKAGES = ("jax", "numpy", "scipy", "ml-dtypes", "pyarrow")
# Parts of a name that tell the wrapping of a model and not the tensor.
_WRAPPING = {"model", "language_model", "transformer", "gpt_neox", "bert", "roberta", "params"}


def audit(
    models: Sequence[str],
    out: Path,
    reference: str | None = None,
    baseline_of: Sequence[tuple[str, str]] = (),
    scores: Path | None = None,
    embeddings: bool = False,
    command: Sequence[str] = (),
    layout: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Audits models and writes OUT with its page; goes on where an earlier audit of the same files stopped.

    Args:
      models: folders, files, Orbax checkpoints or hub names.
      out: a folder for tables, journals and the page.
      reference: a base for all models: each is measured from it.
      baseline_of: (model, its base) for single models, besides: the base may be one of the models.
      scores: a table of benchmark scores (CSV or YAML) for the page.
      embeddings: whether embeddings and output heads are analysed too.
      command: the command line, for the record.
      layout: axes of tensors that cannot be told; see `sources.open_source`.

    Returns:
      The content of audit.json, which names everything by the words of the tables.

    Raises:
      ConfigError: for a combination that cannot be. RunError: for a checkpoint that cannot be read.
    """
    result = measure(models, out, reference, baseline_of, scores, embeddings, command, layout)
    from bench_shadows.report.audit.page import write_audit  # draws: not needed before

    write_audit(out)
    return result


def summary(out: Path) -> list[str]:
    """The page's ten lines as text, under their headings, and where the page is."""
    from bench_shadows.report.audit.inputs import read_audit
    from bench_shadows.report.audit.summary import ten_lines

    lines = [f"{heading}: {line}" for heading, part in ten_lines(read_audit(out)) for line in part]
    return [*lines, f"{out / 'report' / 'index.html'}"]


def measure(
    models: Sequence[str],
    out: Path,
    reference: str | None = None,
    baseline_of: Sequence[tuple[str, str]] = (),
    scores: Path | None = None,
    embeddings: bool = False,
    command: Sequence[str] = (),
    layout: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything of `audit` but the page."""
    began = time.monotonic()
    if scores is not None:
        read_scores(scores)  # what is wrong with it is said before hours of work
    sources, pairs = _open_all(models, reference, baseline_of, embeddings, layout)
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / ".lock", f"an audit in {out}"):
        use_compile_cache()
        work = _Work(out / "work", sources, pairs)
        with Progress("audit", work.total, "GFLOP", done=work.done) as progress:
            diagnostics = {source.name: work.diagnose(source, progress) for source in sources}
            moved = [row for pair in pairs for row in work.compare(pair, diagnostics, progress)]
        rows = [row for part in diagnostics.values() for row in part]
        analyse.write_table(out / "diagnostics.parquet", rows, analyse.DIAGNOSTICS_SCHEMA)
        analyse.write_table(out / "changes.parquet", moved, analyse.CHANGES_SCHEMA)
        write_json(out / "findings.json", regimes.findings(rows, moved))
        _keep_scores(scores, out)
        result = {
            "version": VERSION,
            "command": list(command),
            "models": [_described(source, pairs, diagnostics[source.name]) for source in sources],
            "pairs": [
                {"model": model.name, "reference": base.name} | tensor_differences(model, base)
                for model, base in pairs
            ],
            "seconds": round(time.monotonic() - began, 3),
            "peak_memory_bytes": peak_memory(),
            "versions": {"bench-shadows": __version__, "python": sys.version.split()[0]}
            | {name: importlib.metadata.version(name) for name in PACKAGES},
        }
        write_json(out / "audit.json", result)
        for path in (out / "work").glob("*.jsonl"):
            if path.name not in work.used:  # of other models and other versions
                remove(path)
    return result


def _keep_scores(scores: Path | None, out: Path) -> None:
    """A copy of the scores, where the page looks for them, in the place of an earlier audit's."""
    text = None if scores is None else scores.read_bytes()
    for old in out.glob("scores.*"):
        old.unlink()
    if scores is not None and text is not None:
        with atomic_path(out / f"scores{scores.suffix.lower()}") as temporary:
            temporary.write_bytes(text)


def peak_memory() -> int:
    """Most bytes that this process had in memory at once, mapped files included.

    From Linux's VmHWM where there is one: getrusage counts what the parent had before it started this process.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# Which models, and which pairs of them ------------------------------------------------------------------------


def _open_all(
    models: Sequence[str],
    reference: str | None,
    baseline_of: Sequence[tuple[str, str]],
    embeddings: bool,
    layout: Mapping[str, str] | None,
) -> tuple[list[Source], list[Pair]]:
    """Every model and reference once, in the order given, and the pairs that are measured."""
    given = list(dict.fromkeys(models))
    if not given:
        raise ConfigError("audit: name a model: a folder, a file, an Orbax checkpoint or a name on the hub")
    wanted = [(model, reference) for model in given if reference is not None and model != reference]
    for model, base in baseline_of:
        if model not in given:
            raise ConfigError(
                f"--baseline-of {model}={base}: {model} is not one of the models: {', '.join(given)}"
            )
        wanted.append((model, base))
    opened: dict[Path, Source] = {}
    places: dict[str, Path] = {}
    for name in dict.fromkeys([*given, *(base for _, base in wanted)]):
        source = open_source(name, embeddings, layout)
        places[name] = source.path.resolve()
        opened.setdefault(places[name], source)
    sources = dict(zip(opened, with_unique_names(list(opened.values())), strict=True))
    pairs = [(sources[places[model]], sources[places[base]]) for model, base in dict.fromkeys(wanted)]
    for one, two in pairs:
        if one is two:
            raise ConfigError(f"{one.given}: a checkpoint cannot be its own reference")
    return list(sources.values()), pairs


# The work ----------------------------------------------------------------------------------------------------


class _Work:
    """What is to be computed, what of it an earlier audit has done, and the doing; costs are in GFLOP."""

    def __init__(self, folder: Path, sources: Sequence[Source], pairs: Sequence[Pair]):
        self._folder = folder
        self._identities = {source.name: source.identity for source in sources}
        self.used: set[str] = set()
        """Names of the journals of this audit."""
        self.total = self.done = 0.0
        for who in [*((source,) for source in sources), *pairs]:
            costs = [_cost(stack, len(who) == 2) for stack in who[0].weights.stacks]
            self.total += sum(costs)
            self.done += sum(costs[i] for i in read_pairs(self._journal(who)))

    def diagnose(self, source: Source, progress: Progress) -> list[Row]:
        """Rows of diagnostics.parquet."""
        identity = analyse.Identity(source.name)

        def rows_of(one: Weights) -> list[Row]:
            return analyse.diagnose(one, identity, _precision(one.stacks[0]))

        return self._once((source,), rows_of, {"model": source.name}, progress)

    def compare(self, pair: Pair, diagnostics: Mapping[str, list[Row]], progress: Progress) -> list[Row]:
        """Rows of changes.parquet."""
        model, base = pair
        own, known, identity = diagnostics[model.name], diagnostics[base.name], analyse.Identity(model.name)

        def rows_of(one: Weights) -> list[Row]:
            return analyse.compare(one, own, base.weights, known, base.name, identity)

        return self._once(pair, rows_of, {"model": model.name, "reference": base.name}, progress)

    def _once(
        self, who: tuple[Source, ...], rows_of: Callable[[Weights], list[Row]], names: Row, progress: Progress
    ) -> list[Row]:
        """The rows of every stack, those kept in the journal or computed and kept, under the names of now."""
        rows, weights = [], who[0].weights
        note = " against ".join(source.name for source in who)
        kept = read_pairs(self._journal(who))
        with JsonLines(self._journal(who)) as journal:
            for i, stack in enumerate(weights.stacks):
                if i not in kept:
                    kept[i] = rows_of(replace(weights, stacks=(stack,)))
                    journal.append([i, kept[i]])
                    journal.sync()
                    progress.add(_cost(stack, len(who) == 2), f"{note}: {stack.component} {stack.module}")
                rows += [row | names for row in kept[i]]
        return rows

    def _journal(self, who: tuple[Source, ...]) -> Path:
        """The file of what is done; its name holds the hash of what its rows are made from."""
        identities = [self._identities[source.name] for source in who]
        name = f"{hash_json([__version__, jax.default_backend(), *identities])[:32]}.jsonl"
        self.used.add(name)
        return self._folder / name


def _cost(stack: Stack, change: bool) -> float:
    """GFLOP of a stack: a Gram matrix, and its reduction at a third of the speed; or passes of a comparison."""
    short, long = sorted(stack.shape)
    one = 500 * short * long if change else short**2 * long + 3.6 * short**3
    return len(stack.layers) * one / 1e9


def _precision(stack: Stack) -> Precision:
    return "float32" if min(stack.shape) > LARGE else "auto"


# audit.json --------------------------------------------------------------------------------------------------


def _described(source: Source, pairs: Sequence[Pair], rows: Sequence[Row]) -> dict[str, Any]:
    weights = source.weights
    status = Counter(row["status"] for row in rows)
    notices = list(weights.notices)
    if broken := [row["tensor"] for row in rows if row["status"] == "not finite"]:
        notices.append(f"{len(broken)} matrices hold NaN or infinite values and have no spectrum: {some(broken)}")
    return {
        "name": source.name,
        "path": str(source.path),
        "format": source.format,
        "family": weights.family,
        "component_counts": dict(Counter(row["component"] for row in rows)),
        "config": architecture(weights.config),
        "tensors": len(weights.tensors),
        "matrices": len(rows),
        "bytes": source.bytes,
        "status_counts": dict(status),
        "skipped": [
            {"tensor": name, "reason": reason, "shape": list(leaf.shape), "dtype": str(leaf.dtype)}
            for name, reason in weights.skipped.items()
            for leaf in (weights.tensors[name],)
        ],
        "skipped_counts": dict(Counter(weights.skipped.values())),
        "notices": notices,
        "reference": next((base.name for model, base in pairs if model is source), None),
    }


def tensor_differences(model: Source, base: Source) -> dict[str, list[dict[str, Any]]]:
    """Tensors that a model lacks, that only it has, and that have another shape in its reference."""
    own, known = _shapes(model.weights), _shapes(base.weights)
    reshaped = [key for key in own if key in known and own[key][1] != known[key][1]]
    return {
        "missing": _listed(base.weights, [known[key][0] for key in known if key not in own]),
        "extra": _listed(model.weights, [own[key][0] for key in own if key not in known]),
        "reshaped": [
            entry | {"reference_shape": list(base.weights.tensors[known[key][0]].shape)}
            for key in reshaped
            for entry in _listed(model.weights, [own[key][0]])
        ],
    }


def _listed(weights: Weights, tensors: Sequence[str]) -> list[dict[str, Any]]:
    return [{"tensor": name, "shape": list(weights.tensors[name].shape)} for name in dict.fromkeys(tensors)]


def _shapes(weights: Weights) -> dict[Any, tuple[str, tuple[int, ...]]]:
    """Tensor and shape of everything, by what is the same in a model and in its base of another wrapping."""
    found: dict[Any, tuple[str, tuple[int, ...]]] = {}
    for stack in weights.stacks:
        shape = stack.shape[::-1] if stack.inputs_first else stack.shape
        for layer, tensor in zip(stack.layers, stack.tensors, strict=True):
            found[stack.component, stack.module, layer] = tensor, shape
    for name in weights.skipped:
        key = ".".join(part for part in name.split(".") if part not in _WRAPPING)
        found[key] = name, tuple(weights.tensors[name].shape)
    return found
