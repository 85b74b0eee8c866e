"""What was found in a store: a record that was looked up, a likely dataset, what a restore met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lapse.instant import Nanos
from lapse.model.plan import Tally
from lapse.model.policy import TimeFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One record that was looked up, without its body.

    Attributes:
        key: As the store names it.
        code: What becomes of it: an outcome's number.
        instant: Its time. None if it cannot be read.
        values: The fields that the policy uses, as text; None where it has none.
        doubt: Why its store cannot judge it, where the store knows more than the outcome says.
    """

    key: str
    code: int
    instant: Nanos | None
    values: Mapping[str, str | None]
    doubt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The records that have some values.

    Attributes:
        tallies: All of them, counted by outcome; sizes and checksums may be left out.
        first: The first of them in the order of the store, as many as were wanted.
    """

    tallies: tuple[Tally, ...]
    first: tuple[Found, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What a look at a store found: a table, or a set of log files, that could be a dataset.

    Attributes:
        store: Address to put into a policy.
        table: Table name. None for text logs.
        records: Number of records; an estimate for text logs.
        size: Bytes.
        time: The likeliest record time. None if there is none: then it is no log.
        time_format: How it is written.
        type: The likeliest type column. None if there is none.
        tenant: The likeliest tenant column. None if there is none.
        actor: The likeliest column of who did it. None if there is none.
        key: Column that names a record. None takes the store's own.
        oldest: Earliest record time seen. None if there is none.
        newest: Latest record time seen. None if there is none.
        types: The commonest types with their share, 0 to 1.
        notes: Remarks: naive times, other time columns, doubtful values.
        fingerprint: For ``expect:``.
    """

    store: str
    table: str | None
    records: int
    size: int
    time: str | None
    time_format: TimeFormat = TimeFormat.AUTO
    type: str | None = None
    tenant: str | None = None
    actor: str | None = None
    key: str | None = None
    oldest: Nanos | None = None
    newest: Nanos | None = None
    types: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCount:
    """What a restore did.

    Attributes:
        restored: Records written.
        present: Records that were there already, equal; not written again.
    """

    restored: int
    present: int
