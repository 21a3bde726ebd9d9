"""timm and torchvision models: built when installed, explained when not."""

import builtins
import importlib
import sys

import pytest
import torch

from openwork.errors import ArgumentError, MissingPackageError
from openwork.models import ModelSource, build, describe, source_of, zoo


def require(package: str) -> None:
    """Skip where the package is not installed; any other failure to import is a failure."""
    try:
        zoo.import_zoo(package)
    except MissingPackageError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("package", "channels"), [("timm", 1), ("torchvision", 3)])
def test_resnet18(package: str, channels: int) -> None:
    require(package)
    name = f"{package}:resnet18"
    model = build(name, num_classes=7, in_channels=channels, image_size=64).eval()
    assert source_of(model) == ModelSource(name, 7, channels, 64, 1.0)
    # resnet18 has 11,689,512 parameters with 3 channels and 1000 classes.
    expected = 11_689_512 - 993 * 513 - (3 - channels) * 64 * 49
    assert sum(p.numel() for p in model.parameters()) == expected
    with torch.no_grad():
        assert model(torch.randn(2, channels, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_a_missing_package_names_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=r"pip install openwork\[zoo\]") as caught:
        build(f"{package}:resnet18")
    assert f"`{package}` could not be imported" in str(caught.value)


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_an_unknown_name_gets_close_matches(package: str) -> None:
    require(package)
    with pytest.raises(ArgumentError, match=r"no classifier 'resnet-18'.*Did you mean .*resnet18"):
        build(f"{package}:resnet-18")
    with pytest.raises(ArgumentError, match=r"See .*list of models"):
        build(f"{package}:??")


@pytest.mark.parametrize("name", ["timm:resnet18", "torchvision:resnet18"])
def test_a_depth_multiplier_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"`depth_multiplier` is 0\.5: it must be 1"):
        build(name, depth_multiplier=0.5)


def test_torchvision_refuses_grey_images() -> None:
    with pytest.raises(ArgumentError, match=r"`in_channels` is 1.*timm:resnet18"):
        build("torchvision:resnet18", in_channels=1)


def test_timm_never_reaches_for_a_hub_name() -> None:
    require("timm")
    with pytest.raises(ArgumentError, match="no classifier"):
        build("timm:hf-hub:timm/resnet18.a1_in1k")


@pytest.mark.parametrize("package", ["timm", "torchvision"])
def test_describe_needs_no_package(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert f"{package}:" in describe(f"{package}:resnet18")


def test_missing_operators_are_declared_and_the_import_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[str] = []
    package = builtins  # any module will do

    def import_module(name: str) -> object:
        tries.append(name)
        if len(tries) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        assert "timm.left_behind" not in sys.modules
        return package

    saved = {k: v for k, v in sys.modules.items() if k.partition(".")[0] in ("timm", "torchvision")}
    monkeypatch.setitem(sys.modules, "timm.left_behind", builtins)
    declared: list[bool] = []
    monkeypatch.setattr(zoo, "_declare_missing_operators", lambda: declared.append(True))
    monkeypatch.setattr(importlib, "import_module", import_module)
    try:
        assert zoo.import_zoo("timm") is package
    finally:
        sys.modules.update(saved)
    assert tries == ["timm", "timm"]
    assert declared == [True]


def test_any_other_runtime_error_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> object:
        raise RuntimeError("operator torchvision::roi_align does not exist")

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(RuntimeError, match="roi_align"):
        zoo.import_zoo("torchvision")
