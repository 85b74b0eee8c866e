"""``cleanupConfiguration.json`` in, how long the entries of each action are kept out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lapse.dialects.jsonfile import read
from lapse.dialects.yuuvis.catalogue import Catalogue, read_catalogue
from lapse.dialects.yuuvis.files import data_of
from lapse.errors import Complaint, Origin, PolicyError
from lapse.policyfile.similar import nearest
from lapse.policyfile.tree import Entry, Listing, Mapped, Node, Scalar

FILE = Path("config/system/cleanupConfiguration.json")
"""Where the configuration lies, below the working folder."""

MOST_DAYS = 3_650_000
"""About 10,000 years: what is to be kept for longer is kept for ever."""

_AUDIT, _DEFAULT, _ACTIONS = "audit", "defaultCleanupAfterDays", "actions"
_ACTION, _DAYS, _COMMENT = "action", "cleanupAfterDays", "comment"
_SLIP = 0.8  # likeness from which another section is a misspelt one of ours
_HINT = "Write a whole number of days, without quotes; a negative one keeps for ever."
_CODE_HINT = "Write the code of an action, like 400, without quotes."


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How long the entries of one action are kept.

    Attributes:
        action: The code.
        days: Days of 86,400 s; negative for ever.
        origin: Where it is written.
    """

    action: int
    days: int
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the configuration says.

    Attributes:
        file: The file, absolute, whether it is there or not.
        sha256: Digest of its bytes. None if it is missing.
        default: Days for the actions that are not listed; negative for ever. None if nothing says so, which keeps.
        ages: The listed actions that are known, each once, by code.
        ignored: Codes of listed actions that are not known: their entries are kept.
        catalogue: The actions that are known.
        warnings: What someone should look at.
    """

    file: Path
    sha256: str | None
    default: int | None
    ages: tuple[Age, ...]
    ignored: tuple[int, ...]
    catalogue: Catalogue
    warnings: tuple[str, ...]


def read_configuration(folder: Path) -> Configuration:
    """Read the configuration below the working folder *folder*.

    Raises:
        PolicyError: With everything that is wrong in it, each with file, line and column.
    """
    file = folder / FILE
    data = data_of(file)
    catalogue = read_catalogue(file.parent)
    if data is None:
        warning = f"there is no {file}: nothing is deleted"
        return Configuration(
            file=file, sha256=None, default=None, ages=(), ignored=(), catalogue=catalogue, warnings=(warning,)
        )
    complaints: list[Complaint] = []
    root = read(data, file, complaints)
    complaints += () if root is None else _complaints(root)
    if complaints or not isinstance(root, Mapped):
        count = "1 problem" if len(complaints) == 1 else f"{len(complaints)} problems"
        raise PolicyError(f"{file} has {count}: nothing is removed", complaints=complaints)
    return _configuration(file, sha256(data).hexdigest(), root, catalogue)


def _configuration(file: Path, digest: str, root: Mapped, catalogue: Catalogue) -> Configuration:
    listed = root.get(_AUDIT, _ACTIONS)
    written = [_age(item) for item in listed.items if isinstance(item, Mapped)] if isinstance(listed, Listing) else []
    default = root.get(_AUDIT, _DEFAULT)
    known = {age.action: age for age in _by_protection(written) if age.action in catalogue.names}
    warnings = [
        *_unknown_keys(root), *_without_default(root), *_contradictions(written),
        *_endless(default, written), *_ignored(written, catalogue),
    ]  # fmt: skip
    return Configuration(
        file=file,
        sha256=digest,
        default=None if default is None else _number(default),
        ages=tuple(known[action] for action in sorted(known)),
        ignored=tuple(sorted({age.action for age in written if age.action not in catalogue.names})),
        catalogue=catalogue,
        warnings=tuple(warnings),
    )


def _by_protection(ages: Sequence[Age]) -> list[Age]:
    """The ages, those that keep for longer later."""
    return sorted(ages, key=lambda age: (age.days < 0, age.days))


def _age(node: Mapped) -> Age:
    action, days = node.get(_ACTION), node.get(_DAYS)
    return Age(action=_number(action), days=_number(days), origin=node.origin)


def _number(node: Node | None) -> int:
    if not isinstance(node, Scalar) or not isinstance(node.value, int):
        raise TypeError("only what was found to be a whole number is read as one")
    return node.value


# What is wrong


def _complaints(root: Node) -> Iterator[Complaint]:
    if not isinstance(root, Mapped):
        yield _must(root, "the configuration", "an object", 'Write {"audit": {…}}.')
        return
    audit = root.get(_AUDIT)
    if audit is None:
        return
    if not isinstance(audit, Mapped):
        yield _must(audit, f"`{_AUDIT}`", "an object", f"Write `{_DEFAULT}` and `{_ACTIONS}` in it.")
        return
    default, actions = audit.get(_DEFAULT), audit.get(_ACTIONS)
    if default is not None:
        yield from _not_a_number(default, f"`{_AUDIT}.{_DEFAULT}`")
    if actions is None:
        return
    if not isinstance(actions, Listing):
        yield _must(actions, f"`{_AUDIT}.{_ACTIONS}`", "a list", f'Write [{{"{_ACTION}": 400, "{_DAYS}": 10}}].')
        return
    for index, item in enumerate(actions.items):
        yield from _wrong_mapping(item, f"{_AUDIT}.{_ACTIONS}[{index}]")


def _wrong_mapping(node: Node, path: str) -> Iterator[Complaint]:
    if not isinstance(node, Mapped):
        yield _must(node, f"`{path}`", f"an object with `{_ACTION}` and `{_DAYS}`")
        return
    for key in (_ACTION, _DAYS):
        value = node.get(key)
        if value is None:
            near = nearest(key, [entry.key for entry in node.entries], _SLIP)
            hint = f"Did you mean it by `{near}`?" if near else f"Add `{key}`."
            yield Complaint(node.origin, f"`{path}` has no `{key}`", hint)
        else:
            yield from _not_a_number(value, f"`{path}.{key}`", _HINT if key == _DAYS else _CODE_HINT)


def _not_a_number(node: Node, path: str, hint: str = _HINT) -> Iterator[Complaint]:
    is_number = isinstance(node, Scalar) and isinstance(node.value, int) and not isinstance(node.value, bool)
    if not is_number:
        yield _must(node, path, "a whole number", hint)
    elif isinstance(node, Scalar) and node.text == "-0":
        yield Complaint(node.origin, f"{path}: -0 can be read in two ways", "Write 0, or a negative number.")


def _must(node: Node, path: str, what: str, hint: str | None = None) -> Complaint:
    return Complaint(node.origin, f"{path} must be {what}, not {_kind(node)}", hint)


def _kind(node: Node) -> str:
    match node:
        case Mapped():
            return "an object"
        case Listing():
            return "a list"
        case Scalar(value=str()):
            return "text"
        case Scalar(text=text):
            return text[:20]


# What someone should look at


def _unknown_keys(root: Mapped) -> Iterator[str]:
    for entry in root.entries:
        if entry.key != _AUDIT and nearest(entry.key, [_AUDIT], _SLIP) is not None:
            yield _unknown(entry, "")
    audit = root.get(_AUDIT)
    if not isinstance(audit, Mapped):
        return
    yield from (_unknown(entry, f"{_AUDIT}.") for entry in audit.entries if entry.key not in (_DEFAULT, _ACTIONS))
    actions = audit.get(_ACTIONS)
    for index, item in enumerate(actions.items if isinstance(actions, Listing) else ()):
        for entry in item.entries if isinstance(item, Mapped) else ():
            if entry.key not in (_ACTION, _DAYS, _COMMENT):
                yield _unknown(entry, f"{_AUDIT}.{_ACTIONS}[{index}].")


def _unknown(entry: Entry, path: str) -> str:
    known = [_AUDIT] if not path else [_DEFAULT, _ACTIONS] if path == f"{_AUDIT}." else [_ACTION, _DAYS, _COMMENT]
    near = nearest(entry.key, known, _SLIP)
    meant = f"; `{near}` is meant, perhaps" if near else ""
    return f"{entry.origin}: the key `{path}{entry.key}` is unknown and is passed over{meant}"


def _without_default(root: Mapped) -> Iterator[str]:
    audit = root.get(_AUDIT)
    if not isinstance(audit, Mapped) or not audit.entries:
        yield f"{root.origin}: there is nothing in `{_AUDIT}`: nothing is deleted"
    elif audit.get(_DEFAULT) is None:
        yield f"{audit.origin}: there is no `{_DEFAULT}`: entries of actions that are not listed are kept"


def _contradictions(written: Sequence[Age]) -> Iterator[str]:
    for action in sorted({age.action for age in written}):
        ages = [age for age in written if age.action == action]
        if len(ages) > 1:
            places = ", ".join(str(age.origin) for age in ages)
            yield f"action {_shown(action)} has {len(ages)} mappings, at {places}: the one that keeps for longer counts"


def _endless(default: Node | None, written: Sequence[Age]) -> Iterator[str]:
    found = [(age.origin, f"action {_shown(age.action)}", age.days) for age in written]
    if default is not None:
        found.append((default.origin, f"`{_DEFAULT}`", _number(default)))
    for origin, what, days in found:
        if days > MOST_DAYS:
            yield f"{origin}: {what} is to be kept for longer than the calendar is: it is kept for ever"


def _ignored(written: Sequence[Age], catalogue: Catalogue) -> Iterator[str]:
    for age in written:
        if age.action not in catalogue.names:
            yield (
                f"{age.origin}: action {_shown(age.action)} is not in the catalogue of version {catalogue.version}:"
                " the mapping is ignored, and its entries are kept"
            )


def _shown(number: int) -> str:
    """A code for people; huge ones are not written out."""
    return str(number) if abs(number) < 10**18 else "of a huge number"
