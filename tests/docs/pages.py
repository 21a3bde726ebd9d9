"""Runs the code on the pages of the documentation, and compares what it prints with the page.

    python tests/docs/pages.py docs/plans.md ...

writes what is printed now into the pages. Blocks of one page run in order, in one namespace and one
empty folder:

- ```python: what it prints is in the ```text block behind it, if there is one.
- ```sh: lines that call `openwork`, and `echo` into a file.

A comment on the line before a block says what is special about it:

- `<!-- not run: why -->`: shown only.
- `<!-- varies -->`: its numbers and kernels are the machine's, and only its words are compared.
"""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from openwork.cli.app import app

DOCS = Path(__file__).resolve().parents[2] / "docs"
_FENCE = re.compile(
    r"^(?P<comment><!-- (?P<flag>not run|varies)[^\n]*-->\n)?```(?P<kind>python|sh|text|yaml)\n"
    r"(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Wide enough for every table on a page.
_WIDTH = "110"


@dataclass(frozen=True)
class Block:
    """A block of code or output on a page.

    Attributes:
        kind: "python", "sh", "text" or "yaml".
        code: its text.
        line: where it begins on its page, from 1.
        flag: "not run", "varies" or "".
        span: (first, last) place of its text on the page.
    """

    kind: str
    code: str
    line: int
    flag: str
    span: tuple[int, int]


@dataclass(frozen=True)
class Output:
    """What a page shows behind a block, and what the block printed."""

    block: Block
    printed: str

    @property
    def agrees(self) -> bool:
        """Whether the page shows what was printed."""
        shown = [_words(text, self.block.flag) for text in (self.block.code, self.printed)]
        return shown[0] == shown[1]


def pages() -> list[Path]:
    """Every page that may hold code, notebooks too."""
    found = [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]
    return sorted(path for path in found if "_build" not in path.parts)


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    return [
        Block(
            match["kind"],
            match["code"],
            text.count("\n", 0, match.start("code")) + 1,
            match["flag"] or "",
            match.span("code"),
        )
        for match in _FENCE.finditer(text)
    ]


def run(path: Path) -> Iterator[Output]:
    """Run the code of a page in the present folder; gives each output that the page shows."""
    namespace: dict[str, Any] = {"__name__": "__page__"}
    printed = ""
    for block in _blocks_of(path):
        if block.flag == "not run":
            printed = ""
        elif block.kind == "python":
            printed = _python(block, path, namespace)
        elif block.kind == "sh":
            printed = "".join(map(_command, _commands(block.code)))
        elif block.kind == "text":
            yield Output(block, printed)


def _blocks_of(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return blocks(text)
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return [Block("python", "".join(cell["source"]), 1, "", (0, 0)) for cell in cells]


def _python(block: Block, path: Path, namespace: dict[str, Any]) -> str:
    # Blank lines in front, so that errors name the page's own line.
    code = compile("\n" * (block.line - 1) + block.code, str(path), "exec")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, namespace)
    return out.getvalue()


def _commands(code: str) -> list[str]:
    joined = code.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def _command(line: str) -> str:
    if line.startswith("echo "):
        subprocess.run(["bash", "-ec", line], check=True)
        return ""
    name, *arguments = shlex.split(line, comments=True)
    if name != "openwork":
        raise ValueError(f"{line!r} calls something else than openwork; mark its block `not run`")
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    if result.exit_code:
        raise RuntimeError(f"{line!r} ends with status {result.exit_code}: {result.output}")
    return result.stdout


def _words(text: str, flag: str) -> list[str]:
    lines = [line.rstrip() for line in textwrap.dedent(text).strip().splitlines()]
    if flag != "varies":
        return lines
    masked = [re.sub(r"f32-\S+|\btorch\b(?= +[\d.])", "KERNEL", line) for line in lines]
    masked = [re.sub(r"[-+]?\d[\d,.]*(e[-+]\d+)?", "#", line) for line in masked]
    # Numbers of other lengths break lines elsewhere.
    return re.sub(r"[\s─]+", " ", " ".join(masked)).split()


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Work in `folder`, with tables of one width."""
    before, width = Path.cwd(), os.environ.get("COLUMNS")
    os.chdir(folder)
    os.environ["COLUMNS"] = _WIDTH
    try:
        yield
    finally:
        os.chdir(before)
        os.environ.pop("COLUMNS")
        if width is not None:
            os.environ["COLUMNS"] = width


def rewrite(path: Path) -> None:
    """Write what the code of a page prints now into the page."""
    with tempfile.TemporaryDirectory() as folder, in_folder(Path(folder)):
        outputs = list(run(path))
    text = path.read_text(encoding="utf-8")
    for output in reversed(outputs):
        first, last = output.block.span
        lines = textwrap.dedent(output.printed).rstrip().splitlines()
        while lines and not lines[0].strip():
            del lines[0]
        lines = [line.rstrip() for line in lines]
        text = text[:first] + "\n".join(lines) + "\n" + text[last:]
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for given in sys.argv[1:]:
        rewrite(Path(given).resolve())
