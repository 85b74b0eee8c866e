"""What a table is, what stands against removing from it, and how far it reaches."""

from __future__ import annotations

import hashlib

from lapse.model.plan import Fingerprint, Identity, Mark
from lapse.model.policy import Dataset, TimeFormat
from lapse.sqlcore.markers import MARKER_TABLE
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.looking import usual_layout
from lapse.stores.sqlite.ranges import KeyWalk
from lapse.stores.sqlite.schema import Table, TableColumn, delete_triggers, dependents

_CHANGING = ("CASCADE", "SET NULL", "SET DEFAULT")


def identify(database: Database, table: Table, dataset: Dataset) -> Identity:
    """Everything a plan says of a SQLite table before it counts.

    Raises:
        StoreMissingError: If a column the policy uses is not there.
    """
    used = table.used(dataset.fields)
    refusal = _refusal(database, table)
    return Identity(
        fingerprint=fingerprint(database, table, used),
        mark=_mark(database, table),
        unmarked=_unmarked(table),
        notes=() if refusal else tuple(_notes(database, table, dataset)),
        refusal=refusal,
    )


def fingerprint(database: Database, table: Table, used: tuple[TableColumn, ...]) -> Fingerprint:
    """Which file, table and columns: never an inode, and nothing that a new row changes."""
    application = database.row("PRAGMA application_id")[0]
    columns = "\0".join(f"{column.name}\0{column.declared}" for column in used)
    parts = (_short(f"{database.path}\0{application}"), table.name, _short(columns))
    return Fingerprint(text=":".join(("sqlite", *parts)), parts=parts)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]


def _mark(database: Database, table: Table) -> Mark | None:
    key = table.key
    if key is None or not (key.integer and key.lasting):
        return None
    last = KeyWalk(database, table).last()
    return Mark(kind="key", values={key.columns[0]: (0 if last is None else int(str(last[0])),)})


def _unmarked(table: Table) -> str | None:
    key = table.key
    if key is None:
        return f"{table.kind} {table.name} has no key"
    if not key.integer:
        return f"table {table.name} is WITHOUT ROWID: its keys need not ascend"
    return None if key.lasting else f"table {table.name} has no INTEGER PRIMARY KEY, and VACUUM may renumber its rows"


def _refusal(database: Database, table: Table) -> str | None:
    if table.name.lower() == MARKER_TABLE or table.name.lower().startswith("sqlite_"):
        return f"{table.name} is not a table of records"
    if table.kind != "table":
        return f"{table.name} is a {table.kind}: rows are removed from ordinary tables only"
    if table.key is None:
        return f"columns of table {table.name} hide its rowid, so that no row can be named"
    for dependent in dependents(database, table):
        if dependent.on_delete in _CHANGING:
            return (
                f"a foreign key of table {dependent.table} says ON DELETE {dependent.on_delete}: removing rows of "
                f"{table.name} would change rows there that are not archived"
            )
    return None


def _notes(database: Database, table: Table, dataset: Dataset) -> list[str]:
    notes = [
        f"table {other.table} has a foreign key to {table.name}: rows that it refers to cannot be removed"
        for other in dependents(database, table)
    ]
    notes += [f"trigger {name} runs for each row that is removed" for name in delete_triggers(database, table)]
    generated = [column.name for column in table.columns if column.generated]
    if generated:
        notes.append(f"computed columns are archived, and computed again at a restore: {', '.join(generated)}")
    return notes + _time_notes(database, table, dataset)


def _time_notes(database: Database, table: Table, dataset: Dataset) -> list[str]:
    if (
        dataset.zone is not None
        or dataset.zone_required
        or dataset.time_format not in (TimeFormat.AUTO, TimeFormat.ISO)
    ):
        return []
    layout = usual_layout(database, table, KeyWalk(database, table), table.column(dataset.time).name)
    if layout is None or layout.suffix:
        return []
    return [f"times in column {dataset.time} have no zone and are read as UTC; set `time zone:` if they are not"]
