import io
import os
import re
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from openwork.data import parquet
from openwork.data.locate import find_shards
from openwork.data.parquet import ParquetReader
from openwork.data.sources import SOURCES
from openwork.errors import DataError

MNIST = SOURCES["mnist"]


def read(*paths, source=MNIST):
    reader = ParquetReader(source, {"train": list(paths)})
    shape = reader.shape("train")
    images, labels = np.zeros(shape, np.uint8), np.zeros(shape[0], np.int64)
    reader.decode("train", images, labels)
    return images, labels


def test_reads_all_shards_in_order_across_batches(files, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_BATCH_ROWS", 3)
    made = files.pixels(11, 1, (28, 28))
    first, second = (tmp_path / f"train-{number:05d}-of-00002.parquet" for number in range(2))
    for path, rows in ((first, slice(0, 7)), (second, slice(7, 11))):
        files.parquet(path, files.cells(made[rows]), list(range(11))[rows])
    labels_wanted = np.arange(11)
    with pytest.raises(DataError, match=r"train-00001.*row 3 .*`label`=10 is out of range"):
        read(*find_shards(tmp_path, "train"))
    files.parquet(second, files.cells(made[7:]), [7, 8, 9, 0])
    labels_wanted[10] = 0
    images, labels = read(*find_shards(tmp_path, "train"))
    np.testing.assert_array_equal(images, made)
    np.testing.assert_array_equal(labels, labels_wanted)


def test_reads_colour_and_named_columns(files, tmp_path):
    made = files.pixels(3, 3, (32, 32))
    columns = ("img", "fine_label")
    path = files.parquet(tmp_path / "train-0.parquet", files.cells(made), [99, 0, 5], columns)
    images, labels = read(path, source=SOURCES["cifar100"])
    np.testing.assert_array_equal(images, made)
    assert labels.tolist() == [99, 0, 5]


def test_missing_shard_is_named(files, tmp_path):
    cells = files.cells(files.pixels(1, 1, (28, 28)))
    for number in (0, 2):
        files.parquet(tmp_path / f"train-{number:05d}-of-00003.parquet", cells, [0])
    with pytest.raises(DataError, match=r"lacks train-00001-of-00003\.parquet;"):
        find_shards(tmp_path, "train")


@pytest.mark.parametrize("other", ["train-00000-of-00002.parquet", "train-old.parquet"])
def test_mixed_exports_are_refused(tmp_path, other):
    for name in ("train-00000-of-00001.parquet", other):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="mixes several exports of train"):
        find_shards(tmp_path, "train")


def test_split_in_two_folders_is_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "train-00000-of-00001.parquet").touch()
    with pytest.raises(DataError, match=r"in several folders: .*a, .*b"):
        find_shards(tmp_path, "train")


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_truncated_file(files, tmp_path, keep):
    path = tmp_path / "train-00000-of-00001.parquet"
    files.parquet(path, files.cells(files.pixels(3, 1, (28, 28))), [0, 1, 2])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}`: not a complete parquet file"):
        read(path)


def test_foreign_file(tmp_path):
    path = tmp_path / "train-0.parquet"
    path.write_text("<html>404 not found</html>")
    with pytest.raises(DataError, match=r"train-0\.parquet`: not a complete parquet file"):
        read(path)


def test_a_footer_with_a_name_that_is_no_text(files, tmp_path):
    path = tmp_path / "train-0.parquet"
    pq.write_table(pa.table({"label": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"label", b"\xff\xfebel"))
    with pytest.raises(DataError, match=r"train-0\.parquet`: not a complete parquet file"):
        read(path)


def test_a_column_that_is_there_twice(files, tmp_path):
    path = tmp_path / "train-0.parquet"
    image = pa.array(files.cells(files.pixels(1, 1, (28, 28))))
    table = pa.Table.from_arrays([image, pa.array([1]), pa.array([2])], ["image", "label", "label"])
    pq.write_table(table, path)
    with pytest.raises(DataError, match="has several columns `label`; keep one"):
        read(path)


def test_damaged_page_names_file_and_row(files, tmp_path):
    path = tmp_path / "train-0.parquet"
    files.parquet(path, files.cells(files.pixels(50, 1, (28, 28))), [0] * 50)
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train-0\.parquet`, row 0 or later: not a complete"):
        read(path)


def test_no_rows(files, tmp_path):
    path = files.parquet(tmp_path / "train-0.parquet", [], [])
    with pytest.raises(DataError, match=r"data set mnist is empty: no rows in .*train-0\.parquet"):
        read(path)


def test_missing_column_lists_the_others(files, tmp_path):
    cells = files.cells(files.pixels(1, 1, (28, 28)))
    path = files.parquet(tmp_path / "train-0.parquet", cells, [0], ("img", "label"))
    with pytest.raises(DataError, match=r"no column `image`.*its columns are: img, label"):
        read(path)


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (pa.array([b"x"]), pa.array([1]), "`image` has type binary; it must be a struct"),
        (pa.array([{"path": "x"}]), pa.array([1]), "`image` has type struct<path"),
        (pa.array([{"bytes": "x"}]), pa.array([1]), "`image` has type struct<bytes: string"),
        (pa.array([{"bytes": b"x"}]), pa.array(["7"]), "`label` has type string"),
        (pa.array([{"bytes": b"x"}]), pa.array([7.0]), "`label` has type double"),
    ],
)
def test_wrong_column_type(tmp_path, image, label, message):
    path = tmp_path / "train-0.parquet"
    pq.write_table(pa.table({"image": image, "label": label}), path)
    with pytest.raises(DataError, match=rf"train-0\.parquet`: column {message}"):
        read(path)


def noise():
    """A PNG of noise, too long for its first half to hold all pixels."""
    buffer = io.BytesIO()
    Image.effect_noise((28, 28), 90).save(buffer, "PNG")
    return buffer.getvalue()


def encoded(mode="L", size=(28, 28), form="PNG"):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, form)
    return buffer.getvalue()


