"""DuckDB: one file, one process at a time.

A DuckDB file lets one process write. Within that process, DuckDB 2.0 lets one transaction update a row that
another deletes, and the update is lost without a word; so Lapse opens the file with a configuration of its
own, which keeps every other connection of the process out while it works.
"""

from lapse.stores.duckdb.store import DuckdbStore

__all__ = ["STORE", "DuckdbStore"]

STORE = DuckdbStore
