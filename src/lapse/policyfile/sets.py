"""Named sets of values: what ``set:NAME`` stands for, and whether it stands for anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from operator import is_

from lapse.errors import Complaint
from lapse.policyfile.models import RuleShape, ScopeShape, keys_of, shape_at
from lapse.policyfile.tenants import KEY as TENANTS
from lapse.policyfile.tree import Entry, Listing, Mapped, Node, Scalar, children, items, scalars, texts
from lapse.policyfile.words import SET, did_you_mean

KEY = "sets"
_Path = tuple[str | int, ...]
_Sets = Mapping[str, tuple[Node, ...]]


def expanded(root: Mapped) -> Mapped:
    """The tree of a policy with the values of its sets in the places of their names; unknown names stay."""
    sets = {entry.key: items(entry.node) for entry in children(root.get(KEY))}
    found = _expanded(root, (), sets) if sets else root
    return found if isinstance(found, Mapped) else root


def bad_sets(root: Mapped) -> Iterator[Complaint]:
    """Names that no set has, and sets that name others."""
    known = [entry.key for entry in children(root.get(KEY))]
    for entry in children(root.get(KEY)):
        for scalar in (scalar for _, scalar in scalars(entry.node) if _name(scalar) is not None):
            what = f"`{entry.key}`: a set holds values, and no other set like `{scalar.shown}`"
            yield Complaint(scalar.origin, what, "Write its values out.")
    for scalar in references(root):
        name = _name(scalar)
        if name and name not in known:
            hint = did_you_mean(name, known) if known else f"Add it under `{KEY}:`, or write `glob:{scalar.shown}`."
            yield Complaint(scalar.origin, f"there is no set `{name}`", hint)


def references(root: Mapped, *, at: _Path = ()) -> list[Scalar]:
    """Everything that names a set where a field's values stand; *at* is the path of *root* in a policy."""
    if not any(text.startswith(SET) for text in texts(root)):
        return []
    found = (scalar for node in _wanted(root, at) for _, scalar in scalars(node))
    return [scalar for scalar in found if _name(scalar) is not None]


def _name(node: Node) -> str | None:
    """The name of the set that a value stands for. None if it stands for itself."""
    value = node.value if isinstance(node, Scalar) else None
    return value.removeprefix(SET) if isinstance(value, str) and value.startswith(SET) else None


@cache
def _reserved(path: _Path) -> frozenset[str] | None:
    """The words that are no fields in the mapping at *path*. None where no key is a field."""
    shape = shape_at(path)
    return frozenset(keys_of(shape)) if shape is not None and shape in (RuleShape, ScopeShape) else None


def _below(path: _Path, key: str) -> _Path:
    """The path of *key*, the same for all datasets and for all tenants, of which there may be very many."""
    any_name = len(path) == 1 or path[2:] == (TENANTS,)
    return (*path, "*" if any_name else key)


def _wanted(node: Node, path: _Path) -> Iterator[Node]:
    """What the fields of all rules and scopes below *node* must be."""
    for item in items(node):
        yield from _wanted(item, (*path, 0))
    reserved = _reserved(path)
    for entry in children(node):
        if reserved is None or entry.key in reserved:
            yield from _wanted(entry.node, _below(path, entry.key))
        else:
            yield entry.node


def _expanded(node: Node, path: _Path, sets: _Sets) -> Node:
    """The node with the values of sets in the places of their names; itself where it names none."""
    match node:
        case Scalar():
            return node
        case Listing():
            found = [_expanded(item, (*path, 0), sets) for item in node.items]
            return node if all(map(is_, found, node.items)) else Listing(tuple(found), node.origin)
        case Mapped():
            reserved = _reserved(path)
            entries = [
                _with_values(entry, sets)
                if reserved is not None and entry.key not in reserved
                else _inside(entry, _below(path, entry.key), sets)
                for entry in node.entries
            ]
            return node if all(map(is_, entries, node.entries)) else Mapped(tuple(entries), node.origin)


def _inside(entry: Entry, path: _Path, sets: _Sets) -> Entry:
    node = _expanded(entry.node, path, sets)
    return entry if node is entry.node else Entry(entry.key, node, entry.origin)


def _with_values(entry: Entry, sets: _Sets) -> Entry:
    """What a field must be, with the values of sets in the places of their names."""
    match entry.node:
        case Scalar() as scalar:
            found = sets.get(_name(scalar) or "")
            if found is None:
                return entry
            node: Node = Listing(found, scalar.origin)
        case Listing() as listing:
            node = Listing(tuple(each for item in listing.items for each in _members(item, sets)), listing.origin)
        case Mapped() as parts:
            node = Mapped(tuple(_with_values(each, sets) for each in parts.entries), parts.origin)
    return Entry(entry.key, node, entry.origin)


def _members(node: Node, sets: _Sets) -> tuple[Node, ...]:
    name = _name(node)
    return (node,) if name is None else sets.get(name, (node,))
