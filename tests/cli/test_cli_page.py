"""How pages are laid out."""

from __future__ import annotations

from lapse.cli.page import Column, Line, Row, Table, lines

TABLE = Table(
    (Column("who"), Column("why", folds=True), Column("empty"), Column("records", right=True)),
    [Row(("acme", "rule 1 (type LOGIN: 90 days)", "", "1,234")), Row(("zoë 漢字", "hold", "", "5"))],
    indent=2,
)


def text(block: Table | Line, width: int | None) -> list[str]:
    """The lines without their styles."""
    return [line.text for line in lines(block, width)]


def test_a_table_is_plain_text_in_columns() -> None:
    """Headings in capitals, numbers flush right, wide characters counted as two, no line ends with a space."""
    assert text(TABLE, None) == [
        "  WHO       WHY                           RECORDS",
        "  acme      rule 1 (type LOGIN: 90 days)    1,234",
        "  zoë 漢字  hold                                5",
    ]


def test_a_column_without_any_text_is_left_out() -> None:
    """The heading of an empty column is not there either."""
    assert "EMPTY" not in "".join(text(TABLE, None))


def test_a_narrow_terminal_folds_what_may_be_folded() -> None:
    """Rows keep within the width, and the numbers stay whole."""
    folded = text(TABLE, 44)

    assert max(map(len, folded)) <= 44
    assert any("1,234" in line for line in folded)
    assert "LOGIN" in "".join(folded)


def test_a_pipe_folds_nothing() -> None:
    """Without a width a row is a line, however long, so that it can be searched."""
    long = "x " * 500

    assert text(Line(long.strip(), indent=2), None) == ["  " + long.strip()]
    assert len(text(Line(long.strip()), 80)) > 1


def test_data_cannot_forge_lines() -> None:
    """A line end or an escape sequence inside a cell is shown as what it is."""
    forged = Table((Column("tenant"),), [Row(("acme\nDROP \x1b[31m",))])

    assert text(forged, None)[1:] == [r"acme\nDROP \x1b[31m"]


def test_headings_that_are_data_stay_as_they_are() -> None:
    """The columns of a query keep their names, and empty ones stay."""
    table = Table((Column("userId", kept=True), Column("n", kept=True)), [Row(("", "1"))])

    assert text(table, None) == ["userId  n", "        1"]
