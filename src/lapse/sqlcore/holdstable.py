"""The holds that lie in a database for the runs of every host: a row for each table that one keeps records of."""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lapse.errors import ChangedError, HoldsError
from lapse.instant import Nanos
from lapse.model.posted import PostedHold
from lapse.model.selection import Selection
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.markers import Execute

HOLDS_TABLE = "lapse_holds"
"""Name of the table; no dataset may use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsTypes:
    """How a database writes the columns of the table.

    Attributes:
        id: Type of a digest, 64 ASCII characters.
        name: Type of a table's name.
        text: Type of a text of any length.
        options: What stands after the columns, such as the storage engine.
    """

    id: str = "TEXT"
    name: str = "TEXT"
    text: str = "TEXT"
    options: str = ""


class HoldsTable:
    """The table in one schema. Locks and transactions are the caller's business."""

    def __init__(
        self,
        execute: Execute,
        *,
        placeholder: str = "?",
        table: str = quote(HOLDS_TABLE),
        types: HoldsTypes | None = None,
    ) -> None:
        self._execute = execute
        self._mark = placeholder
        self._table = table
        self._types = types or HoldsTypes()

    def create(self) -> None:
        """Create the table where it is missing."""
        types = self._types
        self._execute(
            f'CREATE TABLE IF NOT EXISTS {self._table} ("id" {types.id} NOT NULL, "relation" {types.name} NOT NULL, '
            f'"matter" {types.text} NOT NULL, "hold" {types.text} NOT NULL, '
            f'PRIMARY KEY ("id", "relation")) {types.options}'.rstrip(),
            (),
        )

    def add(self, relation: str, hold: PostedHold) -> None:
        """Add *hold* for a table, unless it is there."""
        marks = ", ".join([self._mark] * 4)
        if not self._execute(f'SELECT 1 FROM {self._table} WHERE "id" = {self._mark} AND "relation" = {self._mark}',
                             (hold.id, relation)):  # fmt: skip
            self._execute(
                f"INSERT INTO {self._table} VALUES ({marks})", (hold.id, relation, hold.hold.matter, hold.text())
            )

    def read(self, relations: Sequence[str]) -> tuple[PostedHold, ...]:
        """The holds for tables of those names.

        Raises:
            HoldsError: If one cannot be read.
        """
        if not relations:
            return ()
        marks = ", ".join([self._mark] * len(relations))
        rows = self._execute(
            f'SELECT "matter", "hold" FROM {self._table} WHERE "relation" IN ({marks}) ORDER BY "id"', tuple(relations)
        )
        return tuple(_read(str(matter), str(text)) for matter, text in rows)

    def remove(self, relations: Sequence[str], matter: str) -> None:
        """Remove the holds of a matter for tables of those names."""
        marks = ", ".join([self._mark] * len(relations))
        self._execute(
            f'DELETE FROM {self._table} WHERE "relation" IN ({marks}) AND "matter" = {self._mark}',
            (*relations, matter),
        )


def _read(matter: str, text: str) -> PostedHold:
    try:
        return PostedHold.from_text(text)
    except ValueError as error:
        raise HoldsError(
            f"hold {matter} in {HOLDS_TABLE} cannot be read: {error}",
            hint="Another version of Lapse or another program wrote it. Nothing is removed while it is there.",
        ) from error


def check_known(selection: Selection, found: Sequence[PostedHold], *, what: str) -> None:
    """See that a selection was made under every hold that was *found*.

    Raises:
        ChangedError: If one has been added since.
    """
    known = {each.id for each in selection.posted}
    for each in found:
        if each.id not in known:
            raise ChangedError(
                f"{what}: hold {each.hold.matter} was added since it was taken",
                hint="Nothing of it was removed. It is taken again under the hold.",
            )


def check_along(found: Sequence[PostedHold], now: Nanos, *, table: str, along: str) -> None:
    """See that no hold keeps rows that would go along with those of another table.

    Arguments:
        found: The holds on the table whose rows would go along.
        now: The real time.
        table: The dataset's own table.
        along: The other one.

    Raises:
        HoldsError: If one does.
    """
    for each in found:
        if each.hold.active(now):
            raise HoldsError(
                f"rows of {along} would go along with those of {table}, but hold {each.hold.matter} keeps some of them",
                hint=f"Make {along} a dataset of this policy too: its rows then keep what they belong to.",
            )
