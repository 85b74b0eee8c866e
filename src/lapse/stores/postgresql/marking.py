"""The marker table in PostgreSQL: found on the search path, or made; and a way without."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lapse.errors import StoreError
from lapse.model.disposal import Disposal
from lapse.sqlcore.markers import MARKER_TABLE, Markers
from lapse.stores.postgresql.connection import Connection

_AS_IT_IS = f'ALTER TABLE {MARKER_TABLE} ALTER COLUMN "disposal" SET STORAGE EXTERNAL'
"""Keeps the server from compressing markers: of very many rules they have megabytes, and are soon gone."""

_LOGGED = "pg_logical_emit_message(TRUE, 'lapse', '')"
"""Writes something into the server's log, in the transaction that is open."""


class Marking:
    """The markers of one database.

    A role that may not write them can still be trusted with a run: the server is asked by the transaction's number
    what became of it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._schema: str | None = None

    def schema(self) -> str | None:
        """The schema of the marker table. None if there is none on the search path."""
        if self._schema is None:
            self._schema = self._connection.value(
                "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.oid = to_regclass(%s)",
                (MARKER_TABLE,),
            )
        return self._schema

    def prepare(self) -> None:
        """Make the table where it is missing, if this role may."""
        if self.schema() is None:
            # Another run may make it at the same moment; and who may not make it leaves no markers.
            with contextlib.suppress(StoreError), self._connection.transaction():
                Markers(self._connection.rows, placeholder="%s").create()
                self._connection.run(_AS_IT_IS)

    def may_mark(self) -> bool:
        """Whether there is a table, and this role may write and remove markers in it."""
        schema = self.schema()
        return schema is not None and bool(
            self._connection.value(
                "SELECT has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'SELECT') "
                "AND has_table_privilege(c.oid, 'DELETE') FROM pg_class c WHERE c.oid = to_regclass(%s)",
                (MARKER_TABLE,),
            )
        )

    def transaction(self) -> str:
        """The number of the transaction that is open, by which `outcome` knows it, for good.

        A server that crashes gives a number again that its log on disk does not have, and who gets it then may commit.
        So the number goes into the log, and the commit of another session takes the log to the disk.
        """
        number = str(self._connection.value(f"SELECT pg_current_xact_id()::text, {_LOGGED}"))
        other = self._connection.another()
        try:
            other.run(f"SELECT {_LOGGED}")
        finally:
            other.close()
        return number

    def timeline(self) -> str:
        """The server's history: it begins anew where a replica or a backup takes over, and then numbers do as well."""
        return str(self._connection.value("SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"))

    def outcome(self, transaction: str) -> bool | None:
        """Whether a transaction was committed. None if it is not known, or still under way."""
        status = self._connection.value(
            "SELECT CASE WHEN %s::xid8 < pg_snapshot_xmax(pg_current_snapshot()) THEN pg_xact_status(%s::xid8) END",
            (transaction, transaction),
        )
        return {"committed": True, "aborted": False}.get(str(status))

    def add(self, disposal: Disposal) -> None:
        """Write the marker of *disposal*, in the transaction that is open."""
        self._markers().add(disposal)

    def read(self) -> Iterator[Disposal]:
        """Every marker; none where there is no table."""
        if self.schema() is not None:
            yield from self._markers().read()

    def remove(self, disposals: Iterator[Disposal]) -> None:
        """Remove markers, all of them or none."""
        found = list(disposals)
        if not found or self.schema() is None:
            return
        with self._connection.transaction():
            markers = self._markers()
            for disposal in found:
                markers.remove(disposal)

    def _markers(self) -> Markers:
        return Markers(self._connection.rows, placeholder="%s", schema=self.schema())
