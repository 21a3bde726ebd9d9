"""Pictures: the numbers that are drawn are those of the pattern."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from openwork.patterns import dense, grouped, random, scatter


def test_fans_stand_beside_the_matrix() -> None:
    pattern = random(8, 12, 3, 0.5, seed=1)
    _, columns, lines = pattern.show().axes
    across = [bar.get_height() for bar in columns.patches if isinstance(bar, Rectangle)]
    down = [bar.get_width() for bar in lines.patches if isinstance(bar, Rectangle)]
    assert across == pattern.fan_out.tolist()
    assert down == pattern.fan_in.tolist()


def test_groups_are_blocks_on_the_diagonal() -> None:
    matrix = grouped(4, 6, groups=2).show().axes[0]
    shown = np.asarray(matrix.images[0].get_array())
    assert shown.tolist() == [[1.0] * 3 + [0.0] * 3] * 2 + [[0.0] * 3 + [1.0] * 3] * 2


@pytest.mark.parametrize(("outputs", "inputs"), [(2, 200), (200, 2)])
def test_thin_layers_stay_readable(outputs: int, inputs: int) -> None:
    width, height = dense(outputs, inputs).show().get_size_inches()
    assert max(width, height) / min(width, height) < 4


def test_a_scatter_has_two_pictures_a_junction() -> None:
    found = scatter([random(8, 16, density=0.25, seed=0)])
    figure = found.show()
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == len(found.entries) > 0
    for entry, axes in zip(found.entries, pictures, strict=True):
        assert np.allclose(np.asarray(axes.images[0].get_array()), entry.shares)
        assert axes.get_title() == f"{entry.name} windows: {entry.scatter:.3f}"
