"""An oracle of design: what decides about a record, written anew from its prose in plain Python.

Nothing of the program is used. A *situation* is plain data: a policy as it would be written, and records as they would
be stored. The answer is who decides, what becomes of the record, and when it lapses.

1. Doubt: no time, unreadable, before 1990, or later than the real clock and five minutes: kept.
2. A hold that is active matches: kept.
3. The first rule that matches, a tenant's own rules before the common ones. None: kept.
4. The longer of its period and every matching floor's.
5. Lapsed if the time lies before ``now - period``, strictly; the newest of a group stay where the rule says so.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
SKEW = timedelta(minutes=5)
_STEP = timedelta(microseconds=1)


@dataclass(frozen=True)
class Span:
    """A period: months, days and hours; or calendar days in a zone; or for ever, where it is all nothing."""

    months: int = 0
    days: int = 0
    hours: int = 0
    zone: str | None = None

    @property
    def forever(self) -> bool:
        """Whether it never ends."""
        return not (self.months or self.days or self.hours)

    def text(self) -> str:
        """As a policy writes it."""
        if self.forever:
            return "forever"
        if self.zone:
            return f"{self.days} calendar days in {self.zone}"
        if self.months and not self.days:
            return f"{self.months} months"
        if self.months:
            return f"P{self.months}M{self.days}D"
        return f"{self.days} days" if self.days else f"{self.hours} hours"

    def before(self, now: datetime) -> datetime | None:
        """The first instant that is kept at *now*; None keeps everything."""
        if self.forever:
            return None
        if self.zone:
            wall = now.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None) - timedelta(days=self.days)
            readings = [wall.replace(tzinfo=ZoneInfo(self.zone), fold=fold).astimezone(UTC) for fold in (0, 1)]
            return min(readings)
        moved = _months_back(now, self.months)
        return moved - timedelta(days=self.days, hours=self.hours)

    def lapses(self, instant: datetime) -> datetime | None:
        """The last microsecond at which a record of *instant* is kept before it lapses for the first time.

        None if it always is kept. What ``before`` gives goes up with the time, but for places where it falls back: at
        midnight, where a month is shorter than another, and where clocks are put back. Between two such places the
        moment is found by halves.
        """
        if self.forever:
            return None
        step = timedelta(minutes=15) if self.zone else timedelta(days=1)
        start = _months_back(instant, -self.months) + timedelta(days=self.days, hours=self.hours - 30)
        start = start.replace(hour=start.hour if self.zone else 0, minute=0, second=0, microsecond=0)
        start -= timedelta(days=5) if self.months else timedelta()
        while (cutoff := self.before(start + step - _STEP)) is None or cutoff < instant:
            start += step
        low, high = start - _STEP, start + step - _STEP
        if cutoff == instant:
            return high  # it lapses within the last microsecond before the place
        while high - low > _STEP:
            middle = low + (high - low) // 2
            low, high = (low, middle) if self._gone(instant, middle) else (middle, high)
        return low

    def _gone(self, instant: datetime, now: datetime) -> bool:
        cutoff = self.before(now)
        return cutoff is not None and instant < cutoff


def _months_back(moment: datetime, months: int) -> datetime:
    number = moment.year * 12 + moment.month - 1 - months
    year, month = number // 12, number % 12 + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return datetime.combine(date(year, month, day), moment.timetz())


Value = str | int | None


@dataclass(frozen=True)
class Wants:
    """What a field is to be: one of texts, patterns, a range of whole numbers; or none of these."""

    field: str
    texts: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    negated: bool = False

    def met(self, value: Value) -> bool:
        """Whether *value* is one of them; NULL is none of anything."""
        text = None if value is None else str(value)
        one = text is not None and (text in self.texts or any(fnmatchcase(text, p) for p in self.patterns))
        if not one and (self.least is not None or self.most is not None):
            number = _whole(value)
            one = number is not None and (self.least is None or self.least <= number)
            one = one and (self.most is None or (number is not None and number <= self.most))
        return one is not self.negated


def _whole(value: Value) -> int | None:
    """A whole number, or a text that is the plain decimal form of one."""
    if isinstance(value, int):
        return value
    try:
        return int(value) if value is not None and str(int(value)) == value else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Rule:
    """A rule as it stands among the common ones, or among a tenant's own."""

    wants: tuple[Wants, ...]
    span: Span
    tenant: str | None = None
    last: int | None = None
    per: str | None = None


