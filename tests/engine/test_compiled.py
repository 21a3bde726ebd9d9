"""A compiled network when it is called: inputs, outputs, batches, threads."""

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork.capture import BatchSizes
from openwork.engine import CompiledModel
from openwork.errors import ArgumentError

Build = Callable[..., CompiledModel]


class Network(nn.Module):
    """A convolution and what the test makes of its input and output."""

    def __init__(self, body: Callable[..., object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self._body = body

    def forward(self, *inputs: torch.Tensor) -> object:
        return self._body(self.conv, *inputs)


def _same(model: nn.Module, compiled: CompiledModel, *inputs: torch.Tensor) -> None:
    with torch.no_grad():
        expected = model.eval()(*inputs)
    found = compiled(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


def _plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())


def test_inputs_of_any_layout(build: Build) -> None:
    model = _plain()
    compiled = build(model, torch.randn(2, 3, 8, 6))
    _same(model, compiled, torch.randn(5, 3, 8, 6).to(memory_format=torch.channels_last))
    _same(model, compiled, torch.randn(5, 3, 6, 8).transpose(2, 3))
    _same(model, compiled, torch.randn(5, 6, 16, 6)[:, ::2, ::2])
    _same(model, compiled, torch.randn(1, 3, 1, 1).expand(4, 3, 8, 6))
    _same(model, compiled, torch.randn(2, 3, 8, 6, requires_grad=True))
    _same(model, compiled, nn.Parameter(torch.randn(2, 3, 8, 6)))


def test_whatever_mode_it_is_called_in(build: Build) -> None:
    model = nn.Sequential(_plain(), nn.Hardshrink())
    example = torch.randn(2, 3, 8, 6)
    compiled = build(model, example)
    expected = compiled(example)
    with torch.inference_mode():
        assert torch.equal(compiled(example), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(compiled(example), expected)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(compiled(example), expected)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(compiled.train()(example), expected)
    assert not compiled(example).requires_grad


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "body",
    [
        F.relu,
        F.relu6,
        F.hardswish,
        F.hardsigmoid,
        torch.sigmoid,
        lambda x: x + x.relu(),
        lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: F.avg_pool2d(x, 3, 2, 1),
        lambda x: x.mean((2, 3)),
        lambda x: x * x.mean((2, 3), keepdim=True),
        lambda x: 2 * x,
    ],
)
def test_nan_and_infinity_spread_as_in_torch(
    poison: float, body: Callable[..., torch.Tensor], build: Build
) -> None:
    model = Network(lambda conv, x: body(x))
    compiled = build(model, torch.randn(2, 3, 9, 40))
    input = torch.randn(2, 3, 9, 40)
    for place in ((0, 0, 0), (1, 4, 17), (2, 8, 39)):
        input[1][place] = poison
    _same(model, compiled, input)


@pytest.mark.parametrize("kernels", ["*-direct-*", "*-taps-*"])
def test_nan_spreads_through_convolutions_as_far_as_they_reach(kernels: str, build: Build) -> None:
    model = nn.Conv2d(3, 4, 3, padding=1)
    compiled = build(model, torch.randn(1, 3, 9, 20), kernels)
    for poison in (float("nan"), float("inf")):
        input = torch.randn(1, 3, 9, 20)
        input[0, 1, 4, 17] = poison
        _same(model, compiled, input)


BODIES = {
    "tuple": lambda conv, x: (conv(x), conv(x).relu()),
    "dict": lambda conv, x: {"a": conv(x), "b": [x.mean((2, 3)), conv(x)]},
    "the same twice": lambda conv, x: (y := conv(x), y),
    "a view and its base": lambda conv, x: (y := conv(x), y.flatten(1)),
    "read later": lambda conv, x: (y := conv(x), F.max_pool2d(y, 2), y + y.relu()),
    "the input": lambda conv, x: (x, conv(x)),
    "a view of the input": lambda conv, x: (x.flatten(1), conv(x)),
    "only the input": lambda conv, x: x,
    "None and numbers": lambda conv, x: (conv(x), None, 3),
    "a parameter": lambda conv, x: (conv(x), conv.weight, torch.ones(3)),
    "an unread branch": lambda conv, x: (conv(x), conv(conv(x)[:, :3]))[0],
    "fallbacks at the ends": lambda conv, x: F.hardshrink(conv(F.hardshrink(x))),
    "a fallback in the middle": lambda conv, x: conv(F.hardshrink(conv(x))[:, :3]),
    "a fallback and later": lambda conv, x: F.relu(y := conv(x)) + F.hardshrink(y) + y,
    "only fallbacks": lambda conv, x: F.hardshrink(x).cumsum(2),
    "whole numbers": lambda conv, x: conv(x).argmax(1),
    "truths": lambda conv, x: conv(x) > 0,
    "windows": lambda conv, x: conv(x).permute(0, 2, 3, 1).contiguous().view(x.shape[0] * 2, -1),
    "fewer images": lambda conv, x: conv(x).sum(),
}


@pytest.mark.parametrize("name", BODIES)
def test_outputs_of_any_kind(name: str, build: Build) -> None:
    model = Network(BODIES[name])
    compiled = build(model, torch.randn(2, 3, 6, 8))
    for batch in (1, 2, 5):
        _same(model, compiled, torch.randn(batch, 3, 6, 8))


def test_several_inputs(build: Build) -> None:
    model = Network(lambda conv, x, y, z: conv(x + y).relu() + z.mean())
    compiled = build(model, [torch.randn(2, 3, 6, 8), torch.randn(2, 3, 6, 8), torch.randn(2, 7)])
    _same(model, compiled, torch.randn(4, 3, 6, 8), torch.randn(4, 3, 6, 8), torch.randn(4, 7))
    with pytest.raises(ArgumentError, match="takes 3 tensors, but 1 were given"):
        compiled(torch.randn(2, 3, 6, 8))
    with pytest.raises(ArgumentError, match="`inputs_1` holds 3 images, but `inputs_0` holds 2"):
        compiled(torch.randn(2, 3, 6, 8), torch.randn(3, 3, 6, 8), torch.randn(2, 7))


def test_a_network_for_one_batch_size_refuses_others(build: Build) -> None:
    model = Network(lambda conv, x: conv(x) + torch.arange(2.0).reshape(2, 1, 1, 1))
    compiled = build(model, torch.randn(2, 3, 6, 8))
    _same(model, compiled, torch.randn(2, 3, 6, 8))
    with pytest.raises(ArgumentError, match=r"compiled for \(2, 3, 6, 8\)"):
        compiled(torch.randn(3, 3, 6, 8))


USES_OF_THE_BATCH = {
    "up to 5": lambda conv, x: conv(x) if x.shape[0] <= 5 else -conv(x),
    "one apart": lambda conv, x: conv(x) if x.shape[0] == 1 else -conv(x),
    "centred if several": lambda conv, x: x - x.mean(0) if x.shape[0] > 1 else x,
    "squeezed": lambda conv, x: conv(x).mean((2, 3), keepdim=True).squeeze() * 2,
    "even": lambda conv, x: conv(x) if x.shape[0] % 2 == 0 else -conv(x),
    "pairs": lambda conv, x: conv(x).view(x.shape[0] // 2, 2, 4, 6, 8)[:, 0],
    "all but six": lambda conv, x: conv(x) if x.shape[0] != 6 else -conv(x),
}


@pytest.mark.parametrize(
    ("name", "images"),
    # A single image cannot be half of a pair.
    [
        (name, images)
        for name in USES_OF_THE_BATCH
        for images in (1, 4)
        if (name, images) != ("pairs", 1)
    ],
)
def test_a_batch_gives_what_the_original_gives_or_is_refused(
    name: str, images: int, build: Build
) -> None:
    model = Network(USES_OF_THE_BATCH[name])
    compiled = build(model, torch.randn(images, 3, 6, 8))
    taken = [batch for batch in (1, 2, 4, 5, 6, 7) if batch in compiled.batches]
    assert images in taken
    assert compiled.layers.notes
    for batch in (1, 2, 4, 5, 6, 7):
        input = torch.randn(batch, 3, 6, 8)
        if batch in taken:
            _same(model, compiled, input)
        else:
            with pytest.raises(ArgumentError, match="compile it with an example of this size"):
                compiled(input)


@pytest.mark.parametrize(
    ("name", "taken"), [("up to 5", "1 to 5"), ("one apart", "2 or more"), ("even", "any batch")]
)
def test_the_batches_that_it_takes_are_known(name: str, taken: str, build: Build) -> None:
    compiled = build(Network(USES_OF_THE_BATCH[name]), torch.randn(4, 3, 6, 8))
    assert str(compiled.batches) == taken
    assert compiled.batch is None


@pytest.mark.parametrize(
    ("input", "message"),
    [
        (torch.randn(2, 3, 8, 7), r"has shape \(2, 3, 8, 7\), but .* \(any batch, 3, 8, 6\)"),
        (torch.randn(3, 8, 6), "has shape"),
        (torch.tensor(1.0), "has shape"),
        (torch.randn(0, 3, 8, 6), "holds no images"),
        (torch.randn(2, 3, 8, 6).double(), "is torch.float64 on cpu"),
        (torch.randn(2, 3, 8, 6, device="meta"), "is torch.float32 on meta"),
        ([[1.0]], "is a list, but must be a tensor"),
    ],
)
def test_bad_inputs_are_refused(input: object, message: str, build: Build) -> None:
    compiled = build(_plain(), torch.randn(2, 3, 8, 6))
    with pytest.raises(ArgumentError, match=message):
        compiled(input)


def test_more_images_than_the_kernels_take_are_refused(build: Build) -> None:
    compiled = build(nn.ReLU(), torch.randn(2, 1))
    with pytest.raises(ArgumentError, match=r"1048577 images .* at most 1048576 at a time"):
        compiled(torch.zeros(1, 1).expand((1 << 20) + 1, 1))


def test_several_threads_call_one_network(build: Build) -> None:
    model = nn.Sequential(_plain(), nn.Hardshrink(), nn.Linear(8 * 12, 6), nn.ReLU()).eval()
    compiled = build(model, torch.randn(2, 3, 8, 6))
    inputs = [torch.randn(1 + index % 3, 3, 8, 6) for index in range(6)]
    with torch.no_grad():
        expected = [model(input) for input in inputs]
    start = threading.Barrier(len(inputs))
    worst = [float("nan")] * len(inputs)

    def call(index: int) -> None:
        torch.set_num_threads(1)
        start.wait()
        found = [compiled(inputs[index]) for _ in range(100)]
        worst[index] = max((one - expected[index]).abs().max().item() for one in found)

    threads = [threading.Thread(target=call, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst) < 1e-6


def test_more_threads_of_torch_give_the_same(build: Build) -> None:
    model = Network(lambda conv, x: F.avg_pool2d(torch.cat([conv(x), x], 1), 3, 2, 1))
    compiled = build(model, torch.randn(2, 3, 20, 20))
    input = torch.randn(3, 3, 20, 20)
    torch.set_num_threads(2)
    try:
        _same(model, compiled, input)
    finally:
        torch.set_num_threads(1)


def test_calls_do_not_share_their_outputs(build: Build) -> None:
    compiled = build(_plain(), torch.randn(2, 3, 8, 6))
    first = compiled(torch.zeros(1, 3, 8, 6))
    kept = first.clone()
    compiled(torch.ones(1, 3, 8, 6))
    assert torch.equal(first, kept)


@pytest.mark.parametrize(
    "body",
    [
        lambda conv, x: (x.clone(), conv(x)),
        lambda conv, x: (x.clone().flatten(1), conv(x)),
        lambda conv, x: (y := conv(x), y.clone()),
        lambda conv, x: ((y := conv(x)).clone(), F.dropout(y.clone(), training=False)),
        lambda conv, x: (y := conv(x), F.adaptive_avg_pool2d(y, y.shape[2:])),
        lambda conv, x: (conv(x), torch.arange(4.0)[None] * 8),
        lambda conv, x: (conv.weight, conv(x)),
    ],
)
def test_what_is_written_to_a_result_stays_there(body: Callable[..., object], build: Build) -> None:
    compiled = build(Network(body), torch.randn(2, 3, 8, 6))
    input = torch.randn(2, 3, 8, 6)
    before = input.clone()
    expected = [result.clone() for result in compiled(input)]
    for written in range(2):
        results = compiled(input)
        results[written].detach().fill_(7)
        assert torch.equal(results[1 - written], expected[1 - written])
        assert torch.equal(input, before)


def test_a_copy_that_nobody_can_tell_is_left_out(build: Build) -> None:
    compiled = build(Network(lambda conv, x: conv(x).clone()), torch.randn(2, 3, 8, 6))
    assert compiled.layers.notes == ()


def test_torch_compile_leaves_it_alone(build: Build) -> None:
    compiled = build(_plain(), torch.randn(2, 3, 8, 6))
    input = torch.randn(2, 3, 8, 6)
    around = torch.compile(lambda x: compiled(2 * x) + 1, backend="eager")
    assert torch.equal(around(input), compiled(2 * input) + 1)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_runs_and_is_limited_on_its_own(
    copied: Callable[[CompiledModel], CompiledModel], build: Build
) -> None:
    compiled = build(nn.Sequential(_plain(), nn.Hardshrink()), torch.randn(2, 3, 8, 6))
    twin = copied(compiled)

    def one_more(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output + 1

    twin.register_forward_hook(one_more)
    twin.limit(BatchSizes.of(2), "why")
    input = torch.randn(2, 3, 8, 6)
    assert torch.equal(twin(input), compiled(input) + 1)
    assert compiled.layers != twin.layers
    assert compiled.batches == BatchSizes()


def test_every_step_of_a_call_is_timed(build: Build) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x).cumsum(1)
            return torch.cat([self.second(x), F.max_pool2d(x, 1)], 1)

    compiled = build(Net(), torch.randn(1, 3, 8, 8))
    began = time.perf_counter()
    times = compiled.step_times(torch.randn(2, 3, 8, 8))
    spent = time.perf_counter() - began
    names = [name for name, _, _ in times]
    assert names == ["first", "cumsum", "second", "max_pool2d", "cat"]
    kernels = compiled.layers.column("kernel")
    assert [kernel for _, kernel, _ in times] == [
        kernels[0],
        "fallback",
        kernels[1],
        "pool",
        "concat",
    ]
    assert all(seconds > 0 for _, kernel, seconds in times if kernel != "concat")
    assert sum(seconds for _, _, seconds in times) < spent


class Several(nn.Module):
    """Indices, a nested dict, a number and keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.conv = nn.Embedding(9, 4), nn.Conv2d(4, 4, 1)

    def forward(
        self, ids: torch.Tensor, batch: dict[str, Any], *, power: int = 1, mask: Any = None
    ) -> dict[str, torch.Tensor]:
        y = self.conv(self.embed(ids).permute(0, 3, 1, 2) + batch["maps"][0])
        y = torch.relu(y) ** power
        return {"y": y if mask is None else torch.where(mask, y, 0.0)}


def test_arguments_of_every_kind(build: Build) -> None:
    model, ids = Several().eval(), torch.randint(0, 9, (2, 5, 6))
    maps, mask = torch.randn(2, 4, 5, 6), torch.rand(2, 4, 5, 6) > 0.5
    example = {"ids": ids, "batch": {"maps": [maps]}, "power": 2, "mask": mask}
    compiled = build(model, example)
    call = {"mask": ~mask, "power": 2, "batch": {"maps": [maps * 2]}, "ids": ids.flip(0)}
    with torch.no_grad():
        expected = model(**call)
    torch.testing.assert_close(compiled(**call), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        compiled(call["ids"], call["batch"], power=2, mask=~mask), expected, rtol=1e-5, atol=1e-5
    )
    assert len(compiled.step_times(**call)) > 1
    with pytest.raises(ArgumentError, match="`power` is 3, but the network was compiled for 2"):
        compiled(**call | {"power": 3})
    with pytest.raises(ArgumentError, match=r"`ids` is torch.int32 on cpu, .* takes int64 on"):
        compiled(**call | {"ids": ids.int()})
    with pytest.raises(ArgumentError, match="`batch_maps_0` holds a tensor that is sparse_coo"):
        compiled(**call | {"batch": {"maps": [maps.to_sparse()]}})
    with pytest.raises(ArgumentError, match="missing a required argument: 'batch'"):
        compiled(ids, power=2)


def test_its_text_says_what_it_takes_and_what_runs_it(build: Build) -> None:
    compiled = build(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Hardshrink()), torch.randn(2, 3, 8, 6))
    kernel = compiled.layers.column("kernel")[0]
    assert repr(compiled) == (
        f"CompiledModel(input (N, 3, 8, 6); any batch size; 1 layers: 1 x {kernel}; operators "
        "left to torch: 1)"
    )
