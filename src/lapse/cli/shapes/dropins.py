"""What the drop-ins print with ``--json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lapse.cli.shapes.plans import RunResult, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignPurge:
    """A purger that a plug-in brings: what it deleted is not counted, not archived and not proven.

    Attributes:
        name: As the configuration calls it.
        days: Days that it was told to keep.
        trouble: Why it did not complete. Null if its transaction was committed.
    """

    name: str
    days: int
    trouble: Trouble | None


@dataclass(frozen=True, slots=True, kw_only=True)
class XivoPurgeResult:
    """What a purge did.

    Attributes:
        run: What became of the tables, as of `lapse run`; `run` is the id of the first table's run.
        archives: Archive plug-ins that were called, in order.
        foreign: What became of the purgers that plug-ins bring.
    """

    run: RunResult
    archives: Sequence[str]
    foreign: Sequence[ForeignPurge]


@dataclass(frozen=True, slots=True, kw_only=True)
class XivoPolicyResult:
    """The configuration as a policy.

    Attributes:
        policy: The text of a `lapse.yaml`.
        variables: Environment variables that it needs, with what each must hold, in words.
    """

    policy: str
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class XivoScheduleResult:
    """How to run the purge every night.

    Attributes:
        form: `cron` or `systemd`.
        text: What to put where that is read.
    """

    form: str
    text: str