@dataclass(frozen=True)
class Hold:
    """An order to keep."""

    matter: str
    wants: tuple[Wants, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    records_from: datetime | None = None
    records_before: datetime | None = None


@dataclass(frozen=True)
class Floor:
    """A minimum."""

    because: str
    wants: tuple[Wants, ...]
    span: Span


@dataclass(frozen=True)
class Record:
    """A record; its time is a text as it is stored, naive ones without an offset."""

    key: int
    at: str | None
    kind: Value
    tenant: Value
    level: Value

    def value(self, field: str) -> Value:
        """Its value of a field."""
        return {"type": self.kind, "kind": self.kind, "tenant": self.tenant, "level": self.level}[field]


@dataclass(frozen=True)
class Situation:
    """A policy, a now, and records."""

    now: datetime
    real: datetime
    zone: str | None
    rules: tuple[Rule, ...]
    holds: tuple[Hold, ...]
    floors: tuple[Floor, ...]
    records: tuple[Record, ...]
    require: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What becomes of a record: the verdict, which part decided, and the last microsecond before it lapses."""

    verdict: str
    layer: str
    last_kept: datetime | None = field(default=None)


def answer(situation: Situation, record: Record) -> Answer:
    """What the program should say."""
    instant = _instant(situation, record)
    if instant is None or instant < EARLIEST or instant > situation.real + SKEW:
        return Answer("doubtful", "doubt")
    if any(record.value(name) in (None, "") for name in situation.require):
        return Answer("doubtful", "doubt")
    ordered = _ordered(situation.rules)
    place = next((n for n, rule in enumerate(ordered) if _matches(rule, record)), None)
    last_kept = None if place is None else _last_kept(situation, ordered[place], record, instant)
    for hold in situation.holds:
        if _active(hold, situation) and _in_window(hold, instant) and _all(hold.wants, record):
            return Answer("held", f"hold {hold.matter}", last_kept)
    if place is None:
        return Answer("unmatched", "rules")
    rule = ordered[place]
    cutoff = rule.span.before(situation.now)
    if cutoff is None or instant >= cutoff:
        return Answer("kept", _name(ordered, place), last_kept)
    for floor in situation.floors:
        limit = floor.span.before(situation.now)
        if _all(floor.wants, record) and (limit is None or instant >= limit):
            return Answer("kept", f"floor {floor.because!r}", last_kept)
    if rule.last is not None and _is_newest(situation, ordered, place, record, instant):
        return Answer("kept", "keep last", last_kept)
    return Answer("lapsed", "cutoff", last_kept)


def _ordered(rules: Sequence[Rule]) -> list[Rule]:
    """Tenants' own rules before the common ones; tenants in the order in which they are written."""
    return [rule for rule in rules if rule.tenant is not None] + [rule for rule in rules if rule.tenant is None]


def _name(ordered: Sequence[Rule], place: int) -> str:
    """What its name begins with: its number among its own."""
    own = [n for n, rule in enumerate(ordered) if rule.tenant == ordered[place].tenant]
    number = own.index(place) + 1
    return f"rule {number}" if ordered[place].tenant is None else f"tenant {ordered[place].tenant}, rule {number}"


def _matches(rule: Rule, record: Record) -> bool:
    of_tenant = rule.tenant is None or (record.tenant is not None and str(record.tenant) == rule.tenant)
    return of_tenant and _all(rule.wants, record)


def _all(wants: Sequence[Wants], record: Record) -> bool:
    return all(each.met(record.value(each.field)) for each in wants)


def _active(hold: Hold, situation: Situation) -> bool:
    """A replay removes for real, so a hold of today counts as well as one of then."""
    return any(
        (hold.since is None or hold.since <= at) and (hold.until is None or at < hold.until)
        for at in (situation.now, situation.real)
    )


def _in_window(hold: Hold, instant: datetime) -> bool:
    return (hold.records_from is None or hold.records_from <= instant) and (
        hold.records_before is None or instant < hold.records_before
    )


def _last_kept(situation: Situation, rule: Rule, record: Record, instant: datetime) -> datetime | None:
    spans = [rule.span, *(floor.span for floor in situation.floors if _all(floor.wants, record))]
    ends = [span.lapses(instant) for span in spans]
    return None if None in ends else max(end for end in ends if end is not None)


def _is_newest(situation: Situation, ordered: Sequence[Rule], place: int, record: Record, instant: datetime) -> bool:
    """Whether fewer of its group are newer than the rule keeps; what a rule before takes is none of the group."""
    rule = ordered[place]
    newer = 0
    for other in situation.records:
        at = _instant(situation, other)
        if at is None or not _is_member(situation, ordered, place, other):
            continue
        if rule.per is None or _text(other.value(rule.per)) == _text(record.value(rule.per)):
            newer += at > instant
    assert rule.last is not None
    return newer < rule.last


def nameless(situation: Situation) -> bool:
    """Whether a rule tells groups apart by a field that none of its records has: stores take that for a slip."""
    ordered = _ordered(situation.rules)
    for place, rule in enumerate(ordered):
        members = [record for record in situation.records if _is_member(situation, ordered, place, record)]
        if rule.per is not None and members and all(record.value(rule.per) is None for record in members):
            return True
    return False


def _is_member(situation: Situation, ordered: Sequence[Rule], place: int, record: Record) -> bool:
    """Whether it is not in doubt, and the rule of that place is the first that matches."""
    at = _instant(situation, record)
    if at is None or at < EARLIEST or at > situation.real + SKEW:
        return False
    if any(record.value(name) in (None, "") for name in situation.require):
        return False
    return next((n for n, each in enumerate(ordered) if _matches(each, record)), None) == place


def _text(value: Value) -> str | None:
    return None if value is None else str(value)


def _instant(situation: Situation, record: Record) -> datetime | None:
    if record.at is None:
        return None
    try:
        found = datetime.fromisoformat(record.at)
    except ValueError:
        return None
    if found.tzinfo is None:
        # Where the clocks were put back a time is twice there: the later one keeps longer. fold=1 reads it so.
        zone = ZoneInfo(situation.zone or "UTC")
        return max(found.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return found.astimezone(UTC)
