"""Runs of known nodes as one native program, and the convolutions that torch runs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from openwork.engine.arena import Life, place
from openwork.engine.graph import (
    Add,
    Affine,
    Concat,
    Conv,
    Gate,
    Mean,
    Node,
    Pool,
    Slice,
    Value,
    root,
)
from openwork.engine.storage import Part, Storage, pixels, places
from openwork.errors import ArgumentError
from openwork.kernels.native import extension as _C
from openwork.kernels.to_native import native_activation

Environment = dict[Any, Any]
"""What has been computed: root value -> tensor."""


class Segment(Protocol):
    """A part of the network that one call runs.

    Attributes:
        reads: values, none of them an alias, that must be held before.
        steps: (layer or value, kind of node) of what it does, in order.
    """

    @property
    def reads(self) -> Sequence[Value]: ...

    @property
    def steps(self) -> Sequence[tuple[str, str]]: ...

    def run(
        self, held: Environment, batch: int, threads: int, seconds: np.ndarray | None = None
    ) -> None:
        """Compute the outputs from what is held; `seconds` (steps,) float64 receives times."""
        ...


def step_of(node: Node) -> tuple[str, str]:
    """What `node` is called in tables of steps: (layer or value, kind)."""
    name = node.layer if isinstance(node, Conv) else node.output.name
    return name, type(node).__name__.lower()


class TorchConv:
    """A convolution that is faster in torch.

    Args:
        conv: the layer.
        weight: the same as `conv.dense_weight()`, if it is at hand: then `conv` needs none.
    """

    def __init__(self, conv: Conv, weight: torch.Tensor | None = None) -> None:
        self.weight = torch.from_numpy(conv.dense_weight()) if weight is None else weight
        self._bias = None if conv.bias is None else torch.from_numpy(conv.bias)
        # Without the list of live taps, which for a dense layer is larger than the layer.
        nothing = conv.positions[:0].copy(), conv.weight[:0].copy()
        self._conv = replace(conv, positions=nothing[0], weight=nothing[1])
        self.reads = [root(value) for value in conv.inputs]
        self.steps = [step_of(conv)]

    def run(
        self, held: Environment, batch: int, threads: int, seconds: np.ndarray | None = None
    ) -> None:
        """Compute the output from what is held."""
        began = time.perf_counter()
        conv = self._conv
        channels = self.weight.shape[1] * conv.groups
        input = held[root(conv.inputs[0])].reshape(batch, channels, *conv.size)
        if conv.linear:
            result = F.linear(input.flatten(1), self.weight.flatten(1), self._bias)
        else:
            geometry = conv.stride, conv.padding, conv.dilation, conv.groups
            result = F.conv2d(input, self.weight, self._bias, *geometry)
        if len(conv.inputs) > 1:
            result += held[root(conv.inputs[1])].reshape(result.shape)
        result = _TORCH_ACTIVATIONS[conv.activation](result)
        held[root(conv.output)] = result.reshape(batch, *root(conv.output).shape)
        if seconds is not None:
            seconds[0] = time.perf_counter() - began


_TORCH_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda x: x,
    "relu": torch.relu_,
    "relu6": lambda x: F.relu6(x, inplace=True),
    "silu": lambda x: F.silu(x, inplace=True),
    "hardswish": lambda x: F.hardswish(x, inplace=True),
    "sigmoid": torch.sigmoid_,
    "hardsigmoid": lambda x: F.hardsigmoid(x, inplace=True),
}


class Native:
    """Consecutive known nodes as one program.

    Args:
        nodes: with what runs each convolution.
        layers: packed layer of each `Conv` among them.
        wanted: values that something after this segment reads.
        isa: instruction set.
    """

    def __init__(
        self, nodes: Sequence[Node], layers: dict[int, Any], wanted: set[int], isa: str
    ) -> None:
        self._program = _C.Program(isa)
        self._layers = layers
        self._slots: dict[int, int] = {}
        made = [root(node.output) for node in nodes]
        local = {id(value) for value in made}
        read = {id(root(v)): root(v) for node in nodes for v in node.inputs}
        self.reads = [value for key, value in read.items() if key not in local]
        self._outputs = [value for value in made if id(value) in wanted]
        for value in self.reads:
            self._slots[id(value)] = self._program.input(value.floats)
        for value in self._outputs:
            self._slots[id(value)] = self._program.output(value.floats)
        # Concurrent calls each take an arena, or make one, and put it back.
        self._free: list[np.ndarray] = []
        self._place(nodes)
        self.steps = [step_of(node) for node in nodes]
        # Which of `steps` each step of the program belongs to.
        self._owners: list[int] = []
        for index, node in enumerate(nodes):
            _STEPS[type(node)](self, node)
            self._owners += [index] * (self._program.steps() - len(self._owners))

    def _place(self, nodes: Sequence[Node]) -> None:
        values = {
            id(root(value)): root(value) for node in nodes for value in [node.output, *node.inputs]
        }
        storage = self._storage = Storage(nodes, set(self._slots))
        lives: dict[int, Life] = {}
        for step, node in enumerate(nodes):
            for value in [node.output, *node.inputs]:
                whole = storage.find(value).whole
                if id(whole) not in self._slots:
                    first = lives[id(whole)].first if id(whole) in lives else step
                    lives[id(whole)] = Life(whole.floats, first, step)
        for key, offset in place(lives).items():
            self._slots[key] = self._program.arena_slot(offset, lives[key].floats)
        for key, value in values.items():
            if key not in self._slots:
                part = storage.find(value)
                self._slots[key] = self._part(part.whole, part.first, value.floats)

    def _part(self, whole: Value, first: int, floats: int) -> int:
        return self._program.part(self.slot(whole), first, floats)

    def slot(self, value: Value) -> int:
        return self._slots[id(root(value))]

    def run(
        self, held: Environment, batch: int, threads: int, seconds: np.ndarray | None = None
    ) -> None:
        """Compute all outputs from what is held."""
        # As numpy arrays: handing over torch tensors costs ten times as much, 4 us for each.
        inputs = [held[value].detach().contiguous().numpy() for value in self.reads]
        arena = self._arena(batch, threads)
        outputs = [
            torch.empty(batch, *value.shape, dtype=torch.float32, device="cpu")
            for value in self._outputs
        ]
        targets = [output.numpy() for output in outputs]
        own = None if seconds is None else np.zeros(len(self._owners))
        self._program.run(inputs, targets, arena, batch, threads, own)
        if seconds is not None:
            seconds[:] = np.bincount(self._owners, own, len(self.steps))
        self._free.append(arena)
        held.update(zip(self._outputs, outputs, strict=True))

    def _arena(self, batch: int, threads: int) -> np.ndarray:
        if batch > _C.most_batch:
            raise ArgumentError(
                f"a batch of {batch} images is larger than the kernels take; give at most "
                f"{_C.most_batch} at a time"
            )
        floats = self._program.arena(batch, threads)
        try:
            # Taking is atomic, looking first would not be.
            arena = self._free.pop()
        except IndexError:
            arena = None
        if arena is None or arena.size < floats:
            # From torch, whose memory starts on a cache line.
            arena = torch.empty(floats, dtype=torch.float32, device="cpu").numpy()
        return arena

    def conv(self, node: Conv) -> None:
        residual = self.slot(node.inputs[1]) if len(node.inputs) > 1 else None
        layer = self._layers[id(node)]
        self._program.layer(layer, self.slot(node.inputs[0]), self.slot(node.output), residual)

    def pool(self, node: Pool) -> None:
        self._program.pool(
            self.slot(node.inputs[0]),
            self.slot(node.output),
            node.native(),
            [] if node.shift is None else node.shift.tolist(),
        )

    def mean(self, node: Mean) -> None:
        self._program.mean(self.slot(node.inputs[0]), self.slot(node.output))

    def add(self, node: Add) -> None:
        second = self.slot(node.inputs[1]) if len(node.inputs) > 1 else None
        self._program.add(
            self.slot(node.inputs[0]),
            second,
            self.slot(node.output),
            native_activation(node.activation),
        )

    def affine(self, node: Affine) -> None:
        self._program.affine(
            self.slot(node.inputs[0]),
            self.slot(node.output),
            node.scale.tolist(),
            node.shift.tolist(),
            native_activation(node.activation),
        )

    def gate(self, node: Gate) -> None:
        x, gates = node.inputs
        self._program.gate(self.slot(x), self.slot(gates), self.slot(node.output))

    def concat(self, node: Concat) -> None:
        whole = self._storage.find(node.output)
        for (part, first), channels in zip(places(node), node.channels, strict=True):
            if part is not None and self._storage.find(part) == Part(
                whole.whole, whole.first + first
            ):
                continue
            target = self._part(node.output, first, channels * pixels(node))
            if part is None:
                self._program.clear(target)
            else:
                self._program.copy(self.slot(part), target)

    def slice(self, node: Slice) -> None:
        first = node.first * pixels(node)
        whole = self._storage.find(node.inputs[0])
        if self._storage.find(node.output) != Part(whole.whole, whole.first + first):
            source = self._part(node.inputs[0], first, node.output.floats)
            self._program.copy(source, self.slot(node.output))


_STEPS: dict[type[Node], Callable[[Native, Any], None]] = {
    Conv: Native.conv,
    Pool: Native.pool,
    Mean: Native.mean,
    Add: Native.add,
    Affine: Native.affine,
    Gate: Native.gate,
    Concat: Native.concat,
    Slice: Native.slice,
}
