"""The keys `rotate`, `reopen` and `warn at` to the values of the model, and what is wrong with them as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lapse.errors import Complaint, Origin
from lapse.model.policy import Dataset
from lapse.model.reopening import Reopen
from lapse.model.rotation import Every, Packing, Rotation
from lapse.policyfile.addresses import Address
from lapse.policyfile.models import DatasetShape
from lapse.policyfile.patterns import is_pattern
from lapse.policyfile.rotation import ReopenShape, RotateShape
from lapse.policyfile.tree import Entry, Listing, Mapped, Scalar, items

_KEYS = ("rotate", "reopen", "warn at")
_WAYS = ("signal", "pid file", "command")
_SEGMENTS = "{segments}"
_HOW = "Write `signal: HUP` with `pid file: PATH`, or `command: [PROGRAM, ARGUMENT]`."


def with_logs_kept(dataset: Dataset, shape: DatasetShape, folder: Path) -> Dataset:
    """*dataset* with what its policy says of the rotation, the writers and the size of its log files.

    Arguments:
        dataset: The dataset.
        shape: What is written there; nothing is wrong with it.
        folder: Folder of the policy.
    """
    told = shape.reopen or shape.rotate
    return replace(
        dataset,
        reopen=None if told is None else _reopen(told, folder),
        rotation=None if shape.rotate is None else _rotation(shape.rotate),
        warn_at=shape.warn_at,
    )


def _reopen(shape: ReopenShape, folder: Path) -> Reopen | None:
    if shape.command is None and shape.signal is None:
        return None
    pid_file = None if shape.pid_file is None else Path(os.path.normpath(folder / shape.pid_file))
    return Reopen(signal=shape.signal, pid_file=pid_file, command=tuple(shape.command or ()))


def _rotation(shape: RotateShape) -> Rotation:
    said = shape.at if isinstance(shape.at, list) else [shape.at]
    return Rotation(
        size=next((each for each in said if isinstance(each, int)), None),
        every=next((each for each in said if isinstance(each, Every)), None),
        packing=Packing(shape.compress),
    )


def bad_logs(dataset: Mapped, address: Address) -> Iterator[Complaint]:
    """What of these keys means nothing here, is said twice, or leads nowhere."""
    if address.is_database:
        for entry in filter(None, map(dataset.entry, _KEYS)):
            what = f"`{entry.key}` means nothing here: {address.shown} is a database"
            yield Complaint(entry.origin, what, "Remove it; it is for log files.")
        return
    rotate, reopen = dataset.entry("rotate"), dataset.entry("reopen")
    if rotate is not None and isinstance(rotate.node, Mapped):
        yield from _bad_times(rotate.node)
        yield from _bad_names(rotate, rotate.node, address)
        yield from _bad_ways(rotate.node, rotate.origin, short=reopen is not None)
    if reopen is not None and isinstance(reopen.node, Mapped):
        yield from _bad_ways(reopen.node, reopen.origin)
        if not any(reopen.node.entry(key) for key in _WAYS):
            yield Complaint(reopen.origin, "`reopen` does not say how", _HOW)


def _bad_ways(node: Mapped, origin: Origin, *, short: bool = False) -> Iterator[Complaint]:
    """A way of telling a writer that is not complete, or that comes on top of another one."""
    signal, pid_file, command = map(node.entry, _WAYS)
    if short:
        for entry in filter(None, (signal, pid_file, command)):
            yield Complaint(entry.origin, f"`{entry.key}`: `reopen` says already how", "Say it in one of the two.")
        return
    if command is not None:
        for entry in filter(None, (signal, pid_file)):
            yield Complaint(entry.origin, f"`{entry.key}` cannot stand beside `command`", "Remove one of them.")
    elif (signal is None) != (pid_file is None):
        missing = "pid file" if pid_file is None else "signal"
        there = signal or pid_file
        yield Complaint(there.origin if there else origin, f"`{missing}` is missing", _HOW)


def _bad_times(rotate: Mapped) -> Iterator[Complaint]:
    """A list of times that says the same kind twice."""
    node = rotate.get("at")
    seen: set[bool] = set()
    for item in items(node) if isinstance(node, Listing) else ():
        if not isinstance(item, Scalar):
            continue
        is_size = item.text not in {each.value for each in Every}
        if is_size in seen:
            kind = "a second size" if is_size else "a second time"
            yield Complaint(item.origin, f"`at`: `{item.shown}` is {kind}", "Write one size and one time at most.")
        seen.add(is_size)


def _bad_names(entry: Entry, rotate: Mapped, address: Address) -> Iterator[Complaint]:
    """An address that does not match what its logs are rotated to."""
    name = Path(address.full).name
    if _SEGMENTS in name:
        what = f"`rotate` means nothing here: the writer of {address.shown} begins new segments itself"
        yield Complaint(entry.origin, what, "Remove it.")
        return
    if not is_pattern(address.full):
        suffix = Path(address.shown).suffix
        glob = f"{address.shown.removesuffix(suffix)}*{suffix}*"
        what = f"`rotate`: {address.shown} is one file, so that what it is rotated to would be no part of this dataset"
        yield Complaint(entry.origin, what, f"Write `store: {glob}`.")
        return
    compress = rotate.entry("compress")
    word = "" if compress is None or not isinstance(compress.node, Scalar) else compress.node.text
    suffix = next((each.suffix for each in Packing if each.value == word), "")
    if compress is not None and suffix and not _may_end_in(name, suffix):
        what = f"`compress`: {address.shown} does not match files that end in {suffix}"
        yield Complaint(compress.node.origin, what, f"Write `store: {address.shown}*`.")


def _may_end_in(pattern: str, suffix: str) -> bool:
    """Whether some file that a pattern matches could end in *suffix*."""
    tail = pattern[max(map(pattern.rfind, "*?]")) + 1 :]
    return tail.endswith(suffix) or suffix.endswith(tail)
