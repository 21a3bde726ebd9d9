"""The normalisation of published weights."""

from torch import nn

from openwork.models import normalisation_of


def test_it_is_read_where_packages_keep_it() -> None:
    model = nn.Linear(1, 1)
    assert normalisation_of(model) is None
    vars(model)["default_cfg"] = {"mean": (0.5, 0.4), "std": (0.2, 0.1)}
    assert normalisation_of(model) == ((0.5, 0.4), (0.2, 0.1))
    vars(model)["default_cfg"] = {"mean": (0.5,), "std": (0.0,)}
    assert normalisation_of(model) is None
