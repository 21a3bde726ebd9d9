"""One image: decoded exactly, read upright, and every fault told in one line."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

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
    assert read(tmp_path / "a.png", 1, (4, 4)).tolist() == [[[200] * 4] * 4]
    assert read(tmp_path / "a.png", 3, (2, 2)).shape == (3, 2, 2)
    assert read(tmp_path / "a.png", 1, (4, 2)).tolist() == [[[200] * 2] * 4]


def test_sixteen_bits_a_channel_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(ImageFault, match="more than 8 bits per channel"):
        header(tmp_path / "a.png")


# What Pillow can write; most formats cannot be read here, and none may do anything else.
_WRITERS = sorted(Image.registered_extensions().items())


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"]
)
def test_every_mode_in_every_format_is_read_or_a_fault(tmp_path: Path, mode: str) -> None:
    Image.init()
    image = Image.new(mode, (6, 4))
    for suffix, kind in _WRITERS:
        path = tmp_path / f"{suffix[1:]}.png"
        try:
            image.save(path, kind)
        except Exception:  # what Pillow cannot write
            continue
        try:
            grey, size = header(path)
            pixels = read(path, 1 if grey else 3, None)
        except ImageFault:
            continue
        assert pixels.shape == ((1 if grey else 3), *size)


@pytest.mark.parametrize(
    ("kind", "modes"),
    [
        ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA")),
        ("TIFF", ("L", "RGB", "CMYK")),
        ("JPEG", ("L", "RGB", "CMYK")),
        ("GIF", ("L", "P", "RGB")),
        ("WEBP", ("RGB", "RGBA")),
        ("PPM", ("1", "L", "RGB")),
        ("BMP", ("1", "L", "P", "RGB")),
    ],
)
def test_what_people_have_is_read_whatever_its_name(
    tmp_path: Path, kind: str, modes: tuple[str, ...]
) -> None:
    for mode in modes:
        path = tmp_path / f"{mode}.jpg"
        Image.new("RGB", (6, 4), "white").convert(mode).save(path, kind)
        assert header(path)[1] == (4, 6)
        assert read(path, 3, None).min() >= 253


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), (level, 0, 0)) for level in (250, 0, 100)]
    for name in ("a.gif", "a.webp", "a.png", "a.tiff"):
        options: Any = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert read(tmp_path / name, 3, None)[0].tolist() == [[250] * 4] * 4


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"GIF89a", b"\xff\xd8\xff", b"%!PS-Adobe-3.0 EPSF\n", b"P6 99999999 99999999 255\n"),
        *(b"II*\0\x08\0\0\0\xff\xff", b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"BM" + b"\xff" * 60),
    ],
)
def test_no_content_does_harm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageFault, match="the image cannot be read"):
        header(tmp_path / "a.png")


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for use in (header, lambda path: read(path, 3, None)):
        with pytest.raises(ImageFault, match="it is a FIFO, not a file"):
            use(tmp_path / "a.png")
