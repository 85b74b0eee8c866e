"""What a plan should mention of a table that may be purged: zones, triggers, subscribers, replicas, old snapshots."""

from __future__ import annotations

from collections.abc import Iterator

from lapse.model.policy import Dataset
from lapse.sqlcore.fields import field_path
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection

NAIVE = ("timestamp without time zone", "date")
"""Types of times without a zone."""

OLD = "10 minutes"
"""Age from which an open transaction is worth a remark."""

_GUC_SINCE = 18_00_00
"""The first server where ``vacuum_truncate`` is a setting, too."""

# Bits of pg_trigger.tgtype.
_ROW, _BEFORE, _DELETE = 1, 2, 8


def notes(connection: Connection, table: Table, oids: list[int], dataset: Dataset) -> Iterator[str]:
    """Remarks on *table*, whose number and whose partitions' are *oids*. Reads the catalogue only."""
    time = table.find(field_path(dataset.time).column)
    if time is not None and time.base in NAIVE and dataset.zone is None:
        yield f"{time.name} is {time.base} and is read as UTC; set `time zone:` if it is not"
    yield from _trigger_notes(connection, oids)
    yield from _publication_notes(connection, table, oids)
    if table.persistence == "u":
        yield f"{table.shown} is unlogged: a crash of the server empties it, and replicas do not have it"
    yield from _pooler_notes(connection)
    yield from _replica_notes(connection, oids, dataset)
    yield from _horizon_notes(connection)


def _trigger_notes(connection: Connection, oids: list[int]) -> Iterator[str]:
    found = connection.rows(
        "SELECT DISTINCT t.tgname, t.tgtype & %s <> 0 FROM pg_trigger t WHERE t.tgrelid = ANY(%s::oid[]) "
        "AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & %s <> 0 AND t.tgtype & %s <> %s "
        "ORDER BY 1",
        (_ROW, oids, _DELETE, _ROW | _BEFORE, _ROW | _BEFORE),
    )
    for name, each_row in found:
        yield f"trigger {name} runs for each {'row that is removed' if each_row else 'statement that removes rows'}"


def _publication_notes(connection: Connection, table: Table, oids: list[int]) -> Iterator[str]:
    found = connection.rows(
        "SELECT DISTINCT p.pubname FROM pg_publication p JOIN pg_publication_tables t ON t.pubname = p.pubname "
        "JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid "
        "AND c.relname = t.tablename WHERE p.pubdelete AND (c.oid = ANY(%s::oid[]) "
        "OR c.oid IN (SELECT relid FROM pg_partition_ancestors(%s::oid))) ORDER BY 1",
        (oids, table.oid),
    )
    for (name,) in found:
        yield f"publication {name} sends removals to its subscribers: the rows go there too"


def _pooler_notes(connection: Connection) -> Iterator[str]:
    answering = connection.value("SELECT pg_backend_pid()")
    if answering != connection.pid:
        yield (
            f"a pooler stands between: process {answering} answers, where {connection.pid} was promised at the login; "
            "Lapse needs its session mode, or a direct connection"
        )


def _replica_notes(connection: Connection, oids: list[int], dataset: Dataset) -> Iterator[str]:
    ((replicas, hidden),) = connection.rows(
        "SELECT count(*), count(*) FILTER (WHERE r.state IS NULL) FROM pg_stat_replication r "
        "WHERE r.state IS DISTINCT FROM 'backup' AND NOT EXISTS (SELECT FROM pg_replication_slots s "
        "WHERE s.active_pid = r.pid AND s.slot_type = 'logical')"
    )
    if hidden and dataset.pace.max_lag is not None:
        yield (
            "this role may not see how far replicas are behind, so a run would stop: "
            f"{monitor_grant(connection)}, or write `max lag: none`"
        )
    if replicas and _truncates(connection, oids):
        yield (
            f"where the end of the table is removed, VACUUM shortens its file under an exclusive lock, which stops "
            f"queries on {'the replica' if replicas == 1 else f'the {replicas} replicas'}; "
            "vacuum_truncate = off on the table avoids that"
        )


def monitor_grant(connection: Connection) -> str:
    """The statement that lets this role see replicas and other sessions."""
    return str(connection.value("SELECT format('GRANT pg_monitor TO %I', current_user)"))


def _truncates(connection: Connection, oids: list[int]) -> bool:
    """Whether VACUUM may shorten a file of the table."""
    usual = "current_setting('vacuum_truncate')" if connection.version >= _GUC_SINCE else "'on'"
    return bool(
        connection.value(
            "SELECT bool_or(coalesce((SELECT o.option_value FROM pg_options_to_table(c.reloptions) o "  # noqa: S608
            f"WHERE o.option_name = 'vacuum_truncate'), {usual})::boolean) FROM pg_class c "
            "WHERE c.oid = ANY(%s::oid[]) AND c.relkind = 'r'",
            (oids,),
        )
    )


def _horizon_notes(connection: Connection) -> Iterator[str]:
    """Whoever still sees old rows, and so keeps removed ones from being vacuumed."""
    found = connection.rows(
        "SELECT format('session %%s of %%s, %%s', a.pid, a.usename, a.state), now() - a.xact_start "
        "FROM pg_stat_activity a WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid() "
        "AND a.backend_type = 'client backend' AND now() - a.xact_start > %s::interval "
        "UNION ALL SELECT format('prepared transaction %%L', p.gid), now() - p.prepared FROM pg_prepared_xacts p "
        "WHERE now() - p.prepared > %s::interval ORDER BY 2 DESC LIMIT 3",
        (OLD, OLD),
    )
    for who, age in found:
        minutes = int(age.total_seconds()) // 60
        yield f"{who}, has been open for {minutes:,} minutes: VACUUM gives no removed row back until it ends"
    slots = connection.rows(
        "SELECT slot_name FROM pg_replication_slots WHERE NOT active AND xmin IS NOT NULL ORDER BY 1 LIMIT 3"
    )
    for (name,) in slots:
        yield f"replication slot {name} is not connected and keeps VACUUM from giving removed rows back"
