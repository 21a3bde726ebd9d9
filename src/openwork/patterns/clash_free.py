"""Clash-free patterns: z edges per cycle, each read from a different memory."""

import math
from collections.abc import Sequence

import numpy as np

from openwork._arguments import check_count, check_flag, check_groups, check_kernel, check_seed
from openwork.errors import ArgumentError
from openwork.patterns.fans import nearest_two, regular_fan_out
from openwork.patterns.keys import stream
from openwork.patterns.pattern import Pattern
from openwork.patterns.sweeps import Memories, sweeps


def clash_free(
    out_channels: int,
    in_channels: int,
    kernel: int | Sequence[int] = (),
    *,
    density: float | None = None,
    fan_out: int | None = None,
    nearest: bool = False,
    z: int,
    type: int = 1,
    dither: bool = False,
    groups: int = 1,
    seed: int = 0,
) -> Pattern:
    """Connections that hardware with `z` memories reads without two reads hitting one memory.

    Input a lies in memory `a % z`, in row `a // z`. Edges are numbered output by output and read z
    per cycle: a sweep of `inputs / z` cycles reads every input once, and there are `fan_out`
    sweeps. In each cycle the z edges read z different memories. All inputs have equal fan-outs, all
    outputs equal fan-ins.

    Args:
        out_channels: number of filters.
        in_channels: input channels over all groups.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        density: share of live connections, in (0, 1]; give either this or `fan_out`.
        fan_out: filters that read each input, at least 1; the fan-in follows.
        nearest: use the nearest possible density instead of raising, default False.
        z: edges per cycle, which is the number of memories; must divide the inputs of a group.
        type: order of the rows of each memory. 1 (default): a new random order in each sweep; 2: a
            new random start row in each sweep, then one row on per cycle; 3: as 2, with the same
            start rows in every sweep.
        dither: also read the memories in a random order, new in each sweep (one order for all
            sweeps with type 3). Default False.
        groups: groups of the convolution, default 1; each is drawn separately.
        seed: whole number >= 0, default 0. The same seed gives the same pattern on every platform.

    Returns:
        A pattern of shape `(out_channels, in_channels / groups, *kernel)`.

    Raises:
        ArgumentError: an impossible density, fan-out, `z` or `type`; the message names the nearest
            possible values.

    Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (Dey, Huang, Beerel,
    Chugg 2018) and its authors' code. There an output whose edges span two sweeps may read one
    input twice, which the code only reports; here such sweeps are never drawn (our change). Type 3
    needs no change: it repeats one sweep.

    >>> pattern = clash_free(8, 8, density=0.25, z=4)
    >>> pattern
    Pattern(8x8: 16 live, density 0.25)
    >>> sorted((pattern.connections[:4, 1] % 4).tolist())  # the four memories read in one cycle
    [0, 1, 2, 3]
    """
    check_count("out_channels", out_channels)
    check_count("in_channels", in_channels)
    check_groups(out_channels, in_channels, groups)
    check_seed(seed)
    rows, columns = out_channels // groups, in_channels // groups
    memories = _memories(columns, z, type, dither)
    fans = regular_fan_out(rows, columns, density, fan_out, nearest)
    bits = stream(seed, f"clash_free {type} {dither}")
    inputs = np.concatenate([edges(rows, memories, fans, bits) for _ in range(groups)])
    output = np.arange(inputs.size) // (columns * fans // rows)
    shape = (out_channels, columns, *check_kernel(kernel))
    return Pattern.from_positions(shape, output * columns + inputs, groups=groups)


def edges(outputs: int, memories: Memories, fan_out: int, bits: np.random.PCG64) -> np.ndarray:
    """The input of each edge, in reading order: (inputs * fan_out,) int64."""
    fan_in = memories.inputs * fan_out // outputs
    return np.concatenate(list(sweeps(memories, fan_out, fan_in, bits)))


def clash_free_count(
    outputs: int, inputs: int, fan_out: int, *, z: int, type: int = 1, dither: bool = False
) -> int:
    """The number of clash-free patterns by the paper's formulas, as an exact integer.

    With r = inputs / z rows per memory: type 1 `(K r!^z)^fan_out`, type 2 `(K r^z)^fan_out`,
    type 3 `K r^z`. K is 1 without dither or if z divides the fan-in, and
    `z! / fan_in!^(z / fan_in)` if the fan-in divides z. A dense layer counts as one pattern.

    The formulas count every reading order. If an output's edges span two sweeps, that includes
    orders that repeat a connection, which `clash_free` never draws.

    Args:
        outputs: number of outputs of the layer.
        inputs: number of inputs of the layer.
        fan_out: outputs that read each input.
        z: number of memories, as in `clash_free`.
        type: as in `clash_free`, default 1.
        dither: as in `clash_free`, default False.

    Raises:
        ArgumentError: as for `clash_free`, or dither where neither of `z` and the fan-in divides
            the other: no formula is known for that, and z! is known to be wrong.

    Source: as for `clash_free`.

    >>> clash_free_count(8, 8, 2, z=4)
    256
    """
    check_count("outputs", outputs)
    check_count("inputs", inputs)
    memories = _memories(inputs, z, type, dither)
    fans = regular_fan_out(outputs, inputs, None, fan_out, nearest=False)
    if fans == outputs:
        return 1
    rows = memories.rows
    orders = math.factorial(rows) if type == 1 else rows
    sweep = _dithers(inputs, inputs * fans // outputs, z, dither) * orders**z
    return sweep if type == 3 else sweep**fans


def _dithers(inputs: int, fan_in: int, z: int, dither: bool) -> int:
    """The factor K: orders of the memories that lead to different patterns."""
    if not dither or fan_in % z == 0:
        return 1
    if z % fan_in:
        feasible = [n for n in _divisors(inputs) if n % fan_in == 0 or fan_in % n == 0]
        raise ArgumentError(
            f"`dither`=True with `z`={z} and a fan-in of {fan_in}: the number of patterns is known "
            f"only if one of the two divides the other; nearest z: {nearest_two(z, feasible)}"
        )
    return math.factorial(z) // math.factorial(fan_in) ** (z // fan_in)


def _memories(inputs: int, z: int, type: int, dither: bool) -> Memories:
    check_count("z", z)
    if inputs % z:
        raise ArgumentError(
            f"`z`={z} must divide the {inputs} inputs of a group, so that every memory is full; "
            f"nearest: {nearest_two(z, _divisors(inputs))}"
        )
    return Memories(inputs, z, check_type(type), check_flag("dither", dither))


def _divisors(inputs: int) -> list[int]:
    return [n for n in range(1, inputs + 1) if inputs % n == 0]


def check_type(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in (1, 2, 3):
        raise ArgumentError(f"`type`={value!r} must be 1, 2 or 3")
    return value
