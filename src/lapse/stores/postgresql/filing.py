"""Files that rows name: noted in the transaction that removes the rows, told afterwards, forgotten when they are gone.

The notes stand in a table beside the markers. What is noted is exactly what a commit made true: a transaction that is
undone takes its notes along.
"""

# ruff: noqa: S608 - names are quoted, values are bound

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lapse.errors import LapseError, StoreError, StoreMissingError, UnsupportedError
from lapse.model.files import PendingFile, RowFiles
from lapse.model.policy import Dataset
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.markers import FILES_TABLE
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.dependents import Dependent, Dependents
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.naming import column, escaped
from lapse.stores.postgresql.preflight import members

_BATCH = 10_000
_TEXTS = ("text", "character varying", "character", "name")
_RIGHTS = ("SELECT", "INSERT", "DELETE")
_CREATE = (
    f"CREATE TABLE {FILES_TABLE} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    "source text NOT NULL, folder text NOT NULL, path text NOT NULL);"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The column that names files.

    Attributes:
        table: Its table: the dataset's own, or one whose rows go along.
        column: Its name.
    """

    table: Table
    column: str

    @property
    def name(self) -> str:
        """By which notes of it are known."""
        return f"{self.table.sql}.{quote(self.column)}"


class Filing:
    """The files of one dataset's rows."""

    def __init__(self, connection: Connection, dataset: Dataset, files: RowFiles, *, dependents: Dependents) -> None:
        """Find the column.

        Raises:
            StoreMissingError: If it is not there.
            UnsupportedError: If it is no text, or its rows do not go with those of the dataset.
        """
        self._connection = connection
        self._folder = files.under
        self._dependents = dependents
        self._ready = False
        try:
            self._source = _source(files.column, dependents)
        except LapseError as error:
            error.at(dataset.origin("files"))
            raise

    # Before a run

    def refusal(self) -> str | None:
        """Why no row may go: its file could not be noted. None if it could."""
        role = quote(str(self._connection.value("SELECT current_user")))
        return self._unnoted(role) or self._unlocked(role)

    def _unnoted(self, role: str) -> str | None:
        found = self._oid()
        if found is None:
            if self._connection.value("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
                return None
            grant = f"GRANT {', '.join(_RIGHTS)} ON {FILES_TABLE} TO {role};"
            return f"the files of removed rows are noted in a table that role {role} may not make: {_CREATE} {grant}"
        missing = [
            right
            for right in _RIGHTS
            if not self._connection.value("SELECT has_table_privilege(%s::oid, %s)", (found, right))
        ]
        if not missing:
            return None
        grant = f"GRANT {', '.join(missing)} ON {FILES_TABLE} TO {role};"
        return f"role {role} may not note the files of removed rows in {FILES_TABLE}: {grant}"

    def _unlocked(self, role: str) -> str | None:
        """Why rows cannot be locked, as must be done so that those that are noted are those that go."""
        table = self._dependents.table
        found = self._connection.rows(
            "SELECT u.oid::regclass::text FROM unnest(%s::oid[]) u(oid) "
            "WHERE NOT has_any_column_privilege(u.oid, 'UPDATE') ORDER BY 1",
            (members(self._connection, table),),
        )
        if not found:
            return None
        names = ", ".join(name for (name,) in found)
        return f"role {role} may not lock rows that name files: GRANT UPDATE ON {names} TO {role};"

    def remarks(self, judge: Judge) -> tuple[str, ...]:
        """How many of the lapsed rows name a file, and notes that no run of this dataset looks at."""
        going = judge.lapsed(judge.selection.lapsed_codes())
        rows = sum(
            int(self._connection.query("SELECT count(*) FROM (" + named + ") AS named")[0][0])
            for named in self._named(escaped(judge.table.sql), going, self._dependents.taken)
        )
        said = [f"{rows:,} rows that go name files below {self._folder}, removed without a copy"] if rows else []
        return (*said, *self._elsewhere())

    def _elsewhere(self) -> Iterator[str]:
        if self._oid() is None or not self._may_read():
            return
        found = self._connection.rows(
            f"SELECT folder, count(*) FROM {FILES_TABLE} WHERE source = %s AND folder <> %s GROUP BY 1 ORDER BY 1",
            (self._source.name, self._folder),
        )
        for folder, files in found:
            yield f"{files:,} files of rows that are gone wait for a dataset whose files lie `under` {folder}"

    def _may_read(self) -> bool:
        return bool(self._connection.value("SELECT has_table_privilege(%s, 'SELECT')", (FILES_TABLE,)))

    # While rows go

    def prepare(self) -> None:
        """Make the table of notes where it is missing, if this role may; outside of any transaction."""
        if self._ready:
            return
        if self._oid() is None:
            # Another run may make it at the same moment; and who may not make it was refused before.
            with contextlib.suppress(StoreError):
                self._connection.run(_CREATE)
        self._ready = True

    def note(self, leaf: str, where: Fragment, dependents: Sequence[Dependent] = ()) -> None:
        """Note the files of the rows ``r`` of *leaf* that *where* admits, and of those that go along.

        Nobody else may be able to change these rows, or their number, until the transaction ends.
        """
        for named in self._named(leaf, where, dependents):
            noting = Fragment(
                f"INSERT INTO {FILES_TABLE} (source, folder, path) SELECT %s, %s, path FROM (",
                (self._source.name, self._folder),
            )
            self._connection.change(noting + named + ") AS named")

    def _named(self, leaf: str, where: Fragment, dependents: Sequence[Dependent]) -> Iterator[Fragment]:
        """Queries that give the paths in rows that go, without those that name nothing."""
        table, name = self._source.table, self._source.column
        if table.oid == self._dependents.table.oid:
            yield _paths(name, "r") + f" FROM {leaf} AS r WHERE (" + where + ")" + _some(name, "r")
        for dependent in dependents:
            if dependent.table.oid == table.oid:
                yield _paths(name, "d") + dependent.belonging(leaf, where) + _some(name, "d")

    # Afterwards

    def pending(self) -> Iterator[Sequence[PendingFile]]:
        """Files that no row names any more, in batches; notes of those that a row still names go."""
        if self._oid() is None:
            return
        last = 0
        while True:
            found = self._connection.rows(
                f"SELECT id, path FROM {FILES_TABLE} WHERE source = %s AND folder = %s AND id > %s "
                f"ORDER BY id LIMIT {_BATCH}",
                (self._source.name, self._folder, last),
            )
            if not found:
                return
            last = found[-1][0]
            batch = [PendingFile(number, path) for number, path in found]
            kept = self._still_named(batch)
            self.forget(file for file in batch if file.number in kept)
            yield [file for file in batch if file.number not in kept]

    def _still_named(self, files: Sequence[PendingFile]) -> frozenset[int]:
        """Those that a row names, however it spells the path."""
        folder = escaped(self._connection.literal(self._folder))
        name = column(self._source.column)
        mine, theirs = _place("f.path", folder), _place(f"{name}::text", folder)
        found = self._connection.rows(
            f"SELECT f.id FROM {FILES_TABLE} AS f WHERE f.id = ANY(%s) AND {mine} IN "
            f"(SELECT {theirs} FROM {escaped(self._source.table.sql)} AS r WHERE {name} IS NOT NULL)",
            ([file.number for file in files],),
        )
        return frozenset(number for (number,) in found)

    def forget(self, files: Iterable[PendingFile]) -> None:
        """Remove the notes of *files*."""
        numbers = [file.number for file in files]
        if numbers:
            self._connection.run(f"DELETE FROM {FILES_TABLE} WHERE id = ANY(%s)", (numbers,))

    def _oid(self) -> int | None:
        found = self._connection.value("SELECT to_regclass(%s)::oid::bigint", (FILES_TABLE,))
        return None if found is None else int(found)


def _source(name: str, dependents: Dependents) -> Source:
    """The column called *name*: of the table itself, or ``table.column`` of one whose rows go along."""
    own = dependents.table
    owner, _, last = name.rpartition(".")
    if own.find(name) is not None or not owner:
        return _checked(Source(table=own, column=own.column(name).name))
    going = (own, *(dependent.table for dependent in dependents.taken))
    for table in going:
        if owner in (table.shown, f"{table.schema}.{table.name}"):
            return _checked(Source(table=table, column=table.column(last).name))
    raise StoreMissingError(
        f"`files`: {owner} is no table whose rows go along with those of {own.shown}",
        hint=f"Name a column of one of these: {', '.join(dict.fromkeys(table.shown for table in going))}.",
    )


def _checked(source: Source) -> Source:
    found = source.table.column(source.column)
    if found.base not in _TEXTS:
        raise UnsupportedError(
            f"`files`: column {found.name} of {source.table.shown} is {found.type}, which holds no path",
            hint="Name a column of text.",
        )
    return source


def _paths(name: str, alias: str) -> Fragment:
    return Fragment(f"SELECT {column(name, alias)}::text AS path")


def _some(name: str, alias: str) -> str:
    return f" AND {column(name, alias)}::text <> ''"


def _place(path: str, folder: str) -> str:
    """The absolute place that *path* means, so that two spellings of it are equal."""
    absolute = f"CASE WHEN starts_with({path}, '/') THEN {path} ELSE {folder} || '/' || {path} END"
    plain = f"strpos({path}, '//') = 0 AND strpos('/' || {path}, '/.') = 0"
    tidied = f"regexp_replace({absolute}, '/(\\.?/)+', '/', 'g')"
    return f'(CASE WHEN {plain} THEN {absolute} ELSE {tidied} END) COLLATE "C"'
