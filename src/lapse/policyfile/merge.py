"""A policy and the files of its ``conf.d``, read and put together into one tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lapse.errors import Complaint, Origin, PolicyError
from lapse.policyfile import tenants
from lapse.policyfile.parsing import parse
from lapse.policyfile.tree import Entry, Listing, Mapped, Scalar, children, items

FOLDER = "conf.d"
_ADD_UP = ("datasets", "archives", "sets", "guards", "pace", "schedule", "notify")
_UNREADABLE = "Run as a user who may read it."
_MEND_LINK = "Bring back what it leads to, or remove the link."


def files_of(path: Path) -> list[Path]:
    """The policy and the files of ``conf.d`` beside it, in name order.

    Raises:
        PolicyError: If ``conf.d`` cannot be listed, or has a file that would be passed over.
    """
    return [path, *yaml_files(path.parent / FOLDER)]


def yaml_files(folder: Path) -> list[Path]:
    """The ``*.yaml`` files of a folder in name order; hidden ones are left out. No folder, no files.

    Raises:
        PolicyError: If it cannot be listed, is a link that leads nowhere, as to a volume that is not mounted, or has a
            ``.yml`` file, which would be passed over.
    """
    try:
        found = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except FileNotFoundError as error:
        if folder.is_symlink():
            raise PolicyError(f"{folder} is a link that leads nowhere", hint=_MEND_LINK) from error
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
    return parsed(path, content(path), complaints)


def content(path: Path) -> bytes:
    """The bytes of one file.

    Raises:
        PolicyError: If it cannot be read.
    """
    file = str(path)
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        if path.is_symlink():
            raise PolicyError(f"{file} is a link that leads nowhere", hint=_MEND_LINK) from error
        raise PolicyError(f"{file} is not there", hint="`lapse init` writes a policy to begin with.") from error
    except IsADirectoryError as error:
        raise PolicyError(f"{file} is a folder, not a file", hint="Name the file in it.") from error
    except OSError as error:
        raise PolicyError(f"{file} cannot be read: {error.strerror}", hint=_UNREADABLE) from error


def parsed(path: Path, data: bytes, complaints: list[Complaint]) -> Mapped | None:
    """The tree of the content of one file; else as `read`."""
    file = str(path)
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
    found: dict[str, list[Entry]] = {}
    origin: Origin | None = None
    for root in roots:
        origin = origin or root.origin
        for entry in root.entries:
            found.setdefault(entry.key, []).append(entry)
    return Mapped(tuple(_joined(entries, complaints) for entries in found.values()), origin or Origin("", 1, 1))


def _joined(entries: Sequence[Entry], complaints: list[Complaint]) -> Entry:
    """All that stands under one key of the policy."""
    first = entries[0]
    nodes = [entry.node for entry in entries if not isinstance(entry.node, Scalar)]
    if len(entries) == 1 or not nodes:
        others = entries[1:] if first.key != "version" else ()
        complaints += (_twice(first.key, first, other) for other in others)
        return first
    node = nodes[0]  # the shape complains about what has another form than the first
    if isinstance(node, Listing):
        node = Listing(tuple(item for each in nodes for item in items(each)), node.origin)
    elif first.key in _ADD_UP:
        node = _sum(first.key, [each for each in nodes if isinstance(each, Mapped)], complaints)
    return Entry(first.key, node, first.origin)


def _sum(kind: str, parts: Sequence[Mapped], complaints: list[Complaint]) -> Mapped:
    """Several mappings in one, in which each name stands once."""
    found: dict[str, list[Entry]] = {}
    for entry in (entry for part in parts for entry in part.entries):
        found.setdefault(entry.key, []).append(entry)
    return Mapped(tuple(_only(kind, entries, complaints) for entries in found.values()), parts[0].origin)


def _only(kind: str, entries: Sequence[Entry], complaints: list[Complaint]) -> Entry:
    """What stands under one name; those parts of a dataset that say nothing but tenants are added to the one."""
    added = [entry for entry in entries if kind == "datasets" and tenants.added_alone(entry.node)]
    whole = [entry for entry in entries if kind != "datasets" or not tenants.added_alone(entry.node)]
    complaints += (_twice(f"{kind}.{other.key}", whole[0], other) for other in whole[1:])
    first, *others = [*whole[:1], *added]
    return _with_tenants(first, others, complaints)


def _with_tenants(dataset: Entry, added: Sequence[Entry], complaints: list[Complaint]) -> Entry:
    """A dataset with the tenants of other files added to its own."""
    if not isinstance(dataset.node, Mapped) or not added:
        return dataset  # the shape complains about what is no mapping
    own = dataset.node.entry(tenants.KEY)
    sections = [*([own] if own else []), *(entry for each in added for entry in children(each.node))]
    parts = [entry.node for entry in sections if isinstance(entry.node, Mapped)]
    if not parts:
        return dataset
    both = Entry(tenants.KEY, _sum(f"datasets.{dataset.key}.{tenants.KEY}", parts, complaints), sections[0].origin)
    entries = [both if entry is own else entry for entry in dataset.node.entries]
    return Entry(dataset.key, Mapped((*entries, *([] if own else [both])), dataset.node.origin), dataset.origin)


def _twice(name: str, first: Entry, second: Entry) -> Complaint:
    what = f"`{name}` stands at {first.origin} already"
    return Complaint(second.origin, what, "Each name stands once in the policy and its conf.d; keep one of the two.")
