"""Text logs: files of one JSON object a line, plain, gzip or zstd, removed from in place or by rewriting.

A slice is what one file holds for one destination, or a long stretch of its head: a rewrite costs the same for one
line as for all, so the budget does not cut a file.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar

from lapse.errors import ChangedError, LapseError, StateError, StoreError
from lapse.instant import Nanos
from lapse.model.disposal import Disposal, Facts
from lapse.model.growth import Footprint
from lapse.model.match import Match
from lapse.model.newest import KnownNewest, Newest, rules_with_newest
from lapse.model.plan import Identity, Mark, Tally
from lapse.model.policy import Dataset
from lapse.model.rotation import Turn
from lapse.model.selection import Selection
from lapse.ports import Budget, Found, Matched, Part, RestoreCount, Sketch, Slice, Take
from lapse.state.file_index import FileIndex
from lapse.state.lease import hold, holder
from lapse.stores.jsonl.disk import inode_of
from lapse.stores.jsonl.expecting import expectations, is_gone_for_good, removed_bytes
from lapse.stores.jsonl.fields import FieldReader
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.finding import find, search
from lapse.stores.jsonl.footprint import footprint
from lapse.stores.jsonl.gathering import newest_of
from lapse.stores.jsonl.identifying import fingerprint
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.listed import FileMarks, LogFile, LogFiles
from lapse.stores.jsonl.locating import followed
from lapse.stores.jsonl.memory import Memory, meaning_of
from lapse.stores.jsonl.names import LOCK
from lapse.stores.jsonl.noting import notes
from lapse.stores.jsonl.recovering import Unfinished, markers, not_finished, prune, settle
from lapse.stores.jsonl.redo import Journalled
from lapse.stores.jsonl.restoring import restore
from lapse.stores.jsonl.rotating import due_turns, recover_rotations, rotate, unfinished
from lapse.stores.jsonl.scanning import Counts, Doubt, Doubts, Extent, opened
from lapse.stores.jsonl.seen import Seen, SeenFiles
from lapse.stores.jsonl.sizing import Sizes
from lapse.stores.jsonl.sketching import sketches
from lapse.stores.jsonl.surveying import Extents, some_at_once, survey
from lapse.stores.jsonl.taking import JsonlTake
from lapse.stores.jsonl.task import task_of
from lapse.stores.jsonl.witnessing import is_untouched, place_of
from lapse.stores.jsonl.writers import written_last

Marks = Mapping[str, tuple[int, ...]]


class JsonlStore:
    """The log files of one dataset."""

    scheme: ClassVar[str] = "jsonl"

    def __init__(self, dataset: Dataset, *, read_only: bool) -> None:
        FieldReader(dataset.fields)  # refuses paths that it does not understand
        self._dataset = dataset
        self._read_only = read_only
        self._logs = LogSet(dataset.store)
        self._doubts: tuple[Doubt, ...] = ()
        self._seen = SeenFiles()
        self._index: FileIndex | None = None
        self._memory: Memory | None = None
        self._known: KnownNewest | None = None
        self._rescan = False
        self._done: dict[Path, list[Journalled]] = {}
        self._limited: set[Path] = set()
        self._unfinished = Unfinished(self._logs)

    def close(self) -> None:
        """Keep what was learnt about the files; nothing stays open between calls."""
        if self._memory is not None and self._memory.learning:
            with contextlib.suppress(StateError):  # the files are read again then, and nothing else depends on it
                self._memory.save()

    def remember(self, folder: Path, name: str, *, rescan: bool) -> None:
        """Use the index of the files in the state folder, and keep it if the store may be written to."""
        self._index = FileIndex(folder, name)
        self._rescan = rescan

    def identity(self) -> Identity:
        """Which files these are; the mark is the size and inode of each.

        Raises:
            StoreMissingError: If there is none.
            UnsupportedError: If one is a link, or no regular file.
        """
        files = self._logs.files()
        return Identity(
            fingerprint=fingerprint(self._logs, self._dataset, scheme=self.scheme),
            mark=Mark(kind="files", values=FileMarks(files)),
            notes=(*unfinished(self._logs), *notes(self._logs, files, self._dataset)),
        )

    def survey(self, selection: Selection, mark: Marks | None = None) -> Iterator[Tally]:
        """Count every line by outcome and tenant, each file read once."""
        files, memory = self._logs.files(), self._memory_for(Judge(selection))
        if memory is not None and mark is not None:
            memory.read_all()  # a sealed plan is held against the lines themselves
        self._known = KnownNewest(selection, self._newest_in(files, selection, mark, memory))
        judge = self._judge(selection)
        if memory is not None:
            memory.judge_by(judge)
        counts, doubts, self._seen = Counts(), Doubts(), SeenFiles(selection)
        for some in some_at_once(self._marked(files, mark), len(files)):
            extents = Extents(some, partial(self._below, mark=mark))
            surveyed = survey(extents, judge, memory)
            counts.merge(surveyed.counts)
            doubts.merge(surveyed.doubts)
            if not self._read_only:  # else nothing is removed
                self._seen.extend(some, extents, surveyed.sizes)
            del some, extents, surveyed  # before there are the next ones
        if memory is not None:
            memory.keep_only(file.inode for file in files)
        self._doubts = doubts.all()
        yield from counts.tallies()

    def doubts(self) -> tuple[Doubt, ...]:
        """What the last survey could not judge, by kind, with the place of the first."""
        return self._doubts

    def remarks(self, selection: Selection) -> tuple[str, ...]:
        """The same, for the plan."""
        return tuple(f"kept in doubt: {doubt}" for doubt in self._doubts)

    def slices(self, selection: Selection, facts: Facts, budget: Budget, mark: Marks | None = None) -> Iterator[Slice]:
        """One slice for each file and destination with lapsed lines; files that somebody writes to come last.

        A long head comes in several, each cut once the one before it is done.

        Raises:
            StoreError: At the end, if an earlier removal has not finished with one of the files.
        """
        judge = self._judge(selection, mark)
        files = self._logs.files()
        staying = self._logs.staying(files)
        number = itertools.count(1)
        for file in written_last(file for file in files if self._unfinished.of(file.path, file.inode) is None):
            removable = file.path not in staying
            extent = self._below(file, mark)
            if extent is None:
                continue
            known = len(self._done.get(file.path, ()))
            sizes = self._sizes(file, extent, judge)
            for destination, size in expectations(judge.selection, sizes):
                expected = self._expected(file, extent, size)
                begun = len(self._done.get(file.path, ()))
                for left, after in self._rounds(extent, known):
                    gone = removed_bytes(self._done.get(file.path, [])[begun:])
                    if gone and gone == expected:
                        break  # the last round ended just there
                    most = budget.rows if budget.canary else None
                    task = (int(removable), max(0, expected - gone), int(budget.rewrite), most)
                    yield Slice(
                        name=f"{next(number):06d}",
                        selection=selection,
                        destination=destination,
                        bounds=(str(left.path), left.inode, left.size, after, *task),
                        facts=facts,
                    )
            if is_gone_for_good(file.path, self._done.get(file.path, ())):
                del self._done[file.path]  # of very many files that are removed nothing is held
        for file in files:
            self._unfinished.check(file.path, file.inode)

    def _rounds(self, extent: Extent, known: int) -> Iterator[tuple[Extent, str]]:
        """Where the lines of an extent are after the commits since the *known* ones, and the slice of the last of them.

        Once; and again after each take that stopped for its size.
        """
        while True:
            self._limited.discard(extent.path)
            done = self._done.get(extent.path, [])
            yield followed(extent, done[known:]), done[-1].slice if done else ""
            if extent.path not in self._limited:
                return

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
            task, judge = task_of(piece, self._logs.relative(extent.path)), self._judge(piece.selection)
            known = None if self._memory is None else self._memory.blocks_of(extent, judge)
            taken = JsonlTake(piece, extent, task, descriptor=descriptor, judge=judge, known=known)
            try:
                yield taken
            finally:
                taken.close()
                if taken.redo is not None:
                    self._done.setdefault(extent.path, []).append(taken.redo)
                    self._follow(piece, extent, taken.redo, limited=taken.limited, partial=taken.partial)
                    if taken.limited or taken.partial:
                        self._limited.add(extent.path)

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
            recover_rotations(self._logs)
            found = settle(self._logs, intact, dataset=self._dataset)
            self._unfinished = Unfinished(self._logs)
        yield from found

    def due(self, now: Nanos, *, force: bool) -> Iterator[Turn]:
        """The logs that `rotate` would rotate."""
        return due_turns(self._logs, self._dataset, now, force=force)

    def rotate(self, now: Nanos, *, force: bool) -> Iterator[Turn]:
        """Finish what earlier rotations left to do, then rotate the logs that are due. The caller holds the lease.

        Raises:
            StoreError: At the end, of the first log that could not be rotated.
        """
        self._check_writable("rotate")
        return rotate(self._logs, self._dataset, now, force=force)

    def footprint(self) -> Footprint:
        """How large the files are, and how fast the newest one grows."""
        return footprint(self._logs.files(), self._dataset)

    def place_of(self, piece: Slice) -> str:
        """The inode and path of the file, and what it looks like where a commit in place would change it."""
        path, inode, size, *_ = piece.bounds
        assert isinstance(path, str) and isinstance(inode, int) and isinstance(size, int)  # noqa: S101, PT018 - ours
        return place_of(Extent(path=Path(path), inode=inode, size=size))

    def is_untouched(self, place: str) -> bool:
        """Whether the file is as it was, under its name or a rotated one: a commit changes it, or replaces it."""
        return is_untouched(place)

    def prune(self, disposals: Iterator[Disposal]) -> None:
        """Remove the journals of disposals that are recorded, except of commits that are not finished."""
        self._check_writable("prune")
        prune(self._logs, list(disposals))

    def find(self, selection: Selection, key: str) -> Iterator[Found]:
        """The lines that ``file:line`` names, or whose key field has the text *key*."""
        return find(self._logs, selection, key, newest=self._newest(selection))

    def search(self, selection: Selection, match: Match, *, limit: int) -> Matched:
        """The lines with some values, counted by outcome, and the first of them, file by file."""
        return search(self._logs, selection, match, limit=limit, newest=self._newest(selection))

    def key_fields(self) -> tuple[str, ...]:
        """The key field; a line without one is named by its place."""
        return () if self._dataset.key is None else (self._dataset.key,)

    def unnamed(self) -> str | None:
        """Why no line has a key that stays with it: its place changes when lines before it go."""
        return None if self.key_fields() else "a line of a text log is named by its place, which changes"

    def lease_holder(self) -> str | None:
        """Who has the lock on a folder that holds files of this dataset."""
        return next(filter(None, (holder(folder / LOCK) for folder in sorted(self._logs.folders()))), None)

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
            return _whole(file)
        size, inode = mark.get(file.name, (0, 0))
        marked = Extent(path=file.path, inode=inode, size=size)
        extent = followed(marked, self._done.get(file.path, []))
        return extent if extent.inode == file.inode and extent.size <= file.size else None

    def _sizes(self, file: LogFile, extent: Extent, judge: Judge) -> Sizes:
        """Where the lines of a file go, with their bytes; remembered from the survey where possible."""
        sizes = self._seen.sizes_of(judge.selection, file, extent.size)
        if sizes is None:
            (sizes,) = survey([extent], judge, self._memory_for(judge)).sizes
            self._seen.note(judge.selection, Seen(file, extent.size, sizes))
        return sizes

    def _memory_for(self, judge: Judge) -> Memory | None:
        """What is remembered of the files that *judge* can use. None if nothing may be remembered."""
        if self._index is None:
            return None
        if self._memory is None or self._memory.meaning != meaning_of(judge):
            self._memory = Memory(self._index, judge, rescan=self._rescan, learning=not self._read_only)
        self._memory.judge_by(judge)
        return self._memory

    def _judge(self, selection: Selection, mark: Marks | None = None) -> Judge:
        return Judge(selection, self._newest(selection, mark))

    def _newest(self, selection: Selection, mark: Marks | None = None) -> Newest:
        """The newest lines of each group: as the last survey has seen them, else as they are now."""
        if self._known is None or not self._known.holds_for(selection):
            self._known = KnownNewest(selection, self._newest_in(None, selection, mark))
        self._known = KnownNewest(selection, self._known.newest)
        return self._known.newest

    def _newest_in(
        self, files: Sequence[LogFile] | None, selection: Selection, mark: Marks | None, memory: Memory | None = None
    ) -> Newest:
        """The newest lines of each group in *files*, or in those that are there now."""
        if not rules_with_newest(selection):
            return Newest()
        there = self._logs.files() if files is None else files
        extents = Extents(LogFiles(self._marked(there, mark)), partial(self._below, mark=mark))
        return newest_of(extents, selection, memory)

    def _marked(self, files: Iterable[LogFile], mark: Marks | None) -> Iterator[LogFile]:
        """Those of the *files* that the mark has."""
        yield from files if mark is None else (file for file in files if self._below(file, mark) is not None)

    def _expected(self, file: LogFile, extent: Extent, size: int) -> int:
        """Bytes that have lapsed, of which *size* was surveyed. 0 if that is not known."""
        return 0 if _whole(file) != extent or self._done.get(file.path) else size  # it may not be what was surveyed

    def _follow(self, piece: Slice, before: Extent, redo: Journalled, *, limited: bool, partial: bool) -> None:
        """Let the index follow a commit; where it cannot, the file is read again next time."""
        after = followed(before, [redo])
        if self._memory is None or after.path != before.path or not after.size:
            return
        goal = piece.selection.goal(piece.destination)
        upto = redo.disposal.size if limited else None
        with contextlib.suppress(LapseError):
            self._memory.follow(before, after, goal, upto=before.size if partial else upto)

    def _now(self, piece: Slice) -> Extent:
        """The lines that a slice is about, in the file where they are now."""
        path, inode, size, after, *_ = piece.bounds
        assert isinstance(path, str) and isinstance(inode, int) and isinstance(size, int)  # noqa: S101, PT018 - ours
        extent = Extent(path=Path(path), inode=inode, size=size)
        self._unfinished.check(extent.path, inode)
        commits = self._commits(extent)
        for redo in commits:
            if redo.pending(extent.path.parent):
                raise not_finished(extent.path, redo)
        extent = followed(extent, [redo for redo in commits if redo.slice > str(after)])
        if inode_of(extent.path) != extent.inode:
            raise _moved(extent.path)
        return extent

    def _commits(self, extent: Extent) -> Sequence[Journalled]:
        """Commits of this run to a file, in order: those of this store, else those that another process made."""
        if extent.path in self._done or inode_of(extent.path) == extent.inode:
            return self._done.get(extent.path, [])
        return [marker.redo for marker in markers(self._logs) if marker.log == extent.path]


def _whole(file: LogFile) -> Extent:
    return Extent(path=file.path, inode=file.inode, size=file.size)


def _moved(path: Path) -> ChangedError:
    return ChangedError(f"{path} was replaced or moved since it was looked at", hint="Run again.")
