"""Whether floors, holds and names in a policy lead somewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pydantic_core import PydanticCustomError

from lapse.errors import Complaint, Origin
from lapse.instant import Nanos
from lapse.policyfile.fields import bad_fields
from lapse.policyfile.models import ScopeShape, keys_of
from lapse.policyfile.references import WAIVER, is_word
from lapse.policyfile.secrets import has_reference
from lapse.policyfile.tree import Mapped, Node, Scalar, children, items, scalars, texts
from lapse.policyfile.words import did_you_mean, instant, name


def bad_names(root: Mapped) -> Iterator[Complaint]:
    """Names of datasets, archives and sets that cannot be names."""
    for kind in ("archives", "datasets", "sets"):
        for entry in children(root.get(kind)):
            try:
                name(entry.key)
            except PydanticCustomError as error:
                context = error.context or {}
                yield Complaint(entry.origin, f"`{kind}`: {context['what']}", context["hint"])
            if kind == "archives" and entry.key == WAIVER:
                yield Complaint(entry.origin, "`none` cannot name an archive", "It means that nothing is archived.")


def stray_references(root: Node) -> Iterator[Complaint]:
    """``${NAME}`` outside the addresses, where it would carry a secret into plans and the ledger."""
    if not any(map(has_reference, texts(root))):
        return
    for path, scalar in scalars(root):
        if not _is_address(path) and isinstance(scalar.value, str) and has_reference(scalar.value):
            what = f"`{scalar.shown}`: `${{…}}` is replaced in `store`, `to`, `under` and `ledger` only"
            yield Complaint(scalar.origin, what, "Write the value itself, or `$${` for the characters `${`.")


def _is_address(path: tuple[str | int, ...]) -> bool:
    match path:
        case ("ledger",) | ("archives", _, "to") | ("datasets", _, "store"):
            return True
        case ("datasets", _, "files", "under"):
            return True
        case _:
            return False


def bad_floors(root: Mapped, datasets: Collection[str]) -> Iterator[Complaint]:
    """Floors that apply to nothing known, and ``no time`` where nothing is removed."""
    periods = [entry.node.get("keep") for entry in children(root.get("archives")) if isinstance(entry.node, Mapped)]
    for floor in items(root.get("floors")):
        if isinstance(floor, Mapped):
            periods.append(floor.get("at least"))
            yield from _bad_scope(floor, datasets)
    for period in periods:
        if isinstance(period, Scalar) and is_word(period, "no time"):
            yield Complaint(period.origin, "`no time` keeps nothing, so it cannot stand here", "Write a period.")


def bad_holds(holds: Collection[Mapped], datasets: Collection[str] | None) -> Iterator[Complaint]:
    """Holds that hold nothing known, that cover no instant, or that share a matter.

    Arguments:
        holds: All of them.
        datasets: Names that are known. None knows none to compare with.
    """
    seen: dict[str, Origin] = {}
    for hold in holds:
        yield from _bad_scope(hold, datasets)
        yield from _backwards(hold, "since", "until")
        yield from _backwards(hold, "records from", "records before")
        yield from _keys_of_nothing(hold)
        matter = hold.get("matter")
        if not isinstance(matter, Scalar) or matter.value is None:
            continue
        key = str(matter.value)
        if key in seen:
            what = f"the matter `{matter.shown}` has a hold at {seen[key]} already"
            yield Complaint(matter.origin, what, "Give each hold its own matter, such as `2026-17 b`.")
        seen.setdefault(key, matter.origin)


def _bad_scope(owner: Mapped, datasets: Collection[str] | None) -> Iterator[Complaint]:
    match = owner.entry("match")
    if match is None or not isinstance(match.node, Mapped):
        return
    if not match.node.entries:
        yield Complaint(match.node.origin, "`match` says nothing", "Write `match: all` if all records are meant.")
    reserved = keys_of(ScopeShape)
    yield from bad_fields([entry for entry in match.node.entries if entry.key not in reserved], reserved)
    dataset = match.node.get("dataset")
    if datasets is None or not isinstance(dataset, Scalar) or dataset.value is None:
        return
    if str(dataset.value) not in datasets:
        hint = did_you_mean(str(dataset.value), datasets)
        yield Complaint(dataset.origin, f"there is no dataset `{dataset.shown}`", hint)


def _keys_of_nothing(hold: Mapped) -> Iterator[Complaint]:
    keys, match = hold.entry("keys"), hold.get("match")
    if keys is not None and not (isinstance(match, Mapped) and isinstance(match.get("dataset"), Scalar)):
        what = "`keys` name records, but `match` names no dataset that they are in"
        yield Complaint(keys.origin, what, "Write `match: {dataset: NAME}`.")


def _backwards(hold: Mapped, begins: str, ends: str) -> Iterator[Complaint]:
    first, last = _instant(hold.get(begins)), _instant(hold.get(ends))
    node = hold.get(ends)
    if first is not None and last is not None and last <= first and isinstance(node, Scalar):
        what = f"the hold covers nothing: `{ends}` is {node.shown}, but `{begins}` is {hold.text(begins)}"
        yield Complaint(node.origin, what, f"Leave `{ends}` out, or name a later time.")


def _instant(node: Node | None) -> Nanos | None:
    try:
        return instant(node.value) if isinstance(node, Scalar) else None
    except PydanticCustomError:
        return None  # the shape has complained about it
