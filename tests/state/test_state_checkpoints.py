"""The key that signs, and the checkpoints that it signs."""

from __future__ import annotations

from pathlib import Path

import pytest
from state_helpers import NOW, MemoryTarget, intact, ledger, signer

from lapse.canonical import Digest, canonical, sha256
from lapse.errors import StateError, TargetError, VerificationError
from lapse.model.ledger_entry import EntryKind
from lapse.state import checkpoints
from lapse.state.checkpoints import Checkpoint, sign_checkpoint
from lapse.state.keys import Signer, load_signer, public_keys
from lapse.state.ledger import Ledger
from lapse.state.ledger_check import verify_ledger
from lapse.state.ledger_problem import ProblemKind

__all__ = ["ledger", "signer"]


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """The same key is found again; its id is taken from the public key."""
    one, other = load_signer(tmp_path / "keys"), load_signer(tmp_path / "keys")
    assert one.public == other.public
    assert one.key == sha256(one.public)[:16]
    assert public_keys(tmp_path / "keys") == {one.key: one.public}
    assert (tmp_path / "keys" / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert (one.warnings, other.warnings) == ((), ())
    assert "_private" not in repr(one)


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    """The warning names the file and the command that closes it."""
    load_signer(tmp_path / "keys")
    (tmp_path / "keys" / "signing.pem").chmod(0o644)
    (warning,) = load_signer(tmp_path / "keys").warnings
    assert "chmod 600" in warning


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_key_that_cannot_be_read_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    """A new key in its place would hide that something happened."""
    load_signer(tmp_path / "keys")
    (tmp_path / "keys" / "signing.pem").write_bytes(content)
    with pytest.raises(StateError):
        load_signer(tmp_path / "keys")
    assert (tmp_path / "keys" / "signing.pem").read_bytes() == content


def test_a_lost_key_is_replaced_and_old_entries_still_verify(tmp_path: Path, ledger: Ledger) -> None:
    """The public key of the old one stays."""
    ledger.append(EntryKind.NOTE, {}, at=NOW)
    (tmp_path / "keys" / "signing.pem").unlink()
    Ledger(tmp_path / "ledger", load_signer(tmp_path / "keys")).append(EntryKind.NOTE, {}, at=NOW)
    assert len(public_keys(tmp_path / "keys")) == 2
    assert intact(tmp_path)


def test_a_public_key_under_a_wrong_name_is_refused(tmp_path: Path, signer: Signer) -> None:
    """Otherwise a stranger's key could pass for ours."""
    (tmp_path / "keys" / f"{signer.key}.pub").rename(tmp_path / "keys" / "0123456789abcdef.pub")
    with pytest.raises(StateError):
        public_keys(tmp_path / "keys")


def test_a_checkpoint_is_found_in_the_target(ledger: Ledger, signer: Signer) -> None:
    """It counts the entries, names the head, is signed, and publishing it again changes nothing."""
    target = MemoryTarget()
    entry = ledger.append(EntryKind.NOTE, {}, at=NOW)
    checkpoint = ledger.checkpoint()
    assert checkpoint is not None
    assert (checkpoint.n, checkpoint.hash) == (2, entry.hash)
    assert checkpoint.signed_by(signer.public)
    checkpoints.publish(checkpoint, target)
    checkpoints.publish(checkpoint, target)
    assert list(target.objects) == [f"{entry.ledger}/checkpoints/000000000002.json"]
    assert checkpoints.latest(target, entry.ledger) == checkpoint
    assert ledger.checkpoint() == checkpoint


def test_the_latest_checkpoint_is_the_one_of_most_entries(ledger: Ledger) -> None:
    """Segments and other ledgers in the same target do not count."""
    target = MemoryTarget()
    made = []
    for _ in range(12):
        ledger.append(EntryKind.NOTE, {}, at=NOW)
        checkpoint = ledger.checkpoint()
        assert checkpoint is not None
        checkpoints.publish(checkpoint, target)
        made.append(checkpoint)
    identity = made[0].ledger
    target.put(f"{identity}/checkpoints/2026/11/run/1.json", b"a dataset of that name")
    target.put("other/calls/2026/11/run/1.parquet", b"a ledger without checkpoints")
    assert list(checkpoints.published(target, identity)) == made
    assert checkpoints.latest(target, identity) == made[-1]
    assert checkpoints.latest(target, "other") is None
    assert checkpoints.ledger_ids(target) == {identity}


def test_a_checkpoint_is_never_overwritten(ledger: Ledger, signer: Signer) -> None:
    """Another head of the same length says that the ledger was written anew."""
    target = MemoryTarget()
    ledger.append(EntryKind.NOTE, {}, at=NOW)
    checkpoint = ledger.checkpoint()
    assert checkpoint is not None
    checkpoints.publish(checkpoint, target)
    other = sign_checkpoint(signer, ledger=checkpoint.ledger, n=2, head=Digest("0" * 64), at=checkpoint.at)
    with pytest.raises(VerificationError):
        checkpoints.publish(other, target)
    assert checkpoints.latest(target, checkpoint.ledger) == checkpoint


def test_a_target_that_is_down_is_not_taken_for_a_checkpoint(ledger: Ledger) -> None:
    """The error of the target comes through."""

    class Down(MemoryTarget):
        def put(self, path: str, data: bytes) -> None:
            raise TargetError("down")

    ledger.append(EntryKind.NOTE, {}, at=NOW)
    checkpoint = ledger.checkpoint()
    assert checkpoint is not None
    with pytest.raises(TargetError):
        checkpoints.publish(checkpoint, Down())


def test_another_process_may_publish_the_same_checkpoint_first(ledger: Ledger) -> None:
    """Between the look and the write; what it wrote says the same, though another key signed it."""
    stranger = load_signer(ledger.folder.parent / "stranger")
    ledger.append(EntryKind.NOTE, {}, at=NOW)
    checkpoint = ledger.checkpoint()
    assert checkpoint is not None
    same = sign_checkpoint(stranger, ledger=checkpoint.ledger, n=2, head=checkpoint.hash, at=checkpoint.at)

    class Raced(MemoryTarget):
        def put(self, path: str, data: bytes) -> None:
            super().put(path, canonical(same.to_json()))
            super().put(path, data)

    target = Raced()
    checkpoints.publish(checkpoint, target)
    assert checkpoints.latest(target, checkpoint.ledger) == same


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"lapse_checkpoint":1}', b'{"lapse_checkpoint":2}'])
def test_a_checkpoint_that_cannot_be_read_is_an_error(data: bytes) -> None:
    """It is not taken for none."""
    target = MemoryTarget()
    target.put("l/checkpoints/000000000001.json", data)
    with pytest.raises(VerificationError):
        checkpoints.latest(target, "l")


