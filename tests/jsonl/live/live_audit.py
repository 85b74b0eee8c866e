"""What became of every line that writers wrote: logs and committed segments, read back and accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from live_lines import KEPT, read

from lapse.archive.catalog import segments
from lapse.ports import LineBlock
from lapse.segments import read_segment
from lapse.stores.jsonl.names import Kind
from lapse.stores.jsonl.redo import Redo, journals
from lapse.stores.jsonl.settling import is_in_place
from lapse.targets.file import FileTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The account of a log.

    Attributes:
        lost: Lines that a writer wrote and that are nowhere; those that a journal says still wait in an old file are
            not.
        doubled: Lines that are more than once in the logs and the archive together.
        torn: What stands in a log or in the archive and is no whole line of a writer.
        disordered: Lines that stand behind a later one of the same writer, in a log or in a segment.
        early: Lines in the archive that had not lapsed when their run began.
        kept: Lines in the logs.
        removed: Lines in committed segments.
    """

    lost: int
    doubled: int
    torn: int
    disordered: int
    early: int
    kept: int
    removed: int

    @property
    def faults(self) -> dict[str, int]:
        """How many of each kind of fault, without those that there are none of."""
        names = ("lost", "doubled", "torn", "disordered", "early")
        return {name: count for name in names if (count := getattr(self, name))}

    def faults_after_kills(self, most: int) -> dict[str, int]:
        """The same where runs were killed that put a new file in the log's place: *most* times lines may be late.

        Between the exchange and the move of late lines only the run itself keeps writers from the new file. Where
        it is killed just there, what they still write to the old file comes behind what they write to the new one.
        """
        faults = self.faults
        if faults.get("disordered", 0) <= most:
            faults.pop("disordered", None)
        return faults


class _Account:
    """Lines as they are found, place after place."""

    def __init__(self, written: Mapping[str, int]) -> None:
        self._found = {writer: bytearray(lines) for writer, lines in written.items()}
        self.torn = self.disordered = self.early = 0

    def take(self, lines: Iterator[bytes], *, cutoff: datetime | None = None) -> int:
        """Account for the lines of one place. Those that are not earlier than *cutoff* should not be there.

        Returns:
            How many there are.
        """
        last: dict[str, int] = {}
        count = 0
        for data in lines:
            count += 1
            line = read(data)
            found = None if line is None else self._found.get(line.writer)
            if line is None or found is None or line.number >= len(found):
                self.torn += 1
                continue
            found[line.number] = min(found[line.number] + 1, 255)
            self.disordered += line.number <= last.get(line.writer, -1)
            last[line.writer] = line.number
            self.early += cutoff is not None and (line.schema == KEPT or line.time >= cutoff)
        return count

    def await_late(self, lines: Iterator[bytes]) -> None:
        """Lines that are still to be moved; an announced move may have been done already."""
        for line in map(read, lines):
            if line is not None and line.writer in self._found:
                found = self._found[line.writer]
                found[line.number] = found[line.number] or 1

    @property
    def lost(self) -> int:
        """Lines that were in no place."""
        return sum(found.count(0) for found in self._found.values())

    @property
    def doubled(self) -> int:
        """Lines that were found more than once."""
        return sum(len(found) - found.count(0) - found.count(1) for found in self._found.values())


def audit(logs: Path, archive: Path, written: Mapping[str, int], *, keep: timedelta) -> Audit:
    """Account for the lines that were *written*, by writer, in the folder of *logs* and in the *archive*."""
    account = _Account(written)
    kept = sum(account.take(_lines(path.read_bytes())) for path in sorted(logs.glob("*.jsonl")))
    removed = sum(account.take(lines, cutoff=began - keep) for began, lines in _segments(archive))
    account.await_late(_late_lines(logs))
    return Audit(
        lost=account.lost,
        doubled=account.doubled,
        torn=account.torn,
        disordered=account.disordered,
        early=account.early,
        kept=kept,
        removed=removed,
    )


def _lines(data: bytes) -> Iterator[bytes]:
    """The lines of a log without their ends; blanks may stand before one, where a collapse or a recovery left them."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield data[start:end].lstrip(b" ")
        start = end + 1
    if start < len(data):
        yield data[start:].lstrip(b" ")


def _late_lines(logs: Path) -> Iterator[bytes]:
    """The lines that unfinished commits have still to move from the old files of logs."""
    for redo in journals(logs):
        if isinstance(redo, Redo) and is_in_place(logs, redo):
            old = redo.path(logs, Kind.ASIDE)
            yield from old.read_bytes()[redo.consumed :].splitlines() if old.exists() else ()


def _segments(archive: Path) -> Iterator[tuple[datetime, Iterator[bytes]]]:
    """When the run of each committed segment began, with the segment's lines."""
    target = FileTarget(str(archive))
    for entry in segments(target, archive_name="cold"):
        began = datetime.strptime(entry.manifest.run.split("-")[0], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
        with target.open(entry.manifest.path) as file:
            blocks = read_segment(entry.manifest.format, file)
            yield began, (line for block in blocks if isinstance(block, LineBlock) for line in block.data.splitlines())
