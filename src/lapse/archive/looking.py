"""Records looked up in segments by their key: nothing is restored, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from lapse.archive.catalog import SegmentEntry
from lapse.archive.tables import Tables
from lapse.errors import LapseError, MissingDriverError
from lapse.model.manifest import Manifest
from lapse.model.match import text_of
from lapse.ports import LineBlock
from lapse.segments import JSONL_ZST, read_segment
from lapse.segments.records import split_lines
from lapse.stores.jsonl.fields import Doubtful, FieldReader

SEPARATOR = ","
"""What stands between the parts of a key. A part may have it as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """The record that is looked for.

    Attributes:
        fields: Columns or keys whose texts name it.
        key: Their texts, with commas between.
        shown: Further fields that are wanted of it.
    """

    fields: tuple[str, ...]
    key: str
    shown: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every field to read, each once."""
        return tuple(dict.fromkeys([*self.fields, *self.shown]))


def sought(fields: Sequence[str], key: str, *, shown: Sequence[str] = ()) -> Sought | None:
    """What to look for, where the texts of *fields*, with commas between, are *key*. None if they cannot be."""
    if not fields or key.count(SEPARATOR) < len(fields) - 1:
        return None
    return Sought(fields=tuple(fields), key=key, shown=tuple(shown))


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A record that was found in a segment.

    Attributes:
        manifest: What the segment holds.
        archives: Archives in which the segment was found.
        values: The fields that were wanted, as text; None where it has none.
    """

    manifest: Manifest
    archives: tuple[str, ...]
    values: Mapping[str, str | None] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A segment that could not be looked into in any archive.

    Attributes:
        path: Its path.
        reason: Why, from the last archive that was tried.
    """

    path: str
    reason: str


def copies(entries: Sequence[SegmentEntry], what: Sought) -> Iterator[Copy | Unread]:
    """Every segment that holds the record in its dataset's own table, in the order of their paths; one look each.

    Arguments:
        entries: Copies of segments, whole slices.
        what: The record.
    """
    tables = Tables(entries)
    own = (entry for entry in entries if tables.rank(entry.manifest) == 0)
    for path, same in groupby(sorted(own, key=lambda entry: entry.path), key=lambda entry: entry.path):
        yield from _looked_into(path, tuple(same), what)


def _looked_into(path: str, same: Sequence[SegmentEntry], what: Sought) -> Iterator[Copy | Unread]:
    """One segment: of its copies the first that can be read is."""
    lacking = _lacking(same[0].manifest, what)
    if lacking:
        reason = f"it has no column {', '.join(lacking)}, by which the store names a record"
        yield Unread(path=path, reason=reason)
        return
    reason = ""
    for entry in same:
        try:
            found = tuple(_records(entry, what))
        except LapseError as error:
            reason = f"archive {entry.archive}: {error}"
            continue
        names = tuple(each.archive for each in same)
        yield from (Copy(manifest=entry.manifest, archives=names, values=values) for values in found)
        return
    yield Unread(path=path, reason=reason)


def _lacking(manifest: Manifest, what: Sought) -> tuple[str, ...]:
    """The columns that name the record and that the segment does not have, as where rows go by their position."""
    names = {column.name for column in manifest.columns}
    return () if manifest.format == JSONL_ZST else tuple(name for name in what.fields if name not in names)


def _records(entry: SegmentEntry, what: Sought) -> Iterator[Mapping[str, str | None]]:
    with entry.target.open(entry.path) as file:
        if entry.manifest.format == JSONL_ZST:
            reader = FieldReader(what.wanted)
            for batch in read_segment(entry.manifest.format, file):
                if isinstance(batch, LineBlock):
                    yield from _lines(batch, reader, what)
            return
        try:
            from lapse.archive.row_lookup import rows
        except ImportError as error:
            raise MissingDriverError(error.name or "pyarrow", extra="parquet") from error
        yield from rows(file, what.fields, what.key, what.wanted)


def _lines(block: LineBlock, reader: FieldReader, what: Sought) -> Iterator[Mapping[str, str | None]]:
    for line in split_lines(block.data):
        fields = reader.read(line)
        if isinstance(fields, Doubtful):
            continue
        texts = [text for name in what.fields if (text := text_of(fields[name])) is not None]
        if len(texts) == len(what.fields) and SEPARATOR.join(texts) == what.key:
            yield {name: text_of(fields[name]) for name in what.wanted}
