"""The Morse data set, drawn from its recipe: no files, the same frames on every machine."""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from openwork._arguments import check_count, check_flag, check_seed, is_number
from openwork.data.morse_code import CODES
from openwork.errors import ArgumentError
from openwork.patterns.keys import shuffled, stream

PER_CLASS = {"train": 5000, "validation": 1000, "test": 1000}
"""Frames of each class in each split: 320,000, 64,000 and 64,000 in all."""

_DOT, _GAP, _LONGEST_DASH = (1, 3), (1, 3), 9
_LOUDNESS, _SPREAD, _LOUDEST = 12.0, 1.34, 16.0
_CHUNK = 8192
_SYMBOLS = max(map(len, CODES.values()))


@dataclass(frozen=True)
class Morse:
    """Which Morse data set: the difficulty, the seed, and what to test on.

    A symbol is a row of tones with silence between them: a dot lasts 1 to 3 samples, a dash 4 to
    9, a gap 1 to 3, each length equally likely; the rest of the 64 samples is silence. A tone's
    samples are drawn from N(12, 1.34), noise is added to all, and what results is clipped to
    [0, 16], divided by 16 and rounded to three decimals.

    A frame is stored as a grey image of one row after the other, `(1, 8, 8)` or `(1, 16, 16)`, in
    the 256 steps of all images here, where the authors keep the three decimals.

    Args:
        noise: deviation of the noise on every sample, default 0; the authors try up to 4.
        leading: share the spare silence out at random before and after the symbol; by default all
            of it comes after.
        dash: the shortest dash, default 4; with 3 a dash can be as short as the longest dot.
        dilation: 1 (default), or 4 for four times longer tones, gaps and frames.
        validation: test on the validation frames, to choose settings by; default False.
        seed: whole number >= 0, default 0.

    Raises:
        ArgumentError: a value out of its range.

    Source: the generator of "Characterizing Sparse Connectivity Patterns in Neural Networks"
    (2018). Its "difficult" set is `noise=4, leading, dash=3`. Normal numbers are taken from
    65,536 quantiles, so they end at 4.2 deviations.
    """

    noise: float = 0.0
    leading: bool = False
    dash: int = 4
    dilation: int = 1
    validation: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_number(self.noise) or not 0 <= self.noise < float("inf"):
            raise ArgumentError(f"`noise`={self.noise!r} must be a number of 0 or more")
        check_flag("leading", self.leading)
        check_flag("validation", self.validation)
        for name, allowed in (("dash", (3, 4)), ("dilation", (1, 4))):
            if check_count(name, getattr(self, name)) not in allowed:
                raise ArgumentError(
                    f"`{name}`={getattr(self, name)!r} must be {' or '.join(map(str, allowed))}"
                )
        check_seed(self.seed)

    @classmethod
    def from_name(cls, name: str) -> Self:
        """The data set that `morse:noise=4,leading,dash=3` names; plain `morse` is the default.

        Raises:
            ArgumentError: an unknown setting, one given twice, or a value that is not of its kind.
        """
        settings: dict[str, Any] = {}
        for part in filter(None, name.partition(":")[2].split(",")):
            key, _, value = part.partition("=")
            kind = _KINDS.get(key)
            try:
                if kind is None or (kind is bool) != (not value) or key in settings:
                    raise ValueError(part)
                settings[key] = kind(value) if value else True
            except ValueError as error:
                raise ArgumentError(
                    f"`name`={name!r} has the setting {part!r}; a Morse data set is written such "
                    "as morse:noise=4,leading,dash=3,dilation=4,validation,seed=1"
                ) from error
        return cls(**settings)

    @property
    def side(self) -> int:
        """Height and width of a frame kept as an image; their product is the frame's length."""
        return 8 if self.dilation == 1 else 16

    def draw(self, split: str, images: np.ndarray, labels: np.ndarray) -> None:
        """Fill `images` and `labels` with the frames of `split`, every class equally often.

        Args:
            split: a key of `PER_CLASS`; each has a stream of its own.
            images: uint8, shape (64 n, 1, side, side) for n frames a class.
            labels: int64, shape (64 n,).
        """
        bits = stream(self.seed, f"morse {split}")
        labels[:] = shuffled(len(labels), bits) % len(CODES)
        for first in range(0, len(labels), _CHUNK):
            rows = slice(first, first + _CHUNK)
            tones = self._tones(labels[rows], bits)
            images[rows] = self._sound(tones, bits).reshape(-1, 1, self.side, self.side)

    def _tones(self, labels: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
        """Where there is a tone: bool, (N, frame length)."""
        kinds = _code_book()[labels]
        words = _words((2, len(labels), _SYMBOLS), bits)
        dots = _between(*_DOT, words[0], self.dilation)
        dashes = _between(self.dash, _LONGEST_DASH, words[0], self.dilation)
        lengths = np.where(kinds == 2, dashes, dots) * (kinds > 0)
        # A gap belongs to the symbol before it, and the last symbol has none.
        gaps = _between(*_GAP, words[1], self.dilation)
        gaps[:, :-1] *= kinds[:, 1:] > 0
        gaps[:, -1] = 0
        ends = np.cumsum(lengths + gaps, axis=1) - gaps
        if self.leading:
            spare = self.side**2 - ends.max(axis=1)
            ends += _between(0, spare, _words(len(labels), bits))[:, None]
        time = np.arange(self.side**2)
        tones = np.zeros((len(labels), time.size), dtype=bool)
        for start, end in zip((ends - lengths).T, ends.T, strict=True):
            tones |= (time >= start[:, None]) & (time < end[:, None])
        return tones

    def _sound(self, tones: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
        """Tones with their loudness and the noise: uint8, same shape."""
        normal = _quantiles()
        if not self.noise:
            return _pixels(_LOUDNESS + _SPREAD * normal)[_words(tones.shape, bits)] * tones
        loudness = (_LOUDNESS + _SPREAD * normal)[_words(tones.shape, bits)]
        noise = (self.noise * normal)[_words(tones.shape, bits)]
        return _pixels(loudness * tones + noise)


_KINDS: dict[str, type] = {
    "noise": float,
    "leading": bool,
    "dash": int,
    "dilation": int,
    "validation": bool,
    "seed": int,
}


class MorseReader:
    """The Morse data set called `name`, as the cache wants it."""

    slug = "morse"
    classes = tuple(CODES)

    def __init__(self, name: str) -> None:
        self.name = name
        self._morse = Morse.from_name(name)
        self.parameters: dict[str, Any] = {"morse": asdict(self._morse), "recipe": 1}

    def files(self) -> list[tuple[str, Path]]:
        """None: everything is drawn."""
        return []

    def shape(self, split: str) -> tuple[int, int, int, int]:
        """Shape of the images of `split`."""
        side = self._morse.side
        return PER_CLASS[self._source(split)] * len(CODES), 1, side, side

    def decode(self, split: str, images: np.ndarray, labels: np.ndarray) -> None:
        """Fill `images` and `labels`."""
        self._morse.draw(self._source(split), images, labels)

    def _source(self, split: str) -> str:
        return "validation" if split == "test" and self._morse.validation else split


@functools.cache
def _code_book() -> np.ndarray:
    """(64, 6): 1 for a dot, 2 for a dash, 0 behind the last one."""
    rows = [[1 + ".-".index(symbol) for symbol in code] for code in CODES.values()]
    return np.array([row + [0] * (_SYMBOLS - len(row)) for row in rows])


@functools.cache
def _quantiles() -> np.ndarray:
    """The 65,536 quantiles of the standard normal distribution, float64."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((step + 0.5) / 65536) for step in range(65536)])


def _words(shape: int | tuple[int, ...], bits: np.random.PCG64) -> np.ndarray:
    """Random uint16 numbers of `shape`, four from each raw number."""
    count = int(np.prod(shape))
    return bits.random_raw(-(-count // 4)).astype("<u8").view("<u2")[:count].reshape(shape)


def _between(low: int, high: int | np.ndarray, words: np.ndarray, times: int = 1) -> np.ndarray:
    """Whole numbers, equally likely from `low * times` to `high * times`, one for each word."""
    low, high = low * times, high * times
    return low + (words.astype(np.int64) * (high - low + 1) >> 16)


def _pixels(sound: np.ndarray) -> np.ndarray:
    """Clipped, rounded to thousandths of the loudest, then to 256 steps: uint8."""
    thousandths = np.rint(np.clip(sound, 0, _LOUDEST) * (1000 / _LOUDEST))
    return np.rint(thousandths * 0.255).astype(np.uint8)
