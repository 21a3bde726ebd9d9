"""Masks of `torch.nn.utils.prune` as patterns: what a mask leaves out stays dead."""

import pytest
import torch
from parts import known
from torch import nn
from torch.nn.utils import prune

import openwork as ow
from openwork.nn import SparseConv2d, SparseLayer
from openwork.nn.kinds.masked import masks_as_patterns

X = torch.randn(2, 3, 8, 8)


def _masked() -> nn.Sequential:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)
    )
    prune.l1_unstructured(model[2], "weight", 0.5)
    # Now the masked weight is older than what it is computed from.
    model.get_parameter("2.weight_orig").data.mul_(2)
    return model


def test_a_sparse_layer_stands_in_and_computes_the_same() -> None:
    model, masked = _masked(), None
    masked, expected = model[2], model(X).detach()
    with masks_as_patterns(model):
        layer = model[2]
        assert isinstance(layer, SparseConv2d)
        assert layer.weight.numel() == 288
        assert layer.weight.is_leaf
        torch.testing.assert_close(model(X), expected)
    assert model[2] is masked


def test_the_masked_layer_is_back_after_an_error() -> None:
    model = _masked()
    masked = model[2]
    with pytest.raises(KeyError), masks_as_patterns(model):
        raise KeyError
    assert model[2] is masked


@pytest.mark.parametrize("granularity", ["kernel", "feature_map"])
def test_a_masked_network_is_cut_and_its_masks_hold(granularity: str) -> None:
    model = _masked()
    mask = model.get_buffer("2.weight_mask").bool().numpy()
    plan = ow.prune.by_criterion(
        model, granularity=granularity, ratio=0.25, example=X, progress=False
    )
    ow.prune.apply_(model, plan)
    layer = model[2]
    assert isinstance(layer, SparseLayer)
    assert not layer.pattern.taps[~mask].any()
    assert layer.pattern.live < mask.sum()


def test_taylor_scores_masked_layers() -> None:
    model = _masked()
    plan = ow.prune.by_criterion(
        model, "taylor", ratio=0.5, example=X, progress=False, batches=[(X, X)],
        loss=lambda outputs, _: outputs.square().mean(),
    )  # fmt: skip
    assert plan.layers["2"].live < 288
    bias = known(model[2].bias)
    assert bias.grad is None


def test_a_layer_that_loses_nothing_keeps_its_mask() -> None:
    model = _masked()
    masked = model[2]
    ow.prune.apply_(model, ow.Plan({"4": {"pattern": "random", "density": 0.5}}))
    assert model[2] is masked
    assert isinstance(model[4], SparseConv2d)


def test_other_hooks_leave_a_masked_layer_dense() -> None:
    model = _masked()
    model[2].register_forward_pre_hook(lambda module, inputs: None)
    with masks_as_patterns(model):
        assert type(model[2]) is nn.Conv2d
    with pytest.raises(ow.PlanError, match="masked by L1Unstructured"):
        ow.sparsify_(model, ow.Plan({"2": "dense"}))
