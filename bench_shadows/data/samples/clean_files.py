"""`bench-shadows dedupe-prompts`: files of samples, written again without repeated prompts.

    OUT/<the files' names>   JSON lines (.gz, .zst), JSON lists and Parquet, in the formats and the order they had
    OUT/duplicates.json      what was repeated, by field and by fragment, with examples; what was left out and why

Only text changes: a line whose sample repeats nothing is copied as it is, and so are columns of a Parquet file;
images stay where they are. Files are read in pieces by as many processes as there are cores; a piece that is whole
on disk is not read again, so a killed call goes on. Nothing is ever written over the input.
"""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows import __version__
from bench_shadows.data.corpus.counts import Counts
from bench_shadows.data.corpus.sources import json_lists, jsonl, parquet, storage
from bench_shadows.data.corpus.sources.part import BadRecordError, Part
from bench_shadows.data.corpus.workers import LOCAL
from bench_shadows.data.samples import sample_files
from bench_shadows.data.samples.repetition import Rules, deduplicate
from bench_shadows.data.samples.repetition_report import Account
from bench_shadows.errors import DataError, RunError
from bench_shadows.files import atomic_path, hash_json, make_folder, read_json, remove, write_json
from bench_shadows.progress import Progress

REPORT = "duplicates.json"
PIECES, SMALLEST, LARGEST = 8, 2**24, 2**27
"""A file is cut into so many pieces, of so many bytes at least and at most: a gigabyte keeps eight processes busy,
which hold less than a gigabyte together."""
_WORK = ".work"


@dataclasses.dataclass(frozen=True)
class _Piece:
    """What one process reads: a file, or some samples of a large one."""

    part: Part
    out: Path
    """Of what is written; what was counted lies beside it, with .json added to the name."""
    rules: Rules
    limit: int

    @property
    def counted(self) -> Path:
        return self.out.with_name(self.out.name + ".json")


def dedupe_prompts(sources: Sequence[str], out: Path, rules: Rules, bad_records_limit: int) -> dict[str, Any]:
    """Writes OUT, or goes on with it, and returns what duplicates.json holds.

    Args:
      sources: files, folders and globs. A folder's other files, such as images, are counted and stay where they
        are.
      bad_records_limit: records that are no samples and are left out; one more stops.

    Raises DataError for sources without samples and for too many bad records, RunError where OUT lies among the
    sources or holds something else.
    """
    parts, ignored = _parts(sources)
    for name, part in parts.items():
        if (out / name).resolve() == Path(part.paths[0]).resolve():
            raise RunError(f"--out={out}: {part.name} lies there; nothing is written over the input")
    made_from = {
        "version": __version__,
        "rules": dataclasses.asdict(rules),
        "bad_records_limit": bad_records_limit,
        "files": {name: [part.name, *part.identity().values()] for name, part in parts.items()},
    }
    digest = hash_json(made_from)
    if (out / REPORT).exists() and (done := read_json(out / REPORT))["digest"] == digest:
        remove(out / _WORK)  # left by a call that was killed at its end
        return dict(done)
    work = out / _WORK / digest[:16]
    make_folder(out)
    if any(out.iterdir()) and not work.exists():
        raise RunError(
            f"--out={out}: it holds something else, or what was made with other options or from other files; "
            "name a new folder"
        )
    work.mkdir(parents=True, exist_ok=True)
    pieces = {name: list(_pieces(part, work / name, rules, bad_records_limit)) for name, part in parts.items()}
    every = [piece for some in pieces.values() for piece in some]
    _clean_all(every)
    report = {"digest": digest, "made_from": made_from, **_report(every, bad_records_limit, ignored)}
    for name, some in pieces.items():
        if not (out / name).exists():
            put_together = {"json": _join_lines, "list": _join_lists, "parquet": _join_parquet}
            with atomic_path(out / name) as temporary:
                put_together[some[0].part.format](some, temporary)
    write_json(out / REPORT, report)
    remove(out / _WORK)
    return dict(read_json(out / REPORT))


# ---- files and pieces


