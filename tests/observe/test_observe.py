"""`observe`: dead and selective channels, however activations are applied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork.errors import ArgumentError, OpenworkError
from openwork.nn import Plan, sparsify_
from openwork.observe import SparsityHistory, observe
from openwork.observe.advice import advice
from openwork.observe.histogram import Tally
from openwork.observe.recorder import Watch


class Mixed(nn.Module):
    """Activations as modules and functions, in place and not; a sum; a layer without batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv3, self.head = nn.Conv2d(4, 3, 1), nn.Linear(3, 2)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(x))
        y += x
        return self.head(F.relu(self.conv3(F.relu(y))).mean((2, 3)))


@torch.no_grad()
def _model() -> Mixed:
    torch.manual_seed(0)
    model = Mixed()
    model.bn1.weight[0], model.bn1.bias[0] = 0, -1
    model.bn1.weight[1], model.bn1.bias[1] = 0, 1
    model.bn1.weight[2], model.bn1.bias[2] = 1, -1000
    model.bn2.weight.zero_()
    return model


def test_both_measures_layer_by_layer() -> None:
    report = observe(_model(), [torch.rand(3, 2, 4, 4), (torch.rand(2, 2, 4, 4), torch.zeros(2))])
    assert report.images == 5
    assert [layer.name for layer in report.layers] == ["bn1", "bn2", "conv3"]
    bn1, bn2, conv3 = report.layers
    assert bn1.by_scale is not None
    assert bn1.by_scale.tolist() == [True, True, False, False]
    assert bn1.by_activation.tolist() == [True, False, True, False]
    assert bn1.agreement == 0.5
    assert bn1.universality.tolist() == [0, 1, 0, 1]
    # The sum is written into its output, and is not its own.
    assert bn2.by_activation.all()
    assert conv3.by_scale is None
    assert conv3.agreement is None
    assert report.dead_by_scale() == 6 / 8
    assert report.dead_by_activation(report.layers[:1]) == 0.5


def test_the_model_is_left_as_it_was() -> None:
    model = _model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    observe(model, [torch.rand(3, 2, 4, 4)])
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_thresholds_are_parameters() -> None:
    model, batch = _model(), torch.rand(2, 2, 4, 4)
    report = observe(model, [batch], gamma_below=10, activation_below=1e6)
    assert report.dead_by_scale() == 1
    assert report.dead_by_activation() == 1


def test_selectivity_is_the_share_of_images_that_do_not_excite() -> None:
    tally = Tally(2, torch.device("cpu"))
    values = torch.tensor([[1.0, 8.0], [5e-4, 8.0], [0.0, 8.0], [2e-3, 0.0]])
    tally.add(values[:3])
    tally.add(values[3:])
    # The first channel exceeds a thousandth of its largest in two of four images.
    assert tally.universality(1e-3, 0).tolist() == [0.5, 0.75]
    assert tally.images == 4


def test_memory_does_not_grow_with_the_data() -> None:
    tally = Tally(3, torch.device("cpu"))
    sizes = []
    for _ in range(3):
        tally.add(torch.rand(100, 3))
        sizes.append(sum(t.numel() for t in vars(tally).values() if isinstance(t, torch.Tensor)))
    assert len(set(sizes)) == 1


def test_the_report_is_printed_and_drawn(tmp_path: Path) -> None:
    report = observe(_model(), [torch.rand(3, 2, 4, 4)], batch_size=40)
    text = str(report)
    assert "bn1" in text
    assert "early half of the layers: 75.0% dead by activation, 75.0% by scale" in text
    assert "batches of 40" in text
    report.picture(tmp_path / "o.png")
    assert (tmp_path / "o.png").read_bytes().startswith(b"\x89PNG")


IMAGES = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "`batches` is empty"),
        ([IMAGES[:0]], "`batches` is empty: it holds no images"),
        (None, "`batches` is a NoneType"),
        (IMAGES, r"`batches` is one tensor \(3, 2, 4, 4\).*\[images\]"),
        ([{"x": 1}], "holds a dict"),
        ([torch.tensor(1.0)], "holds a Tensor"),
        ([IMAGES, IMAGES * float("nan")], "'bn1' gives NaN or infinite"),
        ([IMAGES, IMAGES * float("inf")], "'bn1' gives NaN or infinite"),
        (list(IMAGES), "'conv1' is given one image without a batch axis"),
    ],
)
def test_bad_batches_are_refused(batches: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        observe(_model(), batches)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": None}, "`model` is a NoneType"),
        ({"model": nn.Conv2d(2, 2, 1)}, r"`model` \(Conv2d\) has neither .*nothing to observe"),
        ({"gamma_below": float("nan")}, "`gamma_below`=nan"),
        ({"activation_below": "a"}, "`activation_below`='a'"),
        ({"selective_below": -1}, "`selective_below`=-1"),
        ({"optimizer": "adam"}, "`optimizer`='adam'"),
        ({"batch_size": 0}, "`batch_size`=0"),
    ],
)
def test_bad_arguments_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        observe(**{"model": _model(), "batches": [IMAGES], **changed})


def test_batches_of_no_images_are_passed_over() -> None:
    assert observe(_model(), [IMAGES, IMAGES[:0]]).images == 3


class Applied(nn.Module):
    """A layer whose first channel gives nothing, and what is done to it."""

    def __init__(self, layer: nn.Module, after: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.after = layer, after
        nn.init.constant_(layer.weight, 0.5)
        nn.init.zeros_(layer.weight[:1])
        nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.layer(x))


