"""Benchmark scores that somebody brings along, to stand beside the structure of the same models: CSV or YAML.

One record is `benchmark, group, model, score`, and where the scale is not 0 to 100 `maximum`; `note` is free text.
CSV has these columns in its first line, YAML is a list of mappings with these keys. An empty score is a score that
is missing. Groups are free; the spread is taken between `perception` and `reasoning`.

`data/paper_table_2.csv` is the paper's Table 2 (arXiv:2604.07363) in this form. The paper draws no line between
groups: those are our choice, from what its section 5.3 calls perception- and document-oriented on one side and
reasoning-heavy on the other. `maximum` of OCRBench (1,000) and MME (2,800) is that of the benchmark.
"""

import csv
import dataclasses
import difflib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_shadows.errors import DataError
from bench_shadows.paper import CITATION

PERCEPTION, REASONING = "perception", "reasoning"
NEEDED = ("benchmark", "group", "model", "score")
OPTIONAL = ("maximum", "note")
PAPER_TABLE_2 = Path(__file__).parents[1] / "data" / "paper_table_2.csv"
PAPER_CITATION = f"{CITATION}, Table 2; the groups are ours"


@dataclasses.dataclass(frozen=True)
class Score:
    """What one model reached in one benchmark; `score` is None where it is missing."""

    benchmark: str
    group: str
    model: str
    score: float | None
    maximum: float = 100.0
    note: str = ""

    @property
    def percent(self) -> float | None:
        """The score in percent of the benchmark's maximum."""
        return None if self.score is None else 100 * self.score / self.maximum


def read_scores(path: Path | str) -> list[Score]:
    """The scores of a .csv, .yaml or .yml file, in its order.

    Raises DataError naming file and line: unknown or missing columns, a score that is no number or lies outside of
    [0, maximum], a benchmark with two groups or two maxima, two scores of one model in one benchmark.
    """
    path = Path(path)
    readers = {".csv": _read_csv, ".yaml": _read_yaml, ".yml": _read_yaml}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: scores are read from .csv, .yaml or .yml; got {path.suffix or 'no suffix'}")
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table of scores with {', '.join(NEEDED)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    records = [(line, _score(path, line, fields)) for line, fields in readers[path.suffix.lower()](path, text)]
    if not records:
        raise DataError(f"{path}: no scores in it; expected {', '.join(NEEDED)} for each")
    _agree(path, records)
    return [score for _, score in records]


def _read_csv(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, fields) of every record."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    _check_names(path, 1, reader.fieldnames or [])
    try:
        for fields in reader:
            if None in fields:
                raise DataError(f"{path}, line {reader.line_num}: more cells than the first line has columns")
            yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _read_yaml(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, fields) of every item of a list of mappings; values stay as they are written."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if root is None:
        return
    if not isinstance(root, yaml.SequenceNode):
        raise DataError(f"{path}, line {root.start_mark.line + 1}: expected a list of mappings: - benchmark: ...")
    for item in root.value:
        line = item.start_mark.line + 1
        plain = isinstance(item, yaml.MappingNode) and all(
            isinstance(node, yaml.ScalarNode) for pair in item.value for node in pair
        )
        if not plain:
            raise DataError(f"{path}, line {line}: expected a mapping of {', '.join(NEEDED)} to plain values")
        fields = {key.value: "" if value.tag.endswith(":null") else value.value for key, value in item.value}
        _check_names(path, line, list(fields))
        yield line, fields


def _check_names(path: Path, line: int, names: Sequence[str]) -> None:
    for name in names:
        if name not in (*NEEDED, *OPTIONAL):
            near = difflib.get_close_matches(name, (*NEEDED, *OPTIONAL), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise DataError(
                f"{path}, line {line}: unknown column {name!r}{hint} Known: {', '.join(NEEDED + OPTIONAL)}"
            )
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise DataError(f"{path}, line {line}: lacks {', '.join(missing)}")


def _score(path: Path, line: int, fields: Mapping[str, Any]) -> Score:
    where = f"{path}, line {line}"
    text = {name: (fields.get(name) or "").strip() for name in (*NEEDED, *OPTIONAL)}
    for name in ("benchmark", "group", "model"):
        if not text[name]:
            raise DataError(f"{where}: {name} is empty")
    maximum = _number(where, "maximum", text["maximum"]) if text["maximum"] else 100.0
    if maximum <= 0:
        raise DataError(f"{where}: maximum must be above 0, got {maximum:g}")
    score = None if text["score"] in ("", "-", "–", "—") else _number(where, "score", text["score"])
    if score is not None and not 0 <= score <= maximum:
        raise DataError(f"{where}: score {score:g} lies outside of [0, {maximum:g}]; give its scale in `maximum`")
    return Score(text["benchmark"], text["group"], text["model"], score, maximum, text["note"])


def _number(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {name} must be a number, got {text!r}")
    return value


def _agree(path: Path, records: Sequence[tuple[int, Score]]) -> None:
    """One group and one maximum for a benchmark, one score for a model in it."""
    first: dict[str, tuple[int, Score]] = {}
    seen: dict[tuple[str, str], int] = {}
    for line, score in records:
        earlier, other = first.setdefault(score.benchmark, (line, score))
        for name in ("group", "maximum"):
            one, two = getattr(score, name), getattr(other, name)
            if one != two:
                raise DataError(
                    f"{path}, line {line}: {score.benchmark} has {name} {one!r} here and {two!r} in line {earlier}"
                )
        before = seen.get((score.benchmark, score.model))
        if before is not None:
            raise DataError(
                f"{path}, line {line}: {score.model} has a score in {score.benchmark} already, in line {before}"
            )
        seen[score.benchmark, score.model] = line
