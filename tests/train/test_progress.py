"""What the terminal shows: one line for each epoch, on standard error, or nothing."""

import pytest

from openwork.train import EpochMetrics
from openwork.train.progress import ProgressBar

ROW = EpochMetrics(3, 0.1, 0.51234, 0.75, 0.6, 0.5, 1.26)


@pytest.mark.parametrize("shown", [True, False])
def test_an_epoch_is_a_line(capsys: pytest.CaptureFixture[str], shown: bool) -> None:
    with ProgressBar("a[b]", epochs=10, steps=2, finished=2, shown=shown) as bar:
        bar.step()
        bar.epoch(ROW)
    seen = capsys.readouterr()
    line = "a[b]  epoch  3/10  loss 0.5123  train 75.00%  test 50.00%  1.3 s"
    assert seen.out == ""
    assert (line in seen.err) is shown
    assert shown or seen.err == ""
