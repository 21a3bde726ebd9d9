"""Several processes give what one gives, in the same order."""

from pathlib import Path

import pytest

from openwork.errors import OpenworkError
from openwork.predict.classifier import Classifier, Setup
from openwork.predict.found import found
from openwork.predict.workers import classified


def test_processes_keep_the_order(network: Path, images: Path) -> None:
    setup = Setup(network, 1, None, None)
    batches = [[path] for path in found([images])]
    classifier = Classifier(setup)
    alone = list(classified(classifier, setup, batches, 1))
    assert [each.label for (each,) in alone] == [2, 1, 0, 2, 1, 0]
    assert list(classified(classifier, setup, batches, 2)) == alone


def test_a_process_that_cannot_start_is_an_error(network: Path, images: Path) -> None:
    batches = [[path] for path in found([images])]
    classifier = Classifier(Setup(network, 1, None, None))
    with pytest.raises(OpenworkError, match="a process died"):
        list(classified(classifier, Setup("missing.ow", 1, None, None), batches, 2))
