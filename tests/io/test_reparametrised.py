"""Files of masked and re-parametrised layers, loaded into models with and without."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from openwork.errors import CheckpointError
from openwork.io import load, save
from openwork.io.reparametrised import fit_reparametrised

X = torch.randn(2, 3, 8, 8)


def _plain() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).eval()


def _masked() -> nn.Sequential:
    model = _plain()
    prune.l1_unstructured(model[0], "weight", 0.5)
    prune.random_unstructured(model[1], "bias", 0.5)
    return model


def _normed() -> nn.Sequential:
    model = _plain()
    parametrizations.weight_norm(model[0])
    return model


def test_masks_become_permanent_in_a_plain_model(tmp_path: Path) -> None:
    model, path = _masked(), tmp_path / "masked.safetensors"
    save(model, path)
    plain = load(path, build=_plain).eval()
    assert torch.equal(plain(X), model(X))
    assert torch.equal(plain.get_parameter("0.weight") == 0, model.get_buffer("0.weight_mask") == 0)


def test_a_masked_model_keeps_its_masks(tmp_path: Path) -> None:
    model, path = _masked(), tmp_path / "masked.safetensors"
    save(model, path)
    again = load(path, build=_masked).eval()
    assert torch.equal(again(X), model(X))
    assert torch.equal(again.get_buffer("0.weight_mask"), model.get_buffer("0.weight_mask"))


def test_a_norm_on_one_side_only_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(_normed(), path)
    with pytest.raises(CheckpointError, match=r"'0.weight' is computed by .*parametrize in the f"):
        load(path, build=_plain)
    save(_plain(), path)
    with pytest.raises(CheckpointError, match=r"parametrize in the model that was built, but not"):
        load(path, build=_normed)


def test_names_that_only_look_alike_are_left_alone() -> None:
    model = nn.Module()
    tensors = {"x_mask": torch.ones(1), "scale_g": torch.ones(1), "a_orig": torch.ones(1)}
    before = dict(tensors)
    fit_reparametrised(model, tensors)
    assert tensors == before
