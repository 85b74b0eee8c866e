"""The envelope that every command prints, and the error in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

JSON_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that is wrong with a policy.

    Attributes:
        where: File, line and column.
        message: What is wrong, with the offending text.
        hint: What to write instead. Null if there is nothing to say.
    """

    where: str
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a command could not give a result.

    Attributes:
        kind: Class of the error, such as `PolicyError`.
        message: What went wrong, one sentence.
        hint: What to do next. Null if nothing can be said.
        where: File, line and column of the policy that asked for it. Null where no policy is involved.
        complaints: Everything that is wrong with the policy, in file order; empty for any other error.
    """

    kind: str
    message: str
    hint: str | None
    where: str | None
    complaints: Sequence[Complaint]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every command prints with `--json`: exactly one object, whatever happens.

    Attributes:
        lapse: Version of this form.
        command: The command, such as `archive query`; empty if none was recognised.
        exit: The exit code, as the process answers it.
        result: What the command found or did. Null if it failed before it could say.
        warnings: Remarks that do not change the outcome.
        error: Why there is no result. Null if there is one.
    """

    lapse: Literal[1] = 1
    command: str
    exit: int
    result: Any
    warnings: Sequence[str]
    error: Failure | None
