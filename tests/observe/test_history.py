"""`SparsityHistory`: dead channels by epoch, and the file that continues them."""

from pathlib import Path

import pytest
import torch
from channel_networks import mixed
from torch import nn

from openwork.errors import ArgumentError, OpenworkError
from openwork.nn import Plan, grow_, sparsify_
from openwork.observe import SparsityHistory


def test_history_follows_the_epochs(tmp_path: Path) -> None:
    model, history = mixed(), SparsityHistory()
    history(model)
    with torch.no_grad():
        model.bn1.weight.zero_()
    assert history(model).epoch == 2
    assert [row.dead for row in history.epochs] == [{"bn1": 2, "bn2": 4}, {"bn1": 4, "bn2": 4}]
    assert history.table().rows == (("bn1", 0.5, 1.0), ("bn2", 1.0, 1.0))
    assert history.table().total == ("all", 0.75, 1.0)
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == (
        "epoch,layer,dead,channels\n1,bn1,2,4\n1,bn2,4,4\n2,bn1,4,4\n2,bn2,4,4\n"
    )


def test_history_continues_from_its_file(tmp_path: Path) -> None:
    model, path = mixed(), tmp_path / "sparsity.csv"
    first = SparsityHistory(path=path)
    for epoch in (1, 2, 3):
        first(model, epoch)
    with torch.no_grad():
        model.bn1.weight.zero_()
    again = SparsityHistory(path=path)
    assert again.epochs == first.epochs
    assert again.table() == first.table()
    # The second epoch was not kept, and is trained again.
    again(model, 2)
    assert [(row.epoch, row.dead["bn1"]) for row in again.epochs] == [(1, 2), (2, 4)]
    assert SparsityHistory(path=path).epochs == again.epochs
    path.write_text("epoch,loss\n1,2\n")
    with pytest.raises(ArgumentError, match="is not a history of sparsity"):
        SparsityHistory(path=path)


def test_densities_are_recorded_where_layers_are_sparse(tmp_path: Path) -> None:
    model, path = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8)), tmp_path / "sparsity.csv"
    history = SparsityHistory(path=path)
    history(model)
    assert path.read_text() == "epoch,layer,dead,channels\n1,1,0,8\n"
    sparsify_(model, Plan({"0": {"pattern": "random", "density": 0.25}}))
    history(model)
    grow_(model, 0.5)
    history(model)
    assert [row.density for row in history.epochs] == [{}, {"0": 0.25}, {"0": 0.5}]
    assert path.read_text().splitlines()[2:4] == ["2,1,0,8,", "2,0,,,0.25"]
    assert SparsityHistory(path=path).epochs == history.epochs


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "h"
    with pytest.raises(OpenworkError, match="could not be written"):
        SparsityHistory(path=path)(mixed())
    with pytest.raises(ArgumentError, match="is not a history of sparsity"):
        SparsityHistory(path=tmp_path)
    with pytest.raises(ArgumentError, match="`gamma_below`='a'"):
        SparsityHistory("a")  # type: ignore[arg-type]
