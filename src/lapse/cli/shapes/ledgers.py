"""The ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lapse.model.ledger_entry import EntryKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One entry of the ledger, as it is written there.

    Attributes:
        n: Its number, from 0.
        prev: Hash of the entry before it.
        ledger: Ledger id.
        kind: What it is about.
        at: Real time.
        body: The facts; docs/format.md describes them for each kind.
        key: Id of the signing key.
        hash: SHA-256 of the entry.
        signature: Ed25519 over that hash.
    """

    n: int
    prev: str
    ledger: str
    kind: EntryKind
    at: str
    body: Mapping[str, Any]
    key: str
    hash: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerShowResult:
    """Of `lapse ledger show`.

    Attributes:
        entries: In order, the oldest first.
    """

    entries: Sequence[LedgerLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerProblem:
    """One thing that is wrong with a ledger.

    Attributes:
        kind: Its name: `edited`, `removed`, `reordered`, `inserted`, `cut tail`, ...
        message: What and where.
        entry: Number of the first entry it is about. Null if it is about none.
        line: Line of the file where it shows, from 1. Null if it shows on none.
    """

    kind: str
    message: str
    entry: int | None
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerVerifyResult:
    """Of `lapse ledger verify`.

    Attributes:
        ok: Whether nothing speaks against the ledger.
        anchored: Whether a checkpoint was there to compare with; without one a cut tail cannot be seen.
        entries: Number of lines.
        head: Hash of the last entry. Null if there is none.
        problems: Everything found; an unfinished last line alone leaves `ok` true.
        checkpoints: Checkpoints read, by archive. Null where an archive is out of reach.
    """

    ok: bool
    anchored: bool
    entries: int
    head: str | None
    problems: Sequence[LedgerProblem]
    checkpoints: Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAdoptResult:
    """Of `lapse ledger adopt`.

    Attributes:
        adopted: Ids of the ledgers that were taken over.
    """

    adopted: Sequence[str]
