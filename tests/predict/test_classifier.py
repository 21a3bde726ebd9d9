"""An image becomes the network's input as in the training, and its class what numpy says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from openwork.errors import ArgumentError
from openwork.predict.classifier import Classifier, Setup


def test_classes_and_probabilities(network: Path, images: Path) -> None:
    classifier = Classifier(Setup(network, 1, None, None))
    assert classifier.names == ("red", "green", "blue")
    assert classifier.normalisation == "as in the training"
    bad = images / "notes.txt"
    files = [images / "a" / "blue.png", bad, images / "a" / "red.png"]
    blue, broken, red = classifier.classify(files)
    assert (blue.label, red.label, broken.label) == (2, 0, -1)
    assert blue.probability == pytest.approx(np.e / (np.e + 2), abs=1e-6)
    assert "cannot be read" in broken.fault
    assert (broken.path, blue.fault) == (bad, "")
    assert [each.label for each in classifier.classify([bad])] == [-1]


def test_the_normalisation_of_the_file_counts_unless_another_is_asked_for(
    save: Callable[..., Path], images: Path
) -> None:
    red = images / "a" / "red.png"
    path = save({"mean": [1.0, 0.0, 0.0], "std": [1.0, 0.1, 1.0]})
    # Red becomes 0, and all others stay 0.
    (share,) = Classifier(Setup(path, 1, None, None)).classify([red])
    assert share.probability == pytest.approx(1 / 3)
    asked = Classifier(Setup(path, 1, [0.5], [0.5]))
    assert asked.normalisation == "as asked"
    assert asked.classify([red])[0].probability == pytest.approx(np.e / (np.e + 2 / np.e))
    plain = Classifier(Setup(save({}), 1, None, None))
    assert (plain.normalisation, plain.names) == ("scaled to 0 to 1", ())


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.5, 0.5], None, r"`mean`=\[0.5, 0.5\] must be 3 numbers"),
        (None, [0.0], r"`std`=\[0.0\] must be above 0"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    network: Path, mean: list[float] | None, std: list[float] | None, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        Classifier(Setup(network, 1, mean, std))


def test_networks_that_do_not_classify_are_refused(save: Callable[..., Path], images: Path) -> None:
    classifier = Classifier(Setup(save({}, nn.ReLU()), 1, None, None))
    with pytest.raises(ArgumentError, match=r"gives \(1, 3, 4, 6\) for 1 images"):
        classifier.classify([images / "a" / "red.png"])
