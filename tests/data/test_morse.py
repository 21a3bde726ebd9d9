"""The Morse set against its recipe: the code book, the lengths, the loudness, the difficulties."""

import dataclasses
import hashlib
from collections import Counter

import numpy as np
import pytest

from openwork.data import Morse, load
from openwork.data.morse_code import CODES
from openwork.errors import ArgumentError

PER_CLASS = 40


def _draw(morse: Morse, split: str = "test", per_class: int = PER_CLASS):
    labels = np.empty(64 * per_class, dtype=np.int64)
    images = np.empty((labels.size, 1, morse.side, morse.side), dtype=np.uint8)
    morse.draw(split, images, labels)
    return images.reshape(labels.size, -1), labels


def _runs(frame: np.ndarray) -> list[tuple[bool, int]]:
    """Stretches of tone and silence, with their lengths."""
    edges = np.flatnonzero(np.diff(frame > 0)) + 1
    return [(bool(part[0]), len(part)) for part in np.split(frame, edges)]


def _code(frame: np.ndarray, dash: int) -> str:
    return "".join("-" if n >= dash else "." for tone, n in _runs(frame) if tone)


def test_the_code_book_has_64_symbols_and_one_pair_written_alike():
    assert len(CODES) == 64
    assert all(set(code) <= set(".-") and 1 <= len(code) <= 6 for code in CODES.values())
    shared = [code for code, count in Counter(CODES.values()).items() if count > 1]
    assert shared == ["-.--."]
    assert [name for name, code in CODES.items() if code in shared] == ["(", "Ĥ"]
    assert [CODES[name] for name in "SO5?"] == ["...", "---", ".....", "..--.."]


@pytest.mark.parametrize("dilation", [1, 4])
def test_every_frame_spells_its_class(dilation):
    morse = Morse(dilation=dilation)
    images, labels = _draw(morse)
    codes = list(CODES.values())
    for frame, label in zip(images, labels, strict=True):
        assert _code(frame, 4 * dilation) == codes[label]
        assert frame[0] > 0, "nothing comes before the symbol"


@pytest.mark.parametrize(("dash", "dilation"), [(4, 1), (3, 1), (4, 4)])
def test_lengths_are_those_of_the_recipe_and_all_of_them(dash, dilation):
    images, labels = _draw(Morse(dash=dash, dilation=dilation), per_class=100)
    codes = list(CODES.values())
    found = {".": set(), "-": set(), "gap": set()}
    for frame, label in zip(images, labels, strict=True):
        tones = [n for tone, n in _runs(frame) if tone]
        for symbol, length in zip(codes[label], tones, strict=True):
            found[symbol].add(length)
        found["gap"] |= {n for tone, n in _runs(frame)[:-1] if not tone}
    assert found["."] == set(range(dilation, 3 * dilation + 1))
    assert found["-"] == set(range(dash * dilation, 9 * dilation + 1))
    assert found["gap"] == found["."]


def test_tones_are_as_loud_as_the_recipe_says_and_silence_is_silent():
    images, _ = _draw(Morse())
    loud = images[images > 0] / 255 * 16
    # 64,000 samples: four standard errors.
    assert loud.mean() == pytest.approx(12, abs=0.03)
    assert loud.std() == pytest.approx(1.34, abs=0.03)


def test_noise_reaches_silence_and_is_clipped():
    quiet, _ = _draw(Morse(noise=1))
    silence = quiet[:, -4:] / 255 * 16
    # Half of N(0, 1) is cut off at 0; what is left has the mean 1 / sqrt(2 pi).
    assert silence.mean() == pytest.approx(0.399, abs=0.03)
    assert (silence == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert _draw(Morse(noise=4))[0].max() == 255


def test_leading_silence_takes_any_share_of_what_is_spare():
    images, labels = _draw(Morse(leading=True))
    silent = np.array([_runs(frame)[0] for frame in images[labels == list(CODES).index("E")]])
    assert len(set(silent[:, 1].tolist())) > PER_CLASS // 2
    codes = list(CODES.values())
    assert all(_code(frame, 4) == codes[label] for frame, label in zip(images, labels, strict=True))


def test_every_class_comes_equally_often_and_in_no_order():
    _, labels = _draw(Morse())
    assert np.bincount(labels).tolist() == [PER_CLASS] * 64
    assert np.abs(np.diff(labels)).mean() > 15, "21 for labels in random order, 1 for sorted ones"


# Written down once, so that no platform or numpy may ever draw other frames.
def test_the_same_frames_everywhere():
    images, labels = _draw(Morse(noise=2, leading=True, seed=3))
    digest = hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "19e4cd04e81e91f4"


def test_splits_and_seeds_are_different_draws():
    one = _draw(Morse())[0]
    assert not np.array_equal(one, _draw(Morse(), "train")[0])
    assert not np.array_equal(one, _draw(Morse(seed=1))[0])


def test_a_name_says_everything():
    assert Morse.from_name("morse") == Morse.from_name("morse:") == Morse()
    name = "morse:noise=2.5,leading,dash=3,dilation=4,validation,seed=9"
    everything = Morse(2.5, True, 3, 4, True, 9)
    assert Morse.from_name(name) == everything
    assert all(
        getattr(everything, field.name) != field.default for field in dataclasses.fields(Morse)
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("morse:loud", "the setting 'loud'.*as in morse:noise=4,leading"),
        ("morse:noise", "the setting 'noise'"),
        ("morse:leading=1", "the setting 'leading=1'"),
        ("morse:dash=three", "the setting 'dash=three'"),
        ("morse:noise=-1", r"`noise`=-1.0 must be a finite number of at least 0"),
        ("morse:noise=nan", r"`noise`=nan"),
        ("morse:dash=5", "`dash`=5 must be 3 or 4"),
        ("morse:dilation=2", "`dilation`=2 must be 1 or 4"),
        ("morse:seed=-1", "`seed`=-1"),
        ("morse:noise=1,noise=2", "the setting 'noise=2'"),
    ],
)
def test_a_bad_name_is_refused(name, message):
    with pytest.raises(ArgumentError, match=message):
        load(name)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("dash", 3.0), ("dilation", True), ("noise", "1"), ("leading", 1), ("validation", "no")],
)
def test_a_setting_of_another_type_is_refused(setting, value):
    with pytest.raises(ArgumentError, match=f"`{setting}`="):
        Morse(**{setting: value})


def test_a_root_does_not_go_with_it(tmp_path):
    with pytest.raises(ArgumentError, match=r"`root`=.* does not apply to morse"):
        load("morse", tmp_path)
    with pytest.raises(ArgumentError, match="`image_size`='8' does not apply to morse"):
        load("morse", image_size=8)


def test_it_loads_as_the_others_do():
    data = load("morse")
    assert (len(data.train), len(data.test)) == (320_000, 64_000)
    assert (data.channels, data.image_size, data.num_classes) == (1, (8, 8), 64)
    expected, labels = _draw(Morse(), per_class=1000)
    assert np.array_equal(data.test.images.reshape(64_000, -1), expected)
    assert np.array_equal(data.test.labels, labels)
    chosen = load("morse:validation")
    assert np.array_equal(chosen.train.images, data.train.images)
    assert not np.array_equal(chosen.test.images, data.test.images)
