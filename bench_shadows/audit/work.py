"""The work of an audit: what is to be computed, what of it an earlier audit has done, and the doing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from bench_shadows import __version__
from bench_shadows.audit.choice import Pair
from bench_shadows.audit.sources import Source
from bench_shadows.diagnostics import analyse
from bench_shadows.diagnostics.spectrum import Precision
from bench_shadows.diagnostics.weights.weights import Stack, Weights
from bench_shadows.files import hash_json
from bench_shadows.json_lines import JsonLines, read_pairs
from bench_shadows.progress import Progress

Row = dict[str, Any]

LARGE = 8192  # columns of a Gram matrix above which it is float32: in float64 three of it would not fit 2 GiB


class Work:
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
            relative = source.role == "update"
            return analyse.diagnose(one, identity, _precision(one.stacks[0]), relative_cut=relative)

        return self._once((source,), rows_of, {"model": source.name}, progress)

    def compare(self, pair: Pair, diagnostics: Mapping[str, list[Row]], progress: Progress) -> list[Row]:
        """Rows of changes.parquet."""
        model, base = pair
        own, known, identity = diagnostics[model.name], diagnostics[base.name], analyse.Identity(model.name)

        def rows_of(one: Weights) -> list[Row]:
            precision = _precision(one.stacks[0])
            return analyse.compare(one, own, base.weights, known, base.name, identity, precision)

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
        schema = analyse.CHANGES_SCHEMA if len(who) == 2 else analyse.DIAGNOSTICS_SCHEMA
        made_from = [__version__, schema.names, jax.default_backend(), *identities]
        name = f"{hash_json(made_from)[:32]}.jsonl"
        self.used.add(name)
        return self._folder / name


def _cost(stack: Stack, change: bool) -> float:
    """GFLOP of a stack: a Gram matrix, and its reduction at a third of the speed; a comparison makes three of
    them, two at half the cost, and passes over both."""
    short, long = sorted(stack.shape)
    spectrum = short**2 * long + 3.6 * short**3
    one = 500 * short * long + 2 * spectrum if change else spectrum
    return len(stack.layers) * one / 1e9


def _precision(stack: Stack) -> Precision:
    return "float32" if min(stack.shape) > LARGE else "auto"
