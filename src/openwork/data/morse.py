"""The Morse data set, generated from its recipe: no files, the same frames on every machine."""

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
"""Frames per class in each split: 320,000, 64,000 and 64,000 in total."""

_DOT, _GAP, _LONGEST_DASH = (1, 3), (1, 3), 9
_LOUDNESS, _SPREAD, _LOUDEST = 12.0, 1.34, 16.0
_CHUNK = 8192
_SYMBOLS = max(map(len, CODES.values()))


@dataclass(frozen=True)
class Morse:
    """A Morse data set: its difficulty, its seed, and which frames to test on.

    A symbol is a sequence of tones with silence between them: a dot lasts 1 to 3 samples, a dash 4
    to 9, a gap 1 to 3, each length equally likely; the rest of the 64 samples is silence. The
    samples of a tone are drawn from N(12, 1.34), noise is added to all samples, and the result is
    clipped to [0, 16], divided by 16 and rounded to three decimals.

    A frame is stored as a grey image, row by row: `(1, side, side)` uint8 with a side of 8 or 16.
    Like all images here it has 256 levels, where the authors keep the three decimals.

    Args:
        noise: standard deviation of the noise on every sample, default 0; the authors use up to 4.
        leading: True splits the spare silence at random before and after the symbol; False
            (default) puts all of it after.
        dash: shortest length of a dash, 4 (default) or 3, as short as the longest dot.
        dilation: 1 (default), or 4 for tones, gaps and frames that are four times longer.
        validation: test on the validation frames, for choosing settings, default False.
        seed: whole number >= 0, default 0.

    Raises:
        ArgumentError: a value outside its range.

    Source: the generator of "Characterizing Sparse Connectivity Patterns in Neural Networks"
    (2018). Its "difficult" set is `noise=4, leading, dash=3`. Ours: normal numbers are taken from
    65,536 quantiles, so they end at 4.2 standard deviations.
    """

    noise: float = 0.0
    leading: bool = False
    dash: int = 4
    dilation: int = 1
    validation: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_number(self.noise) or not 0 <= self.noise < float("inf"):
            raise ArgumentError(f"`noise`={self.noise!r} must be a finite number of at least 0")
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
        """The data set of a name such as `morse:noise=4,leading,dash=3`; `morse` is the default.

        Raises:
            ArgumentError: an unknown or repeated setting, or a value of the wrong type.
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
                    f"`name`={name!r} has the setting {part!r}, which is unknown, repeated or of "
                    "the wrong type; write a Morse data set as in "
                    "morse:noise=4,leading,dash=3,dilation=4,validation,seed=1"
                ) from error
        return cls(**settings)

    @property
    def side(self) -> int:
        """Height and width in pixels of a frame as an image; a frame has `side**2` samples."""
        return 8 if self.dilation == 1 else 16

    def draw(self, split: str, images: np.ndarray, labels: np.ndarray) -> None:
        """Fill `images` and `labels` with the frames of `split`, every class equally often.

        Args:
            split: a key of `PER_CLASS`; each split has an independent random stream.
            images: `(64 n, 1, side, side)` uint8, for n frames per class.
            labels: `(64 n,)` int64.
        """
        bits = stream(self.seed, f"morse {split}")
        labels[:] = shuffled(len(labels), bits) % len(CODES)
        for first in range(0, len(labels), _CHUNK):
            rows = slice(first, first + _CHUNK)
            tones = self._tones(labels[rows], bits)
            images[rows] = self._sound(tones, bits).reshape(-1, 1, self.side, self.side)

    def _tones(self, labels: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
        """Where there is a tone: (N, frame length) bool."""
        kinds = _code_book()[labels]
        words = _words((2, len(labels), _SYMBOLS), bits)
        dots = _between(*_DOT, words[0], self.dilation)
        dashes = _between(self.dash, _LONGEST_DASH, words[0], self.dilation)
        lengths = np.where(kinds == 2, dashes, dots) * (kinds > 0)
        # A gap follows each tone but the last.
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
        """Samples with loudness and noise, from `tones` (N, frame length): uint8, same shape."""
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
    """The Morse data set called `name` (a `Reader` for the cache)."""

    slug = "morse"
    classes = tuple(CODES)

    def __init__(self, name: str) -> None:
        self.name = name
        self._morse = Morse.from_name(name)
        self.parameters: dict[str, Any] = {"morse": asdict(self._morse), "recipe": 1}

    def files(self) -> list[tuple[str, Path]]:
        """No files: everything is generated."""
        return []

    def shape(self, split: str) -> tuple[int, int, int, int]:
        """(N, C, H, W) of the images of `split`."""
        side = self._morse.side
        return PER_CLASS[self._source(split)] * len(CODES), 1, side, side

    def decode(self, split: str, images: np.ndarray, labels: np.ndarray) -> None:
        """Fill `images` (N, C, H, W) uint8 and `labels` (N,) int64."""
        self._morse.draw(self._source(split), images, labels)

    def _source(self, split: str) -> str:
        return "validation" if split == "test" and self._morse.validation else split


@functools.cache
def _code_book() -> np.ndarray:
    """(64, 6): 1 for a dot, 2 for a dash, 0 after the last of them."""
    rows = [[1 + ".-".index(symbol) for symbol in code] for code in CODES.values()]
    return np.array([row + [0] * (_SYMBOLS - len(row)) for row in rows])


@functools.cache
def _quantiles() -> np.ndarray:
    """The 65,536 quantiles of the standard normal distribution, float64."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((step + 0.5) / 65536) for step in range(65536)])


def _words(shape: int | tuple[int, ...], bits: np.random.PCG64) -> np.ndarray:
    """Random uint16 numbers of `shape`, four per raw number."""
    count = int(np.prod(shape))
    return bits.random_raw(-(-count // 4)).astype("<u8").view("<u2")[:count].reshape(shape)


def _between(low: int, high: int | np.ndarray, words: np.ndarray, times: int = 1) -> np.ndarray:
    """Uniform whole numbers from `low * times` to `high * times`, one per word."""
    low, high = low * times, high * times
    return low + (words.astype(np.int64) * (high - low + 1) >> 16)


def _pixels(sound: np.ndarray) -> np.ndarray:
    """Clipped, rounded to thousandths of the maximum, then to 256 levels: uint8."""
    thousandths = np.rint(np.clip(sound, 0, _LOUDEST) * (1000 / _LOUDEST))
    return np.rint(thousandths * 0.255).astype(np.uint8)
