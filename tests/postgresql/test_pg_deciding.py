"""What was decided of a row is sent behind its columns, but for what these tell by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
from pg_rules_tools import NOW, connected, dataset, instants, judge, times_table

from lapse.model.selection import select
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.connection import Connection
from lapse.stores.postgresql.deciding import decision
from lapse.stores.postgresql.encoding import COPY_OPTIONS, Shape, read
from servers.postgres import PostgresServer

_TIMES = ["0044-03-15 00:00:00 BC", "0001-01-01 00:00:00", "1677-09-21 00:12:43.145224", "1969-12-31 23:59:59.999999"]
_TIMES += ["2020-02-29 12:00:00.000001", "2262-04-11 23:47:16.854776", "9999-12-31 23:59:59"]


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[Connection]:
    """A session in a database for these tests; each makes its own table."""
    with connected(postgres.create_database("pg_deciding")) as session:
        session.run("CREATE DOMAIN moment AS timestamptz")
        yield session
    postgres.drop_database("pg_deciding")


@pytest.mark.parametrize(
    ("kind", "zone", "sent"),
    [
        ("timestamptz", None, False),
        ("timestamptz", "Europe/Paris", False),
        ("timestamp(6)", None, False),
        ("timestamp", "Etc/UTC", False),
        ("timestamp", "Europe/Paris", True),
        ("moment", None, False),
        ("date", None, True),
    ],
)
@pytest.mark.parametrize("tenant", [None, "id"])
def test_times_read_from_the_column_are_those_that_the_server_computes(
    connection: Connection, kind: str, zone: str | None, sent: bool, tenant: str | None
) -> None:
    """To the nanosecond, clamped, and before Christ; the server computes them where the column is something else."""
    table = times_table(connection, kind, _TIMES)
    selection = select(dataset(zone=zone, tenant=tenant), floors=(), holds=(), now=NOW, real_now=NOW)
    shape, judged = Shape(table.columns), judge(connection, table, selection)
    decided = decision(judged, shape)
    query = Fragment(f"SELECT {shape.select}") + decided.select + " FROM log AS r ORDER BY id"

    (found,) = read(connection.copy_out(query, COPY_OPTIONS), shape, decided.sent)

    assert found.instants.to_pylist() == instants(connection, table, zone=zone)
    assert found.tenants.to_pylist() == [tenant and str(number) for number in range(len(_TIMES))]
    codes = connection.query("SELECT " + judged.code + " FROM log AS r ORDER BY id")
    assert found.codes.to_pylist() == list(chain.from_iterable(codes))
    assert ("lapse_instant" in decided.select.sql) is sent
