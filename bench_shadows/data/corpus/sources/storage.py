"""Files by path or URI, on this machine and in buckets: found, opened and read without holding them.

A source is a file, a folder (all of it, hidden files left out) or a glob, `**` for any depth. What has a scheme
(gs://, s3://, file://) is read by pyarrow's filesystems, with the credentials that they find on the machine; there
`?` begins their options (`s3://bucket/x?region=eu-west-1&endpoint_override=...`) and is no wildcard.
"""

import dataclasses
import fnmatch
import functools
import os
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from bench_shadows.errors import SourceError
from bench_shadows.files import expand
from bench_shadows.foreign import is_text

CHUNK = 2**22  # bytes that are read at once: few requests of a bucket, little memory
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_KEYS = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")
CLOUD_SECONDS = 60
"""For how long a request of a Google bucket is tried again; Arrow's own limit is a quarter of an hour."""
READ_ERRORS = (pa.ArrowException, OSError, EOFError)
"""What a damaged or unreachable file raises."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file that was found."""

    path: str
    """What `open_stream` takes; it may hold a bucket's options and keys."""
    below: tuple[str, ...]
    """Its path under the source, folder by folder."""
    bytes: int
    modified_ns: int

    @property
    def name(self) -> str:
        """What is shown and recorded of it."""
        return shown(self.path)


def find(source: str) -> tuple[list[File], bool]:
    """The files of a path, folder, glob or URI, sorted by name, and whether it was a folder.

    Raises SourceError where there is none, or where the filesystem cannot be reached.
    """
    if "://" not in source:
        source = str(expand(source))
    address, question, options = source.partition("?") if "://" in source else (source, "", "")
    try:
        system, inside = connect(source)
        [info] = system.get_file_info([inside])  # a name with brackets in it is a name first
        if info.type == fs.FileType.File:
            return [_file(source, (info.base_name,), info)], False
        if info.type == fs.FileType.Directory:
            base, patterns = address.rstrip("/") or "/", ["**"]
        else:
            base, patterns = _split(address)
        files = list(_listed(base, patterns, question + options)) if patterns else []
    except READ_ERRORS as error:
        raise SourceError(f"config.data.sources: {shown(address)} cannot be listed: {one_line(error)}") from error
    if not files:
        raise SourceError(
            f"config.data.sources: {shown(address)!r} matches no file; name files, folders, globs, "
            "`tfds:NAME`, `hf:NAME` or `builtin`"
        )
    return sorted(files, key=lambda file: file.name), info.type == fs.FileType.Directory


def connect(address: str) -> tuple[fs.FileSystem, str]:
    """The filesystem of a path or URI, and the path inside of it."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return fs.LocalFileSystem(), address
    location, question, options = rest.partition("?")
    quoted = urllib.parse.quote(location, safe="/%:@")
    if scheme in ("gs", "gcs") and "retry_limit_seconds=" not in options:
        question, options = "?", "&".join(filter(None, (options, f"retry_limit_seconds={CLOUD_SECONDS}")))
    return fs.FileSystem.from_uri(f"{scheme}://{quoted}{question}{options}")


def open_stream(path: str) -> pa.NativeFile:
    """A file opened for reading from its beginning, decompressed where its ending says so."""
    system, inside = connect(path)
    return system.open_input_stream(inside, compression=compression(inside), buffer_size=CHUNK)


def open_raw(path: str) -> pa.NativeFile:
    """A file opened for reading from its beginning, as it is."""
    system, inside = connect(path)
    return system.open_input_stream(inside, compression=None, buffer_size=CHUNK)


def shown(path: str) -> str:
    """A path as it is, a URI without options, keys and escapes."""
    if "://" not in path:
        return path
    return urllib.parse.unquote(_KEYS.sub("", path.partition("?")[0]))


def compression(name: str) -> str | None:
    """The name of a file's compression, by its ending."""
    return COMPRESSIONS.get(Path(name.lower()).suffix)


def ending(name: str) -> str:
    """The ending of a file's name that says what it holds, its compression with it: `.jsonl.gz`, `.py`."""
    suffixes = Path(name.lower()).suffixes
    return "".join(suffixes[-2:] if suffixes and suffixes[-1] in COMPRESSIONS else suffixes[-1:])


def content_ending(name: str) -> str:
    """The ending without that of a compression: `.jsonl` for `.jsonl.gz`."""
    whole = ending(name)
    return whole.rpartition(".")[0] if compression(name) and whole.count(".") > 1 else whole


def endings(files: Iterable[File]) -> tuple[tuple[str, int], ...]:
    """(ending, how many files have it), sorted."""
    return tuple(sorted(Counter(ending(file.name) or "no ending" for file in files).items()))


def counted(found: Iterable[tuple[str, int]]) -> str:
    """`endings` in words."""
    return ", ".join(f"{count:,} with {name}" for name, count in found)


def _listed(base: str, patterns: Sequence[str], options: str) -> Iterator[File]:
    system, inside = connect(base + options)
    recursive = len(patterns) > 1 or patterns == ["**"]
    selector = fs.FileSelector(inside, allow_not_found=True, recursive=recursive)
    local = isinstance(system, fs.LocalFileSystem)
    for info in system.get_file_info(list(_walk(inside, recursive)) if local else selector):
        below = tuple(Path(info.path).relative_to(inside).parts) if inside else Path(info.path).parts
        if info.type == fs.FileType.File and _matches(below, tuple(patterns)):
            relative, joint = "/".join(below), "" if base in ("", ".") or base.endswith("/") else "/"
            quoted = urllib.parse.quote(relative) if "://" in base else relative
            yield _file(f"{'' if base == '.' else base}{joint}{quoted}{options}", below, info)


def _walk(base: str, recursive: bool) -> Iterator[str]:
    """Files below a folder of this machine; links are followed, but no folder is entered twice."""
    entered: set[str] = set()
    for folder, folders, names in os.walk(base, followlinks=True):
        folders.sort()
        if (real := os.path.realpath(folder)) in entered or (entered and not recursive):
            folders.clear()
            continue
        entered.add(real)
        for name in names:
            if not is_text(name):
                path = ascii(os.path.join(folder, name))
                raise SourceError(f"config.data.sources: {path}: its name is not UTF-8; rename it")
            yield os.path.join(folder, name)


def _file(path: str, below: tuple[str, ...], info: fs.FileInfo) -> File:
    return File(path, below, info.size, info.mtime_ns or 0)


def _split(address: str) -> tuple[str, list[str]]:
    """The folder before the first component with a wildcard, and the components from there on."""
    scheme, separator, rest = address.rpartition("://")
    components = rest.split("/")
    first = next((n for n, component in enumerate(components) if re.search(r"[*?\[]", component)), None)
    if first is None:
        return address, []
    return scheme + separator + ("/".join(components[:first]) or ("/" if first else ".")), components[first:]


@functools.lru_cache(maxsize=2**14)
def _matches(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    """Whether a path's components match a glob's; as in a shell `*` does not match a leading dot."""
    if not patterns or not parts:
        return not parts and all(pattern == "**" for pattern in patterns)
    (part, *others), (pattern, *rest) = parts, patterns
    hidden = part.startswith(".") and not pattern.startswith(".")
    if pattern == "**":
        return _matches(parts, tuple(rest)) or (not hidden and _matches(tuple(others), patterns))
    return not hidden and fnmatch.fnmatchcase(part, pattern) and _matches(tuple(others), tuple(rest))


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks and keys of a bucket."""
    return " ".join(_KEYS.sub("", str(error)).split())
