"""Whether one configuration file has the shape that it must have, key by key.

Each file is looked at by itself: a list in one file must not vanish under a mapping in another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from lapse.errors import Complaint
from lapse.policyfile.tree import Entry, Listing, Mapped, Node, Scalar
from lapse.policyfile.words import did_you_mean, nearest

Check = Callable[[Entry, str], Iterator[Complaint]]

EMPTY_TIMES = ("keep", "purge")
"""What may become of queue entries whose time is an empty text; the first is built in."""

_DAYS = re.compile(r"0|[1-9][0-9]*")
_SLIP = 0.9  # likeness from which a key is a misspelt one of ours, rather than a plug-in's own
_DAYS_HINT = "Write a whole number of days, like 365, without quotes."


def complaints_about(root: Mapped, purgers: Collection[str]) -> Iterator[Complaint]:
    """Everything in a file that the drop-in cannot follow.

    Arguments:
        root: The file.
        purgers: Names that a purger may have.
    """
    checks = {**_TOP, "days_to_keep_per_plugin": _map_of(_days, purgers), "enabled_plugins": _plugins(purgers)}
    for entry in root.entries:
        check = checks.get(entry.key)
        if check is not None:
            yield from check(entry, entry.key)
            continue
        near = nearest(entry.key, checks, _SLIP)
        if near is not None:
            hint = f"Did you mean `{near}`? A key of a plug-in's own needs a name that is less like it."
            yield Complaint(entry.origin, f"unknown key `{entry.key}`", hint)


def _plugins(purgers: Collection[str]) -> Check:
    def check(entry: Entry, path: str) -> Iterator[Complaint]:
        if not isinstance(entry.node, Mapped):
            yield _must(entry, path, "a mapping with `purgers` and `archives`")
            return
        checks = {"purgers": _map_of(_switch, purgers), "archives": _names}
        yield from _known(entry.node, path, checks)

    return check


def _map_of(value: Check, names: Collection[str]) -> Check:
    def check(entry: Entry, path: str) -> Iterator[Complaint]:
        if not isinstance(entry.node, Mapped):
            yield _must(entry, path, "a mapping of purgers")
            return
        for each in entry.node.entries:
            if each.key not in names:
                yield Complaint(
                    each.origin, f"`{path}`: there is no purger `{each.key}`", did_you_mean(each.key, names)
                )
            yield from value(each, f"{path}.{each.key}")

    return check


def _known(node: Mapped, path: str, checks: dict[str, Check]) -> Iterator[Complaint]:
    for entry in node.entries:
        check = checks.get(entry.key)
        if check is None:
            yield Complaint(entry.origin, f"unknown key `{path}.{entry.key}`", did_you_mean(entry.key, checks))
        else:
            yield from check(entry, f"{path}.{entry.key}")


def _days(entry: Entry, path: str) -> Iterator[Complaint]:
    node = entry.node
    is_number = isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool)
    if not is_number:
        yield _must(entry, path, "a number of days", _DAYS_HINT)
    elif isinstance(node, Scalar) and not _DAYS.fullmatch(node.text):
        what = "cannot be negative" if node.text.startswith("-") else "can be read in two ways"
        yield Complaint(node.origin, f"`{path}`: {node.text} {what}", _DAYS_HINT)


def _switch(entry: Entry, path: str) -> Iterator[Complaint]:
    if not isinstance(entry.node, Scalar) or not isinstance(entry.node.value, bool):
        yield _must(entry, path, "true or false")


def _text(entry: Entry, path: str) -> Iterator[Complaint]:
    node = entry.node
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip() or "\0" in node.value:
        yield _must(entry, path, "text")


def _names(entry: Entry, path: str) -> Iterator[Complaint]:
    if not isinstance(entry.node, Listing):
        yield _must(entry, path, "a list of plug-ins", "Begin each with `- `; `[]` is none.")
        return
    seen: set[str] = set()
    for node in entry.node.items:
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
            yield Complaint(node.origin, f"`{path}`: each must be the name of a plug-in")
        elif node.value in seen:
            yield Complaint(node.origin, f"`{path}`: `{node.value}` is named twice", "Name it once.")
        else:
            seen.add(node.value)


def _own(entry: Entry, path: str) -> Iterator[Complaint]:
    if not isinstance(entry.node, Mapped):
        yield _must(entry, path, "a mapping with `archive`, `ledger`, `recordings` and `empty_times`")
        return
    checks: dict[str, Check] = {"archive": _text, "ledger": _text, "recordings": _text, "empty_times": _empty_times}
    yield from _known(entry.node, path, checks)


def _empty_times(entry: Entry, path: str) -> Iterator[Complaint]:
    node = entry.node
    if not isinstance(node, Scalar) or node.value not in EMPTY_TIMES:
        yield _must(entry, path, " or ".join(f"`{word}`" for word in EMPTY_TIMES))


def _must(entry: Entry, path: str, what: str, hint: str | None = None) -> Complaint:
    return Complaint(entry.origin, f"`{path}` must be {what}, not {_kind(entry.node)}", hint)


def _kind(node: Node) -> str:
    """What stands there, without its text: an address may hold a password."""
    match node:
        case Mapped():
            return "a mapping"
        case Listing():
            return "a list"
        case Scalar(value=None):
            return "nothing, or null"
        case Scalar(value=bool()):
            return "true or false"
        case Scalar(value=str() as data):
            return "text" if data.strip() else "empty text"
        case Scalar(value=int() | float()):
            return "a number"
        case _:
            return "a date"


_TOP: dict[str, Check] = {
    "db_uri": _text,
    "days_to_keep": _days,
    "pid_file": _text,
    "log_file": _text,
    "debug": _switch,
    "extra_config_files": _text,
    "config_file": _text,
    "lapse": _own,
}
