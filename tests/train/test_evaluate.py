"""`evaluate` against a plain loop over single images."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork.data import DataSet, Split
from openwork.errors import ArgumentError
from openwork.train import Evaluation, evaluate


def _naive(model: nn.Module, split: Split, data: DataSet) -> Evaluation:
    model.eval()
    loss, found = 0.0, 0
    for pixels, label in zip(split.images, split.labels, strict=True):
        image = (torch.from_numpy(pixels.copy()).float() / 255 - data.mean[0]) / data.std[0]
        logits = model(image[None])[0]
        loss += -F.log_softmax(logits, 0)[label].item()
        found += int(logits.argmax() == label)
    return Evaluation(loss / len(split), found / len(split), len(split))


@pytest.mark.parametrize("batch_size", [1, 7, 30, 500])
@pytest.mark.parametrize("split", ["test", "train"])
def test_it_is_the_mean_over_all_images(
    make: Callable[..., nn.Module], toy: DataSet, split: str, batch_size: int
) -> None:
    model = make()
    expected = _naive(model, getattr(toy, split), toy)
    result = evaluate(model, toy, split=split, batch_size=batch_size)
    assert (result.accuracy, result.count) == (expected.accuracy, expected.count)
    # Sums over a batch are rounded to float32.
    assert result.loss == pytest.approx(expected.loss, rel=1e-5)


def test_the_test_split_is_the_default(make: Callable[..., nn.Module], toy: DataSet) -> None:
    assert evaluate(make(), toy) == evaluate(make(), toy, split="test")
    assert evaluate(make(), toy).count == len(toy.test)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_each_layer_is_put_back(
    make: Callable[..., nn.Module], toy: DataSet, training: bool
) -> None:
    model = make().train(training)
    # As one does with a frozen layer.
    model.get_submodule("1").train(not training)
    before = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, toy)
    assert [module.training for module in model.modules()] == before
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_mode_is_put_back_after_an_error(make: Callable[..., nn.Module], toy: DataSet) -> None:
    model = make()
    handle = model.get_submodule("6").register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate(model, toy)
    handle.remove()
    assert all(module.training for module in model.modules())


def test_no_gradients_are_kept(make: Callable[..., nn.Module], toy: DataSet) -> None:
    model = make()
    seen: list[bool] = []
    model.register_forward_hook(lambda module, inputs, result: seen.append(result.requires_grad))
    evaluate(model, toy)
    assert seen == [False]


def test_a_model_without_parameters_can_be_evaluated(toy: DataSet) -> None:
    model = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
    # The quarter that is brightest on average is the class: this network knows it all.
    assert evaluate(model, toy).accuracy == 1.0


def test_bad_arguments_are_refused(make: Callable[..., nn.Module], toy: DataSet) -> None:
    with pytest.raises(ArgumentError, match="`split`='valid' must be one of 'test', 'train'"):
        evaluate(make(), toy, split="valid")
    with pytest.raises(ArgumentError, match="`batch_size`=0"):
        evaluate(make(), toy, batch_size=0)


def test_labels_beyond_the_outputs_are_refused(toy: DataSet) -> None:
    outputs = int(toy.test.labels.max())
    model = nn.Sequential(nn.Flatten(), nn.Linear(toy.test.images[0].size, outputs))
    with pytest.raises(ArgumentError, match=f"holds the label {outputs}, but `model` gives"):
        evaluate(model, toy)
    with pytest.raises(ArgumentError, match="`model` is a str"):
        evaluate("model", toy)  # type: ignore[arg-type]
