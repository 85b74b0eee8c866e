"""Questions: why is this record still here, and how does everything stand."""

from __future__ import annotations

from collections.abc import Mapping

from lapse.engine.blaming import blaming
from lapse.engine.holding import checked_holds, lost_holds
from lapse.engine.remembered import remember
from lapse.engine.retuning import pace_warnings, stop_warnings
from lapse.engine.session import Session
from lapse.errors import LapseError, UsageError
from lapse.instant import Nanos, rfc3339
from lapse.model.report import DatasetStatus, Explanation, Layer, StatusReport
from lapse.model.selection import Bound, Selection, resolve
from lapse.ports import Found
from lapse.state.checkpoints import latest
from lapse.state.journal import unsettled
from lapse.state.runs import LastRuns


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


def status(session: Session) -> StatusReport:
    """How everything stands between runs, from Lapse's own state; the stores are not opened."""
    past = remember(session.ledger)
    pending: dict[str, int] = {}
    for piece in unsettled(session.folders.root):
        name = piece.intent.dataset
        mine = session.policy.datasets.get(name)
        if mine is not None and mine.store_id == piece.intent.store:
            pending[name] = pending.get(name, 0) + 1
    head = session.ledger.head()
    archives = _checkpoints(session)
    return StatusReport(
        policy=session.policy.file,
        datasets=tuple(
            _dataset_status(session, name, past.totals.get(name, 0), pending.get(name, 0))
            for name in session.policy.datasets
        ),
        holds=tuple(hold.matter for hold in session.holds() if hold.active(session.now)),
        ledger=session.ledger.ledger_id,
        ledger_entries=0 if head is None else head.n + 1,
        head=None if head is None else head.hash,
        archives=archives,
        warnings=_status_warnings(session, archives, pending),
    )


def _dataset_status(session: Session, name: str, total: int, pending: int) -> DatasetStatus:
    last = LastRuns(session.folders.root).load(session.state_name(name)) or {}
    return DatasetStatus(
        dataset=name,
        store=session.policy.datasets[name].shown,
        last_run=last.get("run"),
        last_status=last.get("status"),
        last_at=last.get("at"),
        last_records=last.get("records", 0),
        total_records=total,
        pending=pending,
        trouble=last.get("trouble"),
    )


def _checkpoints(session: Session) -> Mapping[str, int | None]:
    found: dict[str, int | None] = {}
    for name, target in session.targets.items():
        try:
            newest = latest(target, session.ledger.ledger_id) if session.ledger.ledger_id else None
        except LapseError:
            newest = None
        found[name] = None if newest is None else newest.n
    return found


def _status_warnings(
    session: Session, archives: Mapping[str, int | None], pending: Mapping[str, int]
) -> tuple[str, ...]:
    warnings = []
    head = session.ledger.head()
    count = 0 if head is None else head.n + 1
    for name, n in archives.items():
        if count and n is None:
            warnings.append(f"archive {name} has no checkpoint that can be read: a cut tail could not be detected")
        elif n is not None and n < count:
            warnings.append(f"archive {name} has a checkpoint of {n} entries, the ledger has {count}: run again")
        elif n is not None and n > count:
            warnings.append(f"archive {name} remembers {n} ledger entries, here are {count}: the tail was cut")
    if count and not archives:
        warnings.append("the policy has no archive: a cut tail of the ledger could not be detected")
    warnings += [
        f"{name}: {n} {'slice' if n == 1 else 'slices'} of an interrupted run; the next run settles what is open"
        for name, n in pending.items()
    ]
    lost = lost_holds(session, session.holds())
    warnings += [f"hold {hold.matter} is recorded but not found as it was: the next run will stop" for hold in lost]
    return (*warnings, *pace_warnings(session), *stop_warnings(session))
