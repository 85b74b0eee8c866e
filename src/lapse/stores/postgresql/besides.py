"""Side tables of a session: temporary, so that no other session sees them and nothing of them stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from lapse.errors import StoreError
from lapse.sqlcore.sidetables import Cell, SideTable
from lapse.stores.postgresql.connection import Connection

_AT_ONCE = 5_000
_ROOM = "64MB"
_TYPES = {str: 'text COLLATE "C"', int: "bigint"}
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


class SideSession:
    """Where the side tables of a session are.

    The session may be for reading only: temporary tables are made in a transaction that says otherwise, and that
    touches nothing else.
    """

    text_collation = ' COLLATE "C"'
    least = "least"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._places: dict[str, str | None] = {}

    def place(self, table: SideTable) -> str | None:
        """The name of *table*; made and filled where it is not there yet. None if the server makes this role none."""
        if table.name not in self._places:
            if self._connection.in_transaction:
                return None
            self._places[table.name] = self._made(table)
        return self._places[table.name]

    def _made(self, table: SideTable) -> str | None:
        connection, name = self._connection, f"pg_temp.{table.name}"
        columns = ", ".join(f"{column} {_TYPES[kind]} NOT NULL" for column, kind in table.columns.items())
        try:
            self._make_room()
            with connection.transaction("READ WRITE"):
                connection.run(f"CREATE TEMPORARY TABLE {table.name} ({columns})")
                connection.copy_in(f"COPY {name} FROM STDIN", _lines(table.rows))
                connection.run(f"CREATE UNIQUE INDEX ON {name} ({', '.join(table.keys)})")
                connection.run(f"ANALYZE {name}")
        except StoreError:
            if connection.closed:
                raise
            return None
        return name

    def _make_room(self) -> None:
        """Let the session have its temporary tables in memory; that can be said only before it has any."""
        if not self._places:
            self._connection.run(f"SET temp_buffers = '{_ROOM}'")


def _lines(rows: Iterable[tuple[Cell, ...]]) -> Iterator[bytes]:
    """The rows as COPY reads them, some thousand at a time, without those with a text that no text there can be."""
    left = iter(rows)
    while chunk := list(islice(left, _AT_ONCE)):
        try:
            lines = _text(chunk).encode()
        except UnicodeEncodeError:
            lines = b"\0"
        yield lines if b"\0" not in lines else _text(row for row in chunk if all(map(_is_storable, row))).encode()


def _text(rows: Iterable[tuple[Cell, ...]]) -> str:
    return "".join(["\t".join(map(_field, row)) + "\n" for row in rows])


def _is_storable(cell: Cell) -> bool:
    return isinstance(cell, int) or not ("\0" in cell or any("\ud800" <= char <= "\udfff" for char in cell))


def _field(cell: Cell) -> str:
    if isinstance(cell, int):
        return str(cell)
    return cell if cell.isprintable() and "\\" not in cell else cell.translate(_ESCAPES)
