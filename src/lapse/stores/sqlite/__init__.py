"""SQLite: one file, many readers, one writer at a time.

SQLite has one writer, so a take reads first and removes at its commit; what it removes is compared with what
was read inside that short transaction, unless SQLite itself says that nobody has written in between.
"""

from __future__ import annotations

from lapse.stores.sqlite.store import SqliteStore

STORE = SqliteStore

__all__ = ["STORE", "SqliteStore"]
