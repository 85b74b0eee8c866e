"""Why a record is still here, or what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lapse.engine.blaming import blaming
from lapse.engine.bygone import came_back, gone
from lapse.engine.hindering import blocking
from lapse.engine.holding import checked_holds
from lapse.engine.layering import Ground, explained, ground
from lapse.engine.remembered import remember
from lapse.engine.searching import NO_CLUES, Clues
from lapse.engine.session import Session
from lapse.errors import UsageError
from lapse.model.causes import Cause
from lapse.model.match import Condition, Match
from lapse.model.policy import Dataset
from lapse.model.selection import Verdict
from lapse.model.why import Explanation, Layer, Listing
from lapse.wrappers import ReadOnly

_ORDER = (Verdict.LAPSED, Verdict.HELD, Verdict.DOUBTFUL, Verdict.UNMATCHED, Verdict.KEPT)


def why(session: Session, name: str, key: str, *, clues: Clues = NO_CLUES) -> tuple[Explanation, ...]:
    """Explain what becomes of the records that *key* names, or became of the one that it named. Writes nothing.

    Arguments:
        session: The session.
        name: Dataset.
        key: As the store names the record.
        clues: What somebody remembers of it; narrows what ledger and archive are asked.

    Raises:
        UsageError: If the dataset is unknown; or if no record has that key, and none had that is known of.
    """
    (dataset,) = session.datasets([name])
    holds = checked_holds(session)
    with blaming(dataset), session.reading(dataset) as store:
        on = ground(session, dataset, store, holds)
        fields = store.key_fields()
        found = tuple(_present(on, store, key))
    if any(each.verdict == Verdict.LAPSED.value for each in found):
        found = _with_hindrances(found, blocking(session, dataset))
    if found:
        returned = bool(remember(session.ledger).came_back.get(name))
        return tuple(came_back(session, on, each, fields=fields) for each in found) if returned else found
    past = gone(session, on, key, fields=fields, clues=clues)
    if past is None:
        raise UsageError(f"{name} has no record {key!r}", hint=_where_else(dataset, fields))
    return (past,)


def why_matching(session: Session, name: str, match: Match, *, limit: int) -> Listing:
    """Explain what becomes of the records that *match* matches: counts by verdict, and the first *limit* of them.

    Arguments:
        session: The session.
        name: Dataset.
        match: What is asked for; the roles that a dataset gives its columns stand for these.
        limit: How many records are explained one by one.

    Raises:
        UsageError: If the dataset is unknown, or has no column for a role.
        StoreMissingError: If its table lacks a column.
    """
    (dataset,) = session.datasets([name])
    holds = checked_holds(session)
    asked = Match(tuple(_with_column(condition, dataset) for condition in match.conditions))
    with blaming(dataset), session.reading(dataset) as store:
        on = ground(session, dataset, store, holds)
        found = store.search(on.selection, asked, limit=limit)
    counts = {verdict.value: 0 for verdict in _ORDER}
    for tally in found.tallies:
        counts[on.selection.outcomes[tally.code].verdict.value] += tally.records
    return Listing(
        dataset=name,
        asked=str(match),
        counts={verdict: records for verdict, records in counts.items() if records},
        shown=tuple(explained(on, record) for record in found.first),
    )


def _present(on: Ground, store: ReadOnly, key: str) -> Iterator[Explanation]:
    """The records in the store; where the rules let one go, also what else keeps it."""
    for record in store.find(on.selection, key):
        found = explained(on, record)
        if found.verdict == Verdict.LAPSED.value:
            keepers = store.keepers(on.selection, key)
            layers = tuple(Layer(name="dependents", finding=f"it stays for now: {each}") for each in keepers)
            found = replace(found, layers=(*found.layers, *layers))
        yield found


def _where_else(dataset: Dataset, fields: tuple[str, ...]) -> str:
    ask = f'`lapse archive query`, where it is the table "{dataset.name}"'
    if fields:
        return f"Nor had it one that ledger and archive know by this key. Look by other fields with {ask}."
    if dataset.table is not None:
        return f"It may be archived: look with {ask}."
    return f"A line's number changes when lines before it go. Write `key:` on the dataset, or look with {ask}."


def _with_hindrances(found: tuple[Explanation, ...], causes: tuple[Cause, ...]) -> tuple[Explanation, ...]:
    """The explanations, and in those of lapsed records why no run has removed them, or what stops the next one."""
    layers = tuple(Layer(name="run", finding=f"{cause.message} ({cause.fix})") for cause in causes)
    return tuple(
        replace(each, layers=(*each.layers, *layers)) if each.verdict == Verdict.LAPSED.value else each
        for each in found
    )


def _with_column(condition: Condition, dataset: Dataset) -> Condition:
    if condition.role not in dataset.roles:
        return condition
    column = dataset.roles[condition.role]
    if column is None:
        raise UsageError(
            f"{dataset.name} names no {condition.role}", hint=f"Ask by a column, or write `{condition.role}:` on it."
        )
    return replace(condition, field=column)
