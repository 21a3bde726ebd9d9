import os
import re

import numpy as np
import pytest
from PIL import Image

from openwork.data import load
from openwork.errors import ArgumentError, DataError


def opened(path, **arguments):
    return load(f"folder:{path}", **arguments)


def test_two_splits(files, tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for seed, name in enumerate(("cat", "dog")):
            files.images(tmp_path / "p" / split / name, count, seed=seed + 10 * count)
    data = opened(tmp_path / "p")
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(data.train.images[3:], files.pixels(3, 3, (8, 8), 31))
    np.testing.assert_array_equal(data.test.images[:2], files.pixels(2, 3, (8, 8), 20))


def test_val_serves_as_test_and_test_goes_first(files, tmp_path):
    files.images(tmp_path / "p/train/a", 2)
    files.images(tmp_path / "p/val/a", 3)
    assert len(opened(tmp_path / "p").test) == 3
    files.images(tmp_path / "p/test/a", 4)
    assert len(opened(tmp_path / "p").test) == 4


def test_every_fifth_image_is_a_test_image(files, tmp_path):
    files.images(tmp_path / "p/b", 7, seed=1)
    files.images(tmp_path / "p/a", 2, seed=2)
    data = opened(tmp_path / "p")
    made = files.pixels(7, 3, (8, 8), 1)
    assert data.train.labels.tolist() == [0, 1, 1, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(data.test.images[1:], made[[0, 5]])
    np.testing.assert_array_equal(data.train.images[1:], made[[1, 2, 3, 4, 6]])


def test_a_class_may_be_called_train(files, tmp_path):
    files.images(tmp_path / "p/train", 2)
    files.images(tmp_path / "p/tram", 2)
    assert opened(tmp_path / "p").classes == ("train", "tram")


def test_grey_stays_grey_and_mixed_becomes_rgb(files, tmp_path):
    files.images(tmp_path / "p/a", 3, channels=1)
    data = opened(tmp_path / "p")
    assert data.channels == 1
    np.testing.assert_array_equal(data.train.images, files.pixels(3, 1, (8, 8))[1:])
    files.images(tmp_path / "p/b", 2, channels=3)
    mixed = opened(tmp_path / "p")
    assert mixed.channels == 3
    np.testing.assert_array_equal(mixed.train.images[:2], np.repeat(data.train.images, 3, axis=1))


def test_other_modes_become_rgb(tmp_path):
    folder = tmp_path / "p/a"
    folder.mkdir(parents=True)
    Image.new("RGBA", (4, 4), (10, 20, 30, 128)).save(folder / "0.png")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(folder / "1.png", transparency=bytes([255, 0]))
    palette.save(folder / "2.gif")
    data = opened(tmp_path / "p")
    for images in (data.test.images, data.train.images):
        assert (images == np.array([10, 20, 30]).reshape(1, 3, 1, 1)).all()


def test_sixteen_bits_are_refused(tmp_path):
    (tmp_path / "p/a").mkdir(parents=True)
    for index in range(2):
        Image.fromarray(np.full((4, 4), 4000, np.uint16)).save(tmp_path / f"p/a/{index}.png")
    with pytest.raises(DataError, match=r"1\.png`: .*more than 8 bits"):
        opened(tmp_path / "p")


def test_exif_orientation_is_applied(files, tmp_path):
    upright = files.pixels(1, 3, (4, 6))[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    (tmp_path / "p/a").mkdir(parents=True)
    lying = files.picture(np.rot90(upright, 1, axes=(1, 2)))
    lying.save(tmp_path / "p/a/0.png", exif=exif)
    files.picture(upright).save(tmp_path / "p/a/1.png")
    data = opened(tmp_path / "p")
    assert data.image_size == (4, 6)
    np.testing.assert_array_equal(data.test.images[0], upright)
    np.testing.assert_array_equal(data.train.images[0], upright)


def test_an_unknown_exif_orientation_turns_nothing(files, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 9
    image = files.pixels(1, 3, (4, 6))[0]
    (tmp_path / "p/a").mkdir(parents=True)
    for index in range(2):
        files.picture(image).save(tmp_path / f"p/a/{index}.png", exif=exif)
    np.testing.assert_array_equal(opened(tmp_path / "p").test.images[0], image)


@pytest.mark.parametrize("path", ["a" * 5000, "a\0b", "~nobody0/x"])
def test_what_cannot_be_a_folder(path):
    with pytest.raises(DataError, match=r"cannot be read .*; PATH in `folder:PATH` must"):
        opened(path)


def test_differing_sizes_need_image_size(files, tmp_path):
    files.images(tmp_path / "p/a", 2, size=(8, 8))
    files.images(tmp_path / "p/b", 2, size=(8, 12))
    with pytest.raises(DataError, match=r"b.001\.png` is 8x12 .*pass `image_size=`"):
        opened(tmp_path / "p")
    data = opened(tmp_path / "p", image_size=8)
    assert data.image_size == (8, 8)
    np.testing.assert_array_equal(
        data.train.images[1], files.pixels(2, 3, (8, 12))[1][:, :, 2:10], "centre crop"
    )
    assert opened(tmp_path / "p", image_size=5).image_size == (5, 5)


def test_resizing_keeps_the_shape_of_things(tmp_path):
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 4, (32, 64))
    (tmp_path / "p/a").mkdir(parents=True)
    for index in range(2):
        Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / f"p/a/{index}.png")
    image = opened(tmp_path / "p", image_size=16).train.images[0, 0].astype(int)
    wanted = (16 + 2 * np.arange(16) + 0.5) * 4
    np.testing.assert_allclose(image, np.broadcast_to(wanted, (16, 16)), atol=1.5)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".webp", ".tiff", ".PPM"])
