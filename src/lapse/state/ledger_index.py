"""Which slices have their disposal in the ledger, and where: read in one pass, then kept up by what is new."""

from __future__ import annotations

import os
import re
from array import array
from collections import defaultdict
from pathlib import Path
from typing import TypedDict

from lapse.model.ledger_entry import EntryKind
from lapse.state.files import open_for_reading, translated

# Canonical JSON has no spaces: most lines that are no disposal need no parsing. What matches by chance is parsed.
_MARK = f'"kind":"{EntryKind.DISPOSAL.value}"'.encode()


_AS_A_RUN = re.compile(r"\d{6}|[1-9]\d{6,11}", re.ASCII)  # as `f"{number:06d}"` writes it: no two alike
_MOST_MISSING = 1_024


class _Places:
    """Where the disposals of one run begin, by slice: a run numbers its slices, so that each takes 8 bytes."""

    def __init__(self) -> None:
        self._numbered = array("q")
        self._named: dict[str, int] = {}

    def add(self, slice_name: str, offset: int) -> None:
        """Take in a disposal."""
        number = _number(slice_name)
        if number is None or number > len(self._numbered) + _MOST_MISSING:
            self._named[slice_name] = offset
            return
        missing = number + 1 - len(self._numbered)
        if missing > 0:
            self._numbered.extend([-1] * missing)
        self._numbered[number] = offset

    def of(self, slice_name: str) -> int | None:
        """Where a disposal begins. None if there is none."""
        found = self._named.get(slice_name)
        number = _number(slice_name)
        if found is not None or number is None or number >= len(self._numbered):
            return found
        return None if self._numbered[number] < 0 else self._numbered[number]


def _number(slice_name: str) -> int | None:
    """The number that a slice has for a name, if it is written as a run writes it."""
    return int(slice_name) if _AS_A_RUN.fullmatch(slice_name) else None


class _Body(TypedDict):
    run: str
    slice: str


class _Line(TypedDict):
    kind: str
    body: _Body


class DisposalIndex:
    """Offsets of the disposals in a ledger file, by run and slice."""

    def __init__(self, path: Path) -> None:
        """The index of *path*; nothing is read yet."""
        self._path = path
        self._forget()

    def _forget(self) -> None:
        self._inode: tuple[int, int] | None = None
        self._read_to = 0
        self._runs: defaultdict[str, _Places] = defaultdict(_Places)

    def offset(self, run: str, slice_name: str) -> int | None:
        """Where the line of this disposal begins; None if there is none. Sees what other processes appended.

        Raises:
            StateError: If the ledger cannot be read.
        """
        self._catch_up()
        known = self._runs.get(run)
        return None if known is None else known.of(slice_name)

    def line(self, run: str, slice_name: str) -> bytes | None:
        """The line of this disposal without its end; None if there is none.

        Raises:
            StateError: If the ledger cannot be read.
        """
        offset = self.offset(run, slice_name)
        if offset is None:
            return None
        with translated("read", self._path), os.fdopen(open_for_reading(self._path), "rb") as file:
            file.seek(offset)
            return file.readline().removesuffix(b"\n")

    def wrote(self, descriptor: int, size: int, run: str, slice_name: str) -> None:
        """Take in that the last *size* bytes of the open ledger are the line of this disposal, which is not read then.

        Where it is not known what stands before them, they are read with that.
        """
        status = os.fstat(descriptor)
        if self._inode == (status.st_dev, status.st_ino) and self._read_to == status.st_size - size:
            self._runs[run].add(slice_name, self._read_to)
            self._read_to = status.st_size

    def _catch_up(self) -> None:
        with translated("read", self._path):
            try:
                descriptor = open_for_reading(self._path)
            except (FileNotFoundError, NotADirectoryError):
                self._forget()
                return
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if self._inode != (status.st_dev, status.st_ino) or status.st_size < self._read_to:
                    self._forget()
                    self._inode = (status.st_dev, status.st_ino)
                file.seek(self._read_to)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._note(line)
                    self._read_to += len(line)

    def _note(self, line: bytes) -> None:
        if _MARK not in line:
            return
        import msgspec  # takes what is asked for out of a line of many megabytes, and leaves the rest

        try:
            entry = msgspec.json.decode(line, type=_Line)
        except (ValueError, RecursionError):
            return  # a damaged line proves no disposal; `lapse ledger verify` names it
        if entry["kind"] == EntryKind.DISPOSAL.value:
            self._runs[entry["body"]["run"]].add(entry["body"]["slice"], self._read_to)
