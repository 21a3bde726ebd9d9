"""Chains: layers some rows at a time compute what they compute one by one."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.nodes import Conv
from openwork.runtime.nodes.chain import Chain, join_chains
from openwork.runtime.program import Native
from openwork.runtime.values import Value

# (filters, kernel, stride, padding, depthwise, density) of each layer.
Spec = tuple[int, int, int, int, bool, float]
EXPAND: Spec = (40, 1, 1, 0, False, 0.4)
PROJECT: Spec = (12, 1, 1, 0, False, 1)


def _convs(x: Value, specs: Sequence[Spec], residual: bool = False) -> list[Conv]:
    rng = np.random.default_rng(0)
    convs: list[Conv] = []
    value, size = x, x.shape[1:]
    for number, (filters, kernel, stride, padding, depthwise, density) in enumerate(specs):
        groups = value.shape[0] if depthwise else 1
        shape = filters, value.shape[0] // groups, kernel, kernel
        live = np.flatnonzero(rng.random(np.prod(shape)) < density)
        out = [(side + 2 * padding - kernel) // stride + 1 for side in size]
        output = Value((filters, out[0], out[1]), f"y{number}")
        inputs = [value, x] if residual and number + 1 == len(specs) else [value]
        convs.append(
            Conv(
                inputs,
                output,
                f"layer{number}",
                (size[0], size[1]),
                shape,
                (stride, stride),
                (padding, padding),
                (1, 1),
                groups,
                live,
                rng.standard_normal(live.size, np.float32),
                rng.standard_normal(filters, np.float32),
                "relu6",
            )
        )
        value, size = output, tuple(out)
    return convs


def _packed(convs: Sequence[Conv], families: Sequence[str]) -> "dict[Conv, _C.Layer]":
    isa = _C.chosen_isa()
    layers = {}
    for conv, family in zip(convs, families, strict=True):
        found = [each for each in candidates(conv.problem(), isa) if family in each.name]
        layers[conv] = found[len(found) // 2].build(conv.problem())
    return layers


@pytest.fixture
def chained(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Native, Native]]:
    """Two programs of some layers: one by one, and as one chain."""

    def build(convs: Sequence[Conv], families: Sequence[str]) -> tuple[Native, Native]:
        layers, outputs = _packed(convs, families), {convs[-1].output}
        monkeypatch.setattr("openwork.runtime.nodes.chain._WORTH_IT", 1 << 40)
        alone = Native(convs, layers, outputs, _C.chosen_isa())
        monkeypatch.setattr("openwork.runtime.nodes.chain._WORTH_IT", 0)
        assert len(join_chains(convs, layers, outputs)) == 1
        return alone, Native(convs, layers, outputs, _C.chosen_isa())

    return build


def _run(program: Native, x: np.ndarray, threads: int = 1) -> np.ndarray:
    output = np.full((len(x), *program.outputs[0].shape), np.nan, np.float32)
    program.run([x], [output], len(x), threads)
    return output


# Maps so large that they take several bands.
CASES = {
    "inverted bottleneck": ((EXPAND, (40, 3, 1, 1, True, 1), PROJECT), (90, 75), True),
    "stride 2": ((EXPAND, (40, 3, 2, 1, True, 1), PROJECT), (91, 80), False),
    "5x5 stride 2": ((EXPAND, (40, 5, 2, 2, True, 1), PROJECT), (88, 81), False),
    "7x7 with dead taps": ((EXPAND, (40, 7, 1, 3, True, 0.5), PROJECT), (61, 130), False),
    "first layer": (
        ((24, 3, 2, 1, False, 1), (24, 3, 1, 1, True, 1), PROJECT),
        (170, 158),
        False,
    ),
    "without a projection": ((EXPAND, (80, 3, 1, 1, True, 1)), (70, 66), False),
    "1x1 layers": ((EXPAND, PROJECT, EXPAND), (70, 66), False),
    "a small map": ((EXPAND, (40, 3, 1, 1, True, 1), PROJECT), (7, 7), True),
}


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_chain_computes_what_its_layers_do(case: str, dense: bool, chained: Callable) -> None:
    specs, size, residual = CASES[case]
    if dense:
        specs = tuple((*spec[:5], 1.0) for spec in specs)
    channels = 3 if case == "first layer" else 12
    convs = _convs(Value((channels, *size), "x"), specs, residual)
    plain = "-dense-" if dense else "-spmm-"
    families = ["-depthwise-" if conv.groups > 1 else plain for conv in convs]
    alone, chain = chained(convs, families)
    x = np.random.default_rng(1).standard_normal((3, channels, *size), np.float32)
    expected, found = _run(alone, x), _run(chain, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(_run(chain, x, threads), found)


def test_the_time_is_that_of_the_last_layer(chained: Callable) -> None:
    convs = _convs(Value((12, 20, 20), "x"), (EXPAND, PROJECT))
    _, chain = chained(convs, ["-spmm-", "-spmm-"])
    seconds = np.full(2, np.nan)
    x = np.zeros((1, 12, 20, 20), np.float32)
    chain.run([x], [np.empty((1, 12, 20, 20), np.float32)], 1, 1, seconds)
    assert chain.steps == [("layer0", "conv"), ("layer1", "conv")]
    assert seconds[0] == 0 < seconds[1]


def test_what_is_read_elsewhere_is_not_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openwork.runtime.nodes.chain._WORTH_IT", 0)
    window: Spec = (40, 3, 1, 1, True, 1)
    convs = _convs(Value((12, 20, 20), "x"), (EXPAND, window, window, PROJECT))
    layers = _packed(convs, ["-spmm-", "-depthwise-", "-depthwise-", "-spmm-"])

    def joined(wanted: set[Value]) -> list[int]:
        nodes = join_chains(convs, layers, wanted)
        return [len(node.convs) if isinstance(node, Chain) else 1 for node in nodes]

    # A chain has one window after its first layer.
    assert joined({convs[-1].output}) == [2, 2]
    assert joined({convs[0].output, convs[-1].output}) == [1, 3]


def test_a_chain_refuses_layers_that_do_not_fit() -> None:
    convs = _convs(Value((12, 20, 20), "x"), (EXPAND, PROJECT))
    one, two = _packed(convs, ["-spmm-", "-spmm-"]).values()
    program = _C.Program(_C.chosen_isa())
    x, y = program.input(4800), program.output(4800)
    with pytest.raises(ValueError, match="layer 2 of a chain does not read what the layer before"):
        program.chain([two, one, one], x, y)
    with pytest.raises(ValueError, match="must hold at least two layers"):
        program.chain([one], x, y)
    taps = _packed(convs[1:], ["-taps-"])[convs[1]]
    assert not taps.runs_in_bands
    with pytest.raises(ValueError, match="layer 1 of a chain cannot run in bands"):
        program.chain([one, taps], x, y)
    program.chain([one, two], x, y)
    assert program.steps() == 1


def test_files_hold_the_layers_instead() -> None:
    with pytest.raises(MalformedFile, match="the layers of a chain"):
        Chain.from_fields({})
