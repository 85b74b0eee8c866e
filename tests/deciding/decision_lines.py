"""The order in which decisions are made, line by line: a policy, records beside each other, what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NOW = "2025-06-01T00:00:00Z"
"""What `LAPSE_NOW` says."""

CUTOFF = "2025-05-02T00:00:00"
"""Thirty days before."""

OLD = "2024-01-01T00:00:00Z"
NEW = "2025-05-31T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Told:
    """A record, and what is to become of it.

    Attributes:
        verdict: In the word of a plan.
        why: A part of the reason.
        at: Its time. None if it has none.
        kind: Its type. None if it has none.
        level: A number. None if it has none.
    """

    verdict: str
    why: str
    at: str | None = OLD
    kind: str | None = "CALL"
    level: int | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the table.

    Attributes:
        title: What it shows.
        told: The records by their tenant: each is the only one of its own.
        keep: The rules.
        dataset: What else is said of the dataset.
        more: What else is in the policy.
    """

    title: str
    told: Mapping[str, Told]
    keep: str = "30 days"
    dataset: str = ""
    more: str = field(default="")


def lapsed(at: str = OLD, kind: str | None = "CALL", *, rule: int = 1, level: int | None = None) -> Told:
    """A record that goes under a rule."""
    return Told(verdict="lapsed", why=f"lapsed under rule {rule} ", at=at, kind=kind, level=level)


def kept(at: str = NEW, kind: str | None = "CALL", *, rule: int = 1, level: int | None = None) -> Told:
    """A record that a rule keeps."""
    return Told(verdict="kept", why=f"kept by rule {rule} ", at=at, kind=kind, level=level)


def floored(at: str = OLD, kind: str = "CALL", *, law: str = "law") -> Told:
    """A record that a floor keeps beyond its rule."""
    return Told(verdict="kept", why=f"kept by floor '{law}', beyond rule ", at=at, kind=kind)


def newest(at: str, kind: str | None = "CALL") -> Told:
    """A record that stays for being one of the newest of its group."""
    return Told(verdict="kept", why="kept as one of the ", at=at, kind=kind)


def held(at: str = OLD, kind: str | None = "CALL", *, matter: str = "M-1") -> Told:
    """A record that a hold keeps."""
    return Told(verdict="held", why=f"hold {matter}", at=at, kind=kind)


def doubtful(at: str | None, why: str = "no readable time", *, kind: str | None = "CALL") -> Told:
    """A record that cannot be judged."""
    return Told(verdict="doubtful", why=why, at=at, kind=kind)


def unmatched(at: str = OLD, kind: str | None = "CALL") -> Told:
    """A record that no rule matches."""
    return Told(verdict="unmatched", why="no rule matches", at=at, kind=kind)


_HOLD = "holds:\n  - {{matter: M-1, match: {{dataset: log{}}}, reason: litigation{}}}\n"
_FLOOR = "floors:\n  - {{match: {{dataset: log{}}}, at least: {}, because: law}}\n"


def _hold(match: str = "", more: str = "") -> str:
    return _HOLD.format(f", {match}" if match else "", f", {more}" if more else "")


def _floor(period: str, match: str = "") -> str:
    return _FLOOR.format(f", {match}" if match else "", period)


