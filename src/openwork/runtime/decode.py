"""The inverse of `Encoder`: JSON and arrays to nested Python data, every form checked."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from openwork.patterns import Pattern
from openwork.runtime.file_errors import MalformedFile, require
from openwork.runtime.fits import fits
from openwork.runtime.values import Alias, Value

__all__ = ["Decoder", "check_type", "short"]

# Floats of one image in one value (eight gigabytes), and taps of one layer. Only damaged files have
# more.
_MOST_FLOATS, _MOST_TAPS = 1 << 31, 1 << 28


class Decoder:
    """JSON to Python data. What needs torch is added by a subclass in the engine.

    Args:
        tensors: the arrays that the JSON may refer to, by name.
        values: `Encoder.values`.

    Raises:
        MalformedFile: a value has an impossible shape, or refers to a later one.
    """

    def __init__(self, tensors: Mapping[str, Any], values: Sequence[Any]) -> None:
        self._tensors = tensors
        self._values: list[Value] = []
        self._forms = self.forms()
        for record in values:
            self._values.append(self._new_value(record))

    def forms(self) -> dict[str, Callable[[Any], Any]]:
        """The decoder of each tag."""
        return {
            "tuple": self._tuple,
            "dict": self._dict,
            "ordered": self._ordered,
            "value": self._value,
            "tensor": self.tensor,
            "array": self.array,
            "pattern": self._pattern,
            "typed": self.typed,
        }

    def decode(self, item: Any) -> Any:
        """The inverse of `Encoder.encode`.

        Raises:
            MalformedFile: `item` has none of its forms.
        """
        if item is None or isinstance(item, bool | int | float | str):
            return item
        if isinstance(item, list):
            return [self.decode(each) for each in cast(list[Any], item)]
        require(
            isinstance(item, dict) and len(cast(dict[Any, Any], item)) == 1,
            f"{short(item)} must be a number, text, a list, or a mapping of one tag to its content",
        )
        ((tag, content),) = cast(dict[Any, Any], item).items()
        form = self._forms.get(tag)
        if form is None:
            raise MalformedFile(f"the tag {short(tag)} must be one of {', '.join(self._forms)}")
        return form(content)

    def decode_as(self, hint: Any, name: str, item: Any) -> Any:
        """`decode`, for an entry that must be of the annotated type `hint`.

        Raises:
            MalformedFile: it is not; `name` is named.
        """
        entry = self.decode(item)
        require(fits(entry, hint), f"`{name}` must be {hint}, not {short(entry)}")
        return entry

    def tensor(self, name: Any) -> Any:
        """The tensor called `name`, as it was given."""
        tensor = self._tensors.get(check_type(name, str))
        if tensor is None:
            raise MalformedFile(f"there is no tensor {short(name)}")
        return tensor

    def array(self, name: Any) -> np.ndarray:
        """The tensor called `name`, as an array."""
        return self.tensor(name)

    def typed(self, parts: Any) -> Any:
        """A container of a class of the user's, as the plain tuple, list or dict inside."""
        _, _, content, _ = check_type(parts, list)
        decoded = self.decode(content)
        require(isinstance(decoded, tuple | list | dict), f"{short(content)} must be a container")
        return decoded

    def _tuple(self, items: Any) -> tuple[Any, ...]:
        return tuple(self.decode(check_type(items, list)))

    def _dict(self, pairs: Any) -> dict[Any, Any]:
        return {self.decode(key): self.decode(each) for key, each in check_type(pairs, list)}

    def _ordered(self, pairs: Any) -> OrderedDict[Any, Any]:
        return OrderedDict(self._dict(pairs))

    def _value(self, number: Any) -> Value:
        require(
            0 <= check_type(number, int) < len(self._values),
            f"value {number} must be one of the {len(self._values)} before it",
        )
        return self._values[cast(int, number)]

    def _pattern(self, parts: Any) -> Pattern:
        shape, groups, whole, gaps = check_type(parts, list)
        require(
            _product(_sizes(shape, least=1)) <= _MOST_TAPS,
            f"a layer of shape {short(shape)} must have at most {_MOST_TAPS} taps",
        )
        steps = self.array(gaps)
        return Pattern.from_gaps(
            shape, steps, whole=check_type(whole, bool), groups=check_type(groups, int)
        )

    def _new_value(self, record: Any) -> Value:
        name, shape = check_type(record["name"], str), tuple(_sizes(record["shape"], least=-1))
        require(
            _product(shape) <= _MOST_FLOATS,
            f"a value of shape {shape} must have at most {_MOST_FLOATS} numbers",
        )
        if "of" not in record:
            return Value(shape, name)
        base = self._value(record["of"])
        same = _product(shape) == _product(base.shape)
        require(
            same and min((*shape, *base.shape), default=1) >= 1,
            f"shape {shape} must be known and hold as many numbers as {base.shape}, which it views",
        )
        return Alias(base, shape)


def check_type(item: Any, kind: type) -> Any:
    """`item`, which must be of exactly that type.

    Raises:
        MalformedFile: it is of another.
    """
    require(type(item) is kind, f"{short(item)} must be of type {kind.__name__}")
    return item


def short(item: Any) -> str:
    """`item` for a message."""
    text = repr(item)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sizes(shape: Any, least: int) -> list[int]:
    for size in check_type(shape, list):
        require(check_type(size, int) >= least, f"sizes of {short(shape)} must be at least {least}")
    return shape


def _product(sizes: Sequence[int]) -> int:
    # In Python's whole numbers, which do not overflow.
    return math.prod(abs(size) for size in sizes)
