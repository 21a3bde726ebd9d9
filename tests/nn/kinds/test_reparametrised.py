"""What computes a layer's weight is named, with the call that stops it."""

from collections.abc import Callable

import pytest
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from openwork.nn.kinds.reparametrised import reparametrised


class _Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def _own(layer: nn.Module) -> None:
    parametrize.register_parametrization(layer, "bias", _Doubled())


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("change", "what", "way"),
    [
        (nn.utils.weight_norm, "utils.weight_norm", "remove_weight_norm(layer, 'weight')"),
        (nn.utils.spectral_norm, "utils.spectral_norm", "remove_spectral_norm(layer, 'weight')"),
        (parametrizations.weight_norm, "_WeightNorm", "remove_parametrizations(layer, 'weight')"),
        (parametrizations.orthogonal, "_Orthogonal", "remove_parametrizations(layer, 'weight')"),
        (_own, "its bias is re-parametrised by _Doubled", "remove_parametrizations(layer, 'bias')"),
        (
            lambda layer: prune.l1_unstructured(layer, "bias", 1),
            "its bias is masked by L1Unstructured",
            "prune.remove(layer, 'bias')",
        ),
    ],
)
def test_the_cause_and_the_way_out_are_named(
    change: Callable[[nn.Module], object], what: str, way: str
) -> None:
    layer = nn.Conv2d(3, 4, 3)
    assert reparametrised(layer) is None
    change(layer)
    found = reparametrised(layer)
    assert found is not None
    assert what in found
    assert way in found


def test_masks_need_not_count() -> None:
    layer = prune.l1_unstructured(nn.Linear(3, 4), "weight", 2)
    assert reparametrised(layer, masks=False) is None
    assert "masked" in str(reparametrised(layer))