DOUBT = (
    Line(
        title="what has no readable time is doubtful, whatever the rules say",
        told={
            "none": doubtful(None), "garbage": doubtful("yesterday"), "no day": doubtful("2024-02-30T00:00:00Z"),
            "empty": doubtful(""), "24 h": doubtful("2024-01-01T24:00:00Z"), "good": lapsed(), "young": kept(),
        },
    ),
    Line(
        title="times before 1990 are doubtful, 1990 itself is not",
        told={
            "1989": doubtful("1989-12-31T23:59:59.999999999Z", "before 1990-01-01"),
            "epoch": doubtful("1970-01-01T00:00:00Z", "before 1990-01-01"),
            "1990": lapsed("1990-01-01T00:00:00Z"),
        },
    ),
    Line(
        title="where doubt begins may be said",
        dataset="doubt before: 2020-02-29",
        told={
            "before": doubtful("2020-02-28T23:59:59.999999Z", "before 2020-02-29"),
            "at": lapsed("2020-02-29T00:00:00Z"),
        },
    ),
    Line(
        title="times from the future are doubtful; those between a replayed now and the clock are only kept",
        told={
            "future": doubtful("2999-01-01T00:00:00Z", "later than"),
            "since then": kept("2025-06-01T00:00:01Z"),
            "old": lapsed(),
        },
    ),
    Line(
        title="a record without a required field is doubtful, empty or missing",
        dataset="require: [type]",
        told={
            "missing": doubtful(OLD, "no kind", kind=None), "empty": doubtful(OLD, "no kind", kind=""),
            "there": lapsed(kind=" "),
        },
    ),
    Line(
        title="doubt comes before holds, floors and `forever`",
        keep="[{type: KEEP, for: forever}, {for: 30 days}]",
        more=_hold("tenant: [undated, dated]") + _floor("9 years"),
        told={
            "undated": doubtful(None), "dated": held(), "undated keeper": doubtful(None, kind="KEEP"),
            "keeper": kept(OLD, "KEEP"), "old": floored(),
        },
    ),
)  # fmt: skip

HOLDS = (
    Line(
        title="a hold keeps what its match covers, lapsed, young or unmatched; its neighbours go",
        keep="[{type: CALL, for: 30 days}]",
        more=_hold("tenant: [acme, young, other kind]"),
        told={
            "acme": held(), "acme ": lapsed(), "ACME": lapsed(), "acmes": lapsed(), "young": held(NEW),
            "other kind": held(kind="MAIL"), "unheld": unmatched(kind="MAIL"),
        },
    ),
    Line(
        title="a hold on a type keeps that type",
        more=_hold("type: [CALL, 'glob:M?IL']"),
        told={"call": held(), "mail": held(kind="MAIL"), "small": lapsed(kind="call"), "none": lapsed(kind=None)},
    ),
    Line(
        title="a hold by what records are not keeps all others",
        more=_hold("type: {not: CALL}"),
        told={"call": lapsed(), "mail": held(kind="MAIL"), "none": held(kind=None)},
    ),
    Line(
        title="a hold on a window of record times keeps its first instant and not its last",
        more=_hold("", "records from: '2024-01-01T00:00:00Z', records before: '2024-02-01T00:00:00Z'"),
        told={
            "before": lapsed("2023-12-31T23:59:59.999999Z"), "first": held("2024-01-01T00:00:00Z"),
            "within": held("2024-01-31T23:59:59.999999Z"), "last": lapsed("2024-02-01T00:00:00Z"),
        },
    ),
    Line(
        title="a hold that is over keeps nothing",
        more=_hold("", "since: 2024-01-01, until: 2025-05-31"),
        told={"old": lapsed(), "young": kept()},
    ),
    Line(
        title="a hold that begins after a replayed now is active, since the removal is real",
        more=_hold("", "since: 2025-06-02"),
        told={"old": held(), "young": held(NEW)},
    ),
    Line(
        title="a hold on what the dataset does not name keeps all of it",
        more=_hold("actor: root"),
        told={"old": held(), "young": held(NEW)},
    ),
    Line(
        title="a hold on all keeps all",
        more="holds:\n  - {matter: M-1, match: all, reason: litigation}\n",
        told={"old": held(), "young": held(NEW)},
    ),
    Line(
        title="of two holds the first is told",
        more=_hold("tenant: both") + "  - {matter: M-2, match: {dataset: log, type: CALL}, reason: audit}\n",
        told={"both": held(), "one": held(matter="M-2"), "none": lapsed(kind="MAIL")},
    ),
)  # fmt: skip

