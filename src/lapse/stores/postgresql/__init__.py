"""PostgreSQL, version 13 and later.

A take is one transaction: rows are deleted and handed over by ``COPY (DELETE … RETURNING …) TO STDOUT``, as Arrow,
and committed together with a marker once their segment has been read back.
"""

from lapse.stores.postgresql.store import PostgresStore

__all__ = ["STORE", "PostgresStore"]

STORE = PostgresStore
