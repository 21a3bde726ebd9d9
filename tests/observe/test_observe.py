"""`observe`: dead and selective channels, whatever code applies activations."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from channel_networks import Applied, mixed
from torch import nn
from torch.nn.utils import parametrizations

from openwork.errors import ArgumentError
from openwork.nn import Plan, sparsify_
from openwork.observe import observe


def test_both_measures_layer_by_layer() -> None:
    report = observe(mixed(), [torch.rand(3, 2, 4, 4), (torch.rand(2, 2, 4, 4), torch.zeros(2))])
    assert report.images == 5
    assert [layer.name for layer in report.layers] == ["bn1", "bn2", "conv3"]
    bn1, bn2, conv3 = report.layers
    assert bn1.by_scale is not None
    assert bn1.by_scale.tolist() == [True, True, False, False]
    assert bn1.by_activation.tolist() == [True, False, True, False]
    assert bn1.agreement == 0.5
    assert bn1.universality.tolist() == [0, 1, 0, 1]
    # The sum overwrites the batch norm's output, and does not count as it.
    assert bn2.by_activation.all()
    assert conv3.by_scale is None
    assert conv3.agreement is None
    assert report.dead_by_scale() == 6 / 8
    assert report.dead_by_activation(report.layers[:1]) == 0.5


def test_the_model_is_left_as_it_was() -> None:
    model = mixed().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    observe(model, [torch.rand(3, 2, 4, 4)])
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_thresholds_are_parameters() -> None:
    model, batch = mixed(), torch.rand(2, 2, 4, 4)
    report = observe(model, [batch], gamma_below=10, activation_below=1e6)
    assert report.dead_by_scale() == 1
    assert report.dead_by_activation() == 1


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
        observe(mixed(), batches)


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
        observe(**{"model": mixed(), "batches": [IMAGES], **changed})


def test_empty_batches_are_skipped() -> None:
    assert observe(mixed(), [IMAGES, IMAGES[:0]]).images == 3


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
def test_activations_are_known_after_pooling_too(after: Any) -> None:
    (layer,) = observe(Applied(nn.Conv2d(2, 3, 1), after), [IMAGES]).layers
    assert layer.by_activation.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "after", [lambda x: torch.maximum(x, x.flip(1)), lambda x: F.glu(x, 1), lambda x: x.amax(1)]
)
def test_what_mixes_channels_is_not_an_activation(after: Any) -> None:
    with pytest.raises(ArgumentError, match="nothing to observe"):
        observe(Applied(nn.Conv2d(2, 4, 1), after), [IMAGES])


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


def test_what_compact_keeps_is_said() -> None:
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.InstanceNorm1d(4), nn.ReLU(), nn.Conv1d(4, 2, 1))
    report = observe(model, [torch.rand(3, 2, 8)])
    assert [layer.name for layer in report.layers] == ["0"]
    assert "compact keeps" not in str(report)
    parametrizations.weight_norm(model[0])
    assert "compact keeps the channels of '0': its weight is re-parametrised by _WeightNorm" in str(
        observe(model, [torch.rand(3, 2, 8)])
    )


class Difference(nn.Module):
    """Two inputs through one batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(left - right))


def test_networks_of_several_inputs() -> None:
    left, right = torch.rand(3, 2, 4, 4), torch.rand(3, 2, 4, 4)
    batches = [(left, right), (left, right, torch.zeros(3)), ((left, right), torch.zeros(3))]
    report = observe(Difference(), [*batches, {"right": right, "left": left, "label": 1}])
    assert report.images == 12
    assert report.layers[0].by_activation.tolist() == [False, False]


def test_tensors_without_numbers_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`batches` holds a tensor that is on the meta device"):
        observe(mixed(), [torch.rand(3, 2, 4, 4, device="meta")])
