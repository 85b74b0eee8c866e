"""What a policy file says, as values: datasets with ordered rules, floors, holds, archives, guards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from lapse.canonical import Digest, Json, digest_of, sha256
from lapse.errors import Origin, PolicyError
from lapse.instant import Nanos, rfc3339
from lapse.model.files import RowFiles as RowFiles
from lapse.model.guards import Guards as Guards
from lapse.model.masking import masked
from lapse.model.match import Match
from lapse.model.matchfacts import match_facts
from lapse.model.pace import Pace as Pace
from lapse.model.period import Period
from lapse.model.reopening import Reopen as Reopen
from lapse.model.rotation import Rotation as Rotation
from lapse.model.rule import Last as Last
from lapse.model.rule import Rule as Rule
from lapse.model.rule import spelled_rules
from lapse.model.schedule import Schedule as Schedule

DOUBT_BEFORE_DEFAULT = Nanos(631_152_000 * 1_000_000_000)
"""1990-01-01T00:00:00Z: an earlier record time is more likely an error than a fact (hazard SR 1)."""

OLDEST = Nanos(-(2**63))
"""1677-09-21: the oldest record time that is told from older ones."""


class TimeFormat(Enum):
    """How a store's time column is written, where its type does not say."""

    AUTO = "auto"
    ISO = "iso"
    SECONDS = "unix seconds"
    MILLISECONDS = "unix milliseconds"
    MICROSECONDS = "unix microseconds"
    NANOSECONDS = "unix nanoseconds"
    WEBKIT = "webkit microseconds"

    @property
    def unit(self) -> int | None:
        """Nanoseconds in one step of a number. None where the time is no number."""
        return _UNITS.get(self)

    @property
    def epoch(self) -> Nanos:
        """The instant that number 0 stands for; WebKit counts from 1601-01-01."""
        return Nanos(-11_644_473_600 * 1_000_000_000 if self is TimeFormat.WEBKIT else 0)


