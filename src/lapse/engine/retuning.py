"""The pace of runs that go on, changed from outside: `lapse pace` says it, a run hears it between slices."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lapse.engine.limits import STOP_FILE, stop_warning
from lapse.engine.session import Session
from lapse.errors import StateError
from lapse.model.pace import Pace, Tuning
from lapse.state.tunings import Tunings


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """How gently runs of a policy work now.

    Attributes:
        tuning: What was said since the policy was written.
        written: Pace of each dataset by the policy.
    """

    tuning: Tuning
    written: dict[str, Pace]

    @property
    def paces(self) -> dict[str, Pace]:
        """Pace of each dataset as it is now."""
        return {name: self.tuning.applied(pace) for name, pace in self.written.items()}


def tuning(session: Session) -> Tuning:
    """What was said about this policy's pace, read now.

    Raises:
        StateError: If it cannot be read.
    """
    return Tunings(session.folders.root).load(session.scope)


def tuned(session: Session) -> Tuned:
    """How gently runs work now.

    Raises:
        StateError: If it cannot be read what was said.
    """
    written = {name: dataset.pace for name, dataset in session.policy.datasets.items()}
    return Tuned(tuning=tuning(session), written=written)


def retune(session: Session, change: Tuning, *, paused: bool | None) -> Tuned:
    """Say something about the pace, beside what was said before. It counts until `reset`.

    Arguments:
        session: Whose policy it is.
        change: What is to change.
        paused: Whether runs wait. None leaves that as it is.

    Raises:
        PolicyError: If a value makes no sense.
        StateError: If it cannot be written.
    """
    change.applied(Pace())
    said = tuning(session).changed(change)
    Tunings(session.folders.root).save(session.scope, said if paused is None else replace(said, paused=paused))
    return tuned(session)


def reset(session: Session) -> Tuned:
    """Forget everything that was said: the pace is the policy's again.

    Raises:
        StateError: If it cannot be written.
    """
    Tunings(session.folders.root).save(session.scope, Tuning())
    return tuned(session)


def pace_warnings(session: Session) -> tuple[str, ...]:
    """What makes runs slower than the policy says, for people who wonder."""
    try:
        words = tuning(session).words
    except StateError as error:
        return (str(error),)
    said = (f"`lapse pace` has changed the pace of runs ({', '.join(words)}); `lapse pace --reset` forgets that",)
    return said if words else ()


def stop_warnings(session: Session) -> tuple[str, ...]:
    """Whether the stop file of the state folder ends every run."""
    file = session.folders.root / STOP_FILE
    return (stop_warning(file),) if file.exists() else ()
