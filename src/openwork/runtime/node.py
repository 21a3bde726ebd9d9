"""`Node`: one step of a network. It knows how it is checked, emitted, placed and saved."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_type_hints

from openwork.kernels.problem import Activation
from openwork.runtime.decode import Decoder
from openwork.runtime.emission import Emission
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import MalformedFile, require
from openwork.runtime.fits import fits
from openwork.runtime.values import Value

__all__ = ["FALLBACK", "Node", "TakesActivation", "encode_node"]

FALLBACK = "Island"
"""The kind, in files, of an operator that is left to torch; the word is the first format's."""


@dataclass(eq=False)
class Node:
    """One step: `inputs` to `output`.

    A subclass is a dataclass (`eq=False`) with its own fields. It defines `check` and `emit`, and
    the other methods where the defaults do not hold. Defining it is enough for files to hold it.

    Attributes:
        kind: name in files; the class's name unless it says otherwise.
        kinds: every kind of node, by that name.
    """

    inputs: list[Value]
    output: Value
    kind: ClassVar[str] = ""
    kinds: ClassVar[dict[str, "type[Node]"]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.kind = vars(cls).get("kind", cls.__name__)
        Node.kinds[cls.kind] = cls

    @property
    def step(self) -> tuple[str, str]:
        """What it is called in tables of steps: (layer or value, kind)."""
        return self.output.name, type(self).__name__.lower()

    @property
    def pixels(self) -> int:
        """Floats of one channel of the output."""
        return self.output.floats // self.output.shape[0]

    def check(self) -> None:
        """Refuse sizes that do not fit each other, before any kernel sees them.

        Raises:
            MalformedFile: the text is the rule that does not hold.
        """
        raise NotImplementedError

    def emit(self, to: Emission) -> None:
        """Add the step, or several, to a native program."""
        raise NotImplementedError

    def overwritable(self) -> Sequence[Value]:
        """Inputs that the output may overwrite: each number is read before its place is written."""
        return ()

    def part_of(self) -> tuple[Value, int] | None:
        """(value, first float) if the output is a part of a value, and so need not be copied."""
        return None

    def pieces(self) -> Sequence[tuple[Value | None, int]]:
        """(value, floats) of what lies side by side in the output; None stands for zeros.

        Producers of such values write straight into the output where that is possible.
        """
        return ()

    def fields(self) -> dict[str, Any]:
        """What a file holds of it: its fields, as data that `Encoder` takes."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """The inverse of `fields`.

        Raises:
            MalformedFile: a field is unknown, of another type, or missing without a default.
        """
        hints = get_type_hints(cls)
        declared = dataclasses.fields(cls)
        names = {field.name for field in declared}
        # Files that were written before a field was added lack it; its default says what they mean.
        needed = {f.name for f in declared if f.default is f.default_factory is dataclasses.MISSING}
        if not needed <= fields.keys() <= names:
            raise MalformedFile(
                f"a {cls.__name__} has the fields {sorted(fields)}, but must have {sorted(names)}"
            )
        for name, value in fields.items():
            require(fits(value, hints[name]), f"`{name}` of a {cls.__name__} must be {hints[name]}")
        return cls(**fields)


class TakesActivation:
    """A node that can end in an activation, so that one that follows can be fused into it.

    Attributes:
        activation: applied last.
    """

    activation: Activation


def encode_node(node: Node, encoder: Encoder) -> dict[str, Any]:
    """`node` as JSON; `encoder` takes its values and arrays.

    Raises:
        NotSerializable: a field holds what a file cannot.
    """
    fields = {name: encoder.encode(field) for name, field in node.fields().items()}
    return {"kind": node.kind} | fields


def decode_node(encoded: Mapping[str, Any], decoder: Decoder) -> Node:
    """The inverse of `encode_node`.

    Raises:
        MalformedFile: it is not a node of a known kind, with that kind's fields.
    """
    cls = Node.kinds.get(encoded["kind"])
    if cls is None:
        raise MalformedFile(f"{encoded['kind']!r} is not one of the kinds {sorted(Node.kinds)}")
    fields = {name: decoder.decode(item) for name, item in encoded.items() if name != "kind"}
    return cls.from_fields(fields)


def check_node(node: Node) -> None:
    """Refuse a node whose sizes do not fit each other.

    Raises:
        MalformedFile: naming the node and the rule.
    """
    try:
        node.check()
    except MalformedFile as rule:
        raise MalformedFile(f"{type(node).__name__} {node.output.name!r}: {rule}") from rule


def check_shapes(node: Node, *inputs: int) -> None:
    """Require known shapes of all values, and a number of inputs that is one of `inputs`.

    Raises:
        MalformedFile: otherwise.
    """
    for value in (*node.inputs, node.output):
        known = bool(value.shape) and min(value.shape) >= 1
        require(known, f"{value.name!r} must have a known shape, not {value.shape}")
    if inputs:
        allowed = " or ".join(map(str, inputs))
        require(
            len(node.inputs) in inputs, f"it must have {allowed} inputs, not {len(node.inputs)}"
        )


def check_same_size(node: Node, *values: Value) -> None:
    """Require that each of `values`, or else of the inputs, is as large as the output.

    Raises:
        MalformedFile: one is not.
    """
    for value in values or node.inputs:
        require(
            value.floats == node.output.floats,
            f"its input {value.name!r} of shape {value.shape} must be as large as its output, "
            f"of shape {node.output.shape}",
        )