_UNITS = {
    TimeFormat.SECONDS: 1_000_000_000,
    TimeFormat.MILLISECONDS: 1_000_000,
    TimeFormat.MICROSECONDS: 1000,
    TimeFormat.NANOSECONDS: 1,
    TimeFormat.WEBKIT: 1000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A place where segments go.

    Attributes:
        name: As datasets refer to it.
        to: Target address: a folder or a URL. May hold a secret; `shown` never does.
        shown: The same for messages, secrets masked.
        format: ``parquet`` (rows; text logs are always ``jsonl.zst``), or ``auto`` for the same by default.
        keep: How long its segments are kept, counted from their newest record.
        origin: Where it is written.
    """

    name: str
    to: str = field(repr=False)
    shown: str
    format: str = "auto"
    keep: Period | None = None
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One body of records in a store.

    Attributes:
        name: As commands and reports name it.
        store: Store address. May hold a secret; `shown` never does.
        shown: The same for messages, secrets masked.
        table: Table name. None for text logs.
        time: Column or key of the record time.
        time_format: How that column is written.
        zone: IANA zone of naive times. None reads them as UTC, and reports it.
        zone_required: Whether naive times are doubtful instead; for text logs, SQLite and PostgreSQL.
        type: Column or key of the record's type. None if it has none.
        subtype: Column or key of what the type is divided into. None if it has none.
        tenant: Column or key of its tenant. None if it has none.
        actor: Column or key of who caused the record. None if it has none.
        key: Column or key that names a record for `why`. None takes the store's own.
        rules: In file order; may be empty, which keeps everything.
        require: Fields without which a record is doubtful.
        doubt_before: Earlier record times are doubtful. None doubts none for their age.
        crlf_allowed: Whether lines of text logs that end in CR LF are judged; else they are doubtful.
        empty_is_oldest: Whether an empty text as time counts as the oldest that is believed; else it is doubtful.
        expect: Store fingerprint this policy was written for. None pins the first one seen.
        writers: What is promised of who writes to the log files: ``none`` that nobody does, ``append-only`` that they
            do it by ``O_APPEND``. None lets Lapse find out.
        reopen: How a writer of the log files is told to open them anew. None if nobody tells it. No part of what the
            policy decides, so no part of its hash; nor are *rotation* and *warn_at*.
        rotation: When the logs that writers append to are rotated. None leaves that to others.
        warn_at: Bytes of its files from which a warning is wanted. None wants none.
        pace: How gently it is treated. No part of what the policy decides, so no part of its hash.
        guards: Limits of a run on it. None takes the policy's own.
        files: Files that go after their rows. None if the rows have none.
        apart: Tables of other datasets of the policy in the same store: their rows go by their own rules and holds,
            never along with rows of this one.
        origins: Where each key is written, by key; ``""`` is the dataset itself.
    """

    name: str
    store: str = field(repr=False)
    shown: str
    table: str | None = None
    time: str
    time_format: TimeFormat = TimeFormat.AUTO
    zone: str | None = None
    zone_required: bool = False
    type: str | None = None
    subtype: str | None = None
    tenant: str | None = None
    actor: str | None = None
    key: str | None = None
    rules: tuple[Rule, ...] = ()
    require: tuple[str, ...] = ()
    doubt_before: Nanos | None = DOUBT_BEFORE_DEFAULT
    crlf_allowed: bool = False
    empty_is_oldest: bool = False
    expect: str | None = None
    writers: str | None = None
    reopen: Reopen | None = None
    rotation: Rotation | None = None
    warn_at: int | None = None
    pace: Pace = field(default_factory=Pace)
    guards: Guards | None = None
    files: RowFiles | None = None
    apart: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)

    def origin(self, key: str = "") -> Origin | None:
        """Where *key* is written, else the dataset, else None."""
        return self.origins.get(key) or self.origins.get("")

    @property
    def empty_time(self) -> Nanos | None:
        """The time that an empty text stands for. None if it stands for none, and is doubtful."""
        if not self.empty_is_oldest:
            return None
        return OLDEST if self.doubt_before is None else self.doubt_before

    @property
    def store_id(self) -> str:
        """A digest of the address without its secrets: tells stores apart, and stays when a password changes."""
        return sha256(masked(self.store).encode())[:16]

    @property
    def roles(self) -> Mapping[str, str | None]:
        """The column or key that stands for each role of a record; None where it has none."""
        return {"type": self.type, "subtype": self.subtype, "tenant": self.tenant, "actor": self.actor}

    @property
    def fields(self) -> tuple[str, ...]:
        """Columns and keys the policy uses, each once: time, roles, key, required, then the rules'."""
        own = [self.time, *self.roles.values(), self.key, *self.require]
        ruled = [name for rule in self.rules for name in rule.fields]
        return tuple(dict.fromkeys(name for name in [*own, *ruled] if name))

    @property
    def derived(self) -> tuple[str, ...]:
        """What is made of its records, each once, in the order in which its rules name it."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.derived))

    def facts(self) -> Json:
        """What the dataset means, for the policy's hash. The address is left out: it may hold a secret."""
        return {
            "name": self.name,
            "table": self.table,
            "time": self.time,
            "time_format": self.time_format.value,
            "zone": self.zone,
            "type": self.type,
            "tenant": self.tenant,
            "rules": spelled_rules(self.rules),
            "require": self.require,
            "doubt_before": None if self.doubt_before is None else rfc3339(self.doubt_before),
            # What is not said leaves the hash as it always was.
            **({"empty_time": "oldest"} if self.empty_is_oldest else {}),
            **({"zone_required": True} if self.zone_required else {}),
            **({"crlf_allowed": True} if self.crlf_allowed else {}),
            **({} if self.files is None else {"files": self.files.facts()}),
            **({"derived": derived} if (derived := [[r.index, r.derived] for r in self.rules if r.derived]) else {}),
            **{role: column for role in ("subtype", "actor") if (column := self.roles[role]) is not None},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A minimum period from a law or contract. It only lengthens.

    Attributes:
        dataset: The dataset it applies to. None applies to all.
        match: Which of its records.
        at_least: For how long.
        because: Citation, shown in every reason.
        origin: Where it is written.
    """

    dataset: str | None = None
    match: Match = field(default_factory=Match)
    at_least: Period
    because: str
    origin: Origin | None = field(default=None, compare=False)

    def facts(self) -> Json:
        """What the floor means, for the policy's hash."""
        return {
            "dataset": self.dataset,
            "match": match_facts(self.match),
            "at_least": self.at_least.text,
            "because": self.because,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An order to keep records, whatever any rule says.

    Attributes:
        matter: Case reference such as ``2026-117``; names the hold in every report.
        reason: Why, for people.
        dataset: The dataset held. None holds all.
        match: Which of its records. Roles such as ``type`` and ``tenant`` are resolved for each dataset.
        keys: Holds only the records of these keys, as ``lapse why`` takes them; then there is a dataset. Empty holds
            records whatever their key.
        since: From when the order applies, inclusive. None applies from always.
        until: From when it no longer does. None while the hold is open.
        records_from: Holds only records of this time or later. None has no such bound.
        records_before: Holds only records earlier than this. None has no such bound.
        origin: Where it is written.

    Raises:
        PolicyError: If the hold would cover no instant at all.
    """

    matter: str
    reason: str = ""
    dataset: str | None = None
    match: Match = field(default_factory=Match)
    keys: tuple[str, ...] = ()
    since: Nanos | None = None
    until: Nanos | None = None
    records_from: Nanos | None = None
    records_before: Nanos | None = None
    origin: Origin | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for begin, end, first, last in (
            (self.since, self.until, "since", "until"),
            (self.records_from, self.records_before, "records from", "records before"),
        ):
            if begin is not None and end is not None and end <= begin:
                raise PolicyError(
                    f"hold {self.matter} covers nothing: `{last}` is {rfc3339(end)}, but `{first}` is {rfc3339(begin)}",
                    hint=f"Leave `{last}` out, or name a later time.",
                    origin=self.origin,
                )
        if self.keys and self.dataset is None:
            raise PolicyError(
                f"hold {self.matter} names keys of records, but not the dataset that they are in",
                hint="Keys mean something in one dataset only: name it.",
                origin=self.origin,
            )

    def active(self, now: Nanos) -> bool:
        """Whether the order applies at *now*."""
        return (self.since is None or self.since <= now) and (self.until is None or now < self.until)

    def facts(self) -> dict[str, Json]:
        """What the hold means. Times are RFC 3339 or null; the ledger has a seal in place of the keys."""
        return {
            "matter": self.matter,
            "reason": self.reason,
            "dataset": self.dataset,
            "match": match_facts(self.match),
            **({"keys": sorted(set(self.keys))} if self.keys else {}),
            **{
                name: None if value is None else rfc3339(value)
                for name, value in (
                    ("since", self.since),
                    ("until", self.until),
                    ("records_from", self.records_from),
                    ("records_before", self.records_before),
                )
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Commands that are told how a run ended, each a program and its arguments.

    Attributes:
        on_failure: Called after a run that did not end with exit 0, nor with 4. Empty calls none.
        on_success: Called after a run that ended with exit 0. Empty calls none.
    """

    on_failure: tuple[str, ...] = ()
    on_success: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One policy file with its ``conf.d``, merged.

    Attributes:
        file: The main file's path as given.
        folder: Its folder, absolute: relative paths in it start there.
        datasets: By name, in file order.
        archives: By name.
        floors: In file order.
        holds: Those written in the policy; ``holds/`` is read separately.
        guards: Limits of a run on each dataset that has none of its own.
        ledger: Ledger folder, absolute. None keeps it in the state folder.
        schedule: When runs are to happen. None leaves that open.
        notify: Who is told how a run ended.
    """

    file: str
    folder: str
    datasets: Mapping[str, Dataset]
    archives: Mapping[str, Archive] = field(default_factory=dict)
    floors: tuple[Floor, ...] = ()
    holds: tuple[Hold, ...] = ()
    guards: Guards = field(default_factory=Guards)
    ledger: str | None = None
    schedule: Schedule | None = None
    notify: Notify = field(default_factory=Notify)

    @cached_property
    def digest(self) -> Digest:
        """The policy's hash: what it decides, not how it is spelled, and no secret."""
        return digest_of(
            {
                "datasets": [dataset.facts() for dataset in self.datasets.values()],
                "archives": [[a.name, a.format, a.keep.text if a.keep else None] for a in self.archives.values()],
                "floors": [floor.facts() for floor in self.floors],
                "guards": self.guards.facts(),
                # What is not said leaves the hash as it always was.
                **({"own guards": own} if (own := self._own_guards()) else {}),
            }
        )

    def _own_guards(self) -> Json:
        """Limits of datasets that are not the policy's own, by name."""
        found = {name: self.guards_of(dataset).facts() for name, dataset in self.datasets.items()}
        return {name: facts for name, facts in found.items() if facts != self.guards.facts()}

    def guards_of(self, dataset: Dataset) -> Guards:
        """The limits of a run on one of its datasets."""
        return self.guards if dataset.guards is None else dataset.guards