def test_a_checkpoint_under_the_name_of_another_is_an_error(signer: Signer) -> None:
    """An early checkpoint that was copied to a late name would hide a cut tail, or make one up."""
    target = MemoryTarget()
    checkpoint = sign_checkpoint(signer, ledger="l", n=3, head=Digest("0" * 64), at="2026-11-22T10:00:00Z")
    target.put("l/checkpoints/000000000009.json", canonical(checkpoint.to_json()))
    with pytest.raises(VerificationError):
        checkpoints.latest(target, "l")


def test_a_checkpoint_that_was_changed_is_not_signed_any_more(signer: Signer) -> None:
    """Each of its fields is covered by the signature."""
    made = sign_checkpoint(signer, ledger="l", n=3, head=Digest("0" * 64), at="2026-11-22T10:00:00Z")
    changes: dict[str, object] = {"ledger": "m", "n": 2, "hash": "1" * 64, "at": "2026-11-22T10:00:01Z", "key": "k"}
    for name, value in changes.items():
        changed = Checkpoint.from_json({**made.to_json(), name: value})
        assert not changed.signed_by(signer.public)
    assert Checkpoint.from_json(made.to_json()) == made


def test_a_checkpoint_of_a_stranger_is_a_problem_of_its_own(tmp_path: Path, ledger: Ledger) -> None:
    """It neither vouches for the ledger nor against it."""
    ledger.append(EntryKind.NOTE, {}, at=NOW)
    stranger = load_signer(tmp_path / "stranger")
    assert ledger.ledger_id is not None
    forged = sign_checkpoint(stranger, ledger=ledger.ledger_id, n=9, head=Digest("0" * 64), at="2026-11-22T10:00:00Z")
    check = verify_ledger(ledger.folder, checkpoints=[forged], public_keys=public_keys(tmp_path / "keys"))
    assert [problem.kind for problem in check.problems] == [ProblemKind.KEY_UNKNOWN]
