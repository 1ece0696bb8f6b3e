"""The user's image files: found below one folder and nowhere else, checked, and made square."""

import io
import os
import stat
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bench_shadows.data.corpus.sources.part import BadRecordError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MOST_BYTES = 2**27
"""Of a file; a larger one is not opened."""
MOST_PIXELS = 2**26
"""Of an image by its header, before it is decoded: a small file may claim to be a huge image."""
LEAST_SIDE = 8
"""Pixels; on less there is nothing to be seen."""
LONGEST_SHAPE = 20
"""Times that one side may be as long as the other: a longer one is a line when it is made square."""
GREY = (127, 127, 127)
"""What fills an image up to a square: nothing, to the encoder."""


def read_image(content: str | bytes, folder: Path, size: int) -> np.ndarray:
    """An image made square, uint8 [size, size, 3]; its proportions are kept, the rest is grey.

    Args:
      content: a path below `folder`, or the file's bytes, as Parquet has them.

    Raises BadRecordError(reason, details) for a path outside the folder, a file that is missing or no image, and
    an image that is too large, too small or too long.
    """
    if isinstance(content, bytes):
        return _decoded(content, "its bytes", size)
    return _decoded(_bytes(content, folder), repr(content), size)


def _bytes(name: str, folder: Path) -> bytes:
    """What a file below the folder holds."""
    if not name or "\0" in name or os.path.isabs(name) or ".." in Path(name).parts:
        raise BadRecordError("image outside the folder", f"{name!r}; expected a path below {folder}")
    path = Path(os.path.realpath(folder / name))  # links and all
    if not path.is_relative_to(os.path.realpath(folder)):
        raise BadRecordError("image outside the folder", f"{name!r} is a link to {path}")
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise BadRecordError("not an image", f"{name!r} is no file")
        if status.st_size > MOST_BYTES:
            raise BadRecordError("image too large", f"{name!r}: {status.st_size:,} bytes, at most {MOST_BYTES:,}")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadRecordError("image missing", f"no {name!r} below {folder}") from error
    except OSError as error:
        raise BadRecordError("image cannot be read", f"{name!r}: {error.strerror}") from error


def _decoded(content: bytes, name: str, size: int) -> np.ndarray:
    if len(content) > MOST_BYTES:
        raise BadRecordError("image too large", f"{name}: {len(content):,} bytes, at most {MOST_BYTES:,}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them is checked here
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                _check(name, *opened.size)
                opened.draft("RGB", (2 * size, 2 * size))
                image: Image.Image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I;16"):
                    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
                if image.has_transparency_data:
                    image = image.convert("RGBA")
                    image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
                square = ImageOps.pad(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC, GREY)
    except UnidentifiedImageError as error:
        raise BadRecordError("not an image", f"{name} is none of {', '.join(FORMATS)}") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error, MemoryError) as error:
        raise BadRecordError("not an image", f"{name}: {' '.join(str(error).split())[:200]}") from error
    except Image.DecompressionBombError as error:
        raise BadRecordError("image too large", f"{name}: {error}") from error
    return np.asarray(square, np.uint8)


def _check(name: str, width: int, height: int) -> None:
    shape = f"{name}: {width} x {height} pixels"
    if width * height > MOST_PIXELS:
        raise BadRecordError("image too large", f"{shape}, at most {MOST_PIXELS:,} in all")
    if min(width, height) < LEAST_SIDE:
        raise BadRecordError("wrong image size", f"{shape}, expected at least {LEAST_SIDE} a side")
    if max(width, height) > LONGEST_SHAPE * min(width, height):
        raise BadRecordError("wrong image size", f"{shape}, one side more than {LONGEST_SHAPE} times the other")
