"""The code on every page runs, and prints what the page shows."""

import dataclasses
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pages import DOCS, blocks, in_folder, pages, run

import openwork as ow
from openwork.data import DataSet, Split
from openwork.kernels.native import reason_missing

# Pages that train on many images; the quick tests run them on a few, which may be random.
LONG = ("prune-a-trained-network.md", "sparse-from-the-first-step.md")
# Notebooks are run by each build of the documentation.
WITH_CODE = [page for page in pages() if page.suffix == ".md" and "```python" in page.read_text()]
needs_kernels = pytest.mark.skipif(
    reason_missing is not None, reason="pages compile, which needs the compiled kernels"
)


def _name(page: Path) -> str:
    return str(page.relative_to(DOCS))


def _few(data: DataSet, count: int = 96) -> DataSet:
    def part(split: Split) -> Split:
        return Split(split.images[:count], split.labels[:count])

    return dataclasses.replace(data, train=part(data.train), test=part(data.test))


def _random_cifar10(name: str = "cifar10", *_: object) -> DataSet:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (96, 3, 32, 32), dtype=np.uint8)
    split = Split(images, (np.arange(96) % 10).astype(np.int64))
    mnist = ow.data.load("mnist-subset")
    half = (0.5, 0.5, 0.5)
    return dataclasses.replace(mnist, name=name, train=split, test=split, mean=half, std=half)


@needs_kernels
@pytest.mark.parametrize("page", WITH_CODE, ids=_name)
def test_the_code_of_a_page_runs_and_prints_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "native")
    if page.name in LONG:
        load = ow.data.load
        few = {"cifar10": _random_cifar10, "mnist-subset": lambda *_: _few(load("mnist-subset"))}
        monkeypatch.setattr(ow.data, "load", lambda name, *more: few[name](name, *more))
        monkeypatch.delenv("OPENWORK_PRETRAINED", raising=False)
    with in_folder(tmp_path):
        wrong = [output for output in run(page) if not output.agrees]
    assert not wrong, "\n".join(
        f"{page.name}:{each.block.line} shows\n{each.block.code}but it printed\n{each.printed}"
        for each in wrong
    )


@needs_kernels
@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_the_code_of_a_long_page_runs_on_real_images(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(os.environ.get("OPENWORK_DATA", "none"))
    if not (data / "cifar10").is_dir():
        pytest.skip("OPENWORK_DATA has no cifar10")
    monkeypatch.setenv("OPENWORK_PRETRAINED", str(data.parent / "pretrained"))
    with in_folder(tmp_path):
        assert all(output.agrees for output in run(DOCS / name))


def test_what_is_compared_and_what_is_not() -> None:
    text = "<!-- varies -->\n```text\nlayer  1.5 ms\n```\n\n"
    text += "```python\nprint(1)\n```\n```text\n1\n```\n"
    varies, code, exact = blocks(text)
    assert (varies.flag, code.kind, exact.flag) == ("varies", "python", "")
    assert code.line == 7


LINKED = [DOCS.parent / "README.md", *(page for page in pages() if page.suffix == ".md")]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
