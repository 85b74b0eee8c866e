"""What the last survey found in each file, so that a removal need not look again. Nothing depends on it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lapse.model.selection import Selection
from lapse.stores.jsonl.listed import Listing, LogFile
from lapse.stores.jsonl.scanning import Extent
from lapse.stores.jsonl.sizing import Sizes

_MOST_NOTES = 4096


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """What a scan of a file found.

    Attributes:
        file: The file, as it was.
        size: Bytes that were looked at.
        sizes: Where its lines go, with the bytes of these lines; 0 where they were not counted.
    """

    file: LogFile
    size: int
    sizes: Sizes

    @property
    def name(self) -> str:
        """The path of the file."""
        return self.file.name


class SeenFiles:
    """What the scans of files found: a survey of all of them, and later looks at one or the other."""

    def __init__(self, selection: Selection | None = None) -> None:
        """Nothing yet; a survey is to be added that decides as *selection*. None: there was none."""
        self._selection = selection
        self._surveyed = Listing(Seen)
        self._noted: dict[str, tuple[Selection, Seen]] = {}

    def extend(self, files: Iterable[LogFile], extents: Iterable[Extent], sizes: Iterable[Sizes]) -> None:
        """Take in what the survey found in the next files, of which it has looked at these extents."""
        for file, extent, each in zip(files, extents, sizes, strict=True):
            self._surveyed.add(Seen(file, extent.size, each))

    def note(self, selection: Selection, seen: Seen) -> None:
        """Take in what a later look at a file found."""
        if len(self._noted) >= _MOST_NOTES:
            # All are looked at once more, those of the survey, too: what the index knows of a file goes with its note.
            self._noted.clear()
            self._selection, self._surveyed = None, Listing(Seen)
        self._noted[seen.name] = (selection, seen)

    def sizes_of(self, selection: Selection, file: LogFile, size: int) -> Sizes | None:
        """Where the lines in the first *size* bytes of a file go. None if that is not known."""
        known = self._noted.get(file.name) or (self._selection, self._surveyed.named(file.name))
        if known[1] is None or (known[1].file, known[1].size) != (file, size) or known[0] != selection:
            return None
        return known[1].sizes
