"""The ledger: one canonical JSON line an entry, chained by hash and signed, appended under a lock."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lapse import clock
from lapse.canonical import Digest, Json, Spelled, canonical, digest_of, sha256, spelled
from lapse.errors import StateError, VerificationError
from lapse.instant import Nanos, parse_rfc3339, rfc3339
from lapse.model.disposal import Disposal
from lapse.model.ledger_entry import GENESIS_PREVIOUS, EntryKind, LedgerEntry
from lapse.state.checkpoints import Checkpoint, sign_checkpoint
from lapse.state.files import make_private, open_for_reading, safe_name, translated, write_durably
from lapse.state.keys import Signer
from lapse.state.ledger_index import DisposalIndex
from lapse.state.lines import append_lines, cut_unfinished_line, last_line, open_append, whole_lines

LEDGER_VERSION = 1
LEDGER_FILE = "ledger.jsonl"


class Head(NamedTuple):
    """The last entry of a ledger.

    Attributes:
        n: Its number; the ledger has ``n + 1`` entries.
        hash: Its hash.
    """

    n: int
    hash: Digest


class Ledger:
    """The list of what was disposed of, in a folder of its own. Reading it makes nothing."""

    def __init__(self, folder: Path, signer: Signer | None = None) -> None:
        """The ledger in *folder*; without a *signer* it can only be read."""
        self.folder = folder
        self.path = folder / LEDGER_FILE
        self._signer = signer
        self._index = DisposalIndex(self.path)
        self._tail = _Tail(self.path)

    @property
    def exists(self) -> bool:
        """Whether there is at least one line, intact or not."""
        return self._last_line() is not None

    @property
    def ledger_id(self) -> str | None:
        """The ledger's id, made with its first entry; None before."""
        last = self._last()
        return None if last is None else last.ledger

    def head(self) -> Head | None:
        """The last entry's number and hash; None if there is no entry.

        Raises:
            StateError: If the ledger cannot be read.
            VerificationError: If its last line is not an intact entry.
        """
        last = self._last()
        return None if last is None else Head(last.n, last.hash)

    def last_at(self) -> Nanos | None:
        """When the last entry was written; None if there is no entry.

        Raises:
            StateError: If the ledger cannot be read.
            VerificationError: If its last line is not an intact entry.
        """
        last = self._last()
        return None if last is None else parse_rfc3339(last.at)

    def entries(self) -> Iterator[LedgerEntry]:
        """Every entry in file order, one at a time; an unfinished last line is left out.

        Only the form is checked: `verify_ledger` checks the chain.

        Raises:
            StateError: If the ledger cannot be read.
            VerificationError: If a line is no entry.
        """
        for number, line in enumerate(whole_lines(self.path), start=1):
            yield _parsed(line, f"{self.path}:{number}")

    def begin(self, *, at: Nanos) -> str:
        """The ledger's id; writes the first entry where there is none.

        Raises:
            StateError: If it cannot be read or written.
        """
        with self._writing(at) as appender:
            return appender.ensure_begun().ledger

    def append(self, kind: EntryKind, body: Mapping[str, Json], *, at: Nanos) -> LedgerEntry:
        """Add one entry, durably; in a new ledger after its first entry.

        Arguments:
            kind: What it is about.
            body: The facts; no personal data.
            at: Real time.

        Raises:
            StateError: If it cannot be read or written.
            VerificationError: If the last line is not an intact entry: nothing is added to it.
        """
        with self._writing(at) as appender:
            return appender.add(kind, json.loads(canonical(dict(body))))

    def record(self, disposal: Disposal, *, at: Nanos | None = None) -> LedgerEntry:
        """Add the entry of *disposal*, unless it is there; its counts by tenant go into a sidecar first.

        Arguments:
            disposal: What was committed.
            at: Real time. None takes it from the clock.

        Raises:
            StateError: If it cannot be read or written.
            VerificationError: If the last line is not an intact entry: nothing is added to it.
        """
        with self._writing(clock.real_now() if at is None else at) as appender:
            known = self.disposal_entry(disposal.owner.run, disposal.slice)
            if known is not None:
                return known
            tenants = disposal.spelled("tenants").encode()
            sidecar = sidecar_path(self.folder, disposal.owner.run, disposal.slice)
            make_private(sidecar.parent)
            write_durably(sidecar, tenants)
            facts, shorthand = disposal.to_json(), disposal.shorthand()
            for body in facts, shorthand:
                del body["tenants"]
                body["tenants_digest"] = sha256(tenants)
            entry = appender.add(EntryKind.DISPOSAL, facts, shorthand)
            self._index.wrote(appender.descriptor, appender.length, disposal.owner.run, disposal.slice)
            return entry

    def has_disposal(self, run: str, slice_name: str) -> bool:
        """Whether the disposal of this slice is in the ledger.

        Raises:
            StateError: If the ledger cannot be read.
        """
        return self._index.offset(run, slice_name) is not None

    def disposal_entry(self, run: str, slice_name: str) -> LedgerEntry | None:
        """The entry of this slice's disposal; None if it is not in the ledger.

        Raises:
            StateError: If the ledger cannot be read.
        """
        line = self._index.line(run, slice_name)
        return None if line is None else _parsed(line, str(self.path))

    def checkpoint(self) -> Checkpoint | None:
        """The signed checkpoint of the present head; None if there is no entry.

        Raises:
            StateError: If the ledger cannot be read, or was opened for reading only.
            VerificationError: If its last line is not an intact entry.
        """
        last = self._last()
        if last is None:
            return None
        return sign_checkpoint(self._writer(), ledger=last.ledger, n=last.n + 1, head=last.hash, at=last.at)

    def _last(self) -> LedgerEntry | None:
        line = self._last_line()
        return None if line is None else self._tail.entry(line)

    def _last_line(self) -> bytes | None:
        with translated("read", self.path):
            try:
                descriptor = open_for_reading(self.path)
            except (FileNotFoundError, NotADirectoryError):
                return None
            try:
                return last_line(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def _writing(self, at: Nanos) -> Iterator[_Appender]:
        signer = self._writer()
        make_private(self.folder)
        with open_append(self.path) as descriptor:
            appender = _Appender(descriptor, self._tail, signer, rfc3339(at))
            appender.repair()
            yield appender

    def _writer(self) -> Signer:
        if self._signer is None:
            raise StateError(f"{self.path} was opened for reading only", hint="Open it with the signing key.")
        return self._signer


class _Tail:
    """The last entry of a ledger file; one that was written or found intact is known again by its line."""

    def __init__(self, path: Path) -> None:
        """Nothing is known yet of the ledger file *path*."""
        self.path = path
        self._line = b""
        self._entry: LedgerEntry | None = None

    def keep(self, line: bytes, entry: LedgerEntry) -> None:
        """Know that *line* is that of *entry*."""
        self._line, self._entry = line, entry

    def entry(self, line: bytes) -> LedgerEntry:
        """The entry of the last *line*, if its hash is right: nothing may be chained to a damaged one."""
        if self._entry is not None and line == self._line:
            return self._entry
        found = _intact(line, self.path)
        self.keep(line, found)
        return found


class _Appender:
    """Adds entries behind the last one, while the ledger is locked.

    Attributes:
        descriptor: The open ledger.
        length: Bytes of the last line that was added, with its end; 0 before.
    """

    def __init__(self, descriptor: int, tail: _Tail, signer: Signer, at: str) -> None:
        self.descriptor = descriptor
        self.length = 0
        self._tail = tail
        self._path = tail.path
        self._signer = signer
        self._at = at
        self._last: LedgerEntry | None = None

    def repair(self) -> None:
        """Find the last entry; an unfinished line behind it is cut off and noted."""
        cut = cut_unfinished_line(self.descriptor, path=self._path)
        with translated("read", self._path):
            line = last_line(self.descriptor)
        self._last = None if line is None else self._tail.entry(line)
        if cut:
            self.add(EntryKind.NOTE, {"note": "an unfinished last line was removed", "bytes": cut})

    def ensure_begun(self) -> LedgerEntry:
        """The last entry; the first one is written now where there is none."""
        if self._last is not None:
            return self._last
        body: dict[str, Json] = {"version": LEDGER_VERSION, "public_key": self._signer.public.hex()}
        return self._write(EntryKind.GENESIS, body, spelled(body), ledger=uuid.uuid4().hex, n=0, prev=GENESIS_PREVIOUS)

    def add(
        self, kind: EntryKind, body: Mapping[str, Json], shorthand: Mapping[str, Json] | None = None
    ) -> LedgerEntry:
        """Write one entry behind the last.

        Arguments:
            kind: What it is about.
            body: The facts, as they are read back later: lists, no tuples.
            shorthand: The same with parts that are spelled already. None if there are none.
        """
        last = self.ensure_begun()
        text = spelled(body if shorthand is None else shorthand)
        return self._write(kind, body, text, ledger=last.ledger, n=last.n + 1, prev=last.hash)

    def _write(
        self, kind: EntryKind, body: Mapping[str, Json], text: Spelled, *, ledger: str, n: int, prev: Digest
    ) -> LedgerEntry:
        unsigned = LedgerEntry(
            n=n,
            prev=prev,
            ledger=ledger,
            kind=kind,
            at=self._at,
            body=body,
            key=self._signer.key,
            hash=Digest(""),
            signature="",
        )
        hashed = {**unsigned.hashed(), "body": text}
        digest = digest_of(hashed)
        entry = replace(unsigned, hash=digest, signature=self._signer.sign(digest))
        line = canonical({**hashed, "hash": digest, "signature": entry.signature})
        append_lines(self.descriptor, line + b"\n", path=self._path)
        self.length = len(line) + 1
        self._tail.keep(line, entry)
        self._last = entry
        return entry


def sidecar_path(folder: Path, run: str, slice_name: str) -> Path:
    """Where the counts by tenant of a slice lie.

    Raises:
        StateError: If the names could lead elsewhere.
    """
    return folder / "tenants" / safe_name(run) / f"{safe_name(slice_name)}.json"


def _parsed(line: bytes, place: str) -> LedgerEntry:
    try:
        return LedgerEntry.from_json(json.loads(line))
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(place, str(error)) from error


def _intact(line: bytes, path: Path) -> LedgerEntry:
    """The last entry, if its hash is right: nothing may be chained to a damaged one."""
    entry = _parsed(line, str(path))
    try:
        right = entry.computed_hash() == entry.hash
    except ValueError as error:
        raise _damaged(str(path), str(error)) from error
    if not right:
        raise _damaged(str(path), f"the hash of entry {entry.n} is not that of its content")
    return entry


def _damaged(place: str, reason: str) -> VerificationError:
    return VerificationError(
        f"{place}: not an intact ledger entry: {reason}",
        hint="Nothing was added. Run `lapse ledger verify` to see what happened to the ledger.",
    )
