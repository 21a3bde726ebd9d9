"""Sphinx directives that show `facts`, and the check that built pages need no network."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import facts
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


def inline(text: str) -> list[nodes.Node]:
    """Text with `code` and **bold** in it, as nodes."""
    found: list[nodes.Node] = []
    last = 0
    for match in _INLINE.finditer(text):
        found.append(nodes.Text(text[last : match.start()]))
        code, bold = match.groups()
        found.append(nodes.literal(code, code) if code else nodes.strong(bold, bold))
        last = match.end()
    return [*found, nodes.Text(text[last:])]


def paragraph(text: str) -> nodes.paragraph:
    node = nodes.paragraph()
    node += inline(text)
    return node


def table(grid: facts.Grid) -> list[nodes.Node]:
    """A grid as a table, which scrolls by itself where the window is narrow."""
    group = nodes.tgroup(cols=len(grid.head))
    group += [nodes.colspec(colwidth=1) for _ in grid.head]
    head, body = nodes.thead(), nodes.tbody()
    head += _row(grid.head)
    body += [_row(row) for row in grid.rows]
    group += [head, body]
    whole = nodes.table("", group, classes=["facts"])
    return [whole, *([paragraph(grid.note)] if grid.note else [])]


def _row(cells: tuple[str, ...]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        entry = nodes.entry()
        entry += paragraph(cell)
        row += entry
    return row


def _headed(grids: dict[str, facts.Grid]) -> Iterator[nodes.Node]:
    for title, grid in grids.items():
        node = nodes.paragraph(classes=["conditions"])
        node += inline(title)
        yield node
        yield from table(grid)


def _listed(items: list[str]) -> list[nodes.Node]:
    bullets = nodes.bullet_list()
    for item in items:
        entry = nodes.list_item()
        entry += paragraph(item)
        bullets += entry
    return [bullets]


def _declined() -> Iterator[nodes.Node]:
    for part, reasons in facts.declined().items():
        yield paragraph(f"`{part}` leaves a use of an operator alone, and says so, where it is:")
        yield from _listed(reasons)


SHOWN: dict[str, Callable[[], Any]] = {
    "atlases": lambda: _headed(facts.atlases()),
    "linear-layers": lambda: _headed(facts.linear_layers()),
    "networks": lambda: _headed(facts.networks()),
    "pointwise": lambda: [paragraph(", ".join(f"`{n}`" for n in facts.pointwise_operators()))],
    "declined": _declined,
    "families": lambda: table(facts.kernel_families()),
    "criteria": lambda: table(facts.criteria()),
    "granularities": lambda: [paragraph(", ".join(facts.granularities()))],
    "patterns": lambda: table(facts.pattern_kinds()),
    "budget-rules": lambda: [paragraph(", ".join(facts.budget_rules()))],
    "errors": lambda: table(facts.error_table()),
    "tried-compile": lambda: [paragraph(facts.tried()["compile"])],
    "tried-compact": lambda: [paragraph(facts.tried()["compact"])],
    "recipe": lambda: _headed(facts.recipe()),
    "training-step": lambda: _headed(facts.training_grids()),
}


class Facts(SphinxDirective):
    """`{facts} name`: what the code or a record says, as tables and lists."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        self._depend_on_code()
        if name.startswith("operators:"):
            kinds = list(facts.operators().values())
            return table(kinds[int(name.removeprefix("operators:"))])
        return list(SHOWN[name]())

    def _depend_on_code(self) -> None:
        # Code changes without this page changing, so it is read again each time.
        self.env.note_reread()


class CommandLine(SphinxDirective):
    """`{command-line}`: a section for each command."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        sections: list[nodes.Node] = []
        for command in facts.commands():
            title = f"openwork {command.name}"
            section = nodes.section(ids=[nodes.make_id(title)])
            section += nodes.title(title, "", nodes.literal(title, title))
            section += paragraph(command.help)
            if command.parameters.rows:
                section += table(command.parameters)
            self.state.document.note_explicit_target(section)
            sections.append(section)
        return sections


class PublicNames(SphinxDirective):
    """`.. public-names:: module`: its public names, each documented in full."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        module = self.arguments[0]
        lines: list[str] = []
        for home, name in facts.public_names():
            if home == module:
                lines += _documented(module, name)
        also = sorted(
            name
            for name in importlib.import_module(module).__all__
            if (module, name) not in facts.public_names()
        )
        if also:
            links = ", ".join(f":py:obj:`{name} <openwork.{name}>`" for name in also)
            lines += ["", f"Also here, and described with ``openwork``: {links}.", ""]
        node = nodes.container()
        self.state.nested_parse(StringList(lines, source=module), self.content_offset, node)
        return node.children


def _documented(module: str, name: str) -> list[str]:
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        options = [] if kind == "autoexception" else ["   :members:"]
        return [f".. {kind}:: {module}.{name}", *options, ""]
    if inspect.ismodule(value):
        return []
    if inspect.isfunction(value):
        return [f".. autofunction:: {module}.{name}", ""]
    text = as_rst(facts.constant_text(module, name).splitlines())
    return [f".. py:data:: {module}.{name}", "", *(f"   {line}" for line in text), ""]


_REFERENCE = re.compile(r"(?<!\w)(\w+_)(?!\w)|(\|)")


def as_rst(lines: list[str]) -> list[str]:
    """Docstrings as reStructuredText: they are written for readers of code.

    A name such as sparsify_ and |scale| are meant as they stand, and text that is indented behind a
    colon is code.
    """
    found = []
    for number, line in enumerate(lines):
        parts = line.split("`")
        if ">>>" not in line:
            parts[::2] = [_REFERENCE.sub(r"\\\g<0>", part) for part in parts[::2]]
            parts[::2] = [re.sub(r"\\(\w+)_", r"\1\\_", part) for part in parts[::2]]
        line = "`".join(parts)
        code = lines[number + 1 : number + 2] == [""] and number + 2 < len(lines)
        if line.endswith(":") and code and lines[number + 2].startswith(_indent(line) + "    "):
            line += ":"
        found.append(line)
    return found


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def rewrite_docstring(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Called by autodoc with the `lines` of each docstring, before sections are read."""
    lines[:] = as_rst(lines)


def write_reference(app: Sphinx) -> None:
    """Write a page for each public module; git ignores them."""
    for module in facts.module_names():
        page = Path(app.srcdir) / "api" / f"{module}.rst"
        text = facts.module_page(module)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


_LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"(?:https?:)?//"
    r"|<link\b[^>]*rel=\"(?:stylesheet|preload|preconnect)\"[^>]*href=\"(?:https?:)?//"
    r"|@import\s+url\(\"?https?:"
)


def check_offline(app: Sphinx, failed: Exception | None) -> None:
    """Fail if a built page would load something over the network."""
    if failed is not None or app.builder.name != "html":
        return
    pages = [*Path(app.outdir).rglob("*.html"), *Path(app.outdir).rglob("*.css")]
    for page in pages:
        match = _LOADED.search(page.read_text(encoding="utf-8", errors="replace"))
        if match:
            raise ExtensionError(f"{page} loads something over the network: {match[0]}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("facts", Facts)
    app.add_directive("command-line", CommandLine)
    app.add_directive("public-names", PublicNames)
    app.connect("builder-inited", write_reference)
    app.connect("autodoc-process-docstring", rewrite_docstring, priority=100)
    app.connect("build-finished", check_offline)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
