"""Pinned archives of a package index: fetched with the user's own pip, checked, read as bytes.

Nothing in an archive is run or imported. A wheel needs no build; for an sdist, `pip download` asks the
build backend that the archive names for its metadata, which would run its setup.py. So pip is told to
build without isolation and finds, first on its path, backends of ours that copy the PKG-INFO of the archive
and do nothing else. `--require-hashes` makes pip refuse other bytes before it unpacks them.

Which index is asked, with which credentials, proxies and certificates, is pip's configuration (PIP_INDEX_URL,
PIP_FIND_LINKS, pip.conf); no host is named here.
"""

import concurrent.futures
import dataclasses
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bench_shadows.errors import DataError
from bench_shadows.files import atomic_path, hash_file
from bench_shadows.progress import Progress

DOWNLOADS = 4  # at the same time: two cores unpack, the others wait for the network
BACKENDS = ("setuptools.build_meta", "hatchling.build", "flit_core.buildapi", "poetry.core.masonry.api")
"""Build backends that the recipe's sdists name."""

INERT_BACKEND = """
import email.parser, os, re, shutil, sys

__legacy__ = sys.modules[__name__]  # what pip asks for where an archive has no pyproject.toml

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    with open("PKG-INFO", encoding="utf-8") as file:
        headers = email.parser.HeaderParser().parse(file)
    name = re.sub(r"[-_.]+", "_", headers["Name"]) + "-" + headers["Version"].replace("-", "_") + ".dist-info"
    os.makedirs(os.path.join(metadata_directory, name))
    shutil.copyfile("PKG-INFO", os.path.join(metadata_directory, name, "METADATA"))
    return name
"""


@dataclasses.dataclass(frozen=True)
class Archive:
    """One pinned file of a package index. `form` is sdist or wheel, `size` its bytes."""

    name: str
    version: str
    form: str
    sha256: str
    size: int

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.form})"


def fetch(archives: Sequence[Archive], folder: Path) -> dict[Archive, Path]:
    """The files of all archives in `folder`, downloaded where they are not there yet; each has its SHA-256.

    Raises DataError, naming every archive that could not be had, pip's reason and what to do.
    """
    paths = {
        archive: folder / f"{archive.name}-{archive.version}-{archive.sha256[:12]}.{archive.form}"
        for archive in archives
    }
    missing = [archive for archive in archives if not _is_whole(paths[archive], archive)]
    if not missing:
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    megabytes = sum(archive.size for archive in missing) / 1e6
    with (
        Progress("fetching the built-in corpus", megabytes, "MB") as progress,
        concurrent.futures.ThreadPoolExecutor(DOWNLOADS) as pool,
    ):
        largest_first = sorted(missing, key=lambda archive: -archive.size)
        running = {pool.submit(_download, archive, paths[archive]): archive for archive in largest_first}
        for done in concurrent.futures.as_completed(running):
            reason = done.result()
            if reason:
                failures.append(f"{running[done]}: {reason}")
            else:
                progress.add(running[done].size / 1e6, note=running[done].name)
    if failures:
        listed = "\n  ".join(sorted(failures))
        raise DataError(
            f"the built-in corpus needs {len(failures)} more archives than are cached in {folder}, "
            f"and pip could not fetch them:\n  {listed}\n"
            "Connect to a package index (pip's settings apply: PIP_INDEX_URL, PIP_FIND_LINKS, pip.conf) and run "
            "the same command again, or copy that folder from a machine that has it, or name your own files in "
            "config.data.sources."
        )
    return paths


def _is_whole(path: Path, archive: Archive) -> bool:
    return path.is_file() and path.stat().st_size == archive.size and hash_file(path) == archive.sha256


def _download(archive: Archive, path: Path) -> str | None:
    """Fetches one archive to `path`; returns what went wrong, in one line, or None."""
    with tempfile.TemporaryDirectory(prefix="bench-shadows-") as temporary:
        scratch = Path(temporary)
        (scratch / "requirements.txt").write_text(
            f"{archive.name}=={archive.version} --hash=sha256:{archive.sha256}\n", encoding="utf-8"
        )
        _write_backends(scratch / "backends")
        form = "--no-binary=:all:" if archive.form == "sdist" else "--only-binary=:all:"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--no-deps", "--ignore-requires-python", "--no-build-isolation", "--use-pep517", form]
        command += ["--require-hashes", "--retries=2"]
        command += ["--dest", str(scratch / "files"), "--requirement", str(scratch / "requirements.txt")]
        environment = {**os.environ, "PYTHONPATH": str(scratch / "backends"), "PYTHONNOUSERSITE": "1"}
        result = subprocess.run(command, env=environment, cwd=scratch, capture_output=True, text=True)
        files = list((scratch / "files").glob("*"))
        if result.returncode or len(files) != 1:
            return _reason(result.stderr or result.stdout)
        if hash_file(files[0]) != archive.sha256:
            return f"the file has SHA-256 {hash_file(files[0])}, expected {archive.sha256}"
        with atomic_path(path) as partial:
            partial.write_bytes(files[0].read_bytes())
    return None


def _reason(said: str) -> str:
    """What pip gave as the reason of its failure, in one line."""
    lines = [line.strip() for line in said.splitlines() if not line.startswith("WARNING:")]
    errors = [index for index, line in enumerate(lines) if line.lower().startswith("error:")]
    text = " ".join(lines[errors[-1] if errors else 0 :])
    return text[6:].strip() if errors else text


def _write_backends(folder: Path) -> None:
    """Writes modules under the names of the build backends that only copy PKG-INFO."""
    folder.mkdir()
    for backend in BACKENDS:
        package, module = backend.rsplit(".", 1)
        place = folder
        for name in package.split("."):
            place /= name
            place.mkdir(exist_ok=True)
            (place / "__init__.py").touch()  # a namespace package would give way to an installed setuptools
        (place / f"{module}.py").write_text(INERT_BACKEND, encoding="utf-8")


def members(path: Path, archive: Archive) -> Iterator[tuple[str, bytes]]:
    """Yields (name, bytes) of every regular file, in order; an sdist's top folder is left off the names.

    Raises DataError for an archive that cannot be read or that holds a name outside of itself.
    """
    try:
        if archive.form == "wheel":
            with zipfile.ZipFile(path) as wheel:
                for entry in wheel.infolist():
                    if not entry.is_dir():
                        yield _inside(entry.filename, archive), wheel.read(entry)
        else:
            with tarfile.open(path, "r:gz") as sdist:
                for member in sdist:
                    if member.isfile() and (content := sdist.extractfile(member)):
                        yield _inside(member.name, archive).partition("/")[2], content.read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(f"{path}: {archive} cannot be read: {error}; remove the file to fetch it again") from error


def _inside(name: str, archive: Archive) -> str:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise DataError(
            f"{archive} holds a member outside of itself: {name!r}; its entry in the recipe cannot be used"
        )
    return str(pure)
