"""lm-evaluation-harness on our checkpoints (extra `harness`): any of its tasks by name, and local ones offline.

A local task is a YAML file in lm-eval's format whose data is a file: `dataset_path: json` and
`dataset_kwargs: {data_files: {test: /path/to/questions.jsonl}}`. As everywhere in lm-eval, a task's YAML may name
Python functions, which are run: use tasks that you trust.
"""

import difflib
import json
import logging
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench_shadows.config import Config
from bench_shadows.data.rows.tokenizer import Tokenizer
from bench_shadows.diagnostics.analyse import write_table
from bench_shadows.errors import ConfigError, RunError
from bench_shadows.evaluation.table import SCHEMA, Row, row
from bench_shadows.files import remove, write_json
from bench_shadows.training.checkpoints.saved import find
from bench_shadows.training.compile.compile_cache import use_compile_cache

SUITE = "harness"
KEPT = ("results", "groups", "group_subtasks", "versions", "n-shot", "n-samples", "higher_is_better", "configs")
"""Of what lm-eval returns, under its own names."""


def run_harness(
    checkpoint: Path,
    tasks: Sequence[str],
    include: Sequence[Path] = (),
    limit: int | None = None,
    num_fewshot: int | None = None,
    out: Path | None = None,
) -> Path:
    """Evaluates one checkpoint of a study and returns the folder with results.json and evaluation.parquet.

    What was answered before a kill is not asked again.

    Args:
      checkpoint: RUN/runs/A-seed0 (its last step) or RUN/runs/A-seed0/checkpoints/180.
      tasks: names of lm-eval's tasks, groups and tags, or of those in `include`; a path (with a /) stands for all
        tasks of a folder.
      include: folders of YAML tasks.
      limit: documents of each task, the first ones; None: all.
      num_fewshot: examples before each question; None: as the task says.
      out: a folder; by default STUDY/harness/RUN-STEP-TASKS.
    Raises:
      ConfigError: the extra is missing, or no such task.
      RunError: no such checkpoint, or a task whose data cannot be had.
    """
    saved = find(checkpoint)
    if out is None:
        name = re.sub(r"[^\w.,-]", "_", f"{saved.run}-{saved.step}-{','.join(tasks)}")
        out = saved.study / "harness" / name[:120]
    if (out / "results.json").exists():
        raise RunError(f"{out}/results.json is there already; name another folder with --out")
    digest = saved.digest()
    journal = out / f"answers-{digest[:16]}.jsonl"
    use_compile_cache()
    found = evaluate(saved.params(), saved.config, saved.tokenizer(), tasks, include, limit, num_fewshot, journal)
    asked = {"tasks": list(tasks), "limit": limit, "num_fewshot": num_fewshot}
    write_json(out / "results.json", {"checkpoint": str(checkpoint), "digest": digest} | asked | found)
    condition, _, seed = saved.run.partition("-seed")
    identity = {"model": saved.run, "condition": condition, "seed": int(seed), "step": saved.step}
    write_table(out / "evaluation.parquet", [identity | entry for entry in table_rows(found)], SCHEMA)
    remove(journal)
    return out


