"""Log files in, counts by outcome and doubts by kind out, with where the lines of each go; each is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

from lapse.stores.jsonl.codec import Encoding, encoding_of
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.disk import line_end
from lapse.stores.jsonl.filescan import Scan, Scanned
from lapse.stores.jsonl.judged import Judges
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.listed import LogFile, LogFiles
from lapse.stores.jsonl.memory import Memory
from lapse.stores.jsonl.numbered import Numbered
from lapse.stores.jsonl.parts import FilePart, Survey, put_together
from lapse.stores.jsonl.recalling import Range, Recall, learn
from lapse.stores.jsonl.scanning import Counts, Extent, opened
from lapse.stores.jsonl.trouble import translated
from lapse.stores.jsonl.workers import MOST_TASKS, processors, spread

_FOR_ONE = 64 * 1024 * 1024
_TASK = 16 * 1024 * 1024
_FILES = 16_384


def some_at_once(files: Iterable[LogFile], most: int) -> Iterator[LogFiles]:
    """Some *files*, *most* at most, in parts to survey one after the other: something of each is held meanwhile.

    The parts are alike, so that no small one at the end is left to this process, and what it takes to judge with it.
    """
    left, size = iter(files), -(-most // max(1, -(-most // _FILES)))
    while some := LogFiles(islice(left, size)):
        yield some


class Extents(Numbered[Extent]):
    """What is looked at of some files, each made a value when it is asked for."""

    def __init__(self, files: Sequence[LogFile], looked_at: Callable[[LogFile], Extent | None]) -> None:
        """That of *files*, of all of which something is *looked_at*."""
        self._files = files
        self._looked_at = looked_at

    def __len__(self) -> int:
        return len(self._files)

    def value(self, number: int) -> Extent:
        """What is looked at of the file of that number."""
        extent = self._looked_at(self._files[number])
        assert extent is not None  # noqa: S101 - the caller has left such files out
        return extent


def survey(extents: Sequence[Extent], judge: Judge, memory: Memory | None = None) -> Survey:
    """Judge every line of some files.

    Arguments:
        extents: The files.
        judge: What decides.
        memory: What is remembered of the files; what it still tells for certain is not read. None reads everything.

    Raises:
        StoreError: If a file cannot be read.
    """
    counts = Counts()
    recall = Recall(Timeline(judge), counts)
    for number, extent in enumerate(extents):
        recall.add(number, extent, memory)
    read = _read(recall.unread, extents, judge, counts, remembering=memory is not None and memory.learning)
    parts = [*recall.known, *read]
    if memory is not None and memory.learning:
        learn(memory, extents, parts)
    return put_together(extents, counts, parts)


def _read(
    unread: Sequence[Range], extents: Sequence[Extent], judge: Judge, counts: Counts, *, remembering: bool
) -> list[FilePart]:
    """Read some ranges, in several processes where that is worth it; their lines are added to *counts*."""
    judges = Judges(judge, size=sum(each.end - each.begin for each in unread))
    workers, tasks = tasks_of(unread, extents)
    if workers:
        _ = judge.selection.dispatch  # made once: else each child would make its own, and the removal after it too

    def work(number: int) -> Scanned:
        scan = Scan(judges, remembering=remembering)
        for each in tasks[number]:
            scan.read(each.file, extents[each.file], begin=each.begin, end=each.end)
        return scan.ended()

    found = Scanned(counts, [])
    with closing(spread(len(tasks), work, join=Scanned.join, workers=workers)) as answers:
        for scanned in answers:
            found.join(scanned)
    return found.parts


def tasks_of(
    unread: Sequence[Range], extents: Sequence[Extent], *, most: int = MOST_TASKS
) -> tuple[int, Sequence[Sequence[Range]]]:
    """How many processes should read some ranges, and the pieces of work that they are, about half of *most*."""
    workers = min(processors(), sum(each.end - each.begin for each in unread) // _FOR_ONE)
    return workers, list(_tasks(unread, extents, workers=workers, most=most))


def _tasks(unread: Sequence[Range], extents: Sequence[Extent], *, workers: int, most: int) -> Iterator[Sequence[Range]]:
    """The ranges in pieces of work: large ones cut, small ones several at once; all in one for a single worker."""
    if workers < 2:
        yield unread
        return
    least = max(_TASK, 2 * sum(each.end - each.begin for each in unread) // most)
    waiting: list[Range] = []
    size = 0
    for whole in unread:
        for each in _cut(whole, extents[whole.file], least) if whole.end - whole.begin > 2 * least else (whole,):
            waiting.append(each)
            size += each.end - each.begin
            if size >= least:
                yield waiting
                waiting, size = [], 0
    if waiting:
        yield waiting


def _cut(whole: Range, extent: Extent, least: int) -> Iterator[Range]:
    """Ranges of a large file, each of at least *least* bytes; a compressed one is not cut."""
    begin = whole.begin
    with opened(extent) as descriptor, translated("read it", extent.path):
        plain = encoding_of(descriptor) is Encoding.PLAIN
        while plain and whole.end - begin > 2 * least:
            end = line_end(descriptor, begin + least, whole.end)
            yield Range(whole.file, begin, end)
            begin = end
    if begin < whole.end:
        yield Range(whole.file, begin, whole.end)
