"""Decode one image, from bytes or a file, to a uint8 array with Pillow."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from openwork._files import open_file

__all__ = ["SUFFIXES", "ImageFault", "read"]

# Listed, because Pillow would otherwise try every plugin, and some run other programs (EPS).
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "gif", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm"),
    )
)
_MODES = {1: "L", 3: "RGB"}
_ORIENTATION, _TURNED = 0x0112, range(5, 9)


class ImageFault(Exception):
    """What is wrong with one image; the caller adds where the image came from."""


def decode(data: bytes, channels: int, size: tuple[int, int]) -> np.ndarray:
    """Decode `data`, an image of exactly these `channels` and this `size` (H, W).

    Returns:
        `(channels, H, W)` uint8.
    """
    mode = _MODES[channels]
    with _opened(io.BytesIO(data)) as image:
        # Size and mode come from the header, so a huge image is refused before it is decoded.
        if (image.height, image.width) != size:
            raise ImageFault(
                f"the image is {image.height}x{image.width} pixels (HxW), but must be "
                f"{size[0]}x{size[1]}"
            )
        if image.mode != mode:
            raise ImageFault(f"the image has Pillow mode {image.mode}, but must have {mode}")
        return _planes(image)


def header(path: Path) -> tuple[bool, tuple[int, int]]:
    """Whether the image file is 8-bit grey, and its (H, W) once EXIF orientation is applied."""
    with _opened(path) as image:
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ImageFault(
                f"the image has more than 8 bits per channel (Pillow mode {image.mode}); convert "
                "it to 8 bits"
            )
        height, width = image.height, image.width
        if image.getexif().get(_ORIENTATION, 1) in _TURNED:
            height, width = width, height
        return image.mode == "L", (height, width)


def read(path: Path, channels: int, size: tuple[int, int] | None) -> np.ndarray:
    """Read an image file upright; with `size` (H, W), fill that and crop what is left over.

    Returns:
        `(channels, *size)` uint8; without `size`, `(channels, H, W)` of the file.
    """
    with _opened(path) as source:
        image = ImageOps.exif_transpose(source)
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        image = image.convert(_MODES[channels])
        if size is not None and image.size != size[::-1]:
            image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BILINEAR)
        return _planes(image)


@contextlib.contextmanager
def _opened(source: Path | io.BytesIO) -> Iterator[Image.Image]:
    with (
        _pillow(),
        open_file(source) if isinstance(source, Path) else source as file,
        Image.open(file, formats=_FORMATS) as image,
    ):
        yield image


def _planes(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


@contextlib.contextmanager
def _pillow() -> Iterator[None]:
    """Turn every error of Pillow into an `ImageFault`.

    On damaged bytes its plugins raise OSError, SyntaxError, ValueError, struct.error, zlib.error,
    IndexError, DecompressionBombError and more, so every Exception is caught on purpose.
    """
    try:
        yield
    except ImageFault:
        raise
    except UnidentifiedImageError as error:
        raise ImageFault(
            f"the image cannot be read; it must be one of {', '.join(_FORMATS)}"
        ) from error
    except Exception as error:
        raise ImageFault(f"the image cannot be read ({type(error).__name__}: {error})") from error