RULES = (
    Line(
        title="the first rule that matches decides, whatever later ones say",
        keep="[{type: CALL, tenant: special, for: forever}, {type: CALL, for: 1 day}, {for: 90 days}]",
        told={
            "special": kept(OLD), "other": lapsed(rule=2), "recent": lapsed("2025-05-01T00:00:00Z", rule=2),
            "recent mail": kept("2025-05-01T00:00:00Z", "MAIL", rule=3), "old mail": lapsed(kind="MAIL", rule=3),
        },
    ),
    Line(
        title="what no rule matches is kept",
        keep="[{type: CALL, for: 30 days}]",
        told={"call": lapsed(), "mail": unmatched(kind="MAIL"), "none": unmatched(kind=None), "": lapsed()},
    ),
    Line(
        title="without any rule everything is kept",
        keep="[{type: NOBODY, for: 1 day}]",
        told={"call": unmatched(), "young": unmatched(NEW)},
    ),
    Line(
        title="a list, a pattern, a complement, a range and a set match what they say",
        keep=(
            "[{type: [A, B], for: 30 days}, {type: 'glob:C?T*', for: 30 days}, {type: set:vip, for: forever}, "
            "{level: {from: 400, to: 499}, for: 30 days}, {type: {not: set:vip}, for: 1 day}]"
        ),
        more="sets: {vip: [V, 'glob:W*']}\n",
        told={
            "a": lapsed(kind="A"), "b": lapsed(kind="B"), "ab": lapsed(kind="A, B", rule=5),
            "cat": lapsed(kind="CATS", rule=2),
            "ct": lapsed(kind="CT", rule=5), "v": kept(OLD, "V", rule=3), "w": kept(OLD, "WX", rule=3),
            "399": lapsed(kind="X", level=399, rule=5), "400": lapsed(kind="X", level=400, rule=4),
            "499": lapsed(kind="X", level=499, rule=4), "500": lapsed(kind="X", level=500, rule=5),
            "no kind": lapsed(kind=None, rule=5), "young": kept(NEW, "A"),
        },
    ),
    Line(
        title="wildcards that are not asked for are letters",
        keep="[{type: 'C*', for: 1 day}, {type: 'glob:[C]_%', for: 1 day}, {for: forever}]",
        told={
            "star": lapsed(kind="C*"), "call": kept(OLD, rule=3), "brackets": lapsed(kind="[C]_%", rule=2),
            "like": kept(OLD, "CxAB", rule=3),
        },
    ),
)  # fmt: skip

SECTIONS = (
    Line(
        title="a tenant's own rules come before the common ones, and its own default is its last",
        keep="[{type: CALL, for: 90 days}, {for: forever}]",
        dataset=(
            "tenants: {acme: {keep: [{type: MAIL, for: 1 day}, {for: 10 days}]}, beta: {keep: forever}, "
            "'acme ': {keep: [{type: MAIL, for: 1 day}]}}"
        ),
        told={
            "acme": Told(verdict="lapsed", why="lapsed under ", at="2025-05-20T00:00:00Z"),
            "beta": Told(verdict="kept", why="forever"),
            "acme ": Told(verdict="kept", why="90 days", at="2025-05-20T00:00:00Z"),
            "ACME": Told(verdict="kept", why="90 days", at="2025-05-20T00:00:00Z"),
            "other": Told(verdict="lapsed", why="90 days"),
        },
    ),
    Line(
        title="the newest of all that a rule decides about stay, with those as old as the last of them",
        keep="[{type: KEEP, for: forever}, {for: 30 days, keep last: 2}]",
        told={
            "first": newest("2024-03-01T00:00:00Z"), "second": newest("2024-02-01T00:00:00Z"),
            "as old": newest("2024-02-01T00:00:00Z"), "third": lapsed("2024-01-31T23:59:59.999999Z", rule=2),
            "undated": doubtful(None), "future": doubtful("2999-01-01T00:00:00Z", "later than"),
            "of another rule": kept("2024-05-01T00:00:00Z", "KEEP"),
        },
    ),
    Line(
        title="the newest of each group stay, and what has no group is one of its own",
        keep="[{for: 30 days, keep last: 1 per type}]",
        told={
            "a": newest("2024-03-01T00:00:00Z", "A"), "old a": lapsed("2024-02-01T00:00:00Z", "A"),
            "small a": newest("2024-01-01T00:00:00Z", "a"), "none": newest("2024-01-01T00:00:00Z", None),
            "old none": lapsed("2023-01-01T00:00:00Z", None), "young b": kept(NEW, "B"),
            "old b": lapsed("2024-06-01T00:00:00Z", "B"),
        },
    ),
)  # fmt: skip

