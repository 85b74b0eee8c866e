"""Whether a tree has the shape of a policy: pydantic's findings, in plain words and at their places."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lapse.errors import Complaint, Origin
from lapse.policyfile.models import keys_of, shape_at
from lapse.policyfile.secrets import unescaped
from lapse.policyfile.tenants import added_alone
from lapse.policyfile.tree import Listing, Mapped, Node, Scalar
from lapse.policyfile.words import MANY, ONE, PARTS, did_you_mean, kind_of, nearest

Path = tuple[str | int, ...]
ShapeT = TypeVar("ShapeT", bound=BaseModel)


def plain(node: Node) -> object:
    """The data of a tree, without its places."""
    match node:
        case Scalar():
            return unescaped(node.value) if isinstance(node.value, str) else node.value
        case Listing():
            return [plain(item) for item in node.items]
        case Mapped():
            return {entry.key: plain(entry.node) for entry in node.entries}


def shaped(shape: type[ShapeT], node: Node) -> ShapeT | None:
    """The tree as an instance of *shape*. None if it has another shape."""
    try:
        return shape.model_validate(plain(node))
    except ValidationError:
        return None


def misshapen(
    shape: type[BaseModel], node: Node, *, at: Path = (), optional: Collection[str] = ()
) -> Iterator[Complaint]:
    """Everything in which a tree differs from *shape*.

    Arguments:
        shape: The model to compare with.
        node: The tree.
        at: The path of *node* in a policy.
        optional: Keys of *node* itself that may be missing, whatever the model says.
    """
    try:
        shape.model_validate(plain(node))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    else:
        return
    unknown = [_walk(node, detail["loc"], at) for detail in details if detail["type"] == "extra_forbidden"]
    for detail in details:
        place = _walk(node, detail["loc"], at)
        if detail["type"] == "missing" and (detail["loc"][0] in optional or _is_addition(place)):
            continue
        if isinstance(place.node, Scalar) and place.node.value is None:
            continue  # the tree has complained about it already
        if detail["type"] == "missing" and _misspelt(str(detail["loc"][-1]), place.path, unknown):
            continue
        yield _complaint(detail, place)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an error is.

    Attributes:
        path: Keys and positions that lead there, as in the policy.
        node: What stands there.
        key: The nearest key, for messages.
        origin: Where that key is written, or the list's item.
    """

    path: Path
    node: Node
    key: str
    origin: Origin


def _walk(root: Node, loc: Path, at: Path) -> _Place:
    place = _Place(at, root, "", root.origin)
    for segment in loc:
        if segment in (ONE, MANY, PARTS):
            continue
        match place.node, segment:
            case Mapped() as mapping, str() if entry := mapping.entry(segment):
                place = _Place((*place.path, segment), entry.node, entry.key, entry.origin)
            case Listing(items=items), int() if segment < len(items):
                item = items[segment]
                place = _Place((*place.path, segment), item, place.key, item.origin)
            case _:
                break  # a key that is missing
    return place


def _is_addition(place: _Place) -> bool:
    """Whether it is a dataset that only adds tenants to one written elsewhere."""
    return len(place.path) == 2 and place.path[0] == "datasets" and added_alone(place.node)


def _misspelt(missing: str, path: Path, unknown: list[_Place]) -> bool:
    siblings = [place.key for place in unknown if place.path[:-1] == path]
    return any(nearest(key, [missing]) for key in siblings)


def _complaint(detail: ErrorDetails, place: _Place) -> Complaint:
    subject = f"`{place.key}`" if place.key else "the file"
    kind = kind_of(_outline(place.node))
    match detail["type"]:
        case "lapse":
            context = detail["ctx"]
            return Complaint(place.node.origin, f"{subject}: {context['what']}", context["hint"])
        case "missing":
            return _missing(str(detail["loc"][-1]), place)
        case "extra_forbidden":
            shape = shape_at(place.path[:-1])
            hint = did_you_mean(place.key, keys_of(shape)) if shape else None
            return Complaint(place.origin, f"unknown key {subject}", hint)
        case "too_short":
            return Complaint(place.node.origin, f"{subject}: the list is empty", "Fill it in, or leave the key out.")
        case "list_type":
            return Complaint(place.node.origin, f"{subject}: must be a list, not {kind}", "Begin each item with `- `.")
        case _:
            return Complaint(place.node.origin, f"{subject}: must be a mapping of keys, not {kind}")


def _missing(key: str, place: _Place) -> Complaint:
    where = f" in `{place.key}`" if place.key else ""
    hint = f"Add `{key}:`."
    if key == "for":
        hint = "Say how long with `for:`, like `for: 90 days` or `for: forever`."
        near = [name for name in _keys(place.node) if nearest(name, ["for"])]
        hint = f"Did you mean `for` instead of `{near[0]}`?" if near else hint
    if key == "match":
        hint = "Say which records with `match:`, like `match: {tenant: acme}`, or `match: all` for all."
    return Complaint(place.origin, f"`{key}` is missing{where}", hint)


def _keys(node: Node) -> list[str]:
    return [entry.key for entry in node.entries] if isinstance(node, Mapped) else []


def _outline(node: Node) -> object:
    match node:
        case Scalar():
            return node.value
        case Listing():
            return []
        case Mapped():
            return {}
