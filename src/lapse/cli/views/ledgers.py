"""The ledger, shown, checked and taken over: its views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.canonical import Json
from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.wording import count, listed, short, size, some
from lapse.engine.ledgering import LedgerVerdict
from lapse.errors import ExitCode
from lapse.model.ledger_entry import EntryKind, LedgerEntry

_COLUMNS = (Column("no.", right=True), Column("at"), Column("kind"), Column("what", folds=True), Column("hash"))


@dataclass(frozen=True, slots=True)
class LedgerShowView(Done):
    """Entries of the ledger, the oldest first."""

    entries: tuple[LedgerEntry, ...]

    def result(self) -> shapes.LedgerShowResult:
        """The entries for programs, as they are written."""
        return shapes.LedgerShowResult(
            entries=[
                shapes.LedgerLine(
                    n=entry.n,
                    prev=entry.prev,
                    ledger=entry.ledger,
                    kind=entry.kind,
                    at=entry.at,
                    body=entry.body,
                    key=entry.key,
                    hash=entry.hash,
                    signature=entry.signature,
                )
                for entry in self.entries
            ]
        )

    def page(self) -> Iterator[Block]:
        """A row for each entry."""
        if not self.entries:
            yield Line("The ledger has no entry yet; the first run begins it.")
            return
        yield Table(_COLUMNS, [_row(entry) for entry in self.entries])


def _row(entry: LedgerEntry) -> Row:
    at = entry.at[:19].replace("T", " ")
    return Row((count(entry.n), at, entry.kind.value, _said(entry), short(entry.hash)))


def _said(entry: LedgerEntry) -> str:
    """The gist of an entry."""
    body = entry.body
    match entry.kind:
        case EntryKind.DISPOSAL:
            records, bytes_ = _number(body.get("records")), _number(body.get("size"))
            return f"{body.get('dataset')}: {some(records, 'record')}, {size(bytes_)}, {body.get('method')}"
        case EntryKind.RUN:
            return f"run {body.get('run')}"
        case EntryKind.POLICY:
            return f"policy {short(str(body.get('policy')))} from {body.get('file')}"
        case EntryKind.HOLD_ADDED | EntryKind.HOLD_RELEASED:
            return f"hold {body.get('matter')}"
        case EntryKind.TRUST:
            return f"{body.get('dataset')} is {body.get('after')}"
        case EntryKind.REFRESHED:
            return f"{body.get('derived')} holds the records of {body.get('dataset')} from before {body.get('until')}"
        case EntryKind.RESTORE:
            return f"{body.get('dataset')}: {some(_number(body.get('restored')), 'record')} from {body.get('segment')}"
        case EntryKind.GENESIS:
            return f"ledger {entry.ledger} begins"
        case EntryKind.NOTE:
            return _facts(*map(body.get, ("note", "adopted", "guard", "dataset")))


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


def _facts(*values: Json) -> str:
    return listed([str(value) for value in values if value is not None])


@dataclass(frozen=True, slots=True)
class LedgerVerifyView(Done):
    """What a check of the ledger found."""

    verdict: LedgerVerdict

    @property
    def exit_code(self) -> ExitCode:
        """1 if anything speaks against the ledger."""
        return ExitCode.DONE if self.verdict.ok else ExitCode.INCOMPLETE

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be checked."""
        away = [name for name, number in self.verdict.checkpoints.items() if number is None]
        said = [f"archive {name} is out of reach: its checkpoints were not compared" for name in away]
        if not self.verdict.anchored and self.verdict.check.entries:
            said.append("no archive has a checkpoint of this ledger: a cut tail cannot be detected")
        return tuple(said)

    def result(self) -> shapes.LedgerVerifyResult:
        """The findings for programs."""
        check = self.verdict.check
        return shapes.LedgerVerifyResult(
            ok=self.verdict.ok,
            anchored=self.verdict.anchored,
            entries=check.entries,
            head=None if check.head is None else check.head.hash,
            problems=[
                shapes.LedgerProblem(kind=p.kind.value, message=p.message, entry=p.entry, line=p.line)
                for p in check.problems
            ],
            checkpoints=self.verdict.checkpoints,
        )

    def page(self) -> Iterator[Block]:
        """Each problem by its name, then the verdict."""
        check = self.verdict.check
        for problem in check.problems:
            where = "" if problem.line is None else f" (line {problem.line})"
            style = "bold red" if problem.kind.is_failure else "yellow"
            yield Line(f"{problem.kind.value}: {problem.message}{where}", style)
        if check.problems:
            yield BLANK
        yield Line(self._closing(), "bold")
        if not self.verdict.ok:
            yield Line("Do not mend it: keep it as evidence, and compare it with a backup and the archives.", "cyan")

    def _closing(self) -> str:
        check = self.verdict.check
        if not self.verdict.ok:
            failures = sum(problem.kind.is_failure for problem in check.problems)
            return f"The ledger is not sound: {some(failures, 'problem')} in {some(check.entries, 'entry')}."
        if not check.entries:
            return "There is no ledger yet; the first run begins it."
        compared = sum(number or 0 for number in self.verdict.checkpoints.values())
        head = "" if check.head is None else f", head {short(check.head.hash)}"
        against = f", compared with {some(compared, 'checkpoint')}" if compared else ""
        return f"The ledger is sound: {some(check.entries, 'entry')}{head}; chain and signatures hold{against}."


@dataclass(frozen=True, slots=True)
class LedgerAdoptView(Done):
    """Ledgers that were taken over."""

    adopted: tuple[str, ...]

    def result(self) -> shapes.LedgerAdoptResult:
        """Their ids for programs."""
        return shapes.LedgerAdoptResult(adopted=self.adopted)

    def page(self) -> Iterator[Block]:
        """What was taken over."""
        yield Line(f"A new ledger begins here. It takes over from {listed(self.adopted)}.", "bold")
        yield Line("The next run completes what the lost one left open.")
