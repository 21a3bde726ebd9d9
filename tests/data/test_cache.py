import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from openwork._files import cache_folder
from openwork._locks import try_lock
from openwork.data import load
from openwork.data.parquet import ParquetReader
from openwork.errors import DataError


@pytest.fixture
def root(files, tmp_path):
    files.mnist(tmp_path / "root" / "mnist")
    return tmp_path / "root"


@pytest.fixture
def decoded(monkeypatch):
    """The splits that were really decoded, in order."""
    seen, decode = [], ParquetReader.decode

    def spy(self, split, images, labels):
        seen.append(split)
        return decode(self, split, images, labels)

    monkeypatch.setattr(ParquetReader, "decode", spy)
    return seen


def entry_of(cache):
    (entry,) = cache.iterdir()
    return entry


def test_second_load_decodes_nothing_and_is_the_same(root, cache, decoded):
    first, second = load("mnist", root), load("mnist", root)
    assert decoded == ["train", "test"]
    assert isinstance(second.train.images, np.memmap)
    assert not second.train.images.flags.writeable
    np.testing.assert_array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.test.labels, second.test.labels)
    for field in ("name", "classes", "mean", "std"):
        assert getattr(first, field) == getattr(second, field)


def test_an_entry_holds_what_is_documented(root, cache):
    load("mnist", root)
    entry = entry_of(cache)
    name, _, key = entry.name.rpartition("-")
    assert name == "mnist"
    assert len(key) == 16
    assert int(key, 16) >= 0
    arrays = {f"{s}-{a}.npy" for s in ("train", "test") for a in ("images", "labels")}
    assert {path.name for path in entry.iterdir()} == arrays | {"meta.json"}
    assert json.loads((entry / "meta.json").read_text())["train"] == [6, 1, 28, 28]


def test_statistics_are_of_the_training_split(files, root):
    data = load("mnist", root)
    train = data.train.images / 255
    assert data.mean == (pytest.approx(train.mean(), rel=1e-12),)
    assert data.std == (pytest.approx(train.std(), rel=1e-12),)


def test_changed_source_is_another_entry(files, root, cache, decoded):
    load("mnist", root)
    path = root / "mnist" / "test-00000-of-00001.parquet"
    os.utime(path, ns=(0, 0))
    load("mnist", root)
    made = files.mnist(root / "mnist", train=3)
    data = load("mnist", root)
    assert decoded == ["train", "test"] * 3
    assert len(list(cache.iterdir())) == 3
    np.testing.assert_array_equal(data.train.images, made["train"])


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def pickled(path):
    np.save(path, np.array([{}] * 6), allow_pickle=True)


def edited(key, value):
    def edit(path):
        meta = json.loads(path.read_text())
        meta[key] = value
        path.write_text(json.dumps(meta))

    return edit


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train-images.npy", truncate),
        ("test-labels.npy", truncate),
        ("train-images.npy", lambda path: path.write_bytes(b"")),
        ("train-images.npy", lambda path: path.write_bytes(b"PK\x03\x04 no zip")),
        ("train-images.npy", lambda path: path.unlink()),
        ("train-labels.npy", pickled),
        ("train-labels.npy", lambda path: np.save(path, np.full(6, 10))),
        ("train-labels.npy", lambda path: np.save(path, np.zeros(5, np.int64))),
        ("test-images.npy", lambda path: np.save(path, np.zeros((4, 1, 28, 27), np.uint8))),
        ("train-images.npy", lambda path: path.write_bytes(path.read_bytes().replace(b"}", b"("))),
        ("meta.json", lambda path: path.write_text("[" * 200_000)),
        ("meta.json", truncate),
        ("meta.json", lambda path: path.write_text("[]")),
        ("meta.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("meta.json", lambda path: path.unlink()),
        ("meta.json", edited("classes", ["a"])),
        ("meta.json", edited("classes", None)),
        ("meta.json", edited("mean", ["x"])),
        ("meta.json", edited("std", [0.0])),
        ("meta.json", edited("train", [7, 1, 28, 28])),
    ],
)
def test_damaged_entry_is_rebuilt(root, cache, decoded, name, damage):
    before = load("mnist", root).train.images.copy()
    damage(entry_of(cache) / name)
    after = load("mnist", root)
    assert decoded == ["train", "test"] * 2
    np.testing.assert_array_equal(after.train.images, before)
    assert [path.name for path in entry_of(cache).parent.iterdir()] == [entry_of(cache).name]
    load("mnist", root)
    assert decoded == ["train", "test"] * 2, "the rebuilt entry is sound"


