"""Hold files: the folder ``holds/`` beside a policy, one legal hold a file."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lapse.errors import Complaint, HoldsError, PolicyError, UsageError
from lapse.instant import rfc3339
from lapse.model.match import Condition
from lapse.model.policy import Hold
from lapse.policyfile import build, merge, scopes, sets
from lapse.policyfile.fields import ROLES
from lapse.policyfile.loading import in_order, raise_complaints
from lapse.policyfile.models import HoldShape
from lapse.policyfile.parsing import parse
from lapse.policyfile.secrets import escaped
from lapse.policyfile.shape import misshapen, shaped
from lapse.policyfile.tree import Mapped
from lapse.policyfile.wanted import NOT
from lapse.policyfile.words import did_you_mean

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+|^[^A-Za-z0-9]")
_LONGEST_NAME = 80
_ANY_HOLD = ("holds", 0)  # where a policy would have it

_Data: TypeAlias = "str | int | Sequence[_Data] | Mapping[str, _Data]"


@dataclass(frozen=True, slots=True)
class _HoldFile:
    path: Path
    hold: Hold


def load_holds(folder: Path, *, datasets: Collection[str] | None = None) -> tuple[Hold, ...]:
    """Every hold in a folder, in the order of the file names. No folder, no holds.

    Arguments:
        folder: Usually ``holds`` beside the policy.
        datasets: Names of the policy's datasets, of which a hold may name one. None takes any name.

    Raises:
        HoldsError: If the folder or a file in it cannot be read.
        PolicyError: If a file is no hold, with every complaint about all of them.
    """
    return tuple(each.hold for each in _read_all(folder, datasets))


def write_hold(folder: Path, hold: Hold) -> Path:
    """Write a hold to a file of its own, durably, and return its path. Nothing is ever overwritten.

    Raises:
        UsageError: If its matter has a hold there already, or if it cannot be said in a file.
        HoldsError: If the folder cannot be read or written.
        PolicyError: If a file in the folder is no hold.
    """
    if any(each.hold.matter == hold.matter for each in _read_all(folder, None)):
        raise UsageError(f"there is a hold {hold.matter!r} already", hint="Release it first, or choose another matter.")
    text = _text_of(hold)
    path = folder / f"{_file_name(hold.matter)}.yaml"
    try:
        _make_folder(folder)
        _create(path, text.encode())
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", hint="Move it away, or choose another matter.") from error
    except OSError as error:
        raise HoldsError(f"{path} cannot be written: {error.strerror}") from error
    return path


def remove_hold(folder: Path, matter: str) -> Hold:
    """Remove the file of a hold, durably, and return what it held.

    Raises:
        UsageError: If no file has that matter.
        HoldsError: If the folder cannot be read or written.
        PolicyError: If a file in the folder is no hold.
    """
    found = {each.hold.matter: each for each in _read_all(folder, None)}
    if matter not in found:
        raise UsageError(f"there is no hold {matter!r} in {folder}", hint=did_you_mean(matter, found))
    path = found[matter].path
    try:
        path.unlink()
        _sync(folder)
    except OSError as error:
        raise HoldsError(f"{path} cannot be removed: {error.strerror}") from error
    return found[matter].hold


def _read_all(folder: Path, datasets: Collection[str] | None) -> list[_HoldFile]:
    try:
        files = tuple((file, merge.content(file)) for file in merge.yaml_files(folder))
    except PolicyError as error:  # it could not be read at all
        hint = f"Nothing is removed while holds cannot be read. {error.hint or ''}".rstrip()
        raise HoldsError(error.message, hint=hint) from error
    return list(_parsed(str(folder), files, None if datasets is None else tuple(datasets)))


@lru_cache(maxsize=4)  # a run reads the same files again before each commit, and they may name very many keys
def _parsed(
    folder: str, files: tuple[tuple[Path, bytes], ...], datasets: tuple[str, ...] | None
) -> tuple[_HoldFile, ...]:
    complaints: list[Complaint] = []
    roots: list[tuple[Path, Mapped]] = []
    for file, data in files:
        root = merge.parsed(file, data, complaints)
        if root is not None:
            roots.append((file, root))
    complaints += _complaints([root for _, root in roots], datasets)
    raise_complaints(folder, in_order(complaints, [str(file) for file, _ in files]))
    shapes = ((file, root.origin, shaped(HoldShape, root)) for file, root in roots)
    return tuple(_HoldFile(file, build.hold_of(shape, origin)) for file, origin, shape in shapes if shape is not None)


def _complaints(roots: list[Mapped], datasets: Collection[str] | None) -> list[Complaint]:
    found = [complaint for root in roots for complaint in misshapen(HoldShape, root, at=_ANY_HOLD)]
    found += [complaint for root in roots for complaint in scopes.stray_references(root)]
    found += [complaint for root in roots for complaint in _named_sets(root)]
    return [*found, *scopes.bad_holds(roots, datasets)]


def _named_sets(root: Mapped) -> Iterator[Complaint]:
    """Sets that a hold names: the policy could change them, and with them what is held."""
    for scalar in sets.references(root, at=_ANY_HOLD):
        hint = f"Write its values out. A text that begins so is written `glob:{scalar.shown}`."
        yield Complaint(scalar.origin, f"`{scalar.shown}`: a hold file names no set", hint)


def _text_of(hold: Hold) -> str:
    """The hold in YAML, proven to say the same when it is read."""
    times = {
        "since": hold.since,
        "until": hold.until,
        "records from": hold.records_from,
        "records before": hold.records_before,
    }
    data = {
        "matter": escaped(hold.matter),
        "match": _match_data(hold),
        **({"keys": [escaped(key) for key in sorted(set(hold.keys))]} if hold.keys else {}),
        **({"reason": escaped(hold.reason)} if hold.reason else {}),
        **{key: rfc3339(instant) for key, instant in times.items() if instant is not None},
    }
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False
    stream = StringIO()
    try:
        yaml.dump(data, stream)
        text = stream.getvalue()
        text.encode()
    except (YAMLError, UnicodeEncodeError) as error:
        raise UsageError(f"the hold {hold.matter!r} has characters that no file can hold") from error
    _prove(text, hold)
    return text


def _prove(text: str, hold: Hold) -> None:
    complaints: list[Complaint] = []
    root = parse(text, "", complaints)
    if isinstance(root, Mapped):
        complaints += _complaints([root], None)
        shape = shaped(HoldShape, root)
        if not complaints and shape is not None and build.hold_of(shape, root.origin).facts() == hold.facts():
            return
    why = complaints[0].message if complaints else "Name each field once, and match no text that begins with `glob:`."
    raise UsageError(f"the hold {hold.matter!r} cannot be said in a file", hint=why)


def _match_data(hold: Hold) -> str | dict[str, _Data]:
    conditions = {_key(each): _wanted(each) for each in hold.match.conditions}
    scope: dict[str, _Data] = {"dataset": escaped(hold.dataset)} if hold.dataset is not None else {}
    return {**scope, **conditions} or "all"


def _key(condition: Condition) -> str:
    if not condition.role and condition.field in (*ROLES, "dataset"):
        return f"$.{condition.field}"
    return condition.role or condition.field


def _wanted(condition: Condition) -> _Data:
    found: list[_Data] = [escaped(text) for text in (*condition.values, *map(str, condition.globs))]
    for each in condition.ranges:
        ends = (("from", each.first), ("to", each.last))
        found.append({key: number for key, number in ends if number is not None})
    wanted = found[0] if len(found) == 1 else found
    return {NOT: wanted} if condition.negated else wanted


def _file_name(matter: str) -> str:
    """The matter itself where it is safe as a file name, else what is safe of it and a digest."""
    safe = _UNSAFE.sub("_", matter)[:_LONGEST_NAME]
    return safe if safe == matter else f"{safe}-{sha256(matter.encode()).hexdigest()[:8]}"


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True)
        _sync(folder.parent)


def _create(path: Path, data: bytes) -> None:
    """Let *path* appear whole or not at all, unless it is there already."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # A link is the rename that refuses to replace what stands there.
        path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
