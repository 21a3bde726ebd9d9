"""What holds for every named model: shapes, gradients, export, rebuilding, and the refusals."""

from typing import Any

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.models import ModelSource, build, describe, names, source_of

# name: smallest image, and the other image sizes to try
SIZES = {
    "basicnet": (16, 32, 37),
    "cnn_large": (4, 28, 33),
    "cnn_small": (4, 32, 29),
    "mnist_3conv": (8, 28, 35),
    "mobilenet": (16, 32, 35),
    "resnet32": (4, 32, 27),
    "resnet32x2": (4, 32, 27),
    "vgg-small": (8, 28, 35),
    "vgg16-cifar": (32, 64, 50),
    "vgg16n": (192, 224, 256),
    "vgg19-cifar": (32, 64, 50),
}
NARROW = 0.07


def narrow(name: str, **arguments: int) -> nn.Module:
    torch.manual_seed(0)
    arguments.setdefault("image_size", SIZES[name][0])
    return build(name, depth_multiplier=NARROW, **arguments)


def test_the_names_are_pinned() -> None:
    assert names() == tuple(sorted(SIZES))


@pytest.mark.parametrize("name", SIZES)
def test_describe_is_one_sentence(name: str) -> None:
    sentence = describe(name)
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("index", "channels", "classes"), [(0, 3, 10), (1, 1, 3), (2, 4, 1)])
def test_output_shape(name: str, index: int, channels: int, classes: int) -> None:
    size = SIZES[name][index]
    model = narrow(name, image_size=size, in_channels=channels, num_classes=classes).eval()
    with torch.no_grad():
        y = model(torch.randn(2, channels, size, size))
    assert y.shape == (2, classes)
    assert y.isfinite().all()


@pytest.mark.parametrize("name", SIZES)
def test_one_image_less_is_refused(name: str) -> None:
    size = SIZES[name][0] - 1
    with pytest.raises(ArgumentError, match=f"`image_size` is {size}: `{name}` needs at least"):
        narrow(name, image_size=size)


@pytest.mark.parametrize("name", SIZES)
def test_a_training_step_reaches_every_parameter(name: str) -> None:
    model = narrow(name)
    size = SIZES[name][0]
    loss = nn.functional.cross_entropy(
        model(torch.randn(4, 3, size, size)), torch.tensor([0, 1, 2, 3])
    )
    loss.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("name", SIZES)
def test_exports_with_a_dynamic_batch(name: str) -> None:
    model = narrow(name).eval()
    size = SIZES[name][0]
    exported = torch.export.export(
        model,
        (torch.randn(2, 3, size, size),),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        strict=False,
    )
    x = torch.randn(5, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(x), model(x))


@pytest.mark.parametrize("name", [*SIZES, "mlp:768-20-10"])
def test_rebuilds_from_its_source(name: str) -> None:
    model = build(name, image_size=SIZES.get(name, (16,))[0], depth_multiplier=0.1)
    source = source_of(model)
    assert source is not None
    again = build(**ModelSource.from_dict(source.to_dict()).to_dict())
    assert source_of(again) == source
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    assert {key: tensor.shape for key, tensor in again.state_dict().items()} == shapes
    again.load_state_dict(model.state_dict())


@pytest.mark.parametrize("name", SIZES)
def test_plain_layers_in_two_named_halves(name: str) -> None:
    model = narrow(name)
    assert [child for child, _ in model.named_children()] == ["features", "classifier"]
    own = {"BasicBlock"} if name.startswith("resnet") else set()
    foreign = {
        type(layer).__name__
        for layer in model.modules()
        if not type(layer).__module__.startswith("torch.nn")
    }
    assert foreign == own


@pytest.mark.parametrize("ask", [build, describe])
def test_an_unknown_name_lists_the_models(ask) -> None:
    with pytest.raises(ArgumentError) as caught:
        ask("vgg16")
    message = str(caught.value)
    assert "`name` is 'vgg16'" in message
    assert "Did you mean" in message
    for name in (*names(), "mlp:784-100-10", "ssc:resnet32:0.95", "timm:resnet18"):
        assert name in message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("VGG16", "vgg16-cifar"),
        ("MLP:784-10", "mlp:784-10"),
        ("tim:resnet18", "timm:resnet18"),
        ("torchvison:resnet18", "torchvision:resnet18"),
        ("ssc:VGG-Small:0.9", "vgg-small"),
    ],
)
def test_a_misspelt_name_or_prefix_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ArgumentError, match=f"Did you mean .*{hint}"):
        build(name)


def test_a_name_like_no_other_gets_no_guess() -> None:
    with pytest.raises(ArgumentError, match=r"no model has this name\. The models are basicnet"):
        build("qqqq")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("num_classes", 0), ("in_channels", 0), ("image_size", -1), ("depth_multiplier", 0.0)],
)
def test_bad_numbers_are_refused(argument: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"`{argument}` is {value}"):
        build("resnet32", **{argument: value})