PERIODS = (
    Line(
        title="lapsed is strictly older than the period, to the nanosecond",
        told={
            "before": lapsed("2025-05-01T23:59:59.999999Z"), "just before": lapsed("2025-05-01T23:59:59.999999999Z"),
            "at": kept(f"{CUTOFF}Z"), "at, elsewhere": kept("2025-05-02T14:00:00+14:00"),
            "before, elsewhere": lapsed("2025-05-01T18:59:59.999999-05:00"), "after": kept(f"{CUTOFF}.000001Z"),
        },
    ),
    Line(
        title="a floor lengthens a rule, and the longer of the two decides",
        more=_floor("90 days", "type: CALL"),
        told={
            "past both": lapsed("2025-03-02T23:59:59.999999Z"), "the floor's cutoff": floored("2025-03-03T00:00:00Z"),
            "past the rule": floored("2025-05-01T23:59:59Z"), "young": kept(),
            "unfloored": lapsed("2025-05-01T00:00:00Z", "MAIL"),
        },
    ),
    Line(
        title="a floor never shortens a rule",
        more=_floor("1 day"),
        told={"old": lapsed(), "between": kept("2025-05-20T00:00:00Z"), "young": kept()},
    ),
    Line(
        title="of two floors the longer counts, and one that never ends never does",
        more=_floor("60 days") + "  - {match: {dataset: log, type: LAW}, at least: forever, because: court}\n",
        told={
            "old": lapsed(), "between": floored("2025-04-20T00:00:00Z"), "law": floored(OLD, "LAW", law="court"),
        },
    ),
    Line(
        title="a floor on what the dataset does not name covers all of it",
        more=_floor("9 years", "actor: root"),
        told={"old": floored(), "young": kept()},
    ),
    Line(
        title="a floor makes no record match that no rule matches",
        keep="[{type: CALL, for: 30 days}]",
        more=_floor("1 day"),
        told={"call": lapsed(), "mail": unmatched(kind="MAIL")},
    ),
    Line(
        title="months are clamped to the month's end in UTC",
        keep="3 months",
        told={"before": lapsed("2025-02-28T23:59:59.999999Z"), "at": kept("2025-03-01T00:00:00Z")},
    ),
    Line(
        title="whole days go a day later",
        keep="29 whole days",
        told={"thirty days": lapsed(f"{CUTOFF}Z"), "less": kept(f"{CUTOFF}.000001Z")},
    ),
    Line(
        title="`no time` lets all go that is past, where it is allowed",
        keep="no time",
        dataset="allow: [no time]",
        told={
            "past": lapsed("2025-05-31T23:59:59.999999Z"), "now": kept("2025-06-01T00:00:00Z"),
            "future": doubtful("2999-01-01T00:00:00Z", "later than"),
        },
    ),
    Line(
        title="naive times are those of the dataset's zone",
        dataset="time zone: Europe/Berlin",
        told={
            "before": lapsed("2025-05-02 01:59:59.999999"), "at": kept("2025-05-02 02:00:00"),
            "with an offset": kept("2025-05-02T00:00:00Z"), "as if UTC": kept("2025-05-02 02:00:01"),
        },
    ),
)  # fmt: skip

LINES = (*DOUBT, *HOLDS, *RULES, *SECTIONS, *PERIODS)
"""All of them."""