def _parts(sources: Sequence[str]) -> tuple[dict[str, Part], dict[str, int]]:
    """The files of samples by their names under OUT, and how many others there are, by ending."""
    parts: dict[str, Part] = {}
    others: list[storage.File] = []
    for source in sources:
        with _option_named():
            found, folder = storage.find(source)
        for file in found:
            name = "/".join(file.below) if folder else file.below[-1]
            if (part := sample_files.whole(file)) is None:
                others.append(file)
            elif name in parts:
                raise DataError(
                    f"dedupe-prompts: {parts[name].name} and {file.name} would both be written to {name}"
                )
            else:
                parts[name] = part
    ignored = storage.endings(others)
    if not parts:
        raise DataError(
            f"dedupe-prompts: no samples in {', '.join(sources)} ({storage.counted(ignored)}); "
            f"expected {sample_files.EXPECTED}"
        )
    return parts, dict(ignored)


def piece_bytes(size: int) -> int:
    """Bytes that one process reads of a file; the same on any machine, so that any can go on."""
    return min(LARGEST, max(SMALLEST, -(-size // PIECES)))


def _pieces(part: Part, out: Path, rules: Rules, limit: int) -> Iterator[_Piece]:
    for number, some in enumerate(sample_files.pieces(part, piece_bytes(part.identity()["bytes"]))):
        yield _Piece(some, out.with_name(f"{out.name}.{number:06d}"), rules, limit)


def _clean_all(pieces: Sequence[_Piece]) -> None:
    sizes = {piece.out: piece.part.identity()["bytes"] / 1e6 for piece in pieces}
    missing = [piece for piece in pieces if not piece.counted.exists()]
    left = sum(sizes[piece.out] for piece in missing)
    with Progress("dedupe-prompts", sum(sizes.values()), "MB", done=sum(sizes.values()) - left) as progress:
        LOCAL.each(clean_piece, missing, left, progress)


def _join_lines(pieces: Sequence[_Piece], path: Path) -> None:
    with open(path, "wb") as file:
        for piece in pieces:
            with open(piece.out, "rb") as content:
                shutil.copyfileobj(content, file, 2**22)


def _join_lists(pieces: Sequence[_Piece], path: Path) -> None:
    """Elements, as `_clean_list` leaves them, as one JSON list."""
    compression = storage.compression(pieces[0].part.name)
    with pa.output_stream(str(path), compression=compression, buffer_size=2**20) as file:
        joint = b"[\n"
        for piece in pieces:
            with open(piece.out, "rb") as content:
                while chunk := content.read(2**22):
                    file.write(joint + chunk)
                    joint = b""
            joint = joint or b",\n"
        file.write((b"[" if joint == b"[\n" else b"\n") + b"]\n")


def _join_parquet(pieces: Sequence[_Piece], path: Path) -> None:
    if len(pieces) == 1:  # nothing to encode again
        _join_lines(pieces, path)
        return
    with pq.ParquetWriter(path, pq.read_schema(pieces[0].out), compression="zstd") as file:
        for piece in pieces:
            with pq.ParquetFile(piece.out) as content:
                for number in range(content.metadata.num_row_groups):
                    file.write_table(content.read_row_group(number))


# ---- one piece


class _Samples:
    """Cleans samples one by one and counts."""

    def __init__(self, piece: _Piece):
        self.rules, self.account, self.counts = piece.rules, Account(), Counts(piece.limit)

    def take(self, sample: Any, where: str) -> Any:
        """The same object where nothing is repeated; raises BadRecordError for what is no sample."""
        if not isinstance(sample, dict):
            raise BadRecordError("not an object", f"a {type(sample).__name__}")
        cleaned = deduplicate(sample, self.rules)
        self.account.add(cleaned, where, self.rules)
        return cleaned.sample

    def written(self, sample: Any, content: bytes, where: str) -> bytes | None:
        """What is written instead of `content`, the sample as it is; None leaves it out."""
        try:
            cleaned = self.take(sample, where)
        except BadRecordError as error:
            self.counts.leave_out(where, *error.args)
            return None
        if cleaned is sample:
            return content
        try:
            return json.dumps(cleaned, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # half a surrogate pair, as the file had it escaped
            return json.dumps(cleaned).encode()


def clean_piece(piece: _Piece, seen: Callable[[float], None]) -> None:
    """Reads one piece and writes it without repetitions, and what was counted."""
    samples = _Samples(piece)
    write = {"json": _clean_lines, "list": _clean_list, "parquet": _clean_parquet}[piece.part.format]
    with _option_named(), atomic_path(piece.out) as temporary:
        write(piece.part, temporary, samples, seen)
    write_json(piece.counted, {**samples.account.as_json(), "counts": samples.counts.as_json()})


@contextlib.contextmanager
def _option_named() -> Iterator[None]:
    """What the sources' code says of a config, said of this command."""
    try:
        yield
    except DataError as error:
        message = str(error).replace("config.data.sources: ", "dedupe-prompts: ")
        raise type(error)(message.replace("config.data.bad_records_limit", "--bad-records-limit")) from error


def _clean_lines(part: Part, path: Path, samples: _Samples, seen: Callable[[float], None]) -> None:
    compression = storage.compression(storage.shown(part.paths[0]))
    with pa.output_stream(str(path), compression=compression, buffer_size=2**20) as file:
        for where, line, value in jsonl.located(part, samples.counts):
            seen(len(line) / 1e6)
            content = samples.written(value, line, where) if line.strip() else line
            if content is not None:
                file.write(content + b"\n")


def _clean_list(part: Part, path: Path, samples: _Samples, seen: Callable[[float], None]) -> None:
    """Elements of a JSON list, without its brackets, one a line."""
    joint = b""
    with open(path, "wb") as file:
        for where, element in json_lists.located(part, samples.counts):
            seen(len(element.text) / 1e6)
            content = samples.written(element.value, element.text.encode(), where)
            if content is not None:
                file.write(joint + content)
                joint = b",\n"


def _clean_parquet(part: Part, path: Path, samples: _Samples, seen: Callable[[float], None]) -> None:
    """Only columns with text are decoded, and only those that change are made anew."""
    name, number = storage.shown(part.paths[0]), part.first
    try:
        with (
            parquet.opened(part) as (source, groups),
            pq.ParquetWriter(path, source.schema_arrow, compression="zstd") as file,
        ):
            schema = source.schema_arrow
            readable = [field.name for field in schema if _has_text(field.type)]
            its_rows = sum(source.metadata.row_group(group).num_rows for group in groups)
            for batch in parquet.batches(part, source, groups):
                for some, rows in _decoded(batch, readable):
                    after = [samples.take(row, f"{name}:{number + i}") for i, row in enumerate(rows, 1)]
                    number += len(rows)
                    file.write_batch(_replaced(some.cast(schema), rows, after))
                    seen(part.identity()["bytes"] / 1e6 * len(rows) / its_rows)
    except (*storage.READ_ERRORS, UnicodeDecodeError) as error:
        raise DataError(f"{name}:{number + 1}: cannot be read: {storage.one_line(error)}") from error


def _decoded(batch: pa.RecordBatch, readable: list[str]) -> Iterator[tuple[pa.RecordBatch, list[Any]]]:
    """Stretches of a batch and the values of their texts, as many rows as come to about `parquet.BATCH_BYTES`."""
    texts, begin, size = batch.select(readable), 0, 0
    rows: list[Any] = []
    for index in range(len(batch)):
        rows += texts.slice(index, 1).to_pylist()
        size += _characters(rows[-1])
        if size >= parquet.BATCH_BYTES or index + 1 == len(batch):
            yield batch.slice(begin, len(rows)), rows
            begin, size, rows = index + 1, 0, []


def _characters(value: Any) -> int:
    """Of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(_characters, inside))


def _replaced(batch: pa.RecordBatch, before: list[Any], after: list[Any]) -> pa.RecordBatch:
    """The batch with those columns made anew in which a sample differs."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    for name in before[0] if before else ():
        if any(new[name] is not old[name] for new, old in zip(after, before, strict=True)):
            columns[name] = pa.array([row[name] for row in after], batch.schema.field(name).type)
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=batch.schema)


def _has_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    return any(_has_text(kind.field(number).type) for number in range(kind.num_fields))


# ---- what is told


def _report(pieces: Sequence[_Piece], limit: int, ignored: dict[str, int]) -> dict[str, Any]:
    account, counts = Account(), Counts(limit)
    for piece in pieces:
        found = read_json(piece.counted)
        account.merge(found)
        with _option_named():
            counts.merge(found["counts"])
    return {
        **account.report(),
        "bad_records": counts.bad,
        "bad_examples": counts.examples,
        "ignored_files": ignored,
    }
