"""Tables and bars."""

from openwork.report.page.bars import bars, facts, said, sparks, stored_table, table


def test_columns_of_numbers_are_put_to_the_right() -> None:
    drawn = table(("layer", "n", "kernel"), [("a", 1234, "x<y"), ("b", None, "z")])
    assert '<td class="num">1,234</td>' in drawn
    assert "<td>x&lt;y</td>" in drawn
    assert '<th class="num" scope="col">n</th>' in drawn


def test_bars_are_as_long_as_their_values() -> None:
    drawn = bars([("a", [4.0, 1.0], "1 of 4"), ("b", [None], "")], 4.0)
    assert "width:100.00%" in drawn
    assert "width:25.00%" in drawn
    assert "width:0.00%" in drawn


def test_stored_tables_have_their_total_and_notes() -> None:
    held = {"columns": ["layer", "n"], "rows": [["a", 1]], "total": ["all", 7], "notes": ["<n>"]}
    drawn = stored_table(held)
    assert "all</th>" in drawn
    assert '<p class="note">&lt;n&gt;</p>' in drawn


def test_values_in_words() -> None:
    assert [said(v) for v in (None, 1234, 0.123456, "x", True)] == [
        "",
        "1,234",
        "0.1235",
        "x",
        True,
    ]
    assert ">b</td>" in facts([("a", "b")])
    assert sparks([("a", [0.0, 1.0], "end")]).count("<svg") == 1
