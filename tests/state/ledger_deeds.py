"""A ledger of a dozen entries, and the means to do it wrong: entries edited, forged and written anew."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from state_helpers import NOW, disposal

from lapse.canonical import canonical
from lapse.model.ledger_entry import EntryKind, LedgerEntry
from lapse.state.checkpoints import Checkpoint, sign_checkpoint
from lapse.state.keys import Signer, load_signer
from lapse.state.ledger import Ledger
from lapse.state.ledger_check import LedgerCheck, verify_ledger
from lapse.state.ledger_problem import ProblemKind

LENGTH = 12


@dataclass(frozen=True)
class World:
    """A ledger of `LENGTH` entries, another one signed by the same key, and a stranger's key."""

    folder: Path
    lines: tuple[bytes, ...] = field(repr=False)
    other_lines: tuple[bytes, ...] = field(repr=False)
    signer: Signer
    stranger: Signer

    def check(
        self, lines: Sequence[bytes], *, at: int | None = None, known: Sequence[Signer] = (), tail: bytes = b""
    ) -> LedgerCheck:
        """Check these lines in place of the ledger's own, against the checkpoint of its first *at* entries."""
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "ledger"
            shutil.copytree(self.folder, folder)
            (folder / "ledger.jsonl").write_bytes(b"".join(line + b"\n" for line in lines) + tail)
            keys = {signer.key: signer.public for signer in (self.signer, *known)}
            checkpoints = () if at is None else (self.checkpoint(at),)
            return verify_ledger(folder, checkpoints=checkpoints, public_keys=keys)

    def checkpoint(self, count: int) -> Checkpoint:
        """The checkpoint of the first *count* entries."""
        entry = entry_of(self.lines[count - 1])
        return sign_checkpoint(self.signer, ledger=entry.ledger, n=count, head=entry.hash, at=entry.at)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("ledgers")
    signer = load_signer(root / "keys")
    return World(
        folder=root / "ledger",
        lines=written(Ledger(root / "ledger", signer)),
        other_lines=written(Ledger(root / "other", signer)),
        signer=signer,
        stranger=load_signer(root / "stranger"),
    )


def written(ledger: Ledger) -> tuple[bytes, ...]:
    """The lines of a new ledger with notes and disposals."""
    for number in range(LENGTH - 1):
        if number % 3:
            ledger.append(EntryKind.NOTE, {"number": number, "text": f'a "note" {number}'}, at=NOW)
        else:
            ledger.record(disposal(f"{number:06d}"), at=NOW)
    return tuple(ledger.path.read_bytes().splitlines())


def entry_of(line: bytes) -> LedgerEntry:
    return LedgerEntry.from_json(json.loads(line))


def forged(entry: LedgerEntry, signer: Signer | None = None) -> bytes:
    """The line of *entry* with its hash made right, signed by *signer* or with the signature it had."""
    keyed = entry if signer is None else replace(entry, key=signer.key)
    hashed = replace(keyed, hash=keyed.computed_hash())
    return canonical((hashed if signer is None else replace(hashed, signature=signer.sign(hashed.hash))).to_json())


def rewritten(lines: Sequence[bytes], first: int, signer: Signer | None) -> list[bytes]:
    """Change entry *first* and chain all that follow to it anew."""
    result = list(lines)
    for number in range(first, len(lines)):
        entry = entry_of(lines[number])
        if number == first:
            entry = replace(entry, at="2026-11-22T10:00:01Z")
        else:
            entry = replace(entry, prev=entry_of(result[number - 1]).hash)
        result[number] = forged(entry, signer)
    return result


def edited(line: bytes, field: str) -> bytes:
    """*line* with one field changed and nothing else."""
    facts: dict[str, Any] = json.loads(line)
    old = facts[field]
    other_digit = {"0": "1"}
    changes: dict[str, Any] = {
        "n": old + 7 if field == "n" else None,
        "body": {**old, "records": 1} if field == "body" else None,
        "kind": "note" if old != "note" else "run",
        "at": "2026-11-22T10:00:01Z",
    }
    default = other_digit.get(old[0], "0") + old[1:] if isinstance(old, str) else None
    return canonical({**facts, field: changes.get(field, default)})


def kinds(check: LedgerCheck) -> list[ProblemKind]:
    return [problem.kind for problem in check.problems]


places = st.integers(0, LENGTH - 1)
anywhere = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
