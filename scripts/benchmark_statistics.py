"""How long the statistics of a prepared run take, in CPU seconds and on the clock.

    python scripts/benchmark_statistics.py RUN

RUN is a folder that `bench-shadows prepare` has finished; nothing in it is changed.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench_shadows.config_file import from_dict
from bench_shadows.data.rows.plans import load_plan, plan_path
from bench_shadows.data.rows.row_store import RowStore
from bench_shadows.data.rows.tokenizer import load_tokenizer
from bench_shadows.data.statistics.statistics import condition_statistics
from bench_shadows.data.statistics.text_statistics import document_statistics
from bench_shadows.files import read_json


def main() -> None:
    """Prints one line for tokens and one for words."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    data, config = run / "data", from_dict(read_json(run / "config.json"))
    names = dict.fromkeys(("A", *config.conditions.names))
    plans = {f"{n}-seed{s}": load_plan(plan_path(data, n, s)) for s in config.conditions.seeds for n in names}
    store, counts = RowStore.open(data / "rows"), np.load(data / "token_counts.npy")
    tokenizer = load_tokenizer(data / "tokenizer.json", config.model.vocab_size)
    phase = config.phase_steps * config.train.batch_size
    _timed(
        f"tokens, {len(plans)} plans", lambda: condition_statistics(store, plans, phase, counts, tokenizer.decode)
    )
    _timed("words", lambda: document_statistics(data / "documents.parquet"))


def _timed(name: str, work: Callable[[], object]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    print(f"{name}: {time.process_time() - cpu:.1f} s CPU, {time.perf_counter() - wall:.1f} s on the clock")


if __name__ == "__main__":
    main()
