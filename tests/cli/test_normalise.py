"""Whose normalisation the images get."""

import numpy as np
import pytest
from torch import nn

from openwork.cli.normalise import AS_KNOWN, Normalisation, normalised
from openwork.data import DataSet, Split
from openwork.errors import ArgumentError

SPLIT = Split(np.zeros((2, 1, 4, 4), np.uint8), np.zeros(2, np.int64))
DATA = DataSet("toy", SPLIT, SPLIT, ("a",), (0.5,), (0.25,))


def test_the_order_is_asked_recorded_published_data() -> None:
    network = nn.Linear(1, 1)
    vars(network)["default_cfg"] = {"mean": (0.1,), "std": (0.2,)}
    recorded = {"mean": [0.3], "std": [0.4]}
    assert normalised(DATA, AS_KNOWN, {}, None)[0].mean == (0.5,)
    assert normalised(DATA, AS_KNOWN, {}, network)[0].mean == (0.1,)
    assert normalised(DATA, AS_KNOWN, recorded, network)[0].std == (0.4,)
    chosen, whose = normalised(DATA, Normalisation("0.9"), recorded, None)
    assert (chosen.mean, chosen.std, whose) == (
        (0.9,),
        (0.4,),
        "mean as asked, the rest of the training",
    )


@pytest.mark.parametrize("text", ["a", "0.1,0.2", "127.5", "", "nan"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="`mean`="):
        normalised(DATA, Normalisation(text), {}, None)
