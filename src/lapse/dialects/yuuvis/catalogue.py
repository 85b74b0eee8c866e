"""The actions that entries are about, as data: those that come with Lapse, and the operator's own beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lapse.dialects.jsonfile import read
from lapse.dialects.yuuvis.files import data_of
from lapse.errors import Complaint, PolicyError
from lapse.policyfile.tree import Entry, Mapped, Node, Scalar

FILE = "auditActionCatalogue.json"
"""Name of the operator's own catalogue, in the folder of the configuration."""

_BUILT_IN = Path(__file__).with_name("catalogue.json")
_CODE = re.compile(r"0|-?[1-9][0-9]{0,9}")
_HINT = 'Write {"version": "1", "actions": {"10001": "NAME"}}.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The actions that are known.

    Attributes:
        version: The version of the data, the operator's included.
        names: Name of each action by its code.
    """

    version: str
    names: Mapping[int, str]


def read_catalogue(folder: Path) -> Catalogue:
    """The catalogue that comes with Lapse, and over it the one in *folder*, if there is one.

    Raises:
        PolicyError: If that one is not as it must be.
    """
    ours = _catalogue(_BUILT_IN.read_bytes(), _BUILT_IN)
    own = folder / FILE
    data = data_of(own)
    if data is None:
        return ours
    theirs = _catalogue(data, own)
    return Catalogue(version=f"{ours.version}+{theirs.version}", names={**ours.names, **theirs.names})


def _catalogue(data: bytes, file: Path) -> Catalogue:
    complaints: list[Complaint] = []
    root = read(data, file, complaints)
    if root is not None:
        complaints += _wrong(root)
    if complaints or not isinstance(root, Mapped):
        raise PolicyError(f"{file} cannot be followed: nothing is removed", complaints=complaints)
    version, actions = root.get("version"), root.get("actions")
    names = {int(entry.key): _text(entry.node) for entry in actions.entries} if isinstance(actions, Mapped) else {}
    return Catalogue(version=_text(version), names=names)


def _wrong(root: Node) -> Iterator[Complaint]:
    if not isinstance(root, Mapped):
        yield Complaint(root.origin, "the catalogue must be an object with `version` and `actions`", _HINT)
        return
    yield from (_unknown(entry) for entry in root.entries if entry.key not in ("version", "actions"))
    if not _text(root.get("version")):
        yield Complaint(root.origin, "`version` must be text", _HINT)
    actions = root.get("actions")
    if not isinstance(actions, Mapped):
        yield Complaint(root.origin, "`actions` must be an object of names by code", _HINT)
        return
    for entry in actions.entries:
        if not _CODE.fullmatch(entry.key) or not _text(entry.node):
            yield Complaint(entry.origin, f"`{entry.key}` must be a whole number, and what it stands for text", _HINT)


def _unknown(entry: Entry) -> Complaint:
    return Complaint(entry.origin, f"unknown key `{entry.key}`", _HINT)


def _text(node: Node | None) -> str:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
