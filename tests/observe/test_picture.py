"""`draw`: bars and shares are those of the layers."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from openwork.observe.picture import draw


def test_bars_stand_for_the_layers() -> None:
    universality = np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]])
    figure = draw(["a", "b", "c"], [0.5, 0.0, 1.0], [0.25, None, 0.75], universality)
    shares, spread, scale = figure.axes
    bars = [bar for bar in shares.patches if isinstance(bar, Rectangle)]
    assert len(bars) == len(shares.patches)
    lengths = [bar.get_width() for bar in bars]
    assert lengths == [0.5, 0.0, 1.0, 0.25, 0.75]
    # Those by scale are below those by activation, and the second layer has none.
    centres = [bar.get_y() + bar.get_height() / 2 for bar in bars]
    assert centres == pytest.approx([-0.2, 0.8, 1.8, 0.2, 2.2])
    assert [label.get_text() for label in shares.get_yticklabels()] == ["a", "b", "c"]
    # The first layer is at the top.
    assert shares.get_ylim() == (2.5, -0.5)
    (image,) = spread.get_images()
    assert np.array_equal(np.asarray(image.get_array()), universality)
    assert scale.get_ylabel() == "share of the layer's channels"
    assert shares.get_legend() is not None


def test_a_healthy_network_is_said_to_be_healthy() -> None:
    figure = draw(["a" * 60], [0.0], [0.0], np.array([[0.0, 1.0]]))
    shares = figure.axes[0]
    assert [text.get_text() for text in shares.texts] == ["No channel is dead\nby either measure."]
    assert shares.get_legend() is None
    assert shares.get_yticklabels()[0].get_text() == "…" + "a" * 35
    assert "1 layer" in figure.get_suptitle()
