"""A table of MariaDB whose rows the store judges, as the tests of rules and times compare it with the definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import pytest

from lapse.model.selection import Selection
from lapse.ports import Found
from lapse.stores.mysql import MysqlStore
from lapse.stores.mysql.catalog import Table
from servers.mariadb import MariadbServer

DATABASE = "rules"


@pytest.fixture(scope="module")
def server(mariadb: MariadbServer) -> Iterator[MariadbServer]:
    """A server with a table whose collations would change what is equal."""
    mariadb.create_database(DATABASE)
    mariadb.execute(
        "CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, at DATETIME(6), "
        "kind VARCHAR(40) COLLATE utf8mb4_unicode_ci, tenant VARCHAR(40) CHARACTER SET utf16 COLLATE utf16_general_ci, "
        "number BIGINT, doc LONGTEXT, every VARCHAR(5) DEFAULT 'row')",
        database=DATABASE,
    )
    yield mariadb
    mariadb.drop_database(DATABASE)


class JsonReadingStore(MysqlStore):
    """A server that finds every key of a JSON text, as MySQL does; no text here has a key twice or escaped."""

    @cached_property
    def _table(self) -> Table:
        return replace(super()._table, reads_json=True)


def judged(
    server: MariadbServer, selection: Selection, table: str = "log", kind: type[MysqlStore] = JsonReadingStore
) -> list[Found]:
    """What the store says of each row."""
    address = server.socket_url(DATABASE)
    dataset = replace(selection.dataset, store=address, shown=address, key="every", table=table)
    store = kind(dataset, read_only=True)
    try:
        return list(store.find(replace(selection, dataset=dataset), "row"))
    finally:
        store.close()
