"""The session: statements in, rows or COPY data out, and no error of the driver's own.

Values are bound on this side, as quoted literals: COPY takes no parameters, and poolers lose prepared statements.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from typing import Any

import psycopg
from psycopg import pq

from lapse.errors import CommitUnknownError, PolicyError, StoreError
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.ahead import ahead
from lapse.stores.postgresql.failures import first_line, translated

_SETTINGS = (
    # What texts mean must not depend on who set what for the role or the database.
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    "SET xmloption = 'content'",
    "SET lc_monetary = 'C'",
    "SET standard_conforming_strings = on",
    "SET tcp_keepalives_idle = 60",  # a session of a host that is gone keeps its lease no longer than that
    "SET row_security = off",  # rows that a policy hides raise an error instead of being overlooked
    "SET jit = off",  # statements are short, but many: to compile each takes longer than to run it
    # A commit that the server could forget in a crash is none.
    "SELECT set_config('synchronous_commit', 'on', FALSE) WHERE current_setting('synchronous_commit') = 'off'",
)
_CONNECT_SECONDS = 10
BLOCK_SIZE = 4 * 1024 * 1024
BLOCK_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Block:
    """What COPY sent of some rows.

    Attributes:
        data: The rows one after the other; one row may be larger than `BLOCK_SIZE`.
        rows: How many, `BLOCK_ROWS` at most.
    """

    data: bytes
    rows: int

    @property
    def full(self) -> bool:
        """Whether more rows may follow it."""
        return self.rows >= BLOCK_ROWS or len(self.data) >= BLOCK_SIZE


class Connection:
    """One session. Every statement is a transaction of its own, unless `transaction` is open."""

    def __init__(self, address: str, *, shown: str, read_only: bool) -> None:
        self.shown = shown
        self._address = address
        self._copying: Generator[Block] | None = None
        with translated(shown):
            self._con: Any = psycopg.connect(
                conninfo(address, shown),
                autocommit=True,
                cursor_factory=psycopg.ClientCursor,
                application_name="lapse",
                connect_timeout=_CONNECT_SECONDS,
                client_encoding="UTF8",
            )
        self.version: int = self._con.info.server_version
        for statement in _SETTINGS:
            self.run(statement)
        if read_only:
            self.run("SET default_transaction_read_only = on")

    def another(self) -> Connection:
        """A second session on the same database, for writing."""
        return Connection(self._address, shown=self.shown, read_only=False)

    def close(self) -> None:
        """End the session; what is not committed is undone by the server."""
        self._con.close()

    @property
    def closed(self) -> bool:
        """Whether the session has ended, on whichever side."""
        return bool(self._con.closed)

    @property
    def pid(self) -> int:
        """The server's process of this session."""
        return int(self._con.info.backend_pid)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, be it a failed one."""
        return bool(self._con.info.transaction_status != pq.TransactionStatus.IDLE)

    def run(self, sql: str, values: Sequence[object] | None = None) -> int:
        """Run a statement whose rows do not matter; returns how many it touched."""
        with translated(self.shown):
            return int(self._con.execute(sql, values).rowcount)

    def rows(self, sql: str, values: Sequence[object] | None = None) -> list[Any]:
        """All rows of a statement; none if it has no result. With *values*, a percent sign is written twice."""
        with translated(self.shown):
            cursor = self._con.execute(sql, values)
            return list(cursor.fetchall()) if cursor.description else []

    def change(self, fragment: Fragment) -> int:
        """How many rows a fragment removed or wrote."""
        return self.run(fragment.sql, fragment.values)

    def query(self, fragment: Fragment) -> list[Any]:
        """All rows of a fragment; its percent signs are written twice."""
        return self.rows(fragment.sql, fragment.values)

    def value(self, sql: str, values: Sequence[object] | None = None) -> Any:
        """The one value of a statement. None if it has no row."""
        found = self.rows(sql, values)
        return found[0][0] if found else None

    def copy_out(self, query: Fragment, options: str) -> Iterator[Block]:
        """The data that ``COPY (query) TO STDOUT`` sends, in blocks; ends with the transaction at the latest."""
        self._copying = self._copy_out(query, options)
        return self._copying

    def _copy_out(self, query: Fragment, options: str) -> Generator[Block]:
        """Read by libpq itself, which is several times as fast as the driver's own loop."""
        with translated(self.shown):
            bound = psycopg.ClientCursor(self._con).mogrify(query.sql, query.values)
            result = self._con.pgconn.exec_(f"COPY ({bound}) TO STDOUT ({options})".encode())
            if result.status != pq.ExecStatus.COPY_OUT:
                raise psycopg.errors.error_from_result(result, encoding="utf-8")
            try:
                blocks = self._copied()
                first = next(blocks, None)
                if first is not None and not first.full:
                    yield first
                elif first is not None:
                    yield from ahead(chain((first,), blocks), cancel=self._con.pgconn.get_cancel().cancel)
            finally:
                ended = self._results()
            for result in ended:
                if result.status == pq.ExecStatus.FATAL_ERROR:
                    raise psycopg.errors.error_from_result(result, encoding="utf-8")

    def _copied(self) -> Iterator[Block]:
        receive = self._con.pgconn.get_copy_data
        size, row = receive(0)
        while size > 0:
            block, rows = BytesIO(), 0
            add, room = block.write, BLOCK_SIZE
            while size > 0 and rows < BLOCK_ROWS and room > 0:  # the loop that every row goes through
                room -= add(row)
                rows += 1
                size, row = receive(0)
            yield Block(block.getvalue(), rows)

    def _results(self) -> list[Any]:
        """What is left of the answer to a statement."""
        found = []
        while (result := self._con.pgconn.get_result()) is not None:
            found.append(result)
        return found

    def copy_in(self, statement: str, chunks: Iterator[bytes]) -> int:
        """Send *chunks* to a ``COPY … FROM STDIN``; returns the rows it wrote."""
        with translated(self.shown), self._con.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for chunk in chunks:
                    copy.write(chunk)
            return int(cursor.rowcount)

    @contextmanager
    def transaction(self, mode: str = "") -> Iterator[None]:
        """One transaction, such as ``ISOLATION LEVEL REPEATABLE READ``: committed at the end, undone by an error.

        Raises:
            CommitUnknownError: If the server did not say whether it committed.
        """
        self.run(f"BEGIN {mode}")
        try:
            yield
            self.commit()
        finally:
            self.roll_back()

    def commit(self) -> None:
        """Commit what is open.

        Raises:
            CommitUnknownError: If the server did not answer.
            StoreError: If it refused; then nothing is committed.
        """
        try:
            status = self._con.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            if error.sqlstate is not None and not error.sqlstate.startswith(("08", "57P", "XX")):
                with translated(self.shown):
                    raise
            raise CommitUnknownError(
                f"{self.shown}: the server did not confirm the commit: {first_line(error)}",
                hint="Run again: the marker in the store tells whether the records are gone.",
            ) from error
        if status != "COMMIT":
            raise StoreError(f"{self.shown}: the server rolled back", hint="Nothing was removed. Run again.")

    def roll_back(self) -> None:
        """Undo what is open. A server that is gone has done so itself."""
        if self._copying is not None:
            self._copying.close()
        if not self.in_transaction:
            return
        with contextlib.suppress(psycopg.Error):
            self._con.execute("ROLLBACK")

    def limit(self, seconds: float) -> None:
        """Within a transaction that should last *seconds*: wait for locks, and work, no longer than others can bear.

        A shorter limit of the role stays as it is.
        """
        target = int(seconds * 1000)
        self.run(
            f"SELECT set_config('lock_timeout', '{max(100, target // 2)}ms', TRUE), "  # noqa: S608 - numbers
            "set_config('idle_in_transaction_session_timeout', '10min', TRUE), "
            "set_config('statement_timeout', CASE WHEN setting::bigint BETWEEN 1 AND "
            f"{10 * target} THEN setting ELSE '{10 * target}' END || 'ms', TRUE) "
            "FROM pg_settings WHERE name = 'statement_timeout'"
        )

    @contextmanager
    def waiting(self, seconds: int) -> Iterator[None]:
        """Outside of a transaction: statements of the block may take so long, waiting for locks included."""
        self.run(f"SET statement_timeout = '{seconds}s'")
        self.run("SET lock_timeout = 0")
        try:
            yield
        finally:
            if not self.closed:
                self.run("RESET statement_timeout")
                self.run("RESET lock_timeout")

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Within a transaction: what the block does is undone if it fails, the transaction goes on."""
        self.run("SAVEPOINT lapse_attempt")
        try:
            yield
        except StoreError:
            self.run("ROLLBACK TO SAVEPOINT lapse_attempt")
            raise
        self.run("RELEASE SAVEPOINT lapse_attempt")

    def literal(self, value: object) -> str:
        """*value* as it stands in a statement."""
        return str(psycopg.sql.Literal(value).as_string(self._con))


def conninfo(address: str, shown: str) -> str:
    """The address as libpq reads it: a driver suffix such as ``postgresql+psycopg2`` cut.

    Raises:
        PolicyError: If it cannot read it. What it says of that may quote the password, so it is not passed on.
    """
    scheme, separator, rest = address.partition("://")
    text = scheme.partition("+")[0] + separator + rest
    try:
        psycopg.conninfo.conninfo_to_dict(text)
    except psycopg.ProgrammingError as error:
        said = f": {first_line(error)}" if shown == address else ""
        hint = "In a password write `%25` for `%`, `%40` for `@`, `%2F` for `/`; options are those of libpq."
        raise PolicyError(f"{shown}: PostgreSQL's library cannot read this address{said}", hint=hint) from None
    return text
