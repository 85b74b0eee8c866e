"""Why a record is still here, or what becomes of it."""

from __future__ import annotations

from lapse.engine.blaming import blaming
from lapse.engine.holding import checked_holds
from lapse.engine.session import Session
from lapse.errors import UsageError
from lapse.instant import Nanos, rfc3339
from lapse.model.report import Explanation, Layer
from lapse.model.selection import Bound, Selection, resolve
from lapse.ports import Found


def why(session: Session, name: str, key: str) -> tuple[Explanation, ...]:
    """Explain what becomes of the records that *key* names, with every layer that was looked at.

    Raises:
        UsageError: If the dataset is unknown, or no record has that key.
    """
    (dataset,) = session.datasets([name])
    selection = session.selection(dataset, checked_holds(session))
    with blaming(dataset), session.reading(dataset) as store:
        found = tuple(store.find(selection, key))
    if not found:
        raise UsageError(
            f"{name} has no record {key!r}",
            hint=f'It may be archived: look with `lapse archive query`, where it is the table "{name}".',
        )
    return tuple(_explain(session, selection, record) for record in found)


def _explain(session: Session, selection: Selection, record: Found) -> Explanation:
    outcome = selection.outcomes[record.code]
    layers = _layers(selection, record)
    return Explanation(
        dataset=selection.dataset.name,
        key=record.key,
        instant=record.instant,
        verdict=outcome.verdict.value,
        reason=outcome.reason,
        lapses=_deadline(session, selection, record),
        layers=layers,
        values=record.values,
    )


def _layers(selection: Selection, record: Found) -> tuple[Layer, ...]:
    read = record.values.get
    if record.code < selection.first_hold:
        return (Layer(name="doubt", finding=selection.outcomes[record.code].reason, decided=True),)
    instant = record.instant if record.instant is not None else Nanos(0)
    layers = [Layer(name="doubt", finding=f"none: its time is {rfc3339(instant)}")]
    for offset, hold in enumerate(selection.holds):
        decided = record.code == selection.first_hold + offset
        layers.append(Layer(name=hold.label, finding="covers it" if decided else "does not cover it", decided=decided))
        if decided:
            return tuple(layers)
    if not selection.holds:
        layers.append(Layer(name="holds", finding="none is active here"))
    for index, bound in enumerate(selection.rules):
        if not bound.match.matches(read):
            layers.append(Layer(name=bound.label, finding="does not match"))
            continue
        layers += _rule_layers(selection, record, index, bound, instant)
        return tuple(layers)
    return (*layers, Layer(name="rules", finding="none matches: kept", decided=True))


def _rule_layers(selection: Selection, record: Found, index: int, bound: Bound, instant: Nanos) -> list[Layer]:
    code = selection.lapsed_code(index)
    lapsed = bound.cutoff is not None and instant < bound.cutoff
    layers = [
        Layer(
            name=bound.label,
            finding=f"matches; keeps what is not before {_when(bound.cutoff)}",
            decided=not lapsed,
        )
    ]
    if not lapsed:
        return layers
    for offset, floor in enumerate(selection.floors):
        decided = record.code == code + 2 + offset
        finding = f"keeps what is not before {_when(floor.cutoff)}" if decided else "does not keep it"
        layers.append(Layer(name=floor.label, finding=finding, decided=decided))
    if record.code == code:
        layers.append(Layer(name="cutoff", finding="it is before every cutoff: lapsed", decided=True))
    return layers


def _when(cutoff: Nanos | None) -> str:
    return "any time" if cutoff is None else rfc3339(cutoff)


def _deadline(session: Session, selection: Selection, record: Found) -> Nanos | None:
    """When the record lapses by its rule and every floor that matches it. None if never, or if no rule decides."""
    rule = selection.outcomes[record.code].rule
    if rule is None or record.instant is None:
        return None
    periods = [selection.sources[rule].keep]
    for floor in session.policy.floors:
        concerned = floor.dataset in (None, selection.dataset.name)
        if concerned and resolve(floor.match, selection.dataset).matches(record.values.get):
            periods.append(floor.at_least)
    deadlines = [period.deadline(record.instant) for period in periods]
    return None if None in deadlines else max(moment for moment in deadlines if moment is not None)
