"""What stands against removing rows from a table: its kind, rules, triggers, children, or this role's rights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lapse import clock
from lapse.errors import GuardError, StoreError, UnsupportedError
from lapse.instant import Nanos, rfc3339
from lapse.model.selection import SKEW
from lapse.sqlcore.holdstable import HOLDS_TABLE
from lapse.sqlcore.identifiers import quote
from lapse.sqlcore.markers import FILES_TABLE, MARKER_TABLE
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.preflight import Action, ForeignKey, members

_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
_SYSTEM = ("pg_catalog", "information_schema", "pg_toast")

# Bits of pg_trigger.tgtype.
_ROW, _BEFORE, _DELETE, _INSTEAD = 1, 2, 8, 64


def check_clock(connection: Connection) -> None:
    """Refuse a server whose clock is not ours.

    Raises:
        GuardError: If they are more than five minutes apart.
    """
    before = clock.real_now()
    micros = connection.value("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    server, after = Nanos(int(micros) * 1000), clock.real_now()
    if before - SKEW <= server <= after + SKEW:
        return
    raise GuardError(
        f"{connection.shown}: the server's clock says {rfc3339(server)}, this machine's {rfc3339(after)}",
        hint="Set the clocks right. A run with a wrong clock would remove too much or too little.",
    )


def check_readable(connection: Connection, table: Table, oids: list[int]) -> None:
    """Stop where rows are hidden from this role: it could not even count them.

    Raises:
        StoreError: If it may not read the table.
        UnsupportedError: If row-level security hides rows.
    """
    missing = _without(connection, oids, "has_table_privilege(u.oid, 'SELECT')")
    if missing:
        raise StoreError(
            f"{connection.shown}: role {_role(connection)} may not read {', '.join(missing)}",
            hint=_grant("SELECT", missing, _role(connection)),
        )
    hidden = _without(connection, oids, "NOT row_security_active(u.oid)")
    if hidden:
        role = _role(connection)
        raise UnsupportedError(
            f"{connection.shown}: row-level security may hide rows of {_some(hidden)} from role {role}",
            hint=f"Let it see every row: ALTER ROLE {quote(role)} BYPASSRLS;",
        )


def no_table(table: Table) -> str | None:
    """What *table* is instead of one that holds rows. None if it holds them."""
    if table.kind not in _KINDS:
        return None
    return f"{table.shown} is {_KINDS[table.kind]}: rows are removed from ordinary tables only"


def refusal(connection: Connection, table: Table, oids: list[int], keys: Sequence[ForeignKey]) -> str | None:
    """The first reason why nothing will be removed from *table*. None if there is none.

    Arguments:
        connection: The session.
        table: The table.
        oids: Its number and those of its partitions.
        keys: The foreign keys that point at it, and at what goes with it.
    """
    return next(_reasons(connection, table, oids, keys), None)


def _reasons(connection: Connection, table: Table, oids: list[int], keys: Sequence[ForeignKey]) -> Iterator[str]:
    if table.name in (MARKER_TABLE, FILES_TABLE, HOLDS_TABLE) or table.schema in _SYSTEM:
        yield f"{table.shown} is not a table of records"
    if (other := no_table(table)) is not None:
        yield other
        return
    if table.persistence == "t":
        yield f"{table.shown} is a temporary table"
    if connection.value("SELECT pg_is_in_recovery()"):
        yield "the server is a hot standby, which cannot be written: name the primary in `store:`"
    yield from _parts(connection, table, oids)
    going = [*oids, *_along(connection, keys)]
    yield from _vetoes(connection, going)
    yield from _unnamed(connection, going)
    if connection.value("SELECT current_setting('row_security')") != "off":
        yield "settings of the session do not last: a pooler in transaction mode stands between; connect past it"
    yield from _rights(connection, table, oids, keys)


def _parts(connection: Connection, table: Table, oids: list[int]) -> Iterator[str]:
    """What the table consists of besides its own rows."""
    children = _list(
        connection,
        "SELECT c.oid::regclass::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = %s AND NOT c.relispartition ORDER BY 1",
        (table.oid,),
    )
    if children:
        yield f"tables inherit from {table.shown} without being partitions: {_some(children)}"
    foreign = _list(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid = ANY(%s::oid[]) AND c.relkind = 'f' ORDER BY 1",
        (oids,),
    )
    if foreign:
        yield f"partitions of {table.shown} are foreign tables: {_some(foreign)}"
    methods = _list(
        connection,
        "SELECT DISTINCT m.amname FROM pg_class c JOIN pg_am m ON m.oid = c.relam "
        "WHERE c.oid = ANY(%s::oid[]) AND c.relkind = 'r' AND m.amname <> 'heap' ORDER BY 1",
        (oids,),
    )
    if methods:
        yield f"{table.shown} is stored by the access method {_some(methods)}, which Lapse does not know"


def _vetoes(connection: Connection, oids: list[int]) -> Iterator[str]:
    """Rules and triggers that may make something else of a removal."""
    rules = _list(
        connection,
        "SELECT format('%%I of %%s', w.rulename, w.ev_class::regclass) FROM pg_rewrite w "
        "WHERE w.ev_class = ANY(%s::oid[]) AND w.ev_type = '4' AND w.ev_enabled IN ('O', 'A') ORDER BY 1",
        (oids,),
    )
    if rules:
        yield f"a rule rewrites what is removed: {_some(rules)}"
    triggers = _list(
        connection,
        "SELECT format('%%I of %%s', t.tgname, t.tgrelid::regclass) FROM pg_trigger t "
        "WHERE t.tgrelid = ANY(%s::oid[]) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') "
        "AND t.tgtype & %s <> 0 AND (t.tgtype & %s = %s OR t.tgtype & %s <> 0) ORDER BY 1",
        (oids, _DELETE, _ROW | _BEFORE, _ROW | _BEFORE, _INSTEAD),
    )
    if triggers:
        yield f"a trigger may veto the removal of a row: {_some(triggers)}"


def _unnamed(connection: Connection, oids: list[int]) -> Iterator[str]:
    """Tables whose removals are published while nothing tells their rows apart: the server refuses every DELETE."""
    tables = _list(
        connection,
        "SELECT c.oid::regclass::text FROM pg_class c "
        "WHERE c.oid = ANY(%s::oid[]) AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.relreplident <> 'f' "
        "AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND CASE c.relreplident "
        "WHEN 'd' THEN i.indisprimary AND i.indimmediate WHEN 'i' THEN i.indisreplident ELSE false END) "
        "AND EXISTS (SELECT FROM pg_publication p JOIN pg_publication_tables t ON t.pubname = p.pubname "
        "JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class q ON q.relnamespace = n.oid "
        "AND q.relname = t.tablename WHERE p.pubdelete AND (q.oid = c.oid "
        "OR q.oid IN (SELECT relid FROM pg_partition_ancestors(c.oid)))) ORDER BY 1",
        (oids,),
    )
    if tables:
        yield (
            f"removals from {_some(tables)} are published, and nothing tells its rows apart, so that the server "
            f"refuses each: ALTER TABLE {tables[0]} REPLICA IDENTITY FULL; or take it out of the publication"
        )


def _along(connection: Connection, keys: Sequence[ForeignKey]) -> list[int]:
    """Tables whose rows go along with their parents, and their partitions."""
    children = [key.child for key in keys if key.action is Action.CASCADE]
    return [oid for child in children for oid in members(connection, child)]


def _rights(connection: Connection, table: Table, oids: list[int], keys: Sequence[ForeignKey]) -> Iterator[str]:
    """What this role may not do, with the statement that lets it."""
    role = _role(connection)
    going = [key for key in keys if key.action is Action.CASCADE]
    children = [key.child.oid for key in going]
    unread = _without(connection, [key.child.oid for key in keys], "has_table_privilege(u.oid, 'SELECT')")
    if unread:
        yield f"role {role} may not read {_some(unread)}, which refers to it: {_grant('SELECT', unread, role)}"
    kept = _without(connection, [*oids, *children], "has_table_privilege(u.oid, 'DELETE')")
    if kept:
        yield f"role {role} may not remove rows of {_some(kept)}: {_grant('DELETE', kept, role)}"
    lenders = [loan.lender.oid for loan in table.loans]
    locked = [*oids, *children, *lenders] if going or lenders else []
    unlocked = _without(connection, locked, "has_any_column_privilege(u.oid, 'UPDATE')")
    if unlocked:
        yield (
            f"role {role} may not lock rows of {_some(unlocked)}, as must be done where foreign keys are followed: "
            f"{_grant('UPDATE', unlocked, role)}"
        )


def _without(connection: Connection, oids: list[int], right: str) -> list[str]:
    """Names of the tables among *oids* for which *right*, a condition on ``u.oid``, does not hold."""
    return _list(
        connection,
        f"SELECT DISTINCT u.oid::regclass::text FROM unnest(%s::oid[]) u(oid) WHERE NOT {right} ORDER BY 1",  # noqa: S608
        (oids,),
    )


def _list(connection: Connection, sql: str, values: Sequence[object]) -> list[str]:
    return [str(name) for (name,) in connection.rows(sql, values)]


def _role(connection: Connection) -> str:
    return str(connection.value("SELECT current_user"))


def _grant(right: str, tables: Sequence[str], role: str) -> str:
    return f"GRANT {right} ON {', '.join(tables)} TO {quote(role)};"


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    few, more = names[:3], len(names) - 3
    return ", ".join(few) + (f" and {more} more" if more > 0 else "")
