"""Legal holds, added, released and listed: their views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.wording import NOTHING, day, moment, optional_moment, some
from lapse.engine.holding import release_command
from lapse.engine.ordering import Added, Listed
from lapse.errors import ExitCode
from lapse.instant import DAY, Nanos
from lapse.model.policy import Hold

_FEW_KEYS = 3
_COLUMNS = (
    Column("matter", folds=True),
    Column("holds", folds=True),
    Column("in force"),
    Column("since"),
    Column("until"),
    Column("reason", folds=True),
    Column("written in", folds=True),
)


@dataclass(frozen=True, slots=True)
class HoldListView(Done):
    """Every hold, at an instant."""

    holds: tuple[Listed, ...]
    now: Nanos
    unreached: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """1 if there may be more of them, or if one is not where the ledger knows it."""
        return ExitCode.INCOMPLETE if self.unreached or self.lost else ExitCode.DONE

    @property
    def warnings(self) -> tuple[str, ...]:
        """Holds that have vanished, stores whose holds could not be read, and holds that other hosts do not see."""
        unseen = tuple(
            f"hold {each.hold.matter} is not in the store of {' and '.join(each.missing)}: runs of other hosts do not"
            " see it before this host has run"
            for each in self.holds
            if each.missing
        )
        return (*self.lost, *(f"there may be more holds: {text}" for text in self.unreached), *unseen)

    def result(self) -> shapes.HoldListResult:
        """The holds for programs."""
        return shapes.HoldListResult(
            holds=[hold_shape(each.hold, self.now, posted=each.posted) for each in self.holds],
            complete=not self.unreached,
        )

    def page(self) -> Iterator[Block]:
        """A row for each hold."""
        if not self.holds:
            yield Line("No hold was found." if self.unreached or self.lost else "There is no hold.")
            return
        yield Table(_COLUMNS, [_row(each, self.now) for each in self.holds])
        yield BLANK
        active = sum(each.hold.active(self.now) for each in self.holds)
        yield Line(f"{some(len(self.holds), 'hold')}, {active} in force.")


@dataclass(frozen=True, slots=True)
class HoldAddView(Done):
    """A new hold, and the folder where it was written."""

    hold: Hold
    folder: Path
    now: Nanos
    added: Added

    @property
    def warnings(self) -> tuple[str, ...]:
        """Stores where runs of other hosts would not see it, and commits that were decided before it came."""
        return (
            *(f"runs of other hosts do not see it: {store}" for store in self.added.unreached),
            *(
                f"a run was killed in the middle of a commit to {name}: what it had decided goes with the next run"
                for name in self.added.unfinished
            ),
        )

    def result(self) -> shapes.HoldAddResult:
        """The hold for programs."""
        return shapes.HoldAddResult(hold=hold_shape(self.hold, self.now), folder=str(self.folder))

    def page(self) -> Iterator[Block]:
        """What is held from now on."""
        begins = "in force" if self.hold.active(self.now) else "written; it is not in force at this time"
        yield Line(f"Hold {self.hold.matter} is {begins}: {scope_of(self.hold)}.", "bold")
        yield Line(f"It lies in {self.folder} and in the ledger. End it with: {release_command(self.hold.matter)}")


@dataclass(frozen=True, slots=True)
class HoldReleaseView(Done):
    """A hold that ended."""

    matter: str
    unreached: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """Stores that it may still be in."""
        return tuple(f"it may still be in force there: {text}" for text in self.unreached)

    def result(self) -> shapes.HoldReleaseResult:
        """Its matter for programs."""
        return shapes.HoldReleaseResult(matter=self.matter)

    def page(self) -> Iterator[Block]:
        """What ended."""
        yield Line(f"Hold {self.matter} is released, and the ledger says so.", "bold")
        yield Line("What it kept follows the rules again: see `lapse plan` before the next run.")


def scope_of(hold: Hold) -> str:
    """What a hold covers, in words."""
    where = "all datasets" if hold.dataset is None else f"dataset {hold.dataset}"
    what = f"{where}, {hold.match}" if hold.match.conditions else f"everything in {where}"
    if hold.keys:
        few = f"{'key' if len(hold.keys) == 1 else 'keys'} {', '.join(hold.keys)}"
        keys = few if len(hold.keys) <= _FEW_KEYS else f"{len(hold.keys):,} keys"
        what = f"{f'{where}, {hold.match}' if hold.match.conditions else where}, {keys}"
    if hold.records_from is not None:
        what += f", from {_bound(hold.records_from)} on"
    return what if hold.records_before is None else f"{what}, {_ending(hold.records_before)}"


def _bound(instant: Nanos) -> str:
    """A record time as an end of a hold: the day, where that says all."""
    return moment(instant) if instant % DAY else day(instant)


def _ending(before: Nanos) -> str:
    """The first record time that is no longer held; the last that is, where that is the rounder one."""
    return f"up to {_bound(Nanos(before - 1))}" if before % 1000 == 1 else f"before {_bound(before)}"


def hold_shape(hold: Hold, now: Nanos, *, posted: Sequence[str] = ()) -> shapes.HoldShown:
    """A hold for programs, at an instant."""
    return shapes.HoldShown(
        matter=hold.matter,
        reason=hold.reason,
        dataset=hold.dataset,
        match=[
            shapes.Condition(
                field=c.role or c.field,
                values=c.values,
                globs=[glob.pattern for glob in c.globs],
                ranges=[shapes.Range(first=each.first, last=each.last) for each in c.ranges],
                negated=c.negated,
            )
            for c in hold.match.conditions
        ],
        keys=hold.keys,
        since=optional_moment(hold.since),
        until=optional_moment(hold.until),
        records_from=optional_moment(hold.records_from),
        records_before=optional_moment(hold.records_before),
        active=hold.active(now),
        where=None if hold.origin is None else str(hold.origin),
        posted=posted,
    )


def _row(listed: Listed, now: Nanos) -> Row:
    hold, active = listed.hold, listed.hold.active(now)
    files = () if hold.origin is None else (hold.origin.file,)
    cells = (
        hold.matter,
        scope_of(hold),
        "yes" if active else "no",
        day(hold.since),
        day(hold.until),
        hold.reason,
        ", ".join([*files, *(f"the store of {name}" for name in listed.posted)]) or NOTHING,
    )
    return Row(cells, "bold" if active else None)
