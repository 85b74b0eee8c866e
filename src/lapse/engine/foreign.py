"""Foreign parts of a drop-in: what a database says of itself, and purgers that somebody else wrote.

A foreign purger deletes by statements of its own. Each runs in a transaction of its own, and the ledger says
so: foreign, uncounted, unproven.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from lapse import clock
from lapse.canonical import Json
from lapse.engine.session import Session
from lapse.errors import CommitUnknownError, LapseError, UnsupportedError
from lapse.model.facts import DatabaseFacts, SmallTable
from lapse.model.ledger_entry import EntryKind
from lapse.model.report import Trouble
from lapse.ports import Describable, DriverSession, Transacting
from lapse.registry import scheme_of, store_class

_NOTE = "foreign purger: what it removed is not counted, not archived and not proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPurger:
    """A purger that a plug-in brings.

    Attributes:
        name: As the configuration calls it.
        days: Days that it is told to keep.
        purge: What it does, in the transaction that it is handed; raises LapseError if it fails.
    """

    name: str
    days: int
    purge: Callable[[DriverSession], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignReport:
    """What became of a foreign purger.

    Attributes:
        name: As the configuration calls it.
        days: Days that it was told to keep.
        trouble: Why it did not complete. None if its transaction was committed.
    """

    name: str
    days: int
    trouble: Trouble | None = None


def database_facts(address: str, *, tables: Sequence[str], small: Sequence[SmallTable] = ()) -> DatabaseFacts:
    """Ask a database for its time zone, the columns of *tables*, and the rows of *small* ones. Writes nothing.

    Raises:
        PolicyError: If nothing here understands the address.
        UnsupportedError: If that kind of store cannot say.
        StoreError: If it does not answer.
    """
    kind = store_class(address)
    if not issubclass(kind, Describable):
        raise UnsupportedError(f"a {scheme_of(address, default='text log')} store does not say what tables it has")
    facts: DatabaseFacts = kind.describe(address, tables=tables, small=small)
    return facts


def run_foreign(session: Session, address: str, purger: ForeignPurger) -> ForeignReport:
    """Let a foreign purger work, in a transaction of its own; the ledger says before and after that it did.

    Raises:
        StateError: If the ledger cannot be written. Before the purger began, nothing was touched.
    """
    _enter(session, purger, "begins")
    try:
        with _transaction(address) as transaction:
            purger.purge(transaction)
    except LapseError as error:
        outcome = "unknown" if isinstance(error, CommitUnknownError) else "rolled back"
        _enter(session, purger, outcome)
        trouble = Trouble(message=f"{purger.name}: {error}", hint=error.hint)
        return ForeignReport(name=purger.name, days=purger.days, trouble=trouble)
    _enter(session, purger, "committed")
    return ForeignReport(name=purger.name, days=purger.days)


def _transaction(address: str) -> AbstractContextManager[DriverSession]:
    kind = store_class(address)
    if not issubclass(kind, Transacting):
        raise UnsupportedError(f"a {scheme_of(address, default='text log')} store lends out no transaction")
    transaction: AbstractContextManager[DriverSession] = kind.transaction(address)
    return transaction


def _enter(session: Session, purger: ForeignPurger, outcome: str) -> None:
    body: dict[str, Json] = {"note": _NOTE, "purger": purger.name, "days": purger.days, "outcome": outcome}
    session.writable_ledger.append(EntryKind.NOTE, body, at=clock.real_now())
