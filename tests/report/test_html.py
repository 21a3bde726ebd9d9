"""`html`: every section is there exactly when its data are; hostile names are text."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from run_folders import bench, pruned, put, trained

from openwork.errors import ArgumentError, OpenworkError
from openwork.report import html

EVIL = "<script>alert(1)</script>\"'\x1b[2J\u202e&"
TRAINED = {"reached", "asked", "training", "density", "dead", "memory"}


class Page(HTMLParser):
    """What a parser sees: elements, ids, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.open += [tag] if tag != "meta" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def sections(self, run: int = 0) -> set[str]:
        return {i.removeprefix(f"run-{run}-") for i in self.ids if i.startswith(f"run-{run}-")}


_SENSITIVITY = {"run": {"layers": [["conv"]]}, "errors": {"0 0.2": 0.7, "0 0.8": 0.3}}


def page_of(*runs: Path, out: Path) -> Page:
    html(*runs, out=out)
    page = Page(out.read_text())
    assert page.open == []
    assert "script" not in page.tags
    assert not [n for n, _ in page.attributes if n.startswith("on") or n == "src"]
    assert all((v or "").startswith("#") for n, v in page.attributes if n == "href")
    assert len(page.ids) == len(set(page.ids))
    return page


def test_a_run_has_the_sections_of_its_files(tmp_path: Path) -> None:
    run, out = trained(tmp_path / "a"), tmp_path / "r.html"
    page = page_of(run, out=out)
    assert page.sections() == TRAINED
    assert "75 %" in page.text
    assert "1,000 training and 100 test images" in page.text
    put(run, "bench", bench())
    page = page_of(run, out=out)
    assert page.sections() == TRAINED | {"latency", "proof"}
    assert "4.00x" in page.text
    assert "outputs differ by at most 1.5e-06" in page.text
    put(run, "sensitivity", _SENSITIVITY)
    put(run, "channels", {"table": {"columns": ["layer", "dead"], "rows": [["conv", 2]]}})
    assert page_of(run, out=out).sections() == TRAINED | {
        "latency", "proof", "sensitivity", "channels"
    }  # fmt: skip
    for name in ("metrics.csv", "sparsity.csv", "bench.json", "model.safetensors"):
        (run / name).unlink()
    assert page_of(run, out=out).sections() == {"asked", "sensitivity", "channels"}


def test_a_pruning_shows_every_candidate_and_stage(tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    page = page_of(pruned(tmp_path / "p"), out=out)
    assert page.sections() == {"search", "stages"}
    # Five scores, and the points of two curves over two stages.
    assert page.tags.count("circle") == 5 + 4
    for label in ("candidate 0: 0.3", "candidate 2: 0.5", "candidate 1: 0.25"):
        assert label in page.text


def test_several_runs_are_compared(tmp_path: Path) -> None:
    a, b = trained(tmp_path / "a"), trained(tmp_path / "b")
    page = page_of(a, b, out=tmp_path / "r.html")
    assert "compared" in page.ids
    assert page.sections(0) == page.sections(1) == TRAINED
    # A folder of runs is all of them.
    assert set(page_of(tmp_path, out=tmp_path / "r.html").ids) == set(page.ids)
    assert "compared" not in page_of(a, out=tmp_path / "r.html").ids


def test_hostile_names_are_text(tmp_path: Path) -> None:
    name = '<img src=x onerror="alert(1)">\x1b[2J\u202e'
    run = trained(tmp_path / name.replace("/", "_"), "<script>alert(1)<!script>'\x07")
    put(run, "bench", bench(EVIL) | {"why": EVIL})
    page = page_of(run, out=tmp_path / "r.html")
    assert "img" not in page.tags
    assert page.sections() == TRAINED | {"latency", "proof"}
    assert "<script>alert(1)</script>" in page.text
    assert "\\x1b[2J\\u202e" in page.text
    assert not [c for c in page.text if c in "\x1b\x07\u202e"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bench.json", "[]"),
        ("bench.json", '{"networks": 3}'),
        ("metrics.csv", "epoch,loss\n1,x\n"),
        ("sparsity.csv", "a\n1\n"),
        ("compiled.safetensors", "none"),
        ("search-1.jsonl", "{}\n"),
    ],
)
def test_a_damaged_file_is_named_and_the_rest_is_shown(
    tmp_path: Path, name: str, content: str
) -> None:
    run = trained(tmp_path / "a")
    (run / name).write_text(content)
    page = page_of(run, out=tmp_path / "r.html")
    assert ("class", "warn") in page.attributes
    assert "density" in page.sections()


def test_what_cannot_be_reported_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match="holds no file that openwork wrote"):
        html(tmp_path / "empty", out=out)
    with pytest.raises(ArgumentError, match="does not exist"):
        html(tmp_path / "none", out=out)
    with pytest.raises(ArgumentError, match="at least one"):
        html(out=out)
    with pytest.raises(OpenworkError, match="could not be written"):
        html(trained(tmp_path / "a"), out=tmp_path / "none" / "r.html")


@pytest.mark.slow
def test_a_browser_shows_it_without_errors(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium")
    run = trained(tmp_path / "a", EVIL.replace("/", "_").replace(".", "_"))
    put(run, "bench", bench(EVIL))
    html(run, out=tmp_path / "r.html")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command = [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        [*command, f"file://{tmp_path / 'r.html'}"], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in shown.stderr
    page = Page(shown.stdout)
    assert page.sections() == TRAINED | {"latency", "proof"}
    assert "script" not in page.tags
    assert page.tags.count("svg") >= 5
