"""A policy and the files of its ``conf.d``, read and put together into one tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lapse.errors import Complaint, Origin, PolicyError
from lapse.policyfile.parsing import parse
from lapse.policyfile.tree import Entry, Listing, Mapped, Node, Scalar

FOLDER = "conf.d"
_ADD_UP = ("datasets", "archives", "guards", "pace", "schedule", "notify")
_UNREADABLE = "Run as a user who may read it."


def files_of(path: Path) -> list[Path]:
    """The policy and the files of ``conf.d`` beside it, in name order.

    Raises:
        PolicyError: If ``conf.d`` cannot be listed, or has a file that would be passed over.
    """
    return [path, *yaml_files(path.parent / FOLDER)]


def yaml_files(folder: Path) -> list[Path]:
    """The ``*.yaml`` files of a folder in name order; hidden ones are left out. No folder, no files.

    Raises:
        PolicyError: If it cannot be listed, or has a ``.yml`` file, which would be passed over.
    """
    try:
        found = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PolicyError(f"{folder} cannot be read: {error.strerror}", hint=_UNREADABLE) from error
    for each in found:
        if each.suffix.lower() in (".yml", ".yaml") and each.suffix != ".yaml":
            raise PolicyError(f"{each} would not be read", hint="Only *.yaml is; rename it, or move it away.")
    return [each for each in found if each.suffix == ".yaml"]


def read(path: Path, complaints: list[Complaint]) -> Mapped | None:
    """The tree of one file. None, with a complaint added, if it is no mapping in YAML.

    Raises:
        PolicyError: If the file cannot be read at all.
    """
    file = str(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise PolicyError(f"{file} is not there", hint="`lapse init` writes a policy to begin with.") from error
    except IsADirectoryError as error:
        raise PolicyError(f"{file} is a folder, not a file", hint="Name the file in it.") from error
    except OSError as error:
        raise PolicyError(f"{file} cannot be read: {error.strerror}", hint=_UNREADABLE) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        complaints.append(_not_utf8(file, data, error.start))
        return None
    root = parse(text, file, complaints)
    if root is None or isinstance(root, Mapped):
        return root
    kind = "a list" if isinstance(root, Listing) else "a single value"
    complaints.append(Complaint(root.origin, f"the file must be a mapping of keys, not {kind}"))
    return None


def _not_utf8(file: str, data: bytes, position: int) -> Complaint:
    line = data[:position].split(b"\n")
    origin = Origin(file, len(line), len(line[-1].decode("utf-8-sig", "replace")) + 1)
    return Complaint(origin, f"this is not UTF-8 text: byte 0x{data[position]:02x}", "Save the file as UTF-8.")


def merge(roots: Iterable[Mapped], complaints: list[Complaint]) -> Mapped:
    """One tree of several: names and guards add up, lists follow one another, other keys stand once."""
    merged: dict[str, Entry] = {}
    origin: Origin | None = None
    for root in roots:
        origin = origin or root.origin
        for entry in root.entries:
            earlier = merged.get(entry.key)
            merged[entry.key] = entry if earlier is None else _joined(earlier, entry, complaints)
    return Mapped(tuple(merged.values()), origin or Origin("", 1, 1))


def _joined(one: Entry, other: Entry, complaints: list[Complaint]) -> Entry:
    match one.node, other.node:
        case Mapped() as first, Mapped() as second if one.key in _ADD_UP:
            entries = (*first.entries, *_new(one.key, first, second, complaints))
            node: Node = Mapped(entries, first.origin)
        case Listing() as first, Listing() as second:
            node = Listing((*first.items, *second.items), first.origin)
        case Scalar(), Scalar() if one.key != "version":
            complaints.append(_twice(one.key, one, other))
            return one
        case Scalar(), Mapped() | Listing():
            return other  # the shape complains about the scalar
        case _:
            return one
    return Entry(one.key, node, one.origin)


def _new(kind: str, first: Mapped, second: Mapped, complaints: list[Complaint]) -> Iterator[Entry]:
    for entry in second.entries:
        earlier = first.entry(entry.key)
        if earlier is None:
            yield entry
        else:
            complaints.append(_twice(f"{kind}.{entry.key}", earlier, entry))


def _twice(name: str, first: Entry, second: Entry) -> Complaint:
    what = f"`{name}` stands at {first.origin} already"
    return Complaint(second.origin, what, "Each name stands once in the policy and its conf.d; keep one of the two.")
