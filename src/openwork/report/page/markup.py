"""`tag`: HTML and SVG in which every text that came from elsewhere is escaped."""

import html
from typing import Any

from openwork._terminal import visible

# Elements of HTML that have no content and no end.
_VOID = {"meta", "br"}


class Markup(str):
    """Text that is HTML already; any other string is escaped."""

    __slots__ = ()


def escaped(text: object) -> Markup:
    r"""`text` as a reader sees it: markup is shown, characters that cannot be seen are spelled out.

    >>> escaped("<script>\x00")
    '&lt;script&gt;\\x00'
    """
    return text if isinstance(text, Markup) else Markup(html.escape(visible(str(text))))


def tag(name: str, *children: object, **attributes: Any) -> Markup:
    """One element with its children; those that are None are left out.

    Args:
        name: of the element.
        children: markup, or text to be escaped.
        attributes: `class_` is written `class`, and `_` in names as `-`; None leaves one out.

    >>> tag("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    inner = "".join(escaped(child) for child in children if child is not None)
    return Markup(f"<{name}{given}>{inner}</{name}>")


def joined(*parts: object) -> Markup:
    """The parts one after the other, without those that are None."""
    return Markup("".join(escaped(part) for part in parts if part is not None))
