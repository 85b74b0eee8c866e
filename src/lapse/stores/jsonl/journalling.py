"""Journals of every kind, as files beside the logs: found by their names, written in one step, read back whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lapse.canonical import Json, canonical
from lapse.errors import StoreError
from lapse.stores.jsonl.disk import create, open_log, sync_folder, write_all
from lapse.stores.jsonl.trouble import translated

T = TypeVar("T")


def names_with(folder: Path, mark: str) -> list[str]:
    """The names in a folder that have *mark* in them, in order.

    Raises:
        StoreError: If the folder cannot be read.
    """
    with translated("list the folder", folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if mark in entry.name)  # there may be very many others


def put_in_one_step(path: Path, facts: Mapping[str, Json], *, draft: Path) -> None:
    """Write a journal: after a crash it is there whole, as it was before, or not at all. OSErrors are the caller's.

    Arguments:
        path: Where it stands.
        facts: What it says.
        draft: The name that it has before it is complete.
    """
    draft.unlink(missing_ok=True)
    descriptor = create(draft)
    try:
        write_all(descriptor, canonical(dict(facts)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.rename(path)
    sync_folder(path.parent)


def read_back(path: Path, parse: Callable[[Any], T], *, kind: str, hint: str) -> T:
    """What *parse* makes of the JSON in a journal.

    Arguments:
        path: The journal.
        parse: Reads it; a ValueError says why it cannot be read.
        kind: What it should be, for the message.
        hint: What to do about one that cannot be read.

    Raises:
        StoreError: If it cannot be read, or is none.
    """
    with translated("read the journal", path), os.fdopen(open_log(path), "rb") as file:
        data = file.read()
    try:
        return parse(json.loads(data))
    except ValueError as error:
        raise StoreError(f"{path} is no {kind} that this version can read: {error}", hint=hint) from error