@pytest.mark.parametrize(
    "after",
    [
        *(F.selu, F.celu, F.hardshrink, F.softsign, torch.tanh, nn.Threshold(0, 0)),
        lambda x: x.clamp(min=0),
        lambda x: torch.clamp_min(x, 0),
        lambda x: x.clip_(0, 6),
        lambda x: torch.maximum(x, torch.zeros(1)),
        lambda x: torch.max(torch.zeros(()), x),
        lambda x: torch.relu(input=x),
        nn.Sequential(nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Dropout2d(), nn.ReLU(inplace=True)),
    ],
)
def test_activations_are_known_behind_pooling_too(after: Any) -> None:
    (layer,) = observe(Applied(nn.Conv2d(2, 3, 1), after), [IMAGES]).layers
    assert layer.by_activation.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "after", [lambda x: torch.maximum(x, x.flip(1)), lambda x: F.glu(x, 1), lambda x: x.amax(1)]
)
def test_what_mixes_channels_is_no_activation(after: Any) -> None:
    with pytest.raises(ArgumentError, match="nothing to observe"):
        observe(Applied(nn.Conv2d(2, 4, 1), after), [IMAGES])


def test_a_layer_counts_once_whatever_its_pooled_output_meets() -> None:
    model = Applied(nn.Conv2d(2, 3, 1), lambda x: F.relu(F.max_pool2d(x, 2)).sum() + F.relu(x))
    seen = []
    with torch.no_grad(), Watch(model, lambda name, _: seen.append(name)) as watch:
        model(IMAGES)
        watch.flush()
    assert seen == ["layer"]


@pytest.mark.parametrize("lengths", [(7,), (5, 9)])
def test_channels_of_linear_layers_come_last(lengths: tuple[int, ...]) -> None:
    model = Applied(nn.Linear(6, 10), nn.GELU())
    (layer,) = observe(model, [torch.rand(4, 5, n, 6) for n in lengths]).layers
    assert layer.by_activation.tolist() == [True, *[False] * 9]


def test_sparse_layers_are_layers() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3), nn.ReLU())
    sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.5}}))
    assert [layer.name for layer in observe(model, [IMAGES]).layers] == ["0", "3"]


class Unusual(nn.Module):
    """A batch norm called twice, once by keyword, and a layer that gives a pair."""

    class Pair(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> Any:
            return super().forward(input), 1

    def __init__(self) -> None:
        super().__init__()
        self.pair, self.norm = self.Pair(2, 2, 1), nn.BatchNorm2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(input=F.relu(self.norm(self.pair(x)[0]))))


def test_calls_are_not_images() -> None:
    report = observe(Unusual(), [IMAGES])
    assert report.images == 3
    assert [layer.name for layer in report.layers] == ["norm"]


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (torch.optim.Adam, "Adam with an L2 penalty of 0.01 is what makes"),
        (torch.optim.AdamW, "AdamW decays weights by itself"),
        (torch.optim.SGD, "SGD with an L2 penalty of 0.01 leaves few"),
    ],
)
def test_advice_knows_what_the_optimiser_does(optimizer: type, message: str) -> None:
    made = optimizer([nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0.01)
    assert message in advice(0.5, 0.1, 0.9, made, None)[-1]
    assert "late layers" in advice(0.5, 0.1, 0.9, made, None)[1]
    without = optimizer([nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0)
    assert "without a penalty" in advice(0.0, 0.0, 0.0, without, None)[-1]


def test_history_follows_the_epochs(tmp_path: Path) -> None:
    model, history = _model(), SparsityHistory()
    history(model)
    with torch.no_grad():
        model.bn1.weight.zero_()
    assert history(model).epoch == 2
    assert [row.dead for row in history.epochs] == [{"bn1": 2, "bn2": 4}, {"bn1": 4, "bn2": 4}]
    assert history.table().rows == (("bn1", 0.5, 1.0), ("bn2", 1.0, 1.0))
    assert history.table().total == ("all", 0.75, 1.0)
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == (
        "epoch,layer,dead,channels\n1,bn1,2,4\n1,bn2,4,4\n2,bn1,4,4\n2,bn2,4,4\n"
    )


def test_history_goes_on_from_its_file(tmp_path: Path) -> None:
    model, path = _model(), tmp_path / "sparsity.csv"
    first = SparsityHistory(path=path)
    for epoch in (1, 2, 3):
        first(model, epoch)
    with torch.no_grad():
        model.bn1.weight.zero_()
    again = SparsityHistory(path=path)
    assert again.epochs == first.epochs
    assert again.table() == first.table()
    # The second epoch was not kept, and is trained anew.
    again(model, 2)
    assert [(row.epoch, row.dead["bn1"]) for row in again.epochs] == [(1, 2), (2, 4)]
    assert SparsityHistory(path=path).epochs == again.epochs
    path.write_text("epoch,loss\n1,2\n")
    with pytest.raises(ArgumentError, match="is no history of sparsity"):
        SparsityHistory(path=path)


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "h"
    with pytest.raises(OpenworkError, match="could not be written"):
        SparsityHistory(path=path)(_model())
    with pytest.raises(OpenworkError, match="could not be written"):
        observe(_model(), [IMAGES]).picture(path)
    with pytest.raises(ArgumentError, match="is no history of sparsity"):
        SparsityHistory(path=tmp_path)
    with pytest.raises(ArgumentError, match="`gamma_below`='a'"):
        SparsityHistory("a")  # type: ignore[arg-type]