def test_a_failed_build_leaves_nothing(files, root, cache):
    files.parquet(root / "mnist" / "test-00000-of-00001.parquet", [None], [0])
    with pytest.raises(DataError, match="`image` is null"):
        load("mnist", root)
    assert list(cache.iterdir()) == []


def test_the_slower_builder_takes_the_entry_of_the_faster(root, cache, monkeypatch):
    decode, nested = ParquetReader.decode, []

    def overtaken(self, split, images, labels):
        if not nested:
            nested.append(None)
            nested[0] = load("mnist", root)
        return decode(self, split, images, labels)

    monkeypatch.setattr(ParquetReader, "decode", overtaken)
    data = load("mnist", root)
    np.testing.assert_array_equal(data.train.images, nested[0].train.images)
    assert entry_of(cache).name.startswith("mnist-")


def test_two_processes_build_at_once(cache):
    code = "from openwork.data import load; print(len(load().train), load().mean[0])"
    command = [sys.executable, "-c", code]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=100) for process in running]
    assert [process.returncode for process in running] == [0, 0], told
    assert told[0][0] == told[1][0]
    assert told[0][0].startswith("10000 0.12")
    assert entry_of(cache).name.startswith("mnist-subset-")


def test_cache_that_cannot_be_written(tmp_path, root, monkeypatch):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("OPENWORK_CACHE", str(blocked / "cache"))
    with pytest.raises(DataError, match=r"cache folder .*file.cache` cannot be .*OPENWORK_CACHE"):
        load("mnist", root)


def test_full_disk(root, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(DataError, match=r"No space left on device.*OPENWORK_CACHE"):
        load("mnist", root)
    assert list(cache.iterdir()) == []


def test_map_survives_the_removal_of_its_entry(root, cache):
    data = load("mnist", root)
    before = data.train.images.copy()
    shutil.rmtree(entry_of(cache))
    np.testing.assert_array_equal(data.train.images, before)


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("OPENWORK_CACHE", "~/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/own")
    monkeypatch.setenv("OPENWORK_CACHE", "")
    assert cache_folder() == Path("/shared/openwork")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/someone/.cache/openwork")


def test_no_home(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("OPENWORK_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DataError, match=r"no home folder.*set `OPENWORK_CACHE"):
        cache_folder()


def test_what_a_killed_process_left_is_removed(root, cache):
    left = [cache / f".mnist-0123456789abcdef.{'0' * 32}.{end}" for end in ("partial", "damaged")]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "train-images.npy").write_bytes(b"x")
    building = cache / f".mnist-0123456789abcdef.{'1' * 32}.partial"
    building.mkdir()
    descriptor = os.open(building, os.O_RDONLY)
    try_lock(descriptor)
    load("mnist", root)
    assert [folder for folder in left if folder.exists()] == []
    assert building.exists(), "another process is building it"
    os.close(descriptor)


def test_names_need_not_be_utf_8(files, tmp_path, caplog):
    root = tmp_path / "f\udcff"
    for label in ("a\udcfe", "b"):
        files.images(root / label, 3)
    (root / "b" / "000.png").rename(root / "b" / "\udcfd.png")
    (root / "b" / "Thumbs.db").touch()
    data = load(f"folder:{root}")
    assert data.classes == ("a\udcfe", "b")
    assert "skipped 1 files" in caplog.text
    assert load(f"folder:{root}").name == data.name
