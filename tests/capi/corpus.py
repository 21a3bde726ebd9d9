"""Small packed files of every kernel and step, from which the fuzzer starts.

python tests/capi/corpus.py folder
"""

import sys
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from openwork.kernels.dispatch import candidates
from openwork.kernels.narrow.pack_bytes import ByteProblem, pack_bytes
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Activation, Geometry, Problem
from openwork.runtime.packed.layout import PackedFile
from openwork.runtime.packed.recording import Recording


def layers(isa: str) -> list[Any]:
    """A small layer of each kernel and algorithm."""
    random = np.random.default_rng(0)
    made: dict[str, Any] = {}
    geometries = (
        (Geometry(3, 4, (5, 6), (3, 3), padding=(1, 1)), 1, 0.6),
        (Geometry(3, 3, (5, 6), (3, 3), (2, 1), (1, 1)), 3, 1.0),
        (Geometry(4, 6, (4, 5), (1, 1)), 1, 1.0),
        (Geometry(9, 7, (1, 1), (1, 1)), 1, 0.5),
        (Geometry(9, 7, (1, 1), (1, 1)), 1, 1.0),
    )
    for geometry, groups, density in geometries:
        taps = geometry.kernel[0] * geometry.kernel[1]
        kernels = geometry.out_channels * geometry.in_channels // groups
        live = np.repeat(random.random(kernels) <= density, taps)
        positions = np.flatnonzero(live)
        weight = random.standard_normal(positions.size).astype(np.float32)
        bias = random.standard_normal(geometry.out_channels).astype(np.float32)
        problem = Problem(geometry, groups, positions, weight, bias, "relu")
        found = [*candidates(problem, isa, 1), *candidates(problem, isa)]
        for candidate in found:
            made.setdefault("-".join(candidate.name.split("-")[:3]), candidate.build(problem))
    return list(made.values())


def of_layer(layer: Any, isa: str) -> PackedFile:
    """A network of one layer, with a residual."""
    made: Any = _C.packing(layer)
    geometry = made[2]
    inputs = geometry[0], geometry[2], geometry[3]
    outputs = geometry[1], geometry[12], geometry[13]
    recording = Recording(isa)
    slots = recording.input(int(np.prod(inputs))), recording.input(int(np.prod(outputs)))
    recording.layer(layer, slots[0], recording.output(int(np.prod(outputs))), slots[1])
    tensors = [("x", inputs), ("residual", outputs)]
    return packed(recording, isa, tensors, [("y", outputs)])


def byte_layers(isa: str) -> list[Any]:
    """A small layer of bytes of each kind, most of them with a residual; see `of_bytes`."""
    random = np.random.default_rng(0)
    made = []
    for geometry, groups, density in (
        (Geometry(5, 9, (5, 6), (3, 3), (2, 1), (1, 1)), 1, 0.6),
        (Geometry(4, 6, (5, 7), (1, 1)), 1, 1.0),
        (Geometry(3, 3, (5, 6), (3, 3), padding=(1, 1)), 3, 1.0),
        (Geometry(9, 7, (1, 1), (1, 1)), 1, 0.5),
    ):
        inside, filters = geometry.in_channels // groups, geometry.out_channels
        weight = random.integers(-127, 128, (filters, inside, *geometry.kernel)).astype(np.int8)
        weight[random.random(weight.shape) > density] = 0
        scale = np.full(filters, 4e-3 / np.sqrt(inside), np.float32)
        numbers = 3, scale, random.random(filters).astype(np.float32), 0.0, 255.0, 100
        residual = (7, 0.0 if groups > 1 else 0.5)
        problem = ByteProblem(geometry, groups, weight, *numbers, *residual)
        made.append(pack_bytes(problem, _C.byte_isa_of(isa)))
    return made


