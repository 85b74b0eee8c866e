"""Situations made by chance, from a seed: a policy, holds, floors, tenants' own rules and records around every edge.

Each can be written as a policy file with a SQLite table or a log beside it.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from oracle import Floor, Hold, Record, Rule, Situation, Span, Value, Wants

_KINDS: Sequence[Value] = ("LOGIN", "login", "LOGOUT", "DOC_READ", "DOC_WRITE", "7", 7, "", None)
_TENANTS: Sequence[Value] = ("acme", "acme2", "ACME", "beta", "b'c", "100%", None)
_LEVELS: Sequence[Value] = (None, 3, 10, 400, 499, -4, "12", "007", "+5", "high", "450")
_TEXTS = {
    "type": ("LOGIN", "LOGOUT", "DOC_READ", "7", "login"),
    "tenant": ("acme", "ACME", "beta", "b'c", "100%"),
    "level": ("3", "12", "007"),
}
_PATTERNS = {"type": ("DOC_*", "LOG???", "*"), "tenant": ("acme*", "?eta"), "level": ("4*", "?2")}
_NOWS = (
    datetime(2026, 3, 29, 1, 30, tzinfo=UTC),  # the clocks of Berlin have just been put forward
    datetime(2025, 10, 26, 0, 30, tzinfo=UTC),  # and are about to be put back
    datetime(2025, 11, 2, 6, 0, tzinfo=UTC),  # New York puts them back
    datetime(2024, 2, 29, 12, 0, tzinfo=UTC),
    datetime(2026, 5, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2025, 3, 31, tzinfo=UTC),
    datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
)
_ZONES = ("Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "UTC")
_STEP = timedelta(microseconds=1)


def situation(seed: int) -> Situation:
    """The situation of that number."""
    dice = random.Random(seed)
    now, zone = dice.choice(_NOWS), dice.choice((None, *_ZONES))
    tenants = dice.sample(("acme", "beta", "b'c"), dice.randrange(3)) if dice.random() < 0.5 else []
    rules = [rule for tenant in tenants for rule in _rules(dice, tenant)] + _rules(dice, None)
    floors = tuple(
        Floor(f"law {number}", _wants(dice, most=1), _span(dice, forever=0.05)) for number in range(dice.randrange(3))
    )
    holds = tuple(_hold(dice, f"M-{number}", now) for number in range(dice.randrange(3)))
    spans = [*(rule.span for rule in rules), *(floor.span for floor in floors)]
    windows = [at for hold in holds for at in (hold.records_from, hold.records_before)]
    edges = [at for at in [*(span.before(now) for span in spans), *windows, *windows] if at is not None]
    records = tuple(_record(dice, key, now, zone, edges or [now]) for key in range(1, dice.randrange(6, 14)))
    require = dice.choice(((), (), (), ("level",), ("kind",)))
    return Situation(
        now=now, real=datetime.now(UTC), zone=zone, rules=tuple(rules), holds=holds, floors=floors, records=records,
        require=require,
    )  # fmt: skip


def _rules(dice: random.Random, tenant: str | None) -> list[Rule]:
    """Rules up to the first that matches everything: those behind it could never decide, and are refused."""
    found: list[Rule] = []
    for _ in range(dice.randrange(1, 4)):
        span = _span(dice, forever=0.1)
        last = dice.randrange(1, 4) if dice.random() < 0.2 and not span.forever else None
        per = dice.choice((None, "kind", "level")) if last is not None else None
        wants = _wants(dice, most=2, besides=() if tenant is None else ("tenant",))
        found.append(Rule(wants, span, tenant=tenant, last=last, per=per))
        if not wants:
            return found
    return [*found, Rule((), _span(dice, forever=0.1), tenant=tenant)] if dice.random() < 0.6 else found


def _span(dice: random.Random, *, forever: float) -> Span:
    if dice.random() < forever:
        return Span()
    return dice.choice(
        (
            Span(days=dice.choice((1, 30, 90, 365))), Span(hours=dice.choice((1, 25, 720))),
            Span(months=dice.choice((1, 6, 12, 13, 48))), Span(months=2, days=3),
            Span(days=dice.choice((1, 30, 180)), zone=dice.choice(_ZONES)),
        )
    )  # fmt: skip


def _wants(dice: random.Random, *, most: int, besides: Sequence[str] = ()) -> tuple[Wants, ...]:
    known = [field for field in ("type", "tenant", "level") if field not in besides]
    fields = dice.sample(known, dice.randrange(most + 1))
    return tuple(_want(dice, field) for field in fields)


def _want(dice: random.Random, field: str) -> Wants:
    negated = dice.random() < 0.25
    if field == "level" and dice.random() < 0.6:
        least, most = dice.choice(((400, 499), (None, 10), (4, None), (-10, 12)))
        return Wants(field, least=least, most=most, negated=negated)
    texts = tuple(dice.sample(_TEXTS[field], dice.randrange(1, 3)))
    patterns = tuple(dice.sample(_PATTERNS[field], dice.randrange(2)))
    return Wants(field, texts=texts, patterns=patterns, negated=negated)


def _hold(dice: random.Random, matter: str, now: datetime) -> Hold:
    since, until = dice.choice(
        ((None, None), (now - timedelta(days=9), None), (datetime(2099, 1, 1, tzinfo=UTC), None),
         (None, datetime(2001, 1, 1, tzinfo=UTC)), (None, now + _STEP))
    )  # fmt: skip
    first, end = dice.choice(
        ((None, None), (None, None), (now - timedelta(days=100), None), (None, now - timedelta(days=50)),
         (now - timedelta(days=400), now - timedelta(days=20)))
    )  # fmt: skip
    return Hold(matter, _wants(dice, most=2), since=since, until=until, records_from=first, records_before=end)


def _record(dice: random.Random, key: int, now: datetime, zone: str | None, edges: Sequence[datetime]) -> Record:
    return Record(
        key=key, at=_time(dice, now, zone, edges), kind=dice.choice(_KINDS), tenant=dice.choice(_TENANTS),
        level=dice.choice(_LEVELS),
    )  # fmt: skip


def _time(dice: random.Random, now: datetime, zone: str | None, edges: Sequence[datetime]) -> str | None:
    """On an edge, beside one, or anywhere; with an offset or without; now and then no time at all."""
    if dice.random() < 0.1:
        return dice.choice((None, "yesterday", "", "1989-12-31T23:59:59.999999+00:00", "2999-01-01T00:00:00+00:00"))
    moment = dice.choice(edges) + dice.choice((-_STEP, 0 * _STEP, _STEP, timedelta(days=-3), timedelta(days=3)))
    if dice.random() < 0.2:
        moment = now - timedelta(minutes=dice.randrange(0, 3_000_000))
    if dice.random() < 0.5:
        return moment.astimezone(ZoneInfo(zone or "UTC")).replace(tzinfo=None).isoformat(sep=" ")
    return moment.astimezone(dice.choice((UTC, ZoneInfo("Asia/Kathmandu")))).isoformat()


def write_policy(found: Situation, folder: Path, kind: str) -> Path:
    """Write the policy of the situation into *folder*, for a store of that *kind*: ``sqlite`` or ``jsonl``."""
    folder.mkdir()
    of_kind = {
        "sqlite": ["    store: sqlite:///log.db", "    table: log"],
        "jsonl": ["    store: ./log.jsonl", "    key: id", *([] if found.zone else ["    time zone: UTC"])],
    }
    file = folder / "lapse.yaml"
    file.write_text("\n".join(_policy(found, of_kind[kind])) + "\n", encoding="utf-8")
    return file


def write_store(found: Situation, folder: Path, kind: str) -> None:
    """Write the records of the situation into *folder*."""
    if kind == "jsonl":
        names = ("id", "at", "kind", "tenant", "level")
        text = "".join(json.dumps(dict(zip(names, _row(each), strict=True))) + "\n" for each in found.records)
        (folder / "log.jsonl").write_text(text, encoding="utf-8")
        return
    connection = sqlite3.connect(folder / "log.db")
    connection.execute("PRAGMA synchronous = OFF")
    with connection:
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at, kind, tenant, level)")
        connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?)", map(_row, found.records))
    connection.close()


def _row(record: Record) -> tuple[Value, ...]:
    return record.key, record.at, record.kind, record.tenant, record.level


def _policy(found: Situation, store: Sequence[str]) -> Iterator[str]:
    yield from ("version: 1", "archives:", "  cold: {to: ./archive}", "datasets:", "  log:", *store)
    yield from ("    time: at", "    type: kind", "    tenant: tenant", "    archive: cold")
    if found.zone is not None:
        yield f"    time zone: {found.zone}"
    if found.require:
        yield f"    require: {json.dumps(found.require)}"
    tenants = dict.fromkeys(rule.tenant for rule in found.rules if rule.tenant is not None)
    if tenants:
        yield "    tenants:"
        for tenant in tenants:
            yield f"      {json.dumps(tenant)}:"
            yield "        keep:"
            yield from (f"          - {_rule(rule)}" for rule in found.rules if rule.tenant == tenant)
    yield "    keep:"
    yield from (f"      - {_rule(rule)}" for rule in found.rules if rule.tenant is None)
    if found.floors:
        yield "floors:"
    for floor in found.floors:
        match = _match(floor.wants, "dataset: log")
        yield f"  - {{match: {match}, at least: {floor.span.text()}, because: {floor.because}}}"
    if found.holds:
        yield "holds:"
    for hold in found.holds:
        times = {"since": hold.since, "until": hold.until, "records from": hold.records_from,
                 "records before": hold.records_before}  # fmt: skip
        said = "".join(f", {name}: {json.dumps(at.isoformat())}" for name, at in times.items() if at is not None)
        yield f"  - {{matter: {hold.matter}, match: {_match(hold.wants, 'dataset: log')}, reason: by chance{said}}}"


def _rule(rule: Rule) -> str:
    last = [] if rule.last is None else [f"keep last: {rule.last}" + ("" if rule.per is None else f" per {rule.per}")]
    return _match(rule.wants, f"for: {rule.span.text()}", *last)


def _match(wants: Sequence[Wants], *more: str) -> str:
    return "{" + ", ".join([*(f"{each.field}: {_form(each)}" for each in wants), *more]) + "}"


def _form(wants: Wants) -> str:
    listed = [*wants.texts, *(f"glob:{pattern}" for pattern in wants.patterns)]
    form = json.dumps(listed)
    if not listed:
        ends = {"from": wants.least, "to": wants.most}
        form = "{" + ", ".join(f"{name}: {end}" for name, end in ends.items() if end is not None) + "}"
    return f"{{not: {form}}}" if wants.negated else form
