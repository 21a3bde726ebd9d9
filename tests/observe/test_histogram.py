"""`RunningHistogram`: shares of images from one pass, in fixed memory."""

import pytest
import torch

from openwork.observe.histogram import RunningHistogram, tenths


def test_selectivity_is_the_share_of_images_that_do_not_excite() -> None:
    histogram = RunningHistogram(2, torch.device("cpu"))
    values = torch.tensor([[1.0, 8.0], [5e-4, 8.0], [0.0, 8.0], [2e-3, 0.0]])
    histogram.add(values[:3])
    histogram.add(values[3:])
    # The first channel exceeds a thousandth of its largest in two of four images.
    assert histogram.universality(1e-3, 0).tolist() == [0.5, 0.75]
    assert histogram.images == 4


def test_memory_does_not_grow_with_the_data() -> None:
    histogram = RunningHistogram(3, torch.device("cpu"))
    sizes = []
    for _ in range(3):
        histogram.add(torch.rand(100, 3))
        sizes.append(
            sum(t.numel() for t in vars(histogram).values() if isinstance(t, torch.Tensor))
        )
    assert len(set(sizes)) == 1


def test_the_largest_number_is_kept_by_channel() -> None:
    histogram = RunningHistogram(3, torch.device("cpu"))
    histogram.add(torch.tensor([[1.0, 0.0, 5.0]]))
    histogram.add(torch.tensor([[0.5, 2.0, 7.0], [3.0, 1.0, 6.0]]))
    assert histogram.largest.tolist() == [3, 2, 7]
    histogram.add(torch.tensor([[0.0, float("nan"), 0.0]]))
    assert histogram.largest.isnan().tolist() == [False, True, False]


def test_channels_that_never_exceed_the_limit_excite_no_image() -> None:
    histogram = RunningHistogram(2, torch.device("cpu"))
    histogram.add(torch.tensor([[1e-3, 1.0], [1e-3, 1.0]]))
    assert histogram.universality(0.5, dead=1e-2).tolist() == [0, 1]


@pytest.mark.parametrize("exponent", [-40, -3, 0, 12])
def test_the_threshold_is_rounded_to_an_eighth_of_an_octave(exponent: int) -> None:
    largest = 2.0**exponent
    histogram = RunningHistogram(1, torch.device("cpu"))
    histogram.add(torch.tensor([[1.0], [0.6], [0.4]]) * largest)
    assert histogram.universality(0.5, dead=0).item() == pytest.approx(2 / 3)


def test_shares_by_tenths() -> None:
    found = tenths(torch.tensor([0.0, 0.05, 0.1, 0.95, 1.0]))
    torch.testing.assert_close(found, torch.tensor([0.4, 0.2, 0, 0, 0, 0, 0, 0, 0, 0.4]))
