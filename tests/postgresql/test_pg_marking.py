"""The marker table, as Lapse makes it."""

from __future__ import annotations

from pg_looking import connected

from lapse.stores.postgresql.marking import Marking


def test_the_server_does_not_compress_markers(pg_database: str) -> None:
    """Of very many rules each has megabytes, which take longer to compress than to write; and they are soon gone."""
    with connected(pg_database) as connection:
        marking = Marking(connection)
        marking.prepare()
        marking.prepare()

        assert marking.may_mark()
        storage = "SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'lapse_disposals'::regclass"
        assert connection.value(storage + " AND attname = 'disposal'") == "e"