def evaluate(
    params: Mapping[str, Any],
    config: Config,
    tokenizer: Tokenizer,
    tasks: Sequence[str],
    include: Sequence[Path] = (),
    limit: int | None = None,
    num_fewshot: int | None = None,
    journal: Path | None = None,
) -> dict[str, Any]:
    """lm-eval's results (`KEPT`) of some weights, as JSON values; what is not finite is null.

    `tasks` and what follows are as in `run_harness`; `journal` keeps answers. Raises what it raises.
    """
    try:
        import lm_eval
        from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
        from lm_eval.utils import handle_non_serializable

        from bench_shadows.evaluation.harness_model import Checkpoint
    except ImportError as error:
        raise ConfigError(
            f"lm-evaluation-harness is not installed ({error}): it is the extra `harness` "
            '(uv run --extra harness ..., or pip install "bench-shadows[harness]")'
        ) from error
    logging.getLogger("lm_eval.api.task").setLevel(
        logging.ERROR
    )  # it warns of every default that a task leaves open
    random.seed(DEFAULT_RANDOM_SEED)  # some tasks draw when they are loaded
    np.random.seed(DEFAULT_OTHER_SEED)
    loaded = _load(tasks, include)
    for name, task in loaded["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False):
            raise RunError(f"task {name} runs code that the model writes; that is not done here. Leave it out")
        own = task.get_config("num_fewshot")
        if own is None or (num_fewshot is not None and own != 0):  # a task's 0 is meant so
            task.set_config("num_fewshot", num_fewshot or 0)
        task.set_fewshot_seed(DEFAULT_OTHER_SEED)
    model = Checkpoint(params, config, tokenizer, journal)
    found = lm_eval.evaluate(model, loaded, limit=limit, log_samples=False)
    kept = {name: found[name] for name in KEPT if name in found}
    plain = json.loads(json.dumps(kept, default=handle_non_serializable), parse_constant=lambda _: None)
    return {"lm_eval": lm_eval.__version__} | plain


def task_rows(
    params: Mapping[str, Any], config: Config, tokenizer: Tokenizer, tasks: Sequence[str]
) -> Iterator[Row]:
    """Rows of one checkpoint, none of no tasks. Raises as `run_harness`."""
    if tasks:
        yield from table_rows(evaluate(params, config, tokenizer, tasks))


def table_rows(found: Mapping[str, Any]) -> Iterator[Row]:
    """Rows (suite, task, metric, value, count) of results; `count` is documents.

    A metric behind another filter than lm-eval's default is called `exact_match,strict-match`. Standard errors
    stay in results.json.
    """
    for task, values in found["results"].items():
        children = found.get("group_subtasks", {}).get(task, [])
        sizes = [
            found["n-samples"][name]["effective"] for name in children or [task] if name in found["n-samples"]
        ]
        for name, value in values.items():
            metric, comma, rule = name.partition(",")
            if comma and not metric.endswith("_stderr") and isinstance(value, int | float):
                yield row(SUITE, task, metric if rule == "none" else name, value, sum(sizes))


def summary(out: Path) -> list[str]:
    """One line for each score of `run_harness`'s folder."""
    entries = pq.read_table(out / "evaluation.parquet").to_pylist()
    return [
        f"{entry['task']:<32} {entry['metric']:<24} {_shown(entry['value']):>10}  {entry['count']:,} documents"
        for entry in entries
    ]


def _shown(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"


def _load(tasks: Sequence[str], include: Sequence[Path]) -> Any:
    """lm-eval's tasks by their names; those of `include` first, since looking through its own takes seconds."""
    from lm_eval.tasks import TaskManager

    folders = [Path(name) for name in tasks if "/" in name]
    for folder in (*include, *folders):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder of YAML tasks")
    own = [str(folder.absolute()) for folder in (*include, *folders)]
    names = [name for name in tasks if "/" not in name]
    names += TaskManager(include_path=own[len(include) :], include_defaults=False).all_subtasks
    manager = TaskManager(include_path=own, include_defaults=False)
    if not set(names) <= set(manager.all_tasks):
        manager = TaskManager(include_path=own)
    for name in names:
        if name not in manager.all_tasks:
            close = difflib.get_close_matches(name, manager.all_tasks, n=1)
            raise ConfigError(
                f"--tasks={name}: lm-eval has no such task, group or tag"
                + (f'; did you mean "{close[0]}"?' if close else "")
            )
    loaded: dict[str, Any] = {"tasks": {}, "groups": {}, "group_map": {}}
    for name in names:
        try:
            for part, entries in manager.load(name).items():
                loaded[part] |= entries
        except Exception as error:  # of lm-eval, datasets, the hub's client, or a task's own code
            reason = " ".join(str(error).split())[:300]
            raise RunError(
                f"task {name}: its data could not be had ({type(error).__name__}: {reason}). lm-eval's own tasks "
                "are fetched from the Hugging Face hub, which needs the network or a filled cache; a task of your "
                "own is a YAML file with `dataset_path: json` and your file, in a folder named by --include"
            ) from error
    return loaded
