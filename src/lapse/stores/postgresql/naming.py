"""Names inside fragments: quoted, and with their percent signs doubled, since values are bound by ``%s``."""

from __future__ import annotations

from lapse.sqlcore.identifiers import quote


def escaped(sql: str) -> str:
    """SQL without placeholders, as it stands in a fragment."""
    return sql.replace("%", "%%")


def column(name: str, alias: str = "r") -> str:
    """A column of the table *alias*, as it stands in a fragment."""
    return escaped(f"{alias}.{quote(name)}")
