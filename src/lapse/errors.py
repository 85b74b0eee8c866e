"""The error tree: what went wrong, what to do next, and the exit code it means.

Exit codes: 1 a dataset did not complete, or a verification found a mismatch; 2 usage, policy or
configuration, nothing touched; 3 refused by a guard, nothing touched; 4 another run holds a lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from msgspec import Struct


class ExitCode(IntEnum):
    """What the process answers; design rule: after the first removal only 0 or 1."""

    DONE = 0
    INCOMPLETE = 1
    USAGE = 2
    REFUSED = 3
    LEASED = 4


class Origin(Struct, frozen=True, gc=False):
    """Where in a policy something was written.

    Attributes:
        file: Path as the user gave it.
        line: Line number, from 1.
        column: Column number, from 1.
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class LapseError(Exception):
    """An error with a next step.

    Attributes:
        message: What went wrong and where, one sentence.
        hint: What to do next. None only where nothing can be said.
        origin: The place in the policy that asked for it. None where no policy is involved.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INCOMPLETE

    def __init__(self, message: str, *, hint: str | None = None, origin: Origin | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.origin = origin

    def at(self, origin: Origin | None) -> LapseError:
        """Add the place in the policy, unless one is known already; returns itself."""
        if self.origin is None:
            self.origin = origin
        return self

    def __str__(self) -> str:
        return self.message if self.origin is None else f"{self.origin}: {self.message}"


class UsageError(LapseError):
    """A command that was called in a way that means nothing."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong with a policy file.

    Attributes:
        origin: Where.
        message: What, with the offending text.
        hint: The nearest right spelling, or what to write instead. None if there is nothing to say.
    """

    origin: Origin
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}"


class PolicyError(LapseError):
    """A policy that cannot be followed. Nothing was touched.

    Attributes:
        complaints: Everything found wrong at once, in file order; may be empty for a single message.
    """

    exit_code = ExitCode.USAGE

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        origin: Origin | None = None,
        complaints: Sequence[Complaint] = (),
    ) -> None:
        super().__init__(message, hint=hint, origin=origin)
        self.complaints = tuple(complaints)


class MissingDriverError(LapseError):
    """A store or format whose library is not installed."""

    exit_code = ExitCode.USAGE

    def __init__(self, library: str, *, extra: str) -> None:
        super().__init__(f"{library} is not installed", hint=f"Install it with: pip install 'lapse[{extra}]'")


class GuardError(LapseError):
    """A run that a guard refused before the first removal."""

    exit_code = ExitCode.REFUSED


class LeaseError(LapseError):
    """Another run works on this store."""

    exit_code = ExitCode.LEASED


class StoreError(LapseError):
    """A store that did not do what it was asked. Nothing of the driver's own leaves a store."""


class StoreMissingError(StoreError):
    """The file, table or column that the policy names is not there."""

    exit_code = ExitCode.USAGE


class UnsupportedError(StoreError):
    """A store that cannot do this safely, and says why."""

    exit_code = ExitCode.USAGE


class ChangedError(StoreError):
    """Records changed between seal and commit. The slice was rolled back, nothing was removed."""


class BusyError(StoreError):
    """The store was too busy: lock timeout, statement timeout, deadlock, serialization failure.

    Nothing of the slice was removed; it may be tried again.
    """


class CommitUnknownError(StoreError):
    """The store did not answer a commit. The next run reads the marker and finds out."""


class ProofError(LapseError):
    """A commit that was offered proofs for other records than those it would remove."""


class TargetError(LapseError):
    """An archive target that did not do what it was asked."""


class VerificationError(LapseError):
    """A segment, manifest or ledger that does not match. Never retried: a person must look."""


class HoldsError(LapseError):
    """Holds that cannot be read, or that are gone. The run stops: unknown holds mean keep everything."""


class StateError(LapseError):
    """Lapse's own state (ledger, keys, journal) cannot be read or written."""


class LedgerUnknownError(GuardError):
    """Markers or checkpoints of a ledger that is not here."""
