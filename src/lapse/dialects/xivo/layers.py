"""The configuration's files, found and put together into one tree: the first that has a value wins."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from lapse.dialects.xivo.checks import complaints_about
from lapse.dialects.xivo.tables import ALIASES
from lapse.dialects.yamlfile import read
from lapse.errors import Complaint, Origin, PolicyError
from lapse.policyfile.tree import Entry, Mapped, Scalar

ETC_VARIABLE = "LAPSE_XIVO_ETC"
"""Environment variable that names a folder to read instead of ``/etc``."""

_FOLDERS = ("wazo-purge-db", "xivo-purge-db")
_CONFIG = "config.yml"
_EXTRA = "extra_config_files"


@dataclass(frozen=True, slots=True)
class Layers:
    """What the files say.

    Attributes:
        file: ``config.yml``, whether it is there or not.
        tree: Everything that is written, merged.
        warnings: What someone should look at.
    """

    file: Path
    tree: Mapped
    warnings: tuple[str, ...]


def etc() -> Path:
    """The folder that the configuration lies in: ``LAPSE_XIVO_ETC``, else ``/etc``."""
    return Path(os.environ.get(ETC_VARIABLE) or "/etc").absolute()


def read_layers(root: Path, purgers: Collection[str]) -> Layers:
    """Read ``config.yml`` below *root*, and the files that override it.

    Arguments:
        root: The folder to read as ``/etc``.
        purgers: Names that a purger may have.

    Raises:
        PolicyError: With everything that is wrong, each with file and line.
    """
    file = _config_file(root)
    complaints: list[Complaint] = []
    warnings = [] if os.path.lexists(file) else [f"there is no {file}: what is built in counts"]
    main = Mapped((), Origin(str(file), 1, 1)) if warnings else _read(file, complaints)
    extras = list(_extras(file, main, complaints))
    trees = [_renamed(tree, complaints, warnings) for tree in (*extras, main)]
    for tree in trees:
        complaints += complaints_about(tree, purgers)
    if complaints:
        count = "1 problem" if len(complaints) == 1 else f"{len(complaints)} problems"
        raise PolicyError(f"the configuration in {file.parent} has {count}", complaints=complaints)
    warnings += [f"{tree.origin.file}: `{_EXTRA}` counts in {_CONFIG} only" for tree in extras if tree.get(_EXTRA)]
    return Layers(file, _merged(trees), tuple(warnings))


def _config_file(root: Path) -> Path:
    files = [root / folder / _CONFIG for folder in _FOLDERS]
    written = [file for file in files if os.path.lexists(file)]
    there = [file for file in files if file.parent.is_dir()]
    return [*written, *there, *files][0]


def _extras(file: Path, main: Mapped, complaints: list[Complaint]) -> Iterator[Mapped]:
    """The files that override ``config.yml``, those first that count first."""
    moved = main.get(_EXTRA)
    folder = file.parent / "conf.d"
    if isinstance(moved, Scalar) and isinstance(moved.value, str):
        folder = file.parent / moved.value
    try:
        files = sorted(folder.iterdir(), key=lambda file: file.name)
    except FileNotFoundError:
        if moved is not None:
            hint = "Make the folder, or take the key out: overrides that are not found would not be followed."
            complaints.append(Complaint(moved.origin, f"`{_EXTRA}`: there is no folder {folder}", hint))
        return
    except OSError as error:
        hint = "Let the user that lapse runs as read it."
        complaints.append(Complaint(Origin(str(folder), 1, 1), f"this cannot be listed: {error.strerror}", hint))
        return
    for each in files:
        if each.name.endswith(".yml") and not each.name.startswith("."):
            yield _read(each, complaints)


def _read(file: Path, complaints: list[Complaint]) -> Mapped:
    """The tree of one file; a pipe would keep the purge waiting for somebody to write into it."""
    if not file.is_fifo():
        return read(file, complaints)
    nothing = Mapped((), Origin(str(file), 1, 1))
    complaints.append(Complaint(nothing.origin, "this is a pipe, not a file", "Put a file there, or take it away."))
    return nothing


def _renamed(tree: Mapped, complaints: list[Complaint], warnings: list[str]) -> Mapped:
    """The tree with purgers called what they are really called."""

    def rename(node: Mapped) -> Mapped:
        for entry in node.entries:
            name = ALIASES.get(entry.key)
            other = None if name is None else node.entry(name)
            if other is not None:
                what = f"`{entry.key}` is `{name}`, which stands at {other.origin} already"
                complaints.append(Complaint(entry.origin, what, "Keep one of the two."))
            elif name is not None:
                warnings.append(f"{entry.origin}: `{entry.key}` is really called `{name}`, and is taken for it")
        return Mapped(tuple(replace(e, key=ALIASES.get(e.key, e.key)) for e in node.entries), node.origin)

    tree = _changed(tree, "days_to_keep_per_plugin", rename)
    return _changed(tree, "enabled_plugins", lambda plugins: _changed(plugins, "purgers", rename))


def _changed(tree: Mapped, key: str, change: Callable[[Mapped], Mapped]) -> Mapped:
    """The tree with what stands at *key* changed, if that is a mapping."""
    entries = (
        replace(entry, node=change(entry.node)) if entry.key == key and isinstance(entry.node, Mapped) else entry
        for entry in tree.entries
    )
    return Mapped(tuple(entries), tree.origin)


def _merged(trees: Iterable[Mapped]) -> Mapped:
    """One tree of several, those first that count first; mappings are merged key by key, at every level."""
    first, *rest = trees
    for tree in rest:
        first = _over(first, tree)
    return first


def _over(high: Mapped, low: Mapped) -> Mapped:
    entries = {entry.key: entry for entry in low.entries}
    for entry in high.entries:
        below = entries.get(entry.key)
        if below is not None and isinstance(below.node, Mapped) and isinstance(entry.node, Mapped):
            entries[entry.key] = Entry(entry.key, _over(entry.node, below.node), entry.origin)
        else:
            entries[entry.key] = entry
    return Mapped(tuple(entries.values()), high.origin)
