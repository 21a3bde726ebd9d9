"""From a module to an exported program: any batch size, modes, and what is refused."""

import functools
import threading
import weakref
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from openwork._copy import copied
from openwork._mode import evaluation
from openwork.capture import BatchSizes, capture
from openwork.errors import ArgumentError, CaptureError


class Branching(nn.Module):
    """What it computes depends on its numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Typed(nn.Module):
    """Branches on its numbers, and on what a placeholder is not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if isinstance(x, torch.Tensor) and x.sum() > 0 else -x


class Counting(nn.Module):
    """Changes a buffer at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * self.calls


class FixedBatch(nn.Module):
    """Takes the batch of the example only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) + torch.arange(2.0).reshape(2, 1)


def test_the_batch_size_stays_free() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    for batch in (1, 5):
        assert capture(model, (torch.rand(batch, 3, 6, 6),)).batches == BatchSizes()


def test_a_network_made_for_one_batch_size_keeps_it() -> None:
    assert capture(FixedBatch(), (torch.rand(2, 4),)).batches.only == 2


class OneImage(nn.Module):
    """Runs on a single image only, as code does that was traced with one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x).view(1, 2, 3)


def test_a_network_made_for_one_image_is_captured_with_one() -> None:
    captured = capture(OneImage(), (torch.rand(1, 6),))
    assert captured.batches.only == 1
    assert (
        captured.fixed_because == "RuntimeError: shape '[1, 2, 3]' is invalid for input of size 12"
    )
    with pytest.raises(CaptureError, match="it does not run on `example`"):
        capture(OneImage(), (torch.rand(2, 6),))
    with pytest.raises(CaptureError, match="it does not run on `example`"):
        capture(OneImage(), (torch.rand(1, 7),))


def test_what_torch_cannot_capture_is_refused_with_its_reason() -> None:
    with pytest.raises(CaptureError, match="cannot capture Branching: "):
        capture(Branching(), (torch.rand(2, 4),))


def test_what_only_torch_fx_traces_is_refused_for_it_would_be_wrong() -> None:
    model, example = Typed(), torch.rand(2, 4)
    traced = torch.fx.symbolic_trace(model)
    assert torch.equal(traced(example), -model(example))
    with pytest.raises(CaptureError, match=r"through torch\.export only"):
        capture(model, (example,))


class Drawing(nn.Module):
    """Draws from its own source of random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.source = torch.Generator()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(1, generator=self.source)


def test_an_operator_that_takes_an_object_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"Drawing gives an operator a Generator"):
        capture(Drawing(), (torch.rand(2, 4),))


def test_a_network_that_changes_its_buffers_is_refused() -> None:
    model = Counting()
    with pytest.raises(CaptureError, match=r"Counting changes its buffers \['calls'\]"):
        capture(model, (torch.rand(2, 4),))
    assert model.calls == 0


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ([], "one batch size"),
        ([torch.tensor(1.0)], "one batch size"),
        ([torch.rand(0, 3)], "one batch size"),
        ([torch.rand(2, 3), torch.rand(3, 3)], r"shapes \[\(2, 3\), \(3, 3\)\]"),
        ([torch.rand(2, 3).double()], "`example` is torch.float64 on cpu at place 0"),
        ([torch.rand(2, 3), torch.rand(2, 3, device="meta")], "on meta at place 1"),
        ([[1.0, 2.0]], "holds a list at place 0"),
    ],
)
def test_bad_examples_are_refused(example: list, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        capture(nn.ReLU(), example)


def test_each_module_keeps_its_mode() -> None:
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(4))
    model[1].eval()
    with evaluation(model):
        assert not model[0].training
    assert model[0].training
    assert not model[1].training


def _grid(x: torch.Tensor) -> torch.Tensor:
    return torch.arange(float(x.shape[-1])) / x.shape[-1]


class Base(nn.Module):
    """Adds a grid that it makes on first use, and stores somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        return _grid(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return y + self.grid(y)


class OnItself(Base):
    def grid(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "made"):
            self.made = _grid(x)
        return self.made


class InASubmodule(Base):
    def grid(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self.conv, "made"):
            vars(self.conv)["made"] = {"grid": [_grid(x)]}
        return vars(self.conv)["made"]["grid"][0]


class OnItsClass(Base):
    made: torch.Tensor | None = None

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        if OnItsClass.made is None:
            OnItsClass.made = _grid(x)
        return OnItsClass.made


MADE: dict[str, torch.Tensor] = {}


class InAGlobal(Base):
    def grid(self, x: torch.Tensor) -> torch.Tensor:
        if "grid" not in MADE:
            MADE["grid"] = _grid(x)
        return MADE["grid"]


class InACache(Base):
    @functools.lru_cache  # noqa: B019
    def of(self, size: int) -> torch.Tensor:
        return torch.arange(float(size)) / size

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        return self.of(x.shape[-1])


class InSlots:
    __slots__ = ("lock", "made")

    def __init__(self) -> None:
        self.made: torch.Tensor | None = None
        self.lock = threading.Lock()


class InAHelper(Base):
    def __init__(self) -> None:
        super().__init__()
        self.helper = InSlots()

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        with self.helper.lock:
            if self.helper.made is None:
                self.helper.made = _grid(x)
        return self.helper.made


class WeaklyHeld(Base):
    made: ClassVar[weakref.WeakKeyDictionary[nn.Module, torch.Tensor]] = weakref.WeakKeyDictionary()

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        if self not in self.made:
            self.made[self] = _grid(x)
        return self.made[self]


class PerThread(Base):
    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self.local, "made"):
            self.local.made = _grid(x)
        return self.local.made


class CachedProperty(Base):
    @functools.cached_property
    def made(self) -> torch.Tensor:
        return torch.arange(6.0) / 6

    def grid(self, x: torch.Tensor) -> torch.Tensor:
        return self.made


class LastOutput(Base):
    """Keeps its last output, and computes something of it for later."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last = super().forward(x)
        self.kept.append(self.last.mean())
        return self.last


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    MADE.clear()
    OnItsClass.made = None


