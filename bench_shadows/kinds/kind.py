"""What a study asks of its kind: the one protocol between the stages and what differs between studies.

A kind is chosen once, by the conditions that a config names (`config.kind`). A new one is a new folder beside
`documents/` and `prompts/`. Its methods import what they need when they are called, so that asking a kind for its
conditions costs nothing; most are only the door to a room of some floor.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from bench_shadows.errors import ConfigError

if TYPE_CHECKING:
    import jax
    import numpy as np

    from bench_shadows.config import Config
    from bench_shadows.data.corpus.sources.part import Part
    from bench_shadows.data.corpus.workers import Engine
    from bench_shadows.report.claims.verdict import Evidence
    from bench_shadows.report.common.run import Run
    from bench_shadows.report.sweep.measures import Measure


class Suites(Protocol):
    """All that a checkpoint is asked."""

    def rows(self, params: Mapping[str, Any], last: bool) -> Iterator[dict[str, Any]]:
        """Rows of evaluation.parquet for one checkpoint's weights; `last`: it is the last one of its run."""
        ...


class Images(Protocol):
    """The images of the rows that training reads."""

    def read(self, rows: "np.ndarray") -> "np.ndarray":
        """uint8 [len(rows), S, S, 3] of global row ids; zeros for a row without an image."""
        ...


def door(place: str) -> Any:
    """A method that calls a function, or returns a constant, at a place such as `model.loss.answer_weights`."""
    module, _, name = place.rpartition(".")

    def method(self: "Kind", *arguments: Any) -> Any:
        found = getattr(importlib.import_module(f"bench_shadows.{module}"), name)
        return found(*arguments) if callable(found) else found

    return method


class Kind(Protocol):
    """One kind of study; what is written out here is so unless a kind has its own."""

    name: ClassVar[str]
    conditions: ClassVar[tuple[str, ...]]
    """Those that there are; the first is the reference, from which the others are measured."""
    unread: ClassVar[tuple[str, ...]]
    """Config fields, or groups of them, that this kind does not read, by their dotted names."""
    follows_from_rows: ClassVar[tuple[str, ...]]
    """What of RUN/data is the same for studies with the same rows, whatever their plans."""

    # ---- what can be

    def problems(self, config: "Config") -> Iterator[str]:
        """One line for each value that this kind of study cannot honour."""
        ...

    def may_add(self, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
        """Whether a prepared study of some conditions may get more of them."""
        return True

    def phase_shift(self, config: "Config") -> int | None:
        """The step after which all conditions read the same; None if they never do."""
        return None

    # ---- data

    def sources(self, config: "Config") -> list["Part"]:
        """What the documents or samples are read from."""
        ...

    def reads(self, config: "Config") -> Iterator[Path]:
        """Files and folders of this machine that are read, and so must not be in RUN/data."""
        ...

    def prepare(self, config: "Config", folder: Path, engine: "Engine") -> dict[str, str]:
        """Makes what is missing in RUN/data, whose inputs are checked; returns the SHA-256 of every output."""
        ...

    def rewrite(self, config: "Config", folder: Path, index: int, count: int) -> None:
        """One client's part of the rewriting by an endpoint. Raises ConfigError if nothing is rewritten."""
        raise ConfigError(f"rewrite: {', '.join(config.conditions.names)} have nothing to rewrite, D has")

    @property
    def row_sets(self) -> tuple[str, ...]:
        """The row sets that training reads, in the order of global row ids."""
        ...

    def rows_of(self, condition: str) -> tuple[str, ...]:
        """The row sets that the plans of one condition name."""
        ...

    def images(self, config: "Config", data: Path) -> Images | None:
        """The images of the rows that training reads, from RUN/data; None without images."""
        return None

    def data_budget(self, config: "Config") -> dict[str, Any]:
        """Rows, bytes and the teacher's work, from the config alone."""
        ...

    # ---- training and evaluation

    def loss_weights(self, tokens_BxT: "jax.Array") -> "jax.Array":
        """Weights [B, T] float32 of the loss on each next token."""
        ...

    def batch_statistics(self, rows_BxT: "np.ndarray", vocab_size: int) -> dict[str, float]:
        """What a line of metrics.jsonl says about a batch's tokens."""
        from bench_shadows.data.statistics.statistics import batch_statistics

        return batch_statistics(rows_BxT, vocab_size)

    def suites(self, config: "Config", folder: Path) -> Suites:
        """The evaluations of a run folder."""
        ...

    def evaluation_inputs(self, config: "Config", data: Path) -> list[Any]:
        """What the scores of a checkpoint depend on besides its weights."""
        ...

    # ---- what a person sees

    def write_report(self, folder: Path) -> Path:
        """Writes RUN/report and RUN/claims.json from the run's files alone; returns the page."""
        ...

    def write_data_report(self, folder: Path) -> Path:
        """Writes RUN/report-data from what `prepare` left; returns the page."""
        ...

    def claims(self) -> "Sequence[Callable[[Run], Evidence]]":
        """The claims that its runs are judged by."""
        ...

    def measures(self) -> "Sequence[Measure]":
        """What a sweep compares its studies by; `templates/sweep_NAME.html.jinja` has the words."""
        ...

    def size_notice(self, run: "Run") -> str | None:
        """That a run is small against the paper's; None if it is not."""
        ...

    def chat_template(self) -> str | None:
        """The Jinja template that an exported model's tokenizer gets; None if it does not chat."""
        return None
