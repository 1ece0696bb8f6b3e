"""Row sets are filled by stretches of the order: no more than needed, the same whoever makes them, none twice."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from data.test_prepare import config_for, write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_shadows.config import Config
from bench_shadows.data.corpus.deduplicate import Duplicates
from bench_shadows.data.corpus.store import Store
from bench_shadows.data.corpus.workers import LOCAL, Work
from bench_shadows.data.prepare import prepare
from bench_shadows.data.prepare_documents import wanted_text
from bench_shadows.data.rows import segments as module
from bench_shadows.data.rows.sampled_corpus import bytes_per_token, draw_corpus, first_half, run_tokenizer
from bench_shadows.data.rows.segments import Filling, boundaries
from bench_shadows.errors import DataError
from bench_shadows.progress import Progress


@settings(max_examples=200)
@given(
    sizes=st.lists(st.integers(1, 10_000), min_size=1, max_size=300),
    start=st.integers(0, 20),
    need=st.floats(1, 1e6),
)
def test_segments_cover_the_order_once_and_are_small(sizes: list[int], start: int, need: float) -> None:
    places = list(boundaries(np.array(sizes), start, need))
    assert [number for place in places for number in range(*place)] == list(range(start, len(sizes)))
    for begin, stop in places:
        assert stop - begin == 1 or sum(sizes[begin : stop - 1]) <= min(module.LARGEST, max(0.9 * need, 1))


def test_after_the_expected_need_segments_are_a_twentieth_of_it() -> None:
    places = list(boundaries(np.full(10_000, 100), 0, 500_000.0))
    assert places[0] == (0, 4500)
    assert all(stop - begin <= 251 for begin, stop in places[1:])
    large = list(boundaries(np.full(10_000, 10**5), 0, 500e6))
    assert {stop - begin for begin, stop in large[:20]} <= set(range(150, 162))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    write_corpus(path)
    return config_for(path, samples=480)


@pytest.fixture
def filling(config: Config, tmp_path: Path) -> Filling:
    wanted = wanted_text(config)
    drawn = draw_corpus(wanted, tmp_path)
    tokenizer = run_tokenizer(wanted, tmp_path / "tokenizer.json", drawn)
    return Filling(wanted, tmp_path, drawn, bytes_per_token(wanted, drawn, tokenizer), LOCAL)


def test_filling_stops_soon_after_both_sets_are_full(filling: Filling) -> None:
    filled = filling.fill("first", 0, 200, rewritten=True)
    assert 200 <= filled.rows("rewritten", 32) <= 1.3 * 200
    assert filled.rows("first", 32) >= 200
    report = filled.rewriting()
    assert report is not None
    assert report["documents"] == filled.segments[-1].stop == sum(report["outcomes"].values())
    second = filling.fill("second", filled.segments[-1].stop, 100)
    places = [(one.start, one.stop) for one in [*filled.segments, *second.segments]]
    assert places[0][0] == 0
    assert all(before[1] == after[0] for before, after in itertools.pairwise(places)), "no document twice"


def test_where_documents_run_out_all_are_taken(filling: Filling) -> None:
    filled = filling.fill("second", 0, 10**6)
    assert filled.segments[-1].stop == len(filling.drawn.training)
    assert filled.rows("second", 32) < 10**6


def test_the_first_half_to_rewrite_has_what_prepare_takes(config: Config, tmp_path: Path) -> None:
    documents = [document.id for document in first_half(wanted_text(config), tmp_path)]
    prepare(config, tmp_path)
    table = pq.read_table(tmp_path / "documents.parquet").to_pydict()
    taken = [name for name, split in zip(table["id"], table["split"], strict=True) if split == "first"]
    assert documents[: len(taken)] == taken
    assert len(taken) <= len(documents) <= 1.5 * len(taken)


class Disorderly:
    """An engine that does every piece twice, the last first, and stops once in between."""

    def __init__(self, failing: int):
        self.left = failing

    def each(self, work: Work, items: Sequence[Any], megabytes: float, progress: Progress) -> None:
        for item in [*items[::-1], *items]:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            work(item, lambda _: None)

    def duplicates(self, store: Store, threshold: float) -> Duplicates:
        return LOCAL.duplicates(store, threshold)


@pytest.mark.parametrize("failing", [1, 5])
def test_who_does_the_work_and_how_often_changes_no_byte(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    monkeypatch.setattr(module, "LARGEST", 20_000.0)

    with pytest.raises(KeyboardInterrupt):
        prepare(config, tmp_path / "fleet", Disorderly(failing))
    assert prepare(config, tmp_path / "fleet", Disorderly(10**6)) == prepare(config, tmp_path / "here")
    assert not (tmp_path / "fleet" / "drawn").exists()


def share_of_sums(config: Config, folder: Path, *weights: str) -> float:
    data = dataclasses.replace(config.data, mixture=weights)
    drawn = draw_corpus(wanted_text(dataclasses.replace(config, data=data)), folder)
    half = drawn.training[: len(drawn.training) // 2]
    return float(half["bytes"][half["domain"] == drawn.domains.index("sums")].sum() / half["bytes"].sum())


def test_weights_of_the_config_change_the_mixture(config: Config, tmp_path: Path) -> None:
    plain, weighted = (share_of_sums(config, tmp_path / f"{weights}", *weights) for weights in ((), ("sums=3",)))
    assert weighted == pytest.approx(3 * plain / (3 * plain + 1 - plain), rel=0.1)
    with pytest.raises(DataError, match=r"no document has the domain sum; there are code, docs, sums"):
        share_of_sums(config, tmp_path / "unknown", "sum=3")
