"""Small data sets on disk, and a separate cache for each test."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pixels(count: int, channels: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Random uint8 images (N, C, H, W)."""
    shape = (count, channels, *size)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(image: np.ndarray) -> Image.Image:
    """A Pillow image of a uint8 (C, H, W) array."""
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    picture(image).save(buffer, "PNG")
    return buffer.getvalue()


def cells(images: np.ndarray) -> list[dict[str, Any] | None]:
    """The image column's cells for (N, C, H, W)."""
    return [{"bytes": png(image), "path": None} for image in images]


class Files:
    """Writes parquet files and class folders."""

    pixels = staticmethod(pixels)
    picture = staticmethod(picture)
    png = staticmethod(png)
    cells = staticmethod(cells)

    @staticmethod
    def parquet(
        path: Path, images: Sequence[Any], labels: Sequence[Any], columns=("image", "label")
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        table = {
            columns[0]: pa.array(list(images), IMAGE),
            columns[1]: pa.array(list(labels), pa.int64()),
        }
        pq.write_table(pa.table(table), path)
        return path

    @classmethod
    def mnist(cls, folder: Path, train: int = 6, test: int = 4) -> dict[str, np.ndarray]:
        """A small data set laid out as `mnist`; returns its images by split."""
        made = {}
        for split, count in (("train", train), ("test", test)):
            made[split] = pixels(count, 1, (28, 28), seed=count)
            labels = [row % 10 for row in range(count)]
            cls.parquet(folder / f"{split}-00000-of-00001.parquet", cells(made[split]), labels)
        return made

    @staticmethod
    def images(folder: Path, count: int, channels=3, size=(8, 8), seed=0, suffix=".png") -> Path:
        """A folder of image files."""
        folder.mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(pixels(count, channels, size, seed)):
            picture(image).save(folder / f"{index:03d}{suffix}")
        return folder


@pytest.fixture
def files() -> type[Files]:
    return Files


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test decodes into its own cache and sees no data sets but its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("OPENWORK_CACHE", str(folder))
    monkeypatch.delenv("OPENWORK_DATA", raising=False)
    return folder