def vast_picture():
    """A PNG whose header claims 60,000 x 60,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 4) + b"IDAT" + b"\0" * 8


@pytest.mark.parametrize(
    ("cell", "label", "message"),
    [
        (None, 1, "`image` is null"),
        ({"bytes": None, "path": "x.png"}, 1, "`image` is null"),
        ({"bytes": encoded(), "path": None}, None, "`label` is null"),
        ({"bytes": encoded(), "path": None}, 10, r"`label`=10 is out of range; .* 0\.\.9"),
        ({"bytes": encoded(), "path": None}, -1, "`label`=-1 is out of range"),
        ({"bytes": b"", "path": None}, 1, "`image`: the image cannot be read"),
        (
            {"bytes": b"not an image", "path": None},
            1,
            "cannot be read; it must be one of PNG, JPEG",
        ),
        ({"bytes": noise()[:400], "path": None}, 1, "the image cannot be read"),
        ({"bytes": encoded()[:24], "path": None}, 1, "the image cannot be read"),
        ({"bytes": vast_picture(), "path": None}, 1, r"cannot be read \(DecompressionBombError"),
        ({"bytes": encoded(size=(28, 27)), "path": None}, 1, "the image is 27x28 .*must be 28x28"),
        ({"bytes": encoded(mode="RGB"), "path": None}, 1, "Pillow mode RGB, but must have L"),
        ({"bytes": encoded(form="EPS"), "path": None}, 1, "the image cannot be read"),
    ],
)
def test_bad_row_names_file_and_row_of_that_file(files, tmp_path, cell, label, message):
    good = files.cells(files.pixels(4, 1, (28, 28)))
    first = files.parquet(tmp_path / "train-00000-of-00002.parquet", good, [0] * 4)
    second = tmp_path / "train-00001-of-00002.parquet"
    files.parquet(second, [*good[:2], cell], [0, 0, label])
    where = rf"{re.escape(str(second))}`, row 2 \(the first is 0\): "
    with pytest.raises(DataError, match=where + ".*" + message):
        read(first, second)


def bomb(path, rows, **options):
    table = {"image": pa.array([{"bytes": row} for row in rows]), "label": [1] * len(rows)}
    pq.write_table(pa.table(table), path, compression="zstd", **options)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_dictionary": False},
        {"row_group_size": 3},
        {"data_page_size": 10},
        {"version": "1.0"},
    ],
    ids=str,
)
@pytest.mark.parametrize("large", [(0, 1, 2), (2,)], ids=str)
def test_what_unpacks_to_more_than_images_is_refused(files, tmp_path, options, large):
    (cell,) = files.cells(files.pixels(1, 1, (28, 28)))
    rows = [b"\0" * (1 << 20) if row in large else cell["bytes"] for row in range(10)]
    path = bomb(tmp_path / "train-0.parquet", rows, **options)
    with pytest.raises(DataError, match=r"that unpack to|`image` has 1,048,576 bytes"):
        read(path)


def test_a_value_that_every_row_repeats_is_in_memory_once(tmp_path):
    # 400 MB if each row had its own.
    path, rows = tmp_path / "train-0.parquet", 4000
    once = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [b"\0" * 100_000])
    table = {"image": pa.StructArray.from_arrays([once], ["bytes"]), "label": [1] * rows}
    pq.write_table(pa.table(table), path, store_schema=False)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(
        DataError, match=r"row 0 .*has 100,000 bytes; an image of mnist has at most"
    ):
        read(path)
    assert pa.default_memory_pool().max_memory() - before < 10 << 20


def test_far_more_rows_than_bytes_are_refused(tmp_path, monkeypatch):
    path = bomb(tmp_path / "train-0.parquet", [b""] * 100_000)
    monkeypatch.setattr(parquet, "_ROWS_PER_BYTE", 1)
    with pytest.raises(DataError, match="its footer says that 100,000 rows are in it"):
        read(path)


def test_groups_of_any_size_are_read(files, tmp_path):
    path = tmp_path / "train-0.parquet"
    pixels = files.pixels(25, 1, (28, 28))
    labels = [row % 10 for row in range(25)]
    files.parquet(path, files.cells(pixels), labels)
    pq.write_table(pq.read_table(path), path, row_group_size=10)
    images, found = read(path)
    assert np.array_equal(images, pixels)
    assert found.tolist() == labels


def test_large_binary_is_read_too(files, tmp_path):
    made = files.pixels(3, 1, (28, 28))
    kind = pa.struct([("path", pa.string()), ("bytes", pa.large_binary())])
    table = pa.table({"image": pa.array(files.cells(made), kind), "label": [1, 2, 3]})
    pq.write_table(table, tmp_path / "train-0.parquet")
    np.testing.assert_array_equal(read(tmp_path / "train-0.parquet")[0], made)


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match="it is a FIFO, not a file"):
        read(tmp_path / "train-0.parquet")
