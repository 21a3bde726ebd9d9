"""Models in Python files."""

from pathlib import Path

import pytest
from torch import nn

from openwork import models
from openwork.errors import ArgumentError

_FILE = """
from beside import WIDTH
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels=1):
        super().__init__()
        self.sizes = (num_classes, in_channels, WIDTH)

def none(): ...
def boom(): raise KeyError("x")
def needs(width): ...
ready = Net(5)
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "beside.py").write_text("WIDTH = 7\n")
    (tmp_path / "net.py").write_text(_FILE)
    return str(tmp_path / "net.py")


def test_sizes_are_passed_by_name(file: str) -> None:
    model = models.from_file(f"{file}:Net", num_classes=4, in_channels=3, image_size=8)
    assert isinstance(model, nn.Module)
    assert model.sizes == (4, 3, 7)
    assert models.source_of(model) == models.ModelSource("net.py:Net", 4, 3, 8)
    assert models.from_file(f"{file}:ready").sizes == (5, 1, 7)
    with pytest.raises(ArgumentError, match=r"`models.from_file`, which runs the file"):
        models.build(f"{file}:Net")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nett", "no class or function 'Nett'. Did you mean Net?"),
        ("none", "none returns a NoneType"),
        ("boom", "fails with KeyError: 'x' .line 11."),
        ("needs", "it needs width, but only"),
        ("", "write the file, a colon"),
    ],
)
def test_what_is_wrong_is_said(file: str, name: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        models.from_file(f"{file}:{name}")


@pytest.mark.parametrize("text", ["1/0", "def f(:", "import no_such_thing", "raise SystemExit(1)"])
def test_a_file_that_fails_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(ArgumentError, match=r"importing .*bad.py' fails with \w+"):
        models.from_file(f"{tmp_path}/bad.py:f")
