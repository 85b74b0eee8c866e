"""The connection: statements in, rows or Arrow batches out, and no error of the driver's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lapse.errors import ChangedError, LapseError, MissingDriverError, StoreError, StoreMissingError
from lapse.sqlcore.fragments import Fragment

CONFIG = {
    # Nothing outside the file is read or loaded, whatever its views and defaults say; and no other
    # connection of this process shares the database, because its configuration differs.
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
}
_SESSION = ("SET TimeZone = 'UTC'", "SET default_collation = ''", "SET memory_limit = '1GB'")


class Connection:
    """One DuckDB file, open to nobody else in this process."""

    def __init__(self, path: str, *, read_only: bool) -> None:
        self._path = path
        self._driver = _driver()
        self._con: Any = self._open(read_only)
        self._reader: Any = None
        for statement in _SESSION:
            self.run(statement)

    def _open(self, read_only: bool) -> Any:
        if not Path(self._path).is_file():
            raise StoreMissingError(f"there is no DuckDB file {self._path}", hint="Check `store:` in the policy.")
        try:
            return self._driver.connect(self._path, read_only=read_only, config=CONFIG)
        except self._driver.Error as error:
            raise _not_opened(self._path, error) from error

    def close(self) -> None:
        """Give the file back."""
        self._end_reading()
        self._con.close()

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run a statement whose rows do not matter."""
        self.rows(sql, values)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a statement. An open reader ends."""
        self._end_reading()
        with self._translated():
            rows: list[Any] = self._con.execute(sql, list(values)).fetchall()
            return rows

    def query(self, fragment: Fragment) -> list[Any]:
        """All rows of a fragment."""
        return self.rows(fragment.sql, fragment.values)

    def reader(self, fragment: Fragment, size: int) -> Any:
        """A reader of the result's Arrow batches of at most *size* rows; valid until the next statement."""
        self._end_reading()
        with self._translated():
            found = self._con.sql(fragment.sql, params=list(fragment.values))
            self._reader = found.to_arrow_reader(size)
            return self._reader

    def batches(self, reader: Any) -> Iterator[Any]:
        """The batches of a reader; an error of the driver that comes through Arrow is a StoreError too."""
        import pyarrow as pa

        try:
            yield from reader
        except (pa.ArrowException, OSError) as error:
            raise self._error(error) from error

    def _end_reading(self) -> None:
        """DuckDB refuses every statement, even a rollback, while a result is open."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def type_named(self, text: str) -> str | None:
        """The type that *text* names, as DuckDB writes it. None if it names none."""
        try:
            return str(self._con.sqltype(text))
        except self._driver.Error:
            return None  # another database's type

    def register(self, name: str, batch: object) -> None:
        """Let statements read an Arrow batch as the table *name*."""
        with self._translated():
            self._con.register(name, batch)

    def unregister(self, name: str) -> None:
        """Forget a registered batch."""
        with self._translated():
            self._con.unregister(name)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction: committed if the block ends, rolled back if it is left by an error."""
        self.run("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self.roll_back()
            raise
        self.run("COMMIT")

    def roll_back(self) -> None:
        """End the transaction without a trace; no error if DuckDB has ended it already."""
        self._end_reading()
        try:
            self._con.rollback()
        except self._driver.TransactionException:
            return  # a failed commit or a fatal error has rolled back by itself
        except self._driver.Error as error:
            raise self._error(error) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> LapseError:
        text = _first_line(error)
        if isinstance(error, self._driver.TransactionException):
            return ChangedError(f"{self._path}: {text}", hint="Nothing was removed. Run again.")
        return StoreError(f"{self._path}: {text}", hint="Nothing was removed by this statement.")


def _driver() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise MissingDriverError("duckdb", extra="duckdb") from error
    return duckdb


def _not_opened(path: str, error: Exception) -> StoreError:
    text = _first_line(error)
    if "lock" in text:
        hint = "DuckDB lets one process write. Stop the other one first."
    elif "different configuration" in text:
        hint = "This program has the file open itself. Close its connection first: Lapse works on a file alone."
    elif "not a valid DuckDB" in text:
        hint = "Check `store:` in the policy."
    else:
        hint = "Check that the file can be read and written by this user."
    return StoreError(f"cannot open {path}: {text}", hint=hint)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
