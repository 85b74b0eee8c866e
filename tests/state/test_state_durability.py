"""What must last is fsynced before the call returns: the file, and the folder that got a new name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from state_helpers import NOW, RUN, disposal

from lapse.state.files import create_durably, remove_durably, write_durably
from lapse.state.journal import Journal, finish
from lapse.state.journal_record import SliceIntent
from lapse.state.keys import load_signer
from lapse.state.ledger import Ledger


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[str]]:
    """Runs an action and gives the names below the test's folder that were fsynced, in order."""
    names: list[str] = []
    real = os.fsync

    def recording(descriptor: int) -> None:
        real(descriptor)
        names.append(os.path.relpath(Path(f"/proc/self/fd/{descriptor}").readlink(), tmp_path))

    monkeypatch.setattr(os, "fsync", recording)

    def run(action: Callable[[], object]) -> list[str]:
        names.clear()
        action()
        return list(names)

    return run


Synced = Callable[[Callable[[], object]], list[str]]


def test_a_file_is_on_disk_before_its_name_is(tmp_path: Path, synced: Synced) -> None:
    """First the content under the temporary name, then the folder."""
    assert synced(lambda: write_durably(tmp_path / "f", b"x")) == [".f.tmp", "."]
    assert synced(lambda: create_durably(tmp_path / "g", b"x")) == [".g.tmp", "."]
    assert synced(lambda: remove_durably(tmp_path / "f")) == ["."]


def test_each_line_of_the_journal_is_on_disk(tmp_path: Path, synced: Synced) -> None:
    """With the first, the names of the file and of its folder are too; so is the removal at the end."""
    journal = Journal.open(tmp_path, RUN)
    begun = SliceIntent(run=RUN, slice="000001", dataset="calls", store="s")
    file = f"journal/{RUN}.jsonl"
    assert synced(lambda: journal.begin(begun)) == [".", "journal", file]
    assert synced(lambda: journal.committing("000001")) == [file]
    assert synced(lambda: journal.settled("000001")) == [file]
    assert synced(lambda: finish(tmp_path, RUN)) == ["journal"]


def test_counts_by_tenant_are_on_disk_before_the_entry_that_vouches_for_them(tmp_path: Path, synced: Synced) -> None:
    """And the entry is on disk before the call returns."""
    ledger = Ledger(tmp_path / "ledger", load_signer(tmp_path / "keys"))
    assert synced(lambda: ledger.begin(at=NOW)) == [".", "ledger", "ledger/ledger.jsonl"]
    tenants = f"ledger/tenants/{RUN}"
    assert synced(lambda: ledger.record(disposal(), at=NOW))[-3:] == [
        f"{tenants}/.000001.json.tmp",
        tenants,
        "ledger/ledger.jsonl",
    ]
