"""The marker table: what a commit leaves in the store, in its own transaction, until the ledger has it."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lapse.canonical import canonical
from lapse.errors import StoreError
from lapse.model.disposal import Disposal
from lapse.sqlcore.identifiers import quote

MARKER_TABLE = "lapse_disposals"
"""Name of the table; no dataset may use it."""

FILES_TABLE = "lapse_files"
"""Name of the table of files whose rows are gone; no dataset may use it."""

_LARGE = 64 * 1024
"""Characters from which on a disposal is written compressed: it names each rule under which records went."""

_COMPRESSED = "zstd "
"""What stands before one that is, zstd in base64."""

Execute = Callable[[str, Sequence[object]], Sequence[Any]]
"""Runs a statement with bound values and gives all its rows, translating the driver's errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerTypes:
    """How a database writes the columns of the marker table.

    Attributes:
        key: Type of the three columns of the key: they hold names of at most some 60 ASCII characters.
        text: Type of a text of any length.
        options: What stands after the columns, such as the storage engine.
    """

    key: str = "TEXT"
    text: str = "TEXT"
    options: str = ""


class Markers:
    """The markers in one database.

    Beginning and ending transactions is the caller's business: the marker must be in the one that removes.
    """

    def __init__(
        self,
        execute: Execute,
        *,
        placeholder: str = "?",
        schema: str | None = None,
        types: MarkerTypes | None = None,
    ) -> None:
        self._execute = execute
        self._mark = placeholder
        self._types = types or MarkerTypes()
        self._table = quote(MARKER_TABLE) if schema is None else f"{quote(schema)}.{quote(MARKER_TABLE)}"

    def create(self) -> None:
        """Create the table where it is missing."""
        key, text = self._types.key, self._types.text
        self._execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} ("
            f'"ledger" {key} NOT NULL, "run" {key} NOT NULL, "slice" {key} NOT NULL, "disposal" {text} NOT NULL, '
            f'PRIMARY KEY ("ledger", "run", "slice")) {self._types.options}'.rstrip(),
            (),
        )

    def add(self, disposal: Disposal) -> None:
        """Write the marker of *disposal*."""
        text = _packed(canonical(disposal.shorthand()))
        marks = ", ".join([self._mark] * 4)
        self._execute(f"INSERT INTO {self._table} VALUES ({marks})", (*_key(disposal), text))  # noqa: S608 - quoted

    def read(self) -> Iterator[Disposal]:
        """Every marker, in the order of ledger, run and slice. The table must exist.

        Raises:
            StoreError: If one cannot be read.
        """
        columns = '"ledger", "run", "slice"'
        rows = self._execute(
            f'SELECT {columns}, "disposal" FROM {self._table} ORDER BY {columns}',  # noqa: S608 - quoted
            (),
        )
        for ledger, run, slice_name, text in rows:
            yield _read(text, f"marker {slice_name} of run {run}, ledger {ledger}")

    def remove(self, disposal: Disposal) -> None:
        """Remove the marker of *disposal*; no error if it is gone."""
        where = " AND ".join(f"{quote(name)} = {self._mark}" for name in ("ledger", "run", "slice"))
        self._execute(f"DELETE FROM {self._table} WHERE {where}", _key(disposal))  # noqa: S608 - quoted


def _key(disposal: Disposal) -> tuple[str, str, str]:
    return disposal.owner.ledger, disposal.owner.run, disposal.slice


def _packed(text: bytes) -> str:
    if len(text) < _LARGE:
        return text.decode()
    return _COMPRESSED + base64.b64encode(_zstd().compress(text, level=1)).decode()


def _unpacked(text: str) -> str | bytes:
    """The same as JSON.

    Raises:
        ValueError: If it cannot be read.
    """
    if not text.startswith(_COMPRESSED):
        return text
    zstd = _zstd()
    try:
        return bytes(zstd.decompress(base64.b64decode(text.removeprefix(_COMPRESSED), validate=True)))
    except zstd.ZstdError as error:
        raise ValueError(error) from error


def _zstd() -> Any:
    """What most have no need of."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _read(text: object, what: str) -> Disposal:
    try:
        return Disposal.from_json(json.loads(_unpacked(str(text))))
    except ValueError as error:
        raise StoreError(
            f"{what} in {MARKER_TABLE} cannot be read: {error}",
            hint="Another version of Lapse or another program wrote it. Nothing is removed while it is there.",
        ) from error
