"""The demo's folder: a policy, a call log and audit files, made anew each time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from lapse import clock
from lapse.demo.audit import write_audit_files
from lapse.demo.calls import write_call_log
from lapse.errors import UsageError

MARK = ".lapse-demo"
"""File that says that a folder is a demo world, and may be replaced by another."""

CALLS = 200_000
AUDIT_RECORDS = 24_000


@dataclass(frozen=True, slots=True)
class World:
    """A demo world on disk.

    Attributes:
        folder: Its folder, absolute.
    """

    folder: Path

    @property
    def policy(self) -> Path:
        """The policy file."""
        return self.folder / "lapse.yaml"

    @property
    def calls(self) -> Path:
        """The SQLite call log."""
        return self.folder / "data" / "calls.db"

    @property
    def state(self) -> Path:
        """What LAPSE_STATE_DIR must be, so that the demo leaves nothing elsewhere."""
        return self.folder / "state"


def build_world(folder: Path, *, calls: int = CALLS, audit_records: int = AUDIT_RECORDS) -> World:
    """Make a world in *folder*; an earlier one there is removed first.

    Arguments:
        folder: A folder that is missing, empty, or an earlier demo world.
        calls: Rows of the call log, 10 at least.
        audit_records: Lines of all audit files, 3 at least.

    Raises:
        UsageError: If something else is in the folder; nothing was touched.
    """
    world = World(folder.absolute())
    _clear(world.folder)
    audit = world.folder / "data" / "audit"
    try:
        audit.mkdir(parents=True)
        (world.folder / MARK).write_text(
            "This folder was made by `lapse demo`, which may replace it.\n", encoding="utf-8"
        )
        now = clock.real_now()
        write_call_log(world.calls, calls, now)
        write_audit_files(audit, audit_records, now)
        world.policy.write_bytes(files("lapse.demo").joinpath("lapse.yaml").read_bytes())
    except OSError as error:
        raise _unwritable(world.folder, error) from error
    return world


def open_world(folder: Path) -> World:
    """The world that `build_world` made in *folder*.

    Raises:
        UsageError: If there is none.
    """
    if not (folder / MARK).is_file():
        raise UsageError(f"{folder} is no demo world", hint=f"Make one with: lapse demo {folder}")
    return World(folder.absolute())


def _clear(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is no folder", hint="Name a folder that is new, or an earlier demo's.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MARK).is_file():
        raise UsageError(
            f"{folder} has other things in it, and the demo removes only what it made",
            hint="Name a folder that is new, or an earlier demo's.",
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the demo cannot be written into {folder}: {error.strerror or error}", hint="Name a folder of your own."
    )
