"""Every text that is not markup is escaped, in content and in attributes."""

from openwork.report.page.markup import Markup, escaped, joined, tag


def test_text_is_escaped_once() -> None:
    assert tag("p", "<b>&", title='"x"') == '<p title="&quot;x&quot;">&lt;b&gt;&amp;</p>'
    inner = tag("b", "<")
    assert tag("p", inner, None, 3) == "<p><b>&lt;</b>3</p>"
    assert joined("<", Markup("<br>"), None) == "&lt;<br>"


def test_characters_that_are_not_seen_are_spelled_out() -> None:
    assert escaped("a\x00\u202e\ud800") == "a\\x00\\u202e\\ud800"


def test_names_of_attributes() -> None:
    drawn = tag("line", class_="grid", stroke_width=2, stroke_dasharray=None)
    assert drawn == '<line class="grid" stroke-width="2"></line>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
