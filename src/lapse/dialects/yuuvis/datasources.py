"""``storage.datasources`` of the service's ``application-dbs.yml``: where its databases are, and who logs in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lapse.dialects.yamlfile import read
from lapse.dialects.yuuvis.files import is_missing
from lapse.errors import Complaint, Origin
from lapse.policyfile.tree import Listing, Mapped, Node, Scalar

_PLACES = (Path("config/application-dbs.yml"), Path("application-dbs.yml"))
_ROOT = "storage.datasources"
_PATH = re.compile(r"storage\.datasources(?:\.?(?P<name>\[[^]]+\]|(?<=\.)[^.]+))?\.(?P<key>url|username|password)")
_OTHER = re.compile(r"storage\.datasources\.?(?P<name>\[[^]]+\]|(?<=\.)[^.]+).*", re.DOTALL)
_REFERENCE = re.compile(r"\$\{(?P<name>[^:{}]+)(?::(?P<default>[^{}]*))?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Datasource:
    """One database of the service.

    Attributes:
        name: What the service calls it: its key, its place in a list, or nothing where it is the only one.
        url: Its JDBC URL. May hold a secret.
        username: Who logs in. None if it is not said.
        password: With what. None if it is not said.
        origin: Where its URL is written.
    """

    name: str
    url: str = field(repr=False)
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    origin: Origin


def datasources_file(folder: Path) -> Path | None:
    """The service's file, found as the service finds it. None if its name does not exist.

    Raises:
        PolicyError: If that cannot be told.
    """
    return next((folder / place for place in _PLACES if not is_missing(folder / place)), None)


def read_datasources(file: Path, environment: Mapping[str, str], complaints: list[Complaint]) -> tuple[Datasource, ...]:
    """The databases that *file* names, in its order.

    Arguments:
        file: The file.
        environment: What ``${NAME}`` stands for.
        complaints: Gets everything that is wrong.
    """
    root = read(file, complaints, merging=True)
    if complaints:
        return ()
    values: dict[str, dict[str, tuple[str, Origin]]] = {}
    for path, node in _leaves(root):
        if (match := _PATH.fullmatch(path)) is not None:
            text = _text(node, path, environment, complaints)
            values.setdefault(match["name"] or "", {})[match["key"]] = (text, node.origin)
        elif (match := _OTHER.fullmatch(path)) is not None:
            values.setdefault(match["name"], {})
    if "" in values:  # what stands beside its address is a setting, and no other database
        values = {name: each for name, each in values.items() if each}
    found = tuple(_datasource(name, each, root, complaints) for name, each in values.items())
    if not values:
        hint = "Name the databases there, or say --store."
        complaints.append(Complaint(root.origin, f"there is nothing under `{_ROOT}`", hint))
    return tuple(each for each in found if each is not None)


def _datasource(
    name: str, values: Mapping[str, tuple[str, Origin]], root: Mapped, complaints: list[Complaint]
) -> Datasource | None:
    if not values.get("url", ("", None))[0]:
        which = f"the datasource `{name}`" if name else f"`{_ROOT}`"
        complaints.append(Complaint(root.origin, f"{which} has no `url`", "Add it."))
        return None
    url, origin = values["url"]
    username, password = (values[key][0] if key in values else None for key in ("username", "password"))
    return Datasource(name=name, url=url, username=username, password=password, origin=origin)


def _leaves(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every value by its path; keys with dots in them and nested keys are the same, and parts of lists have numbers."""
    if isinstance(node, Listing) and node.items:
        for number, item in enumerate(node.items):
            yield from _leaves(item, f"{path}[{number}]")
    elif isinstance(node, Mapped) and node.entries:
        for entry in node.entries:
            yield from _leaves(entry.node, f"{path}.{entry.key}" if path else entry.key)
    elif path:
        yield path, node


def _text(node: Node, path: str, environment: Mapping[str, str], complaints: list[Complaint]) -> str:
    if not isinstance(node, Scalar) or node.value is None:
        complaints.append(Complaint(node.origin, f"`{path}` must be text"))
        return ""

    def value_of(match: re.Match[str]) -> str:
        default: str | None = match["default"]
        found = environment.get(match["name"], default)
        if found is None:
            hint = f"Set {match['name']}, or say --store."
            complaints.append(Complaint(node.origin, f"`{path}` names a variable that is not set", hint))
        return found or ""

    return _REFERENCE.sub(value_of, node.text)
