"""`observe`: dead and selective channels, however activations are applied."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork.channels import SparsityHistory, observe
from openwork.channels.advice import advice
from openwork.channels.tally import Tally
from openwork.errors import ArgumentError


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


@pytest.mark.parametrize(
    ("batches", "model", "message"),
    [
        ([], _model(), "`batches` is empty"),
        ([torch.rand(1, 2, 4, 4)], nn.Conv2d(2, 2, 1), "nothing to observe"),
        ([{"x": 1}], _model(), "holds a dict"),
    ],
    ids=["empty", "no layers", "no tensors"],
)
def test_bad_batches_are_refused(batches: list, model: nn.Module, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        observe(model, batches)


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