KEEPING = (
    *(OnItself, InASubmodule, OnItsClass, InAGlobal, InACache, InAHelper),
    *(WeaklyHeld, PerThread, CachedProperty, LastOutput),
)


@pytest.mark.parametrize("kind", KEEPING)
@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_made_on_first_use_is_a_constant_and_never_seen(kind: Any, batch: int) -> None:
    model, x = kind(), torch.rand(batch, 3, 6, 6)
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    captured = capture(model, [x])
    assert captured.batches == BatchSizes()
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == before
    assert not MADE
    assert OnItsClass.made is None
    assert not WeaklyHeld.made
    # Nothing that is computed for an attribute alone stays.
    assert not any("mean" in str(node.target) for node in captured.program.graph.nodes)
    expected = model(x)
    assert type(expected) is torch.Tensor
    twin = copied(model).eval()
    y = torch.rand(2, 3, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(captured.program.module()(y)[0], twin(y))


class FailsLate(OnItsClass):
    """Stores what it makes, and then cannot be captured."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        self.seen.append(y)
        MADE["y"] = self.last = y
        return y if y.sum() > 0 else -y


def test_nothing_of_a_capture_that_fails_is_seen() -> None:
    model = FailsLate().train()
    with pytest.raises(CaptureError, match="cannot capture FailsLate"):
        capture(model, [torch.rand(2, 3, 6, 6)])
    assert (model.seen, MADE, hasattr(model, "last")) == ([], {}, False)
    assert FailsLate.made is None
    assert OnItsClass.made is None
    assert all(module.training for module in model.modules())
    assert all(type(p) is nn.Parameter for p in model.parameters())


def test_the_lists_of_hooks_are_as_they_were() -> None:
    model, seen = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), []
    model[0].register_forward_hook(lambda *given: seen.append(given[-1].mean()))
    captured = capture(model, [torch.rand(2, 3, 6, 6)])
    assert seen == []
    assert not any("mean" in str(node.target) for node in captured.program.graph.nodes)


def test_a_network_that_does_not_run_says_why() -> None:
    with pytest.raises(CaptureError, match=r"Conv2d: it does not run on `example` \(R"):
        capture(nn.Conv2d(3, 4, 1), [torch.rand(2, 5, 6, 6)])
    with pytest.raises(CaptureError, match="an example of what it is trained on"):
        capture(nn.Conv2d(3, 4, 1), [torch.ones(2, 3, 6, 6, dtype=torch.uint8)])


def test_random_numbers_go_on_as_they_would_have() -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand(3)

    model, state = Noisy(), torch.get_rng_state()
    expected = torch.rand(2, 3), torch.rand(3)
    torch.set_rng_state(state)
    example = torch.rand(2, 3)
    capture(model, [example])
    assert torch.equal(example, expected[0])
    assert torch.equal(torch.rand(3), expected[1])


def test_several_threads_capture_one_network() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), OnItself())
    model[2].conv = nn.Conv2d(4, 4, 1)
    model[1].eval()
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(capture(model, [torch.rand(2, 3, 6, 6)]).batches)
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [BatchSizes()] * 4
    assert [module.training for module in model] == [True, False, True]
    assert all(type(p) is nn.Parameter for p in model.parameters())


class Aliases(nn.Module):
    """Its layers have two names each; it calls them by the second one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)])
        self.again = nn.Sequential(*self.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(x)


def test_tensors_go_by_their_first_names() -> None:
    model = Aliases()
    captured = capture(model, [torch.rand(2, 3, 6, 6)])
    names = dict([*model.named_parameters(), *model.named_buffers()])
    assert set(captured.names.values()) == names.keys()
    for node, name in captured.names.items():
        assert torch.equal(captured.constants[node], names[name])


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda m: nn.Sequential(nn.DataParallel(m))])
def test_wrappers_are_captured_with_what_they_wrap(wrap: Any) -> None:
    model, x = wrap(nn.Conv2d(3, 4, 1)), torch.rand(2, 3, 6, 6)
    captured = capture(model, [x])
    assert set(captured.names.values()) == dict(model.named_parameters()).keys()
    torch.testing.assert_close(captured.program.module()(x)[0], model(x))
