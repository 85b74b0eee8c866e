"""Datasets one after another, each in a run of its own: one that fails leaves the others to go on.

`run` settles the guards of all datasets before the first removal. Drop-ins whose users expect that one bad table
does not block the others run them apart instead, under the same ``now``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

from lapse import clock
from lapse.engine.checkpointing import check_anchor
from lapse.engine.holding import checked_holds
from lapse.engine.running import Wishes, dry_run, run
from lapse.engine.session import Session, run_id
from lapse.errors import LapseError, LeaseError
from lapse.model.report import DatasetReport, RunReport, Status, Trouble
from lapse.registry import open_store
from lapse.stages.guarding import check_clock


def run_apart(session: Session, wishes: Wishes, *, before_run: Callable[[], None]) -> Iterator[RunReport]:
    """Run the chosen datasets one by one; a report for each, as soon as it is done.

    Arguments:
        session: Its ``now`` decides for all of them.
        wishes: As for `run`.
        before_run: Called once, after everything that concerns all datasets was checked and before anything is
            removed; what it raises ends the run there.

    Raises:
        LapseError: Before the first dataset: a clock, ledger or hold that is not right, or another run at work.
    """
    _check(session)
    _refuse_company(session, wishes)
    before_run()
    for dataset in session.datasets(wishes.names):
        yield _reported(session, replace(wishes, names=(dataset.name,)), run)


def dry_run_apart(session: Session, wishes: Wishes) -> Iterator[RunReport]:
    """As `run_apart`, but nothing is changed and nothing is called: stores are opened read-only."""
    _check(session)
    for dataset in session.datasets(wishes.names):
        yield _reported(session, replace(wishes, names=(dataset.name,)), dry_run)


def _check(session: Session) -> None:
    check_clock(session.real_now, session.ledger.last_at())
    checked_holds(session)
    check_anchor(session)


def _refuse_company(session: Session, wishes: Wishes) -> None:
    """Refuse to begin while another run is at work; a store with any other trouble is reported by its own run."""
    for dataset in session.datasets(wishes.names):
        try:
            with closing(open_store(dataset, read_only=False)) as store, store.lease():
                pass
        except LeaseError:
            raise
        except LapseError as error:
            session.tell("dataset.failed", dataset=dataset.name, error=str(error))


def _reported(session: Session, wishes: Wishes, work: Callable[[Session, Wishes], RunReport]) -> RunReport:
    dataset = wishes.names[0]
    if wishes.stopping():
        return _failed(session, dataset, Trouble(message="the run was asked to stop", hint="Run again."))
    try:
        # The clock is compared with the ledger, which has grown since the session began.
        return work(replace(session, real_now=clock.real_now()), wishes)
    except LapseError as error:
        return _failed(session, dataset, Trouble(message=str(error), hint=error.hint))


def _failed(session: Session, dataset: str, trouble: Trouble) -> RunReport:
    report = DatasetReport(dataset=dataset, status=Status.INCOMPLETE, trouble=trouble)
    return RunReport(run=run_id(session.real_now), now=session.now, dry=False, datasets=(report,))
