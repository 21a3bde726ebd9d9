"""`draw`: bars and shares are those of the layers."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from openwork.observe.picture import draw


def test_bars_stand_for_the_layers() -> None:
    universality = np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]])
    figure = draw(["a", "b", "c"], [0.5, 0.0, 1.0], [0.25, None, 0.75], universality)
    shares, spread = figure.axes
    bars = [bar for bar in shares.patches if isinstance(bar, Rectangle)]
    assert len(bars) == len(shares.patches)
    heights = [bar.get_height() for bar in bars]
    assert heights == [0.5, 0.0, 1.0, 0.25, 0.75]
    # Those by scale are left of their layer, and the second layer has none.
    centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    assert centres == pytest.approx([0.2, 1.2, 2.2, -0.2, 1.8])
    assert [label.get_text() for label in spread.get_xticklabels()] == ["a", "b", "c"]
    (image,) = spread.get_images()
    assert np.array_equal(np.asarray(image.get_array()), universality.T)
