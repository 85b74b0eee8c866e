"""Giving the space of a SQLite file back: pages that nothing uses, and ``VACUUM``, which writes the file anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lapse.errors import StoreError
from lapse.model.reclaim import Prediction, Progress, Space
from lapse.sqlcore.room import room
from lapse.stores.sqlite.database import Database
from lapse.stores.sqlite.schema import Table

_INCREMENTAL = 2
"""``PRAGMA auto_vacuum`` of a file that can be cut page by page, without writing it anew."""
_STEP = 1_000  # pages a transaction: writers wait for a fraction of a second
_SPEED = 50_000_000  # bytes a second read or written, a guess
_WORTH = 0.05  # share of the file below which a rewrite is not worth while
_TEMPORARY = ("/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - the places where SQLite itself looks, in its order


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pages:
    """The pages of a file.

    Attributes:
        size: Bytes of one.
        count: How many there are.
        free: How many of them nothing uses.
        incremental: Whether free ones can be cut off without writing the file anew.
    """

    size: int
    count: int
    free: int
    incremental: bool

    @property
    def allocated(self) -> int:
        """Bytes of all."""
        return self.size * self.count

    @property
    def used(self) -> int:
        """Bytes of those in use."""
        return self.size * (self.count - self.free)

    @property
    def returns(self) -> int:
        """Bytes of those that nothing uses; 0 where they are too few to bother."""
        return self.size * self.free if self.free > _WORTH * self.count else 0


def _pages(database: Database) -> _Pages:
    return _Pages(
        size=_pragma(database, "page_size"),
        count=_pragma(database, "page_count"),
        free=_pragma(database, "freelist_count"),
        incremental=_pragma(database, "auto_vacuum") == _INCREMENTAL,
    )


def _pragma(database: Database, name: str) -> int:
    return int(database.row(f"PRAGMA main.{name}")[0])


def allocated(database: Database) -> int:
    """Bytes of the file and of its write-ahead log."""
    log = database.path.with_name(database.path.name + "-wal")
    return sum(path.stat().st_size for path in (database.path, log) if path.exists())


def space(database: Database) -> Space:
    """The file's pages; those that are partly filled count as used."""
    pages = _pages(database)
    return Space(
        allocated=allocated(database),
        dead=0,
        free=pages.size * pages.free,
        measured="the whole file, by its count of free pages; what is free within pages in use is not counted",
    )


def prediction(database: Database, table: Table) -> Prediction:
    """What ``VACUUM``, or in files made for that ``PRAGMA incremental_vacuum``, would give back."""
    pages = _pages(database)
    needed = room(_needs(database, pages))
    return Prediction(
        space=space(database),
        returns=pages.returns,
        needs_free=needed.needs,
        free=needed.free,
        lock=_lock(pages),
        seconds=(pages.size * pages.free if pages.incremental else pages.allocated + 2 * pages.used) / _SPEED,
        notes=tuple(_notes(pages, table)),
    )


def _lock(pages: _Pages) -> str:
    if pages.incremental:
        return f"writers wait for a moment, again and again: {_STEP:,} pages a transaction"
    return "nobody writes to the file meanwhile, and nobody reads it while it is copied back"


def _needs(database: Database, pages: _Pages) -> dict[Path, int]:
    """The new file is made as a temporary one, then copied over the old one, whose pages go to the journal first."""
    beside = database.path.parent
    if pages.incremental:
        return {beside: 2 * _STEP * pages.size}
    needs = {beside: pages.allocated}
    temporary = _temporary_folder()
    needs[temporary] = needs.get(temporary, 0) + pages.used
    return needs


def _temporary_folder() -> Path:
    """Where SQLite puts its temporary files."""
    for name in (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), *_TEMPORARY):
        if name and Path(name).is_dir() and os.access(name, os.W_OK | os.X_OK):
            return Path(name)
    return Path.cwd()


def _notes(pages: _Pages, table: Table) -> Iterator[str]:
    yield "the file is given back as a whole, with all its tables"
    if pages.incremental:
        yield "the file has auto_vacuum = incremental: free pages are cut off, nothing is written anew"
    elif table.key is not None and not table.key.lasting:
        yield f"rows of {table.name} are named by their rowid, and VACUUM may number them anew: seal plans afterwards"


def rewrite(database: Database, tell: Callable[[Progress], None]) -> None:
    """Give the free pages back to the file system.

    Raises:
        StoreError: If another program has the file, or the disk is too small. The file is as it was.
    """
    if _pages(database).incremental:
        _cut(database, tell)
    else:
        tell(Progress(phase="writing the file anew"))
        database.rows("PRAGMA temp_store = FILE")  # memory stays bounded, whatever the size of the file
        database.rows("VACUUM")
    _cut_log(database)


def _cut(database: Database, tell: Callable[[Progress], None]) -> None:
    """Cut the free pages off, a step a transaction."""
    first = _pages(database)
    left = first.free
    while left:
        done = (first.free - left) * first.size
        tell(Progress(phase="cutting off free pages", done=done, total=first.free * first.size))
        database.rows(f"PRAGMA incremental_vacuum({_STEP})")
        before, left = left, _pages(database).free
        if left >= before:
            return  # another program fills them as fast as they are cut off


def _cut_log(database: Database) -> None:
    """With a write-ahead log, the file itself gets shorter only when the log has been moved into it."""
    if database.row("PRAGMA main.journal_mode")[0] != "wal":
        return
    busy = int(database.row("PRAGMA main.wal_checkpoint(TRUNCATE)")[0])
    if busy:
        raise StoreError(
            f"{database.shown}: the file was written anew, but readers keep its write-ahead log from being moved in",
            hint="SQLite cuts the file when the last of them is done.",
        )
