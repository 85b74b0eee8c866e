"""The archive, listed, verified, asked and taken back: its views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lapse.archive.catalog import SegmentEntry, Unreadable
from lapse.archive.verifying import Checked
from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.values import as_json, as_text, is_number
from lapse.cli.view import Done
from lapse.cli.wording import NOTHING, count, day, listed, optional_moment, size, some
from lapse.engine.archiving import RestoreReport
from lapse.errors import ExitCode
from lapse.model.manifest import Manifest

_COLUMNS = (
    Column("archive"),
    Column("dataset"),
    Column("state"),
    Column("records", right=True),
    Column("size", right=True),
    Column("oldest"),
    Column("newest"),
    Column("held by", folds=True),
    Column("path"),
)


@dataclass(frozen=True, slots=True)
class ArchiveListView(Done):
    """Segments by what their manifests say, with the matters of the holds that may cover each, by path."""

    found: tuple[SegmentEntry | Unreadable, ...]
    holds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """1 if a segment cannot be made out."""
        unreadable = any(isinstance(each, Unreadable) for each in self.found)
        return ExitCode.INCOMPLETE if unreadable else ExitCode.DONE

    @property
    def warnings(self) -> tuple[str, ...]:
        """Segments that cannot be made out, and stores whose holds cannot be read."""
        unread = tuple(f"more may be held: {text}" for text in self.unreached)
        return unread + tuple(
            f"{each.path} in archive {each.archive}: {each.reason}"
            for each in self.found
            if isinstance(each, Unreadable)
        )

    def result(self) -> shapes.ArchiveListResult:
        """The segments for programs."""
        return shapes.ArchiveListResult(segments=[_listed(each, self.holds.get(each.path, ())) for each in self.found])

    def page(self) -> Iterator[Block]:
        """A row for each segment."""
        entries = [each for each in self.found if isinstance(each, SegmentEntry)]
        if not entries:
            yield Line("There is no segment.")
            return
        yield Table(_COLUMNS, [_row(each, self.holds.get(each.path, ())) for each in entries])
        yield BLANK
        records = sum(each.manifest.records for each in entries)
        bytes_ = sum(each.manifest.size for each in entries)
        yield Line(f"{some(len(entries), 'segment')}, {some(records, 'record')}, {size(bytes_)}.", "bold")


def _row(entry: SegmentEntry, holds: Sequence[str]) -> Row:
    manifest = entry.manifest
    cells = (
        entry.archive,
        manifest.dataset,
        entry.state.value,
        count(manifest.records),
        size(manifest.size),
        day(manifest.oldest),
        day(manifest.newest),
        listed(tuple(holds), NOTHING),
        manifest.path,
    )
    return Row(cells)


def _listed(found: SegmentEntry | Unreadable, holds: Sequence[str]) -> shapes.SegmentShown:
    manifest = found.manifest if isinstance(found, SegmentEntry) else None
    problems = (found.reason,) if isinstance(found, Unreadable) else ()
    return _shape(found.archive, found.path, found.state.value, manifest, problems, holds=holds)


def _shape(
    archive: str,
    path: str,
    state: str,
    manifest: Manifest | None,
    problems: Sequence[str],
    *,
    holds: Sequence[str] | None = None,
) -> shapes.SegmentShown:
    return shapes.SegmentShown(
        archive=archive,
        path=path,
        state=state,
        dataset=None if manifest is None else manifest.dataset,
        run=None if manifest is None else manifest.run,
        format=None if manifest is None else manifest.format,
        digest=None if manifest is None else manifest.digest,
        records=None if manifest is None else manifest.records,
        size=None if manifest is None else manifest.size,
        oldest=None if manifest is None else optional_moment(manifest.oldest),
        newest=None if manifest is None else optional_moment(manifest.newest),
        problems=problems,
        holds=holds,
    )


@dataclass(frozen=True, slots=True)
class ArchiveVerifyView(Done):
    """Segments that were read to the last byte."""

    checks: tuple[Checked, ...]

    @property
    def exit_code(self) -> ExitCode:
        """1 if a copy is not intact."""
        return ExitCode.DONE if self._ok else ExitCode.INCOMPLETE

    @property
    def _ok(self) -> bool:
        return all(check.intact for check in self.checks)

    def result(self) -> shapes.ArchiveVerifyResult:
        """The checks for programs."""
        return shapes.ArchiveVerifyResult(
            ok=self._ok,
            segments=[_shape(c.archive, c.path, c.state.value, c.manifest, c.problems) for c in self.checks],
        )

    def page(self) -> Iterator[Block]:
        """Each problem, then the verdict."""
        damaged = [check for check in self.checks if not check.intact]
        for check in damaged:
            yield Line(f"{check.path} in archive {check.archive}:", "bold red")
            yield from (Line(problem, indent=2) for problem in check.problems)
        if damaged:
            yield BLANK
            yield Line(f"{some(len(damaged), 'segment')} of {count(len(self.checks))} not intact.", "bold red")
            yield Line("Do not touch them: look for another copy, and compare it with the ledger.", "cyan")
            return
        records = sum(check.manifest.records for check in self.checks if check.manifest is not None)
        if not self.checks:
            yield Line("There is no segment to verify.")
            return
        text = f"{some(len(self.checks), 'segment')} with {some(records, 'record')} read back: all intact."
        yield Line(text, "bold")


@dataclass(frozen=True, slots=True)
class QueryView(Done):
    """The rows of a query: data, and nothing else on stdout."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def result(self) -> shapes.ArchiveQueryResult:
        """The rows for programs."""
        return shapes.ArchiveQueryResult(
            columns=self.columns, rows=[[as_json(value) for value in row] for row in self.rows]
        )

    def page(self) -> Iterator[Block]:
        """A table."""
        columns = [
            Column(name, right=any(is_number(row[index]) for row in self.rows), kept=True)
            for index, name in enumerate(self.columns)
        ]
        yield Table(tuple(columns), [Row(tuple(map(as_text, row))) for row in self.rows])


@dataclass(frozen=True, slots=True)
class RestoreView(Done):
    """What came back."""

    report: RestoreReport

    def result(self) -> shapes.ArchiveRestoreResult:
        """The report for programs."""
        report = self.report
        return shapes.ArchiveRestoreResult(
            restored=report.records,
            present=report.present,
            segments=[
                shapes.RestoredSegment(
                    archive=each.entry.archive,
                    path=each.entry.path,
                    dataset=each.entry.manifest.dataset,
                    restored=each.count.restored,
                    present=each.count.present,
                )
                for each in report.restored
            ],
            stores=report.stores,
            hold=report.hold,
            held_until=optional_moment(report.held_until),
        )

    def page(self) -> Iterator[Block]:
        """Totals, and the hold that protects them."""
        report = self.report
        there = f"; {count(report.present)} were there already" if report.present else ""
        where = listed(report.stores, NOTHING)
        what = f"{some(report.records, 'record')} of {some(len(report.restored), 'segment')}"
        yield Line(f"{what} restored into {where}{there}.", "bold")
        if report.hold is not None:
            yield Line(f"Held until {day(report.held_until)}, or the next run would take them: hold {report.hold}.")
