import hashlib
import os
import sys
import types
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import openwork.data
from openwork.data import load, names
from openwork.data.sources import EMBEDDED, SOURCES
from openwork.errors import ArgumentError, DataError, MissingPackageError

REAL = Path(
    os.environ.get("OPENWORK_DATA")
    or Path(__file__).resolve().parents[2].parent / "shared" / "datasets"
)


def digest(images):
    """First 16 hex digits of the sha256 over (N, H, W, C)."""
    upright = np.ascontiguousarray(np.asarray(images).transpose(0, 2, 3, 1))
    return hashlib.sha256(upright.data).hexdigest()[:16]


def test_public_names():
    assert openwork.data.__all__ == sorted(openwork.data.__all__)
    assert all(hasattr(openwork.data, name) for name in openwork.data.__all__)
    assert names() == ("mnist-subset", "mnist", "cifar10", "cifar100", "morse")


def test_class_names():
    assert [len(source.classes) for source in SOURCES.values()] == [10, 10, 10, 100]
    hundred = SOURCES["cifar100"].classes
    assert hundred == tuple(sorted(set(hundred)))
    assert (hundred[4], hundred[98]) == ("beaver", "woman")


def test_embedded_subset():
    data = load()
    assert data.name == "mnist-subset"
    assert (data.channels, data.image_size, data.num_classes) == (1, (28, 28), 10)
    assert (len(data.train), len(data.test)) == (10_000, 2_000)
    assert digest(data.train.images) == "61f83fe388c7ffc7"
    assert digest(data.test.images) == "f0d1250f0e1c81ed"
    for split in (data.train, data.test):
        shares = np.bincount(split.labels, minlength=10) / len(split)
        assert shares.min() > 0.075
        assert shares.max() < 0.125
    assert data.mean == (pytest.approx(0.1229, abs=1e-4),)
    assert data.std == (pytest.approx(0.2988, abs=1e-4),)


def test_embedded_subset_is_small_and_names_its_source():
    assert sum(path.stat().st_size for path in EMBEDDED.rglob("*.parquet")) <= 3_000_000
    licence = (EMBEDDED / "LICENSE.md").read_text(encoding="utf-8")
    assert all(word in licence for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0"))


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("mnist", "741c988805d008ac", "6d87418db22cc802"),
        pytest.param("cifar10", "47af8b02cfcfb6cd", "f9b1e2130bab680d", marks=pytest.mark.slow),
        pytest.param("cifar100", "0a97ad18733db059", "f03d0c24d8e08590", marks=pytest.mark.slow),
    ],
)
def test_official_bits(name, train, test):
    if not any((REAL / name).glob("train-*.parquet")):
        pytest.skip(f"{name} is not in {REAL}; set OPENWORK_DATA to a folder that holds it")
    data = load(name, REAL)
    assert (digest(data.train.images), digest(data.test.images)) == (train, test)


def test_subset_is_every_sixth_and_fifth_row():
    if not any((REAL / "mnist").glob("train-*.parquet")):
        pytest.skip(f"mnist is not in {REAL}; set OPENWORK_DATA to a folder that holds it")
    for split, every in (("train", 6), ("test", 5)):
        shard = f"mnist/{split}-00000-of-00001.parquet"
        whole, part = pq.read_table(REAL / shard), pq.read_table(EMBEDDED / shard)
        rows = np.arange(0, whole.num_rows, every)
        assert part.select(["image", "label"]).equals(whole.select(["image", "label"]).take(rows))


def test_root_goes_before_the_environment(files, tmp_path, monkeypatch):
    files.mnist(tmp_path / "one" / "mnist", train=3)
    files.mnist(tmp_path / "two" / "mnist", train=5)
    monkeypatch.setenv("OPENWORK_DATA", str(tmp_path / "one"))
    assert len(load("mnist").train) == 3
    assert len(load("mnist", str(tmp_path / "two")).train) == 5


def test_root_without_the_data_set(files, tmp_path, monkeypatch):
    files.mnist(tmp_path / "mnist")
    with pytest.raises(DataError, match=r"cifar10/train-\*\.parquet .*; it holds mnist$"):
        load("cifar10", tmp_path)
    monkeypatch.setenv("OPENWORK_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"`OPENWORK_DATA`=.* does not hold cifar100"):
        load("cifar100")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"`root`=.*; it holds no known data set"):
        load("mnist", tmp_path / "empty")
    with pytest.raises(DataError, match=r"`root`=.*nowhere' is not a folder"):
        load("mnist", tmp_path / "nowhere")


def test_a_split_is_missing(files, tmp_path):
    files.mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"mnist` has no test-\*\.parquet"):
        load("mnist", tmp_path)


def test_unknown_name_suggests():
    with pytest.raises(ArgumentError, match=r"'cifra10' .* did you mean cifar10 or cifar100\? "):
        load("cifra10")
    with pytest.raises(ArgumentError, match="did you mean mnist"):
        load("MNIST")
    with pytest.raises(ArgumentError, match=r"data set; choose one of mnist-subset, .*folder:PATH"):
        load("svhn!")
    with pytest.raises(ArgumentError, match="`name`=3 must be a string"):
        load(3)  # type: ignore[arg-type]


def test_arguments_that_do_not_go_together(tmp_path):
    with pytest.raises(ArgumentError, match="`image_size`=32 applies only to `folder:PATH`"):
        load("mnist", tmp_path, image_size=32)
    with pytest.raises(ArgumentError, match=r"`root`=.* does not apply to mnist-subset"):
        load(root=tmp_path)


def test_hub(files, tmp_path, monkeypatch):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    made = files.mnist(tmp_path / "snapshot" / "mnist")
    asked = []

    def snapshot_download(*positional, **named):
        asked.append((positional, named))
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    data = load("mnist")
    np.testing.assert_array_equal(data.test.images, made["test"])
    wanted = {"repo_type": "dataset", "allow_patterns": "*.parquet"}
    assert asked == [(("ylecun/mnist",), wanted)]


def test_hub_out_of_reach(monkeypatch):
    def snapshot_download(*_, **__):
        raise ConnectionError("no route to host")

    stand_in = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    with pytest.raises(DataError, match=r"uoft-cs/cifar10\): no route .*set OPENWORK_DATA"):
        load("cifar10")


def test_hub_package_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    wanted = r"pip install openwork\[hub\], or set OPENWORK_DATA"
    with pytest.raises(MissingPackageError, match=wanted):
        load("mnist")
