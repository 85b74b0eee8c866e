"""What a table is known by: the file's real path, the table, and the columns the policy uses with their types."""

from __future__ import annotations

import os

from lapse.canonical import canonical, sha256
from lapse.model.plan import Fingerprint
from lapse.sqlcore.fields import field_path
from lapse.stores.duckdb.catalog import Table

_DIGITS = 12


def fingerprint(path: str, table: Table, fields: tuple[str, ...]) -> Fingerprint:
    """The fingerprint of *table* in the file *path*, for a policy that uses *fields*."""
    used = {table.column(field_path(field).column) for field in fields}
    columns = sorted([column.name, column.type] for column in used)
    file = sha256(os.fsencode(os.path.realpath(path)))[:_DIGITS]
    parts = (file, table.shown, sha256(canonical(columns))[:_DIGITS])
    return Fingerprint(text=":".join(("duckdb", *parts)), parts=parts)
