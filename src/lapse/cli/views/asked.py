"""Why a record is still there, or what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.wording import NOTHING, count, day, moment, optional_moment, second, some
from lapse.errors import ExitCode
from lapse.instant import beginning
from lapse.model.why import DISPOSED, UNKNOWN, Explanation, Layer, Listing, PastDisposal

_MARKER = "=>"


@dataclass(frozen=True, slots=True)
class WhyView(Done):
    """The explanations of one key."""

    explanations: tuple[Explanation, ...]

    @property
    def exit_code(self) -> ExitCode:
        """1 if something that may know the record could not be looked into, else 0."""
        unsure = any(each.verdict == UNKNOWN and each.unread for each in self.explanations)
        return ExitCode.INCOMPLETE if unsure else ExitCode.DONE

    def result(self) -> shapes.WhyResult:
        """The explanations for programs."""
        return shapes.WhyResult(records=[_explained(each) for each in self.explanations])

    def page(self) -> Iterator[Block]:
        """Every layer in order, the deciding one marked."""
        yield from _pages(self.explanations)


@dataclass(frozen=True, slots=True)
class WhyListView(Done):
    """The records that have some values."""

    listing: Listing

    def result(self) -> shapes.WhyListing:
        """The listing for programs."""
        listing = self.listing
        return shapes.WhyListing(
            dataset=listing.dataset,
            asked=listing.asked,
            verdicts=listing.counts,
            records=[_explained(each) for each in listing.shown],
        )

    def page(self) -> Iterator[Block]:
        """The counts, then the first records one by one."""
        listing = self.listing
        yield Line(f"{listing.dataset}: {some(listing.records, 'record')} with {listing.asked}", "bold")
        if not listing.records:
            yield Line(f"What is gone can be asked for by its key: lapse why {listing.dataset} KEY")
            return
        columns = (Column("verdict"), Column("records", right=True))
        yield Table(columns, [Row((verdict, count(records))) for verdict, records in listing.counts.items()], indent=2)
        yield BLANK
        yield from _pages(listing.shown)
        if len(listing.shown) < listing.records:
            yield BLANK
            yield Line(f"{count(listing.records - len(listing.shown))} more; --limit shows more of them.")


def _pages(explanations: tuple[Explanation, ...]) -> Iterator[Block]:
    for number, each in enumerate(explanations):
        if number:
            yield BLANK
        yield from _why(each)


def _why(explanation: Explanation) -> Iterator[Block]:
    yield Line(f"{explanation.dataset} {explanation.key}: {explanation.verdict}", "bold")
    yield from _facts(explanation)
    yield BLANK
    columns = (Column(""), Column("", folds=True), Column("", folds=True))
    yield Table(columns, [_layer(each) for each in explanation.layers])
    for each in explanation.unread:
        yield Line(f"Not looked into: {each}", "yellow")
    yield BLANK
    yield Line(_verdict(explanation), "bold")
    yield from _next_steps(explanation)


def _facts(explanation: Explanation) -> Iterator[Block]:
    if explanation.verdict not in (DISPOSED, UNKNOWN):
        yield Line(f"time {moment(explanation.instant, 'not readable')}", indent=2)
    for name, value in explanation.values.items():
        yield Line(f"{name} {NOTHING if value is None else value}", indent=2)
    clock = explanation.clock
    now = second(clock.now) if clock.now % 1000 else moment(clock.now)  # the machine's own clock is too fine to read
    yield Line(f"clock: {clock.field}, {clock.reading}; now is {now}", indent=2)


def _layer(layer: Layer) -> Row:
    return Row((_MARKER if layer.decided else "", layer.name, layer.finding), "bold" if layer.decided else None)


def _verdict(explanation: Explanation) -> str:
    if explanation.verdict in (DISPOSED, UNKNOWN):
        return f"{explanation.reason[0].upper()}{explanation.reason[1:]}."
    head = f"It is {explanation.verdict}: {explanation.reason}."
    if explanation.lapses is None:
        return head
    verb = "lapsed" if explanation.lapses <= explanation.clock.now else "lapses"
    return f"{head} By rule and floors it {verb} on {day(explanation.lapses)} ({beginning(explanation.lapses)})."


def _next_steps(explanation: Explanation) -> Iterator[Block]:
    if explanation.verdict == DISPOSED:
        yield Line(f"To bring it back: lapse archive restore {explanation.disposals[-1].segment}")
    elif explanation.verdict == UNKNOWN and explanation.disposals:
        yield Line(
            "A record's body is in no ledger. Its time (--at) and tenant (--tenant), where known, narrow this down."
        )


def _explained(explanation: Explanation) -> shapes.Explained:
    clock = explanation.clock
    return shapes.Explained(
        dataset=explanation.dataset,
        key=explanation.key,
        time=optional_moment(explanation.instant),
        verdict=explanation.verdict,
        reason=explanation.reason,
        lapses=optional_moment(explanation.lapses),
        layers=explanation.layers,
        values=explanation.values,
        clock=shapes.WhyClock(field=clock.field, reading=clock.reading, now=moment(clock.now)),
        disposals=[_disposal(each) for each in explanation.disposals],
        unread=explanation.unread,
    )


def _disposal(each: PastDisposal) -> shapes.WhyDisposal:
    return shapes.WhyDisposal(
        at=optional_moment(each.at),
        run=each.run,
        rules=each.rules,
        records=each.records,
        oldest=optional_moment(each.oldest),
        newest=optional_moment(each.newest),
        method=each.method,
        of_tenant=each.of_tenant,
        segment=each.segment,
        archives=each.archives,
    )
