"""Densities come from the shapes in a file, in the order in which people count."""

from openwork.report.page.record import Checkpoint
from openwork.report.page.section import densities, kilobytes, percent


def test_densities_of_sparse_and_dense_layers() -> None:
    layout = {
        "f.10.weight": ((54,), 216),
        "f.10.gaps": ((6,), 6),
        "f.2.weight": ((8, 3, 3, 3), 864),
        "bn.weight": ((8,), 32),
    }
    held = Checkpoint({"layers": {"f.10": {"shape": [8, 3, 3, 3]}}}, layout, 2000)
    assert densities(held) == {"f.2": (216, 216), "f.10": (54, 216)}
    assert list(densities(held)) == ["f.2", "f.10"]


def test_numbers_in_words() -> None:
    assert percent(0.5) == "50 %"
    assert kilobytes(2_500) == "2.5 KB"
