"""Text logs: files of one JSON object a line, plain, gzip or zstd, removed from by rewriting.

A slice is what one file holds for one destination: a rewrite costs the same for one line as for all, so
the budget does not cut a file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lapse.canonical import digest_of, sha256
from lapse.errors import ChangedError, StoreError
from lapse.model.disposal import Disposal, Facts
from lapse.model.plan import Fingerprint, Identity, Mark, Tally
from lapse.model.policy import Dataset
from lapse.model.selection import Destination, Selection
from lapse.ports import Budget, Found, Part, RestoreCount, Sketch, Slice, Take
from lapse.state.lease import hold
from lapse.stores.jsonl.disk import inode_of
from lapse.stores.jsonl.fields import FieldReader
from lapse.stores.jsonl.files import LogFile, LogSet
from lapse.stores.jsonl.finding import find
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.names import LOCK
from lapse.stores.jsonl.noting import notes
from lapse.stores.jsonl.quiet import is_written
from lapse.stores.jsonl.recovering import markers, prune, settle
from lapse.stores.jsonl.redo import Redo
from lapse.stores.jsonl.restoring import restore
from lapse.stores.jsonl.scanning import Counts, Doubt, Doubts, Extent, count, opened
from lapse.stores.jsonl.settling import find_inode
from lapse.stores.jsonl.sketching import sketches
from lapse.stores.jsonl.taking import JsonlTake
from lapse.stores.jsonl.trouble import translated

Marks = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a scan of a file found, so that the next one need not be made.

    Attributes:
        selection: What decided.
        file: The file, as it was.
        size: Bytes that were looked at.
        codes: The outcomes that its lines have.
    """

    selection: Selection
    file: LogFile
    size: int
    codes: frozenset[int]


