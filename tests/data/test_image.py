"""One image: decoded exactly, read upright, and every fault told in one line."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from openwork.data.image import ImageFault, decode, header, read


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_come_back_channels_first(files, channels: int) -> None:
    (image,) = files.pixels(1, channels, (4, 6))
    found = decode(files.png(image), channels, (4, 6))
    assert found.dtype == np.uint8
    assert np.array_equal(found, image)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_png(Image.new("L", (6, 5))), "the image is 5x6 pixels .HxW., but must be 4x6"),
        (_png(Image.new("RGB", (6, 4))), "Pillow mode RGB, but must have L"),
        (b"nothing", "the image cannot be read; it must be one of PNG"),
        (_png(Image.new("L", (6, 4)))[:-20], "the image cannot be read"),
    ],
)
def test_another_image_is_a_fault(data: bytes, message: str) -> None:
    with pytest.raises(ImageFault, match=message):
        decode(data, 1, (4, 6))


def test_a_turned_photograph_is_read_upright(tmp_path: Path) -> None:
    stored = Image.new("RGB", (8, 4))
    stored.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    stored.save(tmp_path / "a.png", exif=exif)
    assert header(tmp_path / "a.png") == (False, (8, 4))
    pixels = read(tmp_path / "a.png", 3, None)
    assert pixels.shape == (3, 8, 4)
    assert pixels[:, 0, 3].tolist() == [255, 0, 0]


def test_the_centre_is_cut_out(tmp_path: Path) -> None:
    image = Image.new("L", (12, 4), 0)
    image.paste(200, (4, 0, 8, 4))
    image.save(tmp_path / "a.png")
    assert header(tmp_path / "a.png") == (True, (4, 12))
    assert read(tmp_path / "a.png", 1, 4).tolist() == [[[200] * 4] * 4]
    assert read(tmp_path / "a.png", 3, 2).shape == (3, 2, 2)


def test_sixteen_bits_a_channel_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(ImageFault, match="more than 8 bits per channel"):
        header(tmp_path / "a.png")
