import math

import numpy as np
import pytest

from openwork.data import DataSet, Split
from openwork.data import split as split_module
from openwork.data.split import channel_statistics
from openwork.errors import DataError


def make(count=4, shape=(3, 5, 7), labels=None):
    images = np.arange(count * math.prod(shape), dtype=np.int64).reshape(count, *shape) % 256
    labels = np.zeros(count, np.int64) if labels is None else np.array(labels)
    return Split(images.astype(np.uint8), labels)


def make_set(train, test, mean=(0.5,) * 3, std=(0.5,) * 3, classes=("a", "b")):
    return DataSet("made", train, test, classes, mean, std)


def test_length_and_properties():
    data = make_set(make(4), make(2))
    assert (len(data.train), len(data.test)) == (4, 2)
    assert (data.channels, data.image_size, data.num_classes) == (3, (5, 7), 2)


def test_lengths_must_agree():
    with pytest.raises(DataError, match=r"`images` has 4 rows and `labels` 3"):
        make(4, labels=[0, 0, 0])


@pytest.mark.parametrize("shape", [(0, 3, 5, 7), (2, 3, 0, 7)])
def test_empty(shape):
    with pytest.raises(DataError, match=r"data set is empty: `images` has shape"):
        Split(np.zeros(shape, np.uint8), np.zeros(shape[0], np.int64))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 3, 4, 4), np.float32), np.zeros(2, np.int64), "`images` is float32"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64), r"must be uint8 of shape \(N, C"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int32), "`labels` is int32"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.zeros((2, 1), np.int64), r"shape \(N,\)"),
    ],
)
def test_types(images, labels, message):
    with pytest.raises(DataError, match=message):
        Split(images, labels)


def test_set_must_fit_together():
    with pytest.raises(DataError, match=r"test images \(3, 4, 4\)"):
        make_set(make(), make(shape=(3, 4, 4)))
    with pytest.raises(DataError, match=r"`mean`=.* must be 3 finite numbers"):
        make_set(make(), make(), mean=(0.5,))
    with pytest.raises(DataError, match=r"`std`=.* must be above 0"):
        make_set(make(), make(), std=(0.5, 0.0, 0.5))
    with pytest.raises(DataError, match=r"test labels run from 0 to 2; .* 0\.\.1"):
        make_set(make(), make(labels=[0, 2, 0, 1]))


def test_statistics_equal_the_plain_formula_whatever_the_chunk(monkeypatch):
    images = np.random.default_rng(1).integers(0, 256, (11, 3, 6, 4), dtype=np.uint8)
    planes = images.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1) / 255
    whole = channel_statistics(images)
    np.testing.assert_allclose(whole[0], planes.mean(1), rtol=1e-14)
    np.testing.assert_allclose(whole[1], planes.std(1), rtol=1e-13)
    monkeypatch.setattr(split_module, "_CHUNK_VALUES", 2 * 72)
    assert channel_statistics(images) == whole


def test_constant_channel_has_deviation_one():
    images = np.full((5, 2, 3, 3), 255, np.uint8)
    images[0, 1] = 0
    mean, std = channel_statistics(images)
    assert mean == (1.0, 0.8)
    assert std[0] == 1.0
    assert std[1] == pytest.approx(0.4, rel=1e-15)
