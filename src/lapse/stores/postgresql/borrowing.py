"""Columns that a table borrows through its foreign keys: found by their names, and kept still while rows go.

``call_log_id.date`` is the column ``date`` of the row that the foreign key ``call_log_id`` leads to. Where the key is
NULL, or leads nowhere, it is NULL.
"""

# ruff: noqa: S608 - names are quoted

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from lapse.errors import UnsupportedError
from lapse.sqlcore.fields import field_path
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.catalog import Loan, Table, TableColumn, table_of
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.naming import column, escaped

_KEYS = (
    "SELECT DISTINCT mine.attname, k.confrelid::bigint, theirs.attname FROM pg_constraint k "
    "JOIN pg_attribute mine ON mine.attrelid = k.conrelid AND mine.attnum = k.conkey[1] "
    "JOIN pg_attribute theirs ON theirs.attrelid = k.confrelid AND theirs.attnum = k.confkey[1] "
    "WHERE k.contype = 'f' AND k.conrelid = %s AND cardinality(k.conkey) = 1 "
    # What the server adds for the partitions of a table that a key points at: the table stands for them.
    "AND NOT EXISTS (SELECT FROM pg_constraint u WHERE u.oid = k.conparentid AND u.conrelid = k.conrelid) "
    "ORDER BY 1, 2"
)


def with_borrowed(connection: Connection, table: Table, fields: Iterable[str]) -> Table:
    """*table* together with the columns among *fields* that it borrows.

    Raises:
        StoreMissingError: If a table that a foreign key points at has no such column.
        UnsupportedError: If the name can mean two columns, or one of the table's own rows.
    """
    names = dict.fromkeys(field_path(field).column for field in fields)
    foreign = [name for name in names if "." in name and table.find(name) is None]
    if not foreign:
        return table
    keys = [(str(mine), int(oid), str(theirs)) for mine, oid, theirs in connection.rows(_KEYS, (table.oid,))]
    borrowed = []
    for name in foreign:
        loans = [_loan(connection, key, name) for key in keys if name.startswith(f"{key[0]}.")]
        if loans:
            borrowed.append(_borrowed(table, name, loans))
    return replace(table, borrowed=tuple(borrowed))


def _loan(connection: Connection, key: tuple[str, int, str], name: str) -> Loan:
    mine, oid, theirs = key
    lender = table_of(connection, oid)
    return Loan(key=mine, lender=lender, lender_key=theirs, column=lender.column(name.removeprefix(f"{mine}.")))


def _borrowed(table: Table, name: str, loans: list[Loan]) -> TableColumn:
    (loan, *others) = loans
    if others:
        lenders = ", ".join(each.lender.shown for each in loans)
        raise UnsupportedError(
            f"{name} of table {table.name} could be a column of several tables: {lenders}",
            hint="Its foreign key must point at one table. Take the others away.",
        )
    if loan.lender.oid == table.oid:
        raise UnsupportedError(
            f"{name} is a column of other rows of table {table.name} itself, which may go at the same time",
            hint="Name a column of the row's own, or of another table.",
        )
    return replace(loan.column, name=name, required=False, loan=loan)


def loan_notes(table: Table) -> Iterator[str]:
    """What a plan should mention of the columns that are borrowed."""
    for each in table.borrowed:
        if each.loan is not None:
            lender = each.loan.lender.shown
            yield f"{each.name} is taken from {lender}: its rows are locked for others' changes while rows go by them"


def locking(table: Table, leaf: str, where: Fragment) -> Iterator[Fragment]:
    """Locks the rows that the rows ``r`` of *leaf* borrow from, so that nobody changes what they lend.

    What the rows themselves borrow by must be locked before, and what was decided about them be decided again after.
    """
    for key, lender, lender_key in dict.fromkeys((loan.key, loan.lender, loan.lender_key) for loan in table.loans):
        only = "" if lender.kind == "p" else "ONLY "
        tied = f"{column(lender_key, 'p')} IN (SELECT {column(key)} FROM {leaf} AS r WHERE "
        lent = f"SELECT count(*) FROM (SELECT 1 FROM {only}{escaped(lender.sql)} AS p WHERE {tied}"
        yield lent + where + ") FOR SHARE) AS locked"
