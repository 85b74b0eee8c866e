"""Looking at a store to propose a policy for it: an address in, the text of a commented ``lapse.yaml`` out."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lapse.engine.proposing import Proposed, policy_text
from lapse.errors import LapseError, StoreMissingError, UnsupportedError, UsageError
from lapse.policyfile.addresses import store_address, target_address
from lapse.policyfile.conflicts import folders_in_stores
from lapse.policyfile.secrets import AddressError, escaped
from lapse.ports import Inspectable, Sketch
from lapse.registry import STORES, scheme_of, store_class

_ARCHIVES = ("./lapse-archive", "../lapse-archive", "../../lapse-archive", "/var/lib/lapse/archive")
_SQLITE_MAGIC = b"SQLite format 3\x00"
_DUCKDB_MAGIC = b"DUCK"
_DUCKDB_OFFSET = 8
_LOG_WORD = re.compile(
    r"log|audit|event|histor|trail|journal|visit|activit|record|message|cdr|(^|_)cel(_|$)", re.IGNORECASE
)
_REGISTRY_WORD = re.compile(r"schemas?\b|registry|config|settings|manifest|checkpoint", re.IGNORECASE)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A policy that keeps everything until it is edited, and what it was made from.

    Attributes:
        text: The file's text.
        datasets: What became a dataset, in file order.
        others: Tables and files that were seen and left out.
    """

    text: str
    datasets: tuple[Proposed, ...]
    others: tuple[Sketch, ...]


def propose(address: str, *, table: str | None = None, folder: Path | None = None) -> Proposal:
    """Look at a store and propose a policy.

    Arguments:
        address: A store's URL; or the path of a SQLite or DuckDB file, of a log file, or of a folder of them;
            or a glob. Relative paths start at the working folder.
        table: Propose this table only. None proposes the tables that look like logs.
        folder: The folder in which the policy will lie; addresses below it are written relative to it.
            None is the working folder.

    Raises:
        UsageError: If nothing there could be a dataset.
        StoreError: If the store cannot be read.
    """
    home = (folder or Path.cwd()).absolute()
    full = _full_address(address)
    kind = store_class(full)
    if not issubclass(kind, Inspectable):
        raise UnsupportedError(
            f"{scheme_of(full, default='jsonl')} stores cannot be looked at",
            hint="Write the policy by hand; docs/policy.md says how.",
        )
    sketches = tuple(kind.inspect(full))
    chosen, others = _choose(sketches, table, shown=address)
    archive = _archive([sketch.store for sketch in chosen], home)
    chosen, others = (
        tuple(replace(each, store=_shown(each.store, home)) for each in some) for some in (chosen, others)
    )
    datasets = _named(chosen)
    return Proposal(
        text=policy_text(datasets, others, archive=archive),
        datasets=datasets,
        others=others,
    )


def write_proposal(path: Path, proposal: Proposal, *, force: bool = False) -> None:
    """Write the policy to *path*, durably.

    Arguments:
        path: The policy file.
        proposal: What to write.
        force: Whether a file that is there is replaced, at once or not at all.

    Raises:
        UsageError: If a file is there already, or it cannot be written. Nothing was changed.
    """
    if not path.name or path.is_dir():
        raise UsageError(f"{path} is a folder, not a file", hint="Name the policy file with --policy FILE.")
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    with _translated(path):
        try:
            with draft.open("x", encoding="utf-8") as stream:
                stream.write(proposal.text)
                stream.flush()
                os.fsync(stream.fileno())
            if force:
                draft.replace(path)
            else:
                path.hardlink_to(draft)  # unlike a rename, it fails where a file is
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise UsageError(
            f"{path} is there already, and was left as it is",
            hint="Choose another name, or say --force to replace it.",
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}", hint="Choose a folder of your own."
        ) from error