class JsonlStore:
    """The log files of one dataset."""

    scheme: ClassVar[str] = "jsonl"

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None:
        FieldReader(dataset.fields)  # refuses paths that it does not understand
        self._dataset = dataset
        self._read_only = read_only
        self._logs = LogSet(dataset.store)
        self._doubts: tuple[Doubt, ...] = ()
        self._seen: dict[Path, _Seen] = {}
        self._done: dict[Path, list[Redo]] = {}

    def close(self) -> None:
        """Nothing stays open between calls."""

    def identity(self) -> Identity:
        """Which files these are; the mark is the size and inode of each.

        Raises:
            StoreMissingError: If there is none.
            UnsupportedError: If one is a link, or no regular file.
        """
        files = self._logs.files()
        return Identity(
            fingerprint=_fingerprint(self._logs, self._dataset),
            mark=Mark(kind="files", values={str(file.path): (file.size, file.inode) for file in files}),
            notes=notes(self._logs, files, self._dataset),
        )

    def survey(self, selection: Selection, mark: Marks | None = None) -> Iterator[Tally]:
        """Count every line by outcome and tenant, each file read once."""
        counts, doubts = Counts(), Doubts()
        judge = Judge(selection)
        for file in self._logs.files():
            extent = self._below(file, mark)
            if extent is not None:
                self._remember(file, extent, judge, count(extent, judge, counts, doubts))
        self._doubts = doubts.all()
        yield from counts.tallies()

    def doubts(self) -> tuple[Doubt, ...]:
        """What the last survey could not judge, by kind, with the place of the first."""
        return self._doubts

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Marks | None = None) -> Iterator[Slice]:
        """One slice for each file and destination with lapsed lines; files that somebody writes to come last."""
        judge = Judge(selection)
        files = self._logs.files()
        # The newest file of a glob stays, empty: its writer may want it, and the dataset must not vanish.
        stays = max(files, key=lambda file: file.mtime_ns).path
        number = itertools.count(1)
        for file in _written_last(files):
            removable = not self._logs.exact and file.path != stays
            extent = self._below(file, mark)
            if extent is None:
                continue
            known = len(self._done.get(file.path, ()))
            for destination in self._destinations(file, extent, judge):
                done = self._done.get(file.path, [])
                left = _followed(extent, done[known:])
                after = done[-1].slice if done else ""
                yield Slice(
                    name=f"{next(number):06d}",
                    selection=selection,
                    destination=destination,
                    bounds=(str(left.path), left.inode, left.size, after, int(removable)),
                    facts=facts,
                )

    @contextmanager
    def take(self, piece: Slice) -> Iterator[Take]:
        """Begin to remove a slice's lines.

        Raises:
            ChangedError: If the file is another one by now.
            StoreError: If somebody writes to it.
        """
        self._check_writable("take")
        extent = self._now(piece)
        with opened(extent) as descriptor:
            table = self._logs.relative(extent.path)
            removable = bool(piece.bounds[-1])
            taken = JsonlTake(piece, extent, descriptor=descriptor, table=table, removable=removable)
            try:
                yield taken
            finally:
                taken.close()
                if taken.redo is not None:
                    self._done.setdefault(extent.path, []).append(taken.redo)

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Lock every folder that holds files of this dataset.

        Raises:
            LeaseError: If another run has one of them.
        """
        self._check_writable("lease")
        with ExitStack() as stack:
            for folder in sorted(self._logs.folders()):
                stack.enter_context(hold(folder / LOCK, what=f"dataset {self._dataset.name}"))
            yield

    def recover(self, intact: Callable[[Disposal], bool]) -> Iterator[Disposal]:
        """Finish interrupted commits, then yield every marker; a read-only store only yields those finished."""
        if self._read_only:
            found = [marker.redo.disposal for marker in markers(self._logs) if not marker.pending]
        else:
            found = settle(self._logs, intact, promise=self._dataset.writers)
        yield from found

    def place_of(self, piece: Slice) -> str:
        """The inode and path of the file."""
        path, inode, *_ = piece.bounds
        return f"{inode} {path}"

    def is_untouched(self, place: str) -> bool:
        """Whether the file is still in its folder, under this name or a rotated one: a commit puts another there."""
        inode, _, path = place.partition(" ")
        folder, name = Path(path).parent, Path(path).name
        with translated("look into the folder", folder):
            return folder.is_dir() and find_inode(folder, name, int(inode)) is not None

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Remove the journals of disposals that are recorded, except of commits that are not finished."""
        self._check_writable("prune")
        prune(self._logs, list(disposals))

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The lines that ``file:line`` names, or whose key field has the text *key*."""
        return find(self._logs, selection, key)

    def restore(self, part: Part) -> RestoreCount:
        """Write back the lines that are not there. The caller holds the lease.

        Raises:
            StoreError: If they cannot be written.
        """
        self._check_writable("restore")
        return restore(self._logs, part)

    @classmethod
    def inspect(cls, address: str) -> Iterator[Sketch]:
        """Describe the logs in a folder, of a glob or in a file."""
        return sketches(address)

    def _check_writable(self, what: str) -> None:
        if self._read_only:
            raise StoreError(f"{self._dataset.shown} was opened read-only and asked to {what}", hint="Report this.")

    def _below(self, file: LogFile, mark: Marks | None) -> Extent | None:
        """What of a file is below the mark; all without one. None if the mark does not have it, or not like this."""
        if mark is None:
            return Extent(path=file.path, inode=file.inode, size=file.size)
        size, inode = mark.get(str(file.path), (0, 0))
        marked = Extent(path=file.path, inode=inode, size=size)
        extent = _followed(marked, self._done.get(file.path, []))
        return extent if extent.inode == file.inode and extent.size <= file.size else None

    def _destinations(self, file: LogFile, extent: Extent, judge: Judge) -> Iterator[Destination]:
        """The destinations that some line of a file has lapsed for; remembered from the survey where possible."""
        seen = self._seen.get(file.path)
        if seen is None or (seen.file, seen.size) != (file, extent.size) or seen.selection != judge.selection:
            seen = self._remember(file, extent, judge, count(extent, judge, Counts(), Doubts()))
        for destination in judge.selection.destinations():
            if not seen.codes.isdisjoint(judge.selection.lapsed_codes(destination)):
                yield destination

    def _remember(self, file: LogFile, extent: Extent, judge: Judge, codes: frozenset[int]) -> _Seen:
        seen = self._seen[file.path] = _Seen(judge.selection, file, extent.size, codes)
        return seen

    def _now(self, piece: Slice) -> Extent:
        """The lines that a slice is about, in the file where they are now."""
        path, inode, size, after, _ = piece.bounds
        assert isinstance(path, str) and isinstance(inode, int) and isinstance(size, int)  # noqa: S101, PT018 - ours
        extent = Extent(path=Path(path), inode=inode, size=size)
        commits = self._commits(extent)
        if any(redo.pending(extent.path.parent) for redo in commits):
            raise StoreError(
                f"{path}: a removal from it is not finished, its old file is still open for writing",
                hint="Let the writer reopen the file, then run again.",
            )
        extent = _followed(extent, [redo for redo in commits if redo.slice > str(after)])
        if inode_of(extent.path) != extent.inode:
            raise _moved(extent.path)
        return extent

    def _commits(self, extent: Extent) -> Sequence[Redo]:
        """Commits of this run to a file, in order: those of this store, else those that another process made."""
        if extent.path in self._done or inode_of(extent.path) == extent.inode:
            return self._done.get(extent.path, [])
        return [marker.redo for marker in markers(self._logs) if marker.log == extent.path]


def _followed(extent: Extent, commits: Iterable[Redo]) -> Extent:
    """The same lines after some commits, in order; those made to another file change nothing."""
    for redo in commits:
        if extent.inode == redo.inode and redo.replacement is not None:
            size = redo.kept + max(0, extent.size - redo.judged)
            extent = Extent(path=extent.path, inode=redo.replacement.inode, size=size)
    return extent


def _moved(path: Path) -> ChangedError:
    return ChangedError(f"{path} was replaced or moved since it was looked at", hint="Run again.")


def _written_last(files: Iterable[LogFile]) -> Iterator[LogFile]:
    """The same files; those that somebody has open for writing come last, so that they hold up no other."""
    written = []
    for file in files:
        if is_written(file.path):
            written.append(file)
        else:
            yield file
    yield from written


def _fingerprint(logs: LogSet, dataset: Dataset) -> Fingerprint:
    parts = (
        sha256(logs.pattern.encode())[:12],
        Path(logs.pattern).name,
        digest_of(sorted(dataset.fields))[:12],
    )
    return Fingerprint(text=":".join((JsonlStore.scheme, *parts)), parts=parts)
