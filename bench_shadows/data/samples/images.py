"""Images of samples on disk: ArrayRecord shards of pixels, and which row shows which image.

    images-00000.array_record   an image a record: uint8 [S, S, 3], compressed, each can be read alone
    image_of.npy                int32 [rows]: a row's image by number, -1 for a row without one
    images.json                 size, count, files, images_per_file, sha256

An image is stored once, for both conditions. The folder is written under a temporary name and renamed.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from bench_shadows.data.corpus.array_records import ArrayRecords, writer
from bench_shadows.errors import RunError
from bench_shadows.files import atomic_path, hash_file, read_json, write_json

DESCRIPTION = "images.json"
SHARD_BYTES = 256 * 2**20
"""Pixels of one shard."""


def write_images(folder: Path | str, images: Iterable[np.ndarray], image_of: np.ndarray, size: int) -> None:
    """Writes a folder of images, atomically; one that is there already is replaced.

    Args:
      images: uint8 [size, size, 3] each, in the order of their numbers.
      image_of: of every row, int32 [rows].
    """
    folder, per_file = Path(folder), max(1, SHARD_BYTES // (3 * size * size))
    with atomic_path(folder) as temporary:
        temporary.mkdir(parents=True)
        files: list[str] = []
        count, stream = 0, iter(images)
        for first in stream:
            files.append(f"images-{len(files):05d}.array_record")
            records = writer(temporary / files[-1])
            for image in itertools.chain([first], itertools.islice(stream, per_file - 1)):
                if image.shape != (size, size, 3) or image.dtype != np.uint8:
                    raise ValueError(f"image {count}: {image.dtype} {image.shape}, not uint8 {(size, size, 3)}")
                records.write(image.tobytes())
                count += 1
            records.close()
        if len(image_of) and int(image_of.max()) >= count:
            raise ValueError(f"a row shows image {int(image_of.max())}, there are {count}")
        np.save(temporary / "image_of.npy", image_of.astype(np.int32), allow_pickle=False)
        hashed = {name: hash_file(temporary / name) for name in (*files, "image_of.npy")}
        description = {"size": size, "count": count, "files": files, "images_per_file": per_file, "sha256": hashed}
        write_json(temporary / DESCRIPTION, description)


class RowImages:
    """The images of rows, read by the rows' numbers; holds no pixels in memory.

    Row ids may count over several row sets of the same length, [baseline | deduplicated]: they show the same
    images. Raises RunError, naming the file, where the folder is not as images.json says.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        try:
            self.description: dict[str, Any] = read_json(self.folder / DESCRIPTION)
            self.size: int = self.description["size"]
            self.count: int = self.description["count"]
            paths = [self.folder / name for name in self.description["files"]]
            starts = np.arange(len(paths) + 1) * self.description["images_per_file"]
            self.image_of: np.ndarray = np.load(self.folder / "image_of.npy", allow_pickle=False)
            if missing := [path for path in paths if not path.is_file()]:
                raise FileNotFoundError(f"{missing[0].name} is missing")
            self._records = ArrayRecords(paths, starts)
            found = self._records.count()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self.folder}: not a folder of images ({error}); delete it and prepare again"
            ) from error
        if found != self.count:
            raise RunError(f"{self.folder}: {self.count} images expected, {found} found; delete it, prepare again")

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The images of rows, in that order, uint8 [len(rows), S, S, 3]; zeros for a row without one."""
        wanted = self.image_of[np.asarray(rows, np.int64) % max(1, len(self.image_of))]
        pixels = np.zeros((len(wanted), self.size, self.size, 3), np.uint8)
        data = b"".join(self._records.read(wanted[wanted >= 0]))
        pixels[wanted >= 0] = np.frombuffer(data, np.uint8).reshape(-1, *pixels.shape[1:])
        return pixels

    def verify(self) -> None:
        """Compares every file with its SHA-256; raises RunError naming the first that differs."""
        for name, expected in self.description["sha256"].items():
            if hash_file(self.folder / name) != expected:
                raise RunError(
                    f"{self.folder / name}: its SHA-256 is not the one in images.json; delete {self.folder} and "
                    "prepare again"
                )