def _full_address(address: str) -> str:
    text = address
    path = Path(address)
    if scheme_of(address, default="") == "":
        if not path.exists() and not re.search(r"[*?\[]", address):
            raise StoreMissingError(
                f"there is no {address}", hint="Give a file, a folder, a glob in quotes, or a store's URL."
            )
        named = glob.escape(address) if path.is_file() else address  # what is there means itself, whatever its name
        text = f"{_scheme(path)}:///{path.absolute()}" if _scheme(path) else escaped(named)
    try:
        return store_address(text, Path.cwd(), tuple(STORES)).full
    except AddressError as error:
        raise UsageError(str(error), hint=error.hint) from error


def _scheme(path: Path) -> str | None:
    """The scheme of a database file, by its first bytes. None for everything else."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="Run as a user who may read it.") from error
    if head == _SQLITE_MAGIC:
        return "sqlite"
    return "duckdb" if head[_DUCKDB_OFFSET:].startswith(_DUCKDB_MAGIC) else None


def _choose(
    sketches: Sequence[Sketch], table: str | None, *, shown: str
) -> tuple[tuple[Sketch, ...], tuple[Sketch, ...]]:
    """What to propose, and what to leave out."""
    if table is not None:
        named = tuple(sketch for sketch in sketches if sketch.table == table)
        if not named:
            known = ", ".join(sketch.table for sketch in sketches if sketch.table) or "none"
            raise StoreMissingError(f"{shown} has no table {table!r}", hint=f"It has: {known}.")
        if named[0].time is None:
            raise _no_log(f"{shown}: table {table!r}")
        return named, ()
    timed = [sketch for sketch in sketches if sketch.time is not None]
    if not timed and not sketches and Path(shown).is_dir():
        raise UsageError(
            f"{shown} has no log files with a time in them", hint="Name another folder, or a file or glob in it."
        )
    if not timed:
        raise _no_log(shown)
    likely = [sketch for sketch in timed if _looks_like_a_log(sketch)] or timed[:1]
    return tuple(likely), tuple(sketch for sketch in sketches if sketch not in likely)


def _no_log(what: str) -> LapseError:
    return UsageError(
        f"{what} has no column or key that holds a time, so nothing in it can be kept for a time",
        hint="Name another file or table.",
    )


def _looks_like_a_log(sketch: Sketch) -> bool:
    if sketch.table is None:
        return not _REGISTRY_WORD.search(_file_name(sketch))
    return bool(_LOG_WORD.search(sketch.table)) or (sketch.type is not None and sketch.actor is not None)


def _named(sketches: Sequence[Sketch]) -> tuple[Proposed, ...]:
    """The sketches with a name each, unique and safe as a folder name."""
    found: dict[str, Sketch] = {}
    for sketch in sketches:
        base = _name(sketch)
        name, count = base, 1
        while name in found:
            count += 1
            name = f"{base}-{count}"
        found[name] = sketch
    return tuple(Proposed(name, sketch) for name, sketch in found.items())


def _name(sketch: Sketch) -> str:
    text = sketch.table or _file_name(sketch).partition(".")[0]
    return _UNSAFE.sub("-", text).strip("-._")[:80] or "log"


def _file_name(sketch: Sketch) -> str:
    return Path(sketch.store).name


def _shown(address: str, home: Path) -> str:
    """The address as the policy writes it: relative where it lies below the policy's folder."""
    head, separator, rest = address.partition(":///")
    path = Path(rest if separator else address)
    if not path.is_absolute() or not path.is_relative_to(home):
        return escaped(address)
    relative = str(path.relative_to(home))
    return escaped(f"{head}{separator}{relative}" if separator else f"./{relative}")


def _archive(stores: Sequence[str], home: Path) -> str:
    """An archive folder that lies in no store's way."""
    addresses = {str(number): store_address(escaped(store), home, tuple(STORES)) for number, store in enumerate(stores)}
    for folder in _ARCHIVES:
        if not any(folders_in_stores({"cold": target_address(folder, home)}, None, addresses)):
            return folder
    raise UsageError(
        "every folder that Lapse would propose for the archive lies among the logs",
        hint="Name fewer files: a glob of just the logs, or one of them.",
    )
