"""Nested Python data as JSON and tensors, and back; nothing but the kinds listed here."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.fx.immutable_collections import immutable_dict, immutable_list

from openwork.engine.graph import Alias, Value
from openwork.patterns import Pattern

# Floats of one image in one value (eight gigabytes), and taps of one layer. Beyond it is damage.
_MOST_FLOATS, _MOST_TAPS = 1 << 31, 1 << 28

_TORCH = {
    "dtype": torch.dtype,
    "layout": torch.layout,
    "memory_format": torch.memory_format,
}


class Unplain(Exception):
    """Something that is no plain data, or no data of this form; the text says what."""


class Encoder:
    """Python data to JSON.

    Attributes:
        tensors: what the JSON names, by name.
        values: the values met, each alias after what it names, as JSON.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self.values: list[dict[str, Any]] = []
        self._numbers: dict[Value, int] = {}

    def encode(self, item: Any) -> Any:
        """`item` as JSON.

        Raises:
            Unplain: it holds something of another kind.
        """
        # By the exact type: a named tuple would come back as a plain one.
        kind = type(item)
        if item is None or kind in (bool, int, float, str):
            return item
        if kind in (list, immutable_list):
            return [self.encode(each) for each in item]
        if kind is tuple or kind is torch.Size:
            return {"tuple": [self.encode(each) for each in item]}
        if kind in (dict, OrderedDict, immutable_dict):
            pairs = [[self.encode(key), self.encode(each)] for key, each in item.items()]
            return {"ordered" if kind is OrderedDict else "dict": pairs}
        if isinstance(item, Value):
            return {"value": self._number(item)}
        return self._leaf(item)

    def _leaf(self, item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return {"array": self._keep(torch.from_numpy(np.ascontiguousarray(item)))}
        if type(item) in (torch.Tensor, torch.nn.Parameter):
            if item.layout != torch.strided or item.is_quantized or item.device.type != "cpu":
                raise Unplain(f"a tensor of {item.layout} on {item.device}")
            return {"tensor": self._keep(item.detach())}
        if isinstance(item, Pattern):
            return {"pattern": [list(item.shape), item.groups, item.whole, self._gaps(item)]}
        for name, kind in _TORCH.items():
            if isinstance(item, kind):
                return {name: str(item).removeprefix("torch.")}
        if item == torch.device("cpu"):
            return {"device": "cpu"}
        raise Unplain(f"a {type(item).__module__}.{type(item).__qualname__}")

    def _gaps(self, pattern: Pattern) -> str:
        # A copy, for torch takes no array that must not be written to.
        return self._keep(torch.from_numpy(pattern.gaps.copy()))

    def _number(self, value: Value) -> int:
        if value not in self._numbers:
            record: dict[str, Any] = {"name": value.name, "shape": list(value.shape)}
            if isinstance(value, Alias):
                record["of"] = self._number(value.of)
            self._numbers[value] = len(self.values)
            self.values.append(record)
        return self._numbers[value]

    def _keep(self, tensor: torch.Tensor) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = tensor
        return name


class Decoder:
    """JSON to Python data; every form is checked.

    Args:
        tensors: what the JSON may name.
        values: `Encoder.values`.

    Raises:
        Unplain: a value has no such shape, or names a later one.
    """

    def __init__(self, tensors: dict[str, torch.Tensor], values: Sequence[Any]) -> None:
        self._tensors = tensors
        self._values: list[Value] = []
        for record in values:
            self._values.append(self._new_value(record))

    def decode(self, item: Any) -> Any:
        """The inverse of `Encoder.encode`.

        Raises:
            Unplain: `item` has none of its forms.
        """
        if item is None or isinstance(item, bool | int | float | str):
            return item
        if isinstance(item, list):
            return [self.decode(each) for each in item]
        if not isinstance(item, dict) or len(item) != 1:
            raise Unplain(f"{_short(item)} is no plain data")
        ((tag, content),) = item.items()
        form = _FORMS.get(tag)
        if form is None:
            raise Unplain(f"{_short(tag)} is no kind of data")
        return form(self, content)

    def _tuple(self, items: Any) -> tuple[Any, ...]:
        return tuple(self.decode(_is(items, list)))

    def _dict(self, pairs: Any) -> dict[Any, Any]:
        return {self.decode(key): self.decode(each) for key, each in _is(pairs, list)}

    def _ordered(self, pairs: Any) -> OrderedDict[Any, Any]:
        return OrderedDict(self._dict(pairs))

    def _value(self, number: Any) -> Value:
        if not 0 <= _is(number, int) < len(self._values):
            raise Unplain(f"there is no value {number}")
        return self._values[number]

    def _tensor(self, name: Any) -> torch.Tensor:
        found = self._tensors.get(_is(name, str))
        if found is None:
            raise Unplain(f"there is no tensor {_short(name)}")
        return found

    def _array(self, name: Any) -> np.ndarray:
        return self._tensor(name).numpy()

    def _pattern(self, parts: Any) -> Pattern:
        shape, groups, whole, gaps = _is(parts, list)
        if _product(_sizes(shape, least=1)) > _MOST_TAPS:
            raise Unplain(f"a layer of shape {_short(shape)} is larger than any")
        steps = self._array(gaps)
        return Pattern.from_gaps(shape, steps, whole=_is(whole, bool), groups=_is(groups, int))

    def _constant(self, kind: str) -> Callable[[Any], Any]:
        def find(name: Any) -> Any:
            found = getattr(torch, _is(name, str), None)
            if not isinstance(found, _TORCH[kind]):
                raise Unplain(f"torch has no {kind} {_short(name)}")
            return found

        return find

    def _device(self, name: Any) -> torch.device:
        if name != "cpu":
            raise Unplain(f"a compiled network runs on the CPU, not on {_short(name)}")
        return torch.device("cpu")

    def _new_value(self, record: Any) -> Value:
        name, shape = _is(record["name"], str), tuple(_sizes(record["shape"], least=-1))
        if _product(shape) > _MOST_FLOATS:
            raise Unplain(f"a value of shape {shape} is larger than any")
        if "of" not in record:
            return Value(shape, name)
        base = self._value(record["of"])
        if any(size < 1 for size in (*shape, *base.shape)) or _product(shape) != _product(
            base.shape
        ):
            raise Unplain(f"shape {shape} is no other view of {base.shape}")
        return Alias(base, shape)


_FORMS: dict[str, Callable[[Decoder, Any], Any]] = {
    name: getattr(Decoder, f"_{name}")
    for name in ("tuple", "dict", "ordered", "value", "tensor", "array", "pattern", "device")
}
for _kind in _TORCH:
    _FORMS[_kind] = lambda decoder, name, kind=_kind: decoder._constant(kind)(name)


def _sizes(shape: Any, least: int) -> list[int]:
    for size in _is(shape, list):
        if not least <= _is(size, int):
            raise Unplain(f"{_short(shape)} is no shape")
    return shape


def _product(sizes: Sequence[int]) -> int:
    # Of Python's own whole numbers, which do not overflow.
    product = 1
    for size in sizes:
        product *= abs(size)
    return product


def _is(item: Any, kind: type) -> Any:
    if type(item) is not kind:
        raise Unplain(f"{_short(item)} is no {kind.__name__}")
    return item


def _short(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 60 else f"{text[:57]}..."