def of_bytes(layer: Any, isa: str) -> PackedFile:
    """A network of one layer of bytes between floats; the input is its residual too."""
    made: Any = _C.packing(layer)
    geometry, depthwise = made[2], made[3][1]
    inputs = geometry[0], geometry[2], geometry[3]
    outputs = geometry[1], geometry[12], geometry[13]
    count, wide = int(np.prod(inputs)), int(np.prod(outputs))
    fours, out_fours = -(-count // 4), -(-wide // 4)
    recording = Recording(isa)
    x, other, y = recording.input(count), recording.input(wide), recording.output(wide)
    own = recording.arena_slot(0, fours)
    added = recording.arena_slot(round_up(fours), out_fours)
    sums = recording.arena_slot(round_up(fours) + round_up(out_fours), out_fours)
    recording.quantize(x, own, 50.0, (100, 0, 255))
    recording.quantize(other, added, 50.0, (7, 0, 255))
    recording.byte_layer(layer, own, sums, None if depthwise else added)
    recording.byte_add(sums, added, sums, (100, 0.5), (7, 0.25), (90, 5, 250))
    recording.dequantize(sums, y, 0.02, 90)
    tensors = [("x", inputs), ("residual", outputs)]
    return packed(recording, isa, tensors, [("y", outputs)])


def of_byte_steps(isa: str) -> PackedFile:
    """A network of the other steps of bytes, on maps of (2, 4, 6)."""
    recording = Recording(isa)
    x, y = recording.input(48), recording.output(2)
    own, pooled = recording.arena_slot(0, 12), recording.arena_slot(16, 3)
    mean = recording.arena_slot(32, 1)
    recording.quantize(x, own, 50.0, (100, 0, 255))
    sizes = {"channels": 2, "height": 4, "width": 6, "out_height": 2, "out_width": 3}
    window = {"kernel_y": 3, "kernel_x": 3, "stride_y": 2, "stride_x": 2, "pad_y": 1, "pad_x": 1}
    maxima = {"average": False, "count_padding": False}
    recording.byte_pool(own, pooled, cast(Any, _C.Pool)(**sizes, **window, **maxima))
    recording.byte_mean(pooled, mean, 2, 6, 100, 0.2, (90, 3, 255))
    recording.dequantize(mean, y, 0.02, 90)
    return packed(recording, isa, [("x", (2, 4, 6))], [("y", (2,))])


def round_up(floats: int) -> int:
    """Where the next slot of the arena may begin."""
    return -(-floats // 16) * 16


def byte_files(isa: str) -> list[PackedFile]:
    """A file of each kind of layer of bytes and of the other steps."""
    return [of_byte_steps(isa), *(of_bytes(layer, isa) for layer in byte_layers(isa))]


def every_file(isa: str) -> list[PackedFile]:
    """A file of each kernel and of all steps."""
    return [
        of_steps(isa),
        *(of_layer(layer, isa) for layer in layers(isa)),
        *byte_files(isa),
    ]


def packed(recording: Recording, isa: str, inputs: Any, outputs: Any) -> PackedFile:
    """The file of what was recorded."""
    return PackedFile(
        isa, inputs, outputs, (1, 64), recording.made_slots, recording.made_steps, "{}"
    )


def of_steps(isa: str) -> PackedFile:
    """A network of every step that is not a layer, on maps of (2, 4, 6)."""
    recording = Recording(isa)
    x, y = recording.input(48), recording.output(48)
    arena = recording.arena_slot(0, 48)
    gates, mean = recording.arena_slot(48, 2), recording.arena_slot(64, 2)
    maps = recording.arena_slot(80, 24)
    recording.copy(recording.part(x, 0, 2), gates)
    activations = cast(Any, get_args(Activation))
    for activation in activations:
        recording.add(x, x, arena, _C.Activation[activation])
    recording.add(arena, None, arena, _C.Activation["none"])
    recording.affine(arena, arena, [1.0, 2.0], [0.5, -1.0], _C.Activation["relu"])
    recording.prelu(arena, arena, [0.1, 0.2])
    for name, function in _C.Function.__members__.items():
        numbers = [1.0, 2.0, 3.0][: _C.parameters_of(function)]
        assert name == function.name
        recording.map(arena, arena, function, numbers)
    for operation in _C.Operation.__members__.values():
        recording.combine(x, arena, arena, operation)
        recording.spread(arena, gates, arena, operation, 1)
    recording.softmax(arena, arena, 2, 24, True)
    for reduction in _C.Reduction.__members__.values():
        recording.reduce(arena, gates, reduction, 24, 1)
        recording.reduce(arena, maps, reduction, 2, 24)
    recording.dot(arena, maps, gates)
    relu = _C.Activation["relu"]
    recording.normalize(arena, arena, 2, 24, 1, 1e-5, [1.0, 2.0], [0.5, -1.0], relu)
    recording.normalize(arena, arena, 48, 1, 24, 1e-5, [1.0, 2.0], [], _C.Activation["none"])
    recording.normalize(arena, arena, 24, 1, 1, 1e-5, [], [], _C.Activation["none"])
    recording.mean(arena, mean)
    recording.copy(mean, gates)
    recording.gate(arena, gates, arena)
    sizes = {"channels": 2, "height": 4, "width": 6, "out_height": 4, "out_width": 6}
    window = {"kernel_y": 3, "kernel_x": 3, "stride_y": 1, "stride_x": 1, "pad_y": 1, "pad_x": 1}
    pool = cast(Any, _C.Pool)(**sizes, **window, average=True, count_padding=False)
    recording.pool(arena, y, pool, [1.0, 2.0])
    recording.clear(recording.part(arena, 24, 24))
    recording.move(arena, y, [2, 4, 6], [24, 6, -1], [24, 6, 1], 5)
    third = [1 / 3] * 12
    recording.resample(
        arena, y, height=4, width=6, row=[3, 2, 1, 0], row_weight=[], row_taps=1,
        column=[0, 1, 2, 3, 4, 5] * 2, column_weight=third, column_taps=2,
    )  # fmt: skip
    return packed(recording, isa, [("x", (2, 4, 6))], [("y", (2, 4, 6))])


def main(folder: str) -> None:
    """Write the files to `folder`, for each instruction set that can run here."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for isa in _C.usable_isas():
        for number, file in enumerate(every_file(isa)):
            Path(folder, f"{isa}-{number}.ow").write_bytes(file.to_bytes().tobytes())


if __name__ == "__main__":
    main(sys.argv[1])
