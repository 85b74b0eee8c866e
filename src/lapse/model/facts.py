"""What a database says of itself: its tables, the time zone of its sessions, the rows of a small table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallTable:
    """A table of settings that is to be read as a whole.

    Attributes:
        name: The table.
        columns: The columns wanted; those that it lacks are left out of its rows.
        most: Rows at most; more of them are an error, since then it is no table of settings.
    """

    name: str
    columns: tuple[str, ...]
    most: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """What a database said of itself.

    Attributes:
        time_zone: Time zone of a session that asks for none, as the server names it.
        tables: Type of each column by its name, as the server names it, by table; only tables that are there.
        rows: The rows of each small table, as text by column; None is NULL. Only tables that are there.
    """

    time_zone: str
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rows: Mapping[str, tuple[Mapping[str, str | None], ...]] = field(default_factory=dict)