def test_common_formats(files, tmp_path, suffix):
    files.images(tmp_path / "p/a", 2, suffix=suffix)
    assert opened(tmp_path / "p").train.images.shape == (1, 3, 8, 8)


def test_hidden_files_are_left_out(files, tmp_path):
    files.images(tmp_path / "p/a", 2)
    (tmp_path / "p/.git").mkdir()
    (tmp_path / "p/a/.DS_Store").touch()
    data = opened(tmp_path / "p")
    assert (data.classes, len(data.train)) == (("a",), 1)


@pytest.mark.parametrize(
    ("stray", "layout"),
    [
        ("p/a/notes.txt", "flat"),
        ("p/a/more/x.png", "flat"),
        ("p/readme.md", "flat"),
        ("p/train/a/notes.txt", "split"),
        ("p/train/notes.txt", "split"),
        ("p/readme.md", "split"),
        ("p/extra/x.png", "split"),
    ],
)
def test_strays_are_named(files, tmp_path, stray, layout):
    for folder in ("p/a",) if layout == "flat" else ("p/train/a", "p/test/a"):
        files.images(tmp_path / folder, 2)
    (tmp_path / stray).parent.mkdir(exist_ok=True)
    (tmp_path / stray).write_text("x")
    named = stray if "extra" not in stray and "more" not in stray else stray.rpartition("/")[0]
    with pytest.raises(DataError, match=f"not part of an image data set: .*{re.escape(named)}"):
        opened(tmp_path / "p")


def test_many_strays_are_counted(files, tmp_path):
    files.images(tmp_path / "p/a", 2)
    for index in range(8):
        (tmp_path / f"p/a/{index}.txt").touch()
    with pytest.raises(DataError, match=r"0\.txt.*4\.txt and 3 more"):
        opened(tmp_path / "p")


def test_class_without_images(files, tmp_path):
    files.images(tmp_path / "p/a", 2)
    (tmp_path / "p/b").mkdir()
    with pytest.raises(DataError, match=r"p.b` has no images"):
        opened(tmp_path / "p")


@pytest.mark.parametrize("folders", [["p"], ["p/train", "p/test"]])
def test_no_class_folders(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match="has no class folders"):
        opened(tmp_path / "p")


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"p` is not a folder"):
        opened(tmp_path / "p")


def test_train_alone(files, tmp_path):
    files.images(tmp_path / "p/train/a", 2)
    with pytest.raises(DataError, match="train/ but neither test/ nor val/"):
        opened(tmp_path / "p")


def test_differing_classes(files, tmp_path):
    for folder in ("train/a", "train/b", "test/a", "test/c"):
        files.images(tmp_path / "p" / folder, 1)
    with pytest.raises(DataError, match="only one of them has b, c"):
        opened(tmp_path / "p")


def test_class_with_one_image(files, tmp_path):
    files.images(tmp_path / "p/a", 2)
    files.images(tmp_path / "p/b", 1)
    with pytest.raises(DataError, match=r"p.b` has one image, 000\.png"):
        opened(tmp_path / "p")


@pytest.mark.parametrize("keep", [0, 20, 150])
def test_unreadable_image_is_named_and_leaves_no_entry(files, tmp_path, cache, keep):
    bad = files.images(tmp_path / "p/a", 3) / "001.png"
    bad.write_bytes(bad.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"001\.png`: the image cannot be read"):
        opened(tmp_path / "p")
    assert list(cache.iterdir()) == []


def test_folders_that_differ_in_pixels_alone_are_kept_apart(tmp_path):
    for parent, grey in (("one", 10), ("two", 20)):
        folder = tmp_path / parent / "p/a"
        folder.mkdir(parents=True)
        for index in range(2):
            Image.new("L", (4, 4), grey).save(folder / f"{index}.bmp")
            os.utime(folder / f"{index}.bmp", ns=(0, 0))
    assert opened(tmp_path / "one/p").train.images.max() == 10
    assert opened(tmp_path / "two/p").train.images.max() == 20


def test_changed_image_is_read_again(files, tmp_path):
    root = files.images(tmp_path / "p/a", 2).parent
    before = opened(root).train.images[0].copy()
    files.picture(255 - before).save(root / "a/001.png")
    np.testing.assert_array_equal(opened(root).train.images[0], 255 - before)


@pytest.mark.parametrize("image_size", [0, -3, 2.5, True, "8"])
def test_bad_image_size(files, tmp_path, image_size):
    files.images(tmp_path / "p/a", 2)
    with pytest.raises(ArgumentError, match=r"`image_size`=.* whole number above 0"):
        opened(tmp_path / "p", image_size=image_size)


def test_arguments_that_do_not_go_with_a_folder(tmp_path):
    with pytest.raises(ArgumentError, match=r"`root`=.* does not apply to `folder:PATH`"):
        opened(tmp_path, root=tmp_path)
    with pytest.raises(ArgumentError, match="needs a folder after the colon"):
        load("folder:")
