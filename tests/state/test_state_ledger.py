"""The ledger, its key and its checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from state_helpers import NOW, RUN, MemoryTarget, disposal, files_below, finished, said, start_python

from lapse.canonical import Digest, canonical, sha256
from lapse.errors import StateError, TargetError, VerificationError
from lapse.instant import DAY, Nanos
from lapse.model.ledger_entry import GENESIS_PREVIOUS, EntryKind
from lapse.state import checkpoints
from lapse.state.checkpoints import Checkpoint, sign_checkpoint
from lapse.state.keys import Signer, load_signer, public_keys, verify
from lapse.state.ledger import Head, Ledger
from lapse.state.ledger_check import verify_ledger
from lapse.state.ledger_problem import ProblemKind

APPENDER = """if True:
    import sys
    from pathlib import Path
    from lapse.clock import real_now
    from lapse.model.ledger_entry import EntryKind
    from lapse.state.keys import load_signer
    from lapse.state.ledger import Ledger
    root, count = Path(sys.argv[1]), int(sys.argv[2])
    ledger = Ledger(root / "ledger", load_signer(root / "keys"))
    for number in range(count):
        entry = ledger.append(EntryKind.NOTE, {"number": number, "filler": "x" * 20_000}, at=real_now())
        print(entry.n, flush=True)
"""


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return load_signer(tmp_path / "keys")


@pytest.fixture
def ledger(tmp_path: Path, signer: Signer) -> Ledger:
    return Ledger(tmp_path / "ledger", signer)


def intact(root: Path) -> bool:
    """Whether the ledger below *root* passes its check."""
    return verify_ledger(root / "ledger", checkpoints=(), public_keys=public_keys(root / "keys")).ok


def test_reading_a_ledger_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    """Every question has an answer, and the folder stays away."""
    ledger = Ledger(tmp_path / "ledger")
    assert not ledger.exists
    assert (ledger.ledger_id, ledger.head(), ledger.last_at(), ledger.checkpoint()) == (None, None, None, None)
    assert list(ledger.entries()) == []
    assert not ledger.has_disposal(RUN, "000001")
    assert files_below(tmp_path) == []


def test_the_first_append_makes_the_ledger(ledger: Ledger) -> None:
    """A first entry with the ledger's id and key stands before it, and each is chained to the one before."""
    note = ledger.append(EntryKind.NOTE, {"note": "hello"}, at=NOW)
    first, second = ledger.entries()
    assert (first.kind, first.n, first.prev) == (EntryKind.GENESIS, 0, GENESIS_PREVIOUS)
    assert second == note
    assert (note.n, note.prev, note.ledger) == (1, first.hash, ledger.ledger_id)
    assert ledger.head() == Head(1, note.hash)
    assert ledger.last_at() == NOW
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert files_below(ledger.folder) == ["ledger.jsonl"]


def test_beginning_twice_gives_one_id(ledger: Ledger) -> None:
    """The id is made with the first entry and never again."""
    assert ledger.begin(at=NOW) == ledger.begin(at=NOW) == ledger.ledger_id
    assert len(list(ledger.entries())) == 1


def test_an_entry_is_signed_so_that_others_can_check_it(ledger: Ledger) -> None:
    """The signature is over the raw hash, by the key that the first entry holds."""
    ledger.append(EntryKind.NOTE, {}, at=NOW)
    first, entry = ledger.entries()
    public = bytes.fromhex(str(first.body["public_key"]))
    assert entry.computed_hash() == entry.hash
    assert verify(public, entry.hash, entry.signature)
    assert not verify(public, first.hash, entry.signature)


def test_counts_by_tenant_stay_out_of_the_ledger(ledger: Ledger) -> None:
    """They lie in a sidecar whose digest the entry holds."""
    entry = ledger.record(disposal(tenants={"acme": 1, "zoë": 1}), at=NOW)
    sidecar = ledger.folder / "tenants" / RUN / "000001.json"
    assert json.loads(sidecar.read_bytes()) == {"acme": 1, "zoë": 1}
    assert entry.body["tenants_digest"] == sha256(sidecar.read_bytes())
    assert "tenants" not in entry.body
    assert b"acme" not in ledger.path.read_bytes()


def test_recording_a_disposal_again_gives_the_entry_that_is_there(tmp_path: Path, signer: Signer) -> None:
    """Also from another process, and when the index was read before the entry was written."""
    one, other = Ledger(tmp_path / "ledger", signer), Ledger(tmp_path / "ledger", signer)
    assert not other.has_disposal(RUN, "000001")
    entry = one.record(disposal(), at=NOW)
    assert other.has_disposal(RUN, "000001")
    assert other.record(disposal(), at=Nanos(NOW + DAY)) == entry
    assert one.record(disposal("000002"), at=NOW).n == entry.n + 1
    assert one.disposal_entry(RUN, "000001") == entry
    assert not one.has_disposal("another-run", "000001")


def test_a_sidecar_left_by_a_crash_before_its_entry_is_used(ledger: Ledger) -> None:
    """The same bytes are there already, and the entry is written."""
    sidecar = ledger.folder / "tenants" / RUN / "000001.json"
    sidecar.parent.mkdir(parents=True)
    sidecar.write_bytes(canonical({"acme": 2}))
    assert ledger.record(disposal(), at=NOW).body["tenants_digest"] == sha256(sidecar.read_bytes())


def test_a_slice_name_cannot_lead_a_sidecar_elsewhere(ledger: Ledger) -> None:
    """Markers come from stores that others can write to."""
    with pytest.raises(StateError):
        ledger.record(disposal("../../../keys/signing"), at=NOW)
    assert not ledger.exists
    assert files_below(ledger.folder) == ["ledger.jsonl"]


def test_a_ledger_without_a_key_cannot_be_written(tmp_path: Path) -> None:
    """It is for reading; nothing is made."""
    with pytest.raises(StateError):
        Ledger(tmp_path / "ledger").append(EntryKind.NOTE, {}, at=NOW)
    assert files_below(tmp_path) == []


def test_an_unfinished_last_line_is_removed_and_noted(ledger: Ledger, tmp_path: Path) -> None:
    """Readers leave it out; the next writer says in the ledger how many bytes it was."""
    ledger.append(EntryKind.NOTE, {"note": "one"}, at=NOW)
    with ledger.path.open("ab") as file:
        file.write(b'{"at":"2026')
    assert len(list(ledger.entries())) == 2
    assert ledger.head() is not None
    entry = ledger.append(EntryKind.NOTE, {"note": "two"}, at=NOW)
    kinds = [(item.n, item.kind, item.body.get("bytes")) for item in ledger.entries()]
    assert kinds[2:] == [(2, EntryKind.NOTE, 11), (3, EntryKind.NOTE, None)]
    assert entry.n == 3
    assert intact(tmp_path)


def test_a_first_entry_that_was_cut_short_is_made_anew(ledger: Ledger, tmp_path: Path) -> None:
    """Nothing was promised under the id that never got to the disk."""
    ledger.folder.mkdir()
    ledger.path.write_bytes(b'{"at"')
    assert not ledger.exists
    ledger.begin(at=NOW)
    assert [(entry.kind, entry.body.get("bytes")) for entry in ledger.entries()][1:] == [(EntryKind.NOTE, 5)]
    assert intact(tmp_path)


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"nonsense", b"\xff\xfe"])
def test_nothing_is_chained_to_a_damaged_last_line(ledger: Ledger, line: bytes) -> None:
    """The append is refused, the file stays as it is, and the hint says how to look."""
    ledger.append(EntryKind.NOTE, {}, at=NOW)
    with ledger.path.open("ab") as file:
        file.write(line + b"\n")
    before = ledger.path.read_bytes()
    with pytest.raises(VerificationError) as caught:
        ledger.append(EntryKind.NOTE, {}, at=NOW)
    assert "ledger verify" in str(caught.value.hint)
    assert ledger.path.read_bytes() == before


def test_nothing_is_chained_to_an_edited_last_entry(ledger: Ledger) -> None:
    """Its hash is not that of its content any more."""
    ledger.append(EntryKind.NOTE, {"note": "ten rows"}, at=NOW)
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"ten rows", b"two rows"))
    with pytest.raises(VerificationError):
        ledger.append(EntryKind.NOTE, {}, at=NOW)


def test_a_head_longer_than_a_block_is_found(ledger: Ledger) -> None:
    """The last line is searched backwards, over as many blocks as it has."""
    ledger.append(EntryKind.NOTE, {"filler": "x" * 200_000}, at=NOW)
    entry = ledger.append(EntryKind.NOTE, {"filler": "y" * 200_000}, at=NOW)
    assert ledger.head() == Head(entry.n, entry.hash)


def test_processes_that_append_together_make_one_chain(tmp_path: Path) -> None:
    """Every entry is there once, in one chain, under one id and one key, though all of them began at once."""
    processes = [start_python(APPENDER, tmp_path, 15) for _ in range(4)]
    for process in processes:
        finished(process)
    entries = list(Ledger(tmp_path / "ledger").entries())
    assert [entry.n for entry in entries] == list(range(61))
    assert len({entry.key for entry in entries}) == 1
    assert intact(tmp_path)
    assert len(public_keys(tmp_path / "keys")) == 1


@pytest.mark.crash
def test_a_writer_killed_at_any_moment_leaves_what_the_next_one_repairs(tmp_path: Path) -> None:
    """Every entry whose append had returned is there, and the chain is intact."""
    promised = -1
    for attempt in range(6):
        process = start_python(APPENDER, tmp_path, 10_000)
        for _ in range(3 + 2 * attempt):
            promised = max(promised, int(said(process)))
        process.kill()
        output, _ = process.communicate()
        promised = max([promised, *map(int, output.split("\n")[:-1])])
        Ledger(tmp_path / "ledger", load_signer(tmp_path / "keys")).append(EntryKind.NOTE, {}, at=NOW)
        head = Ledger(tmp_path / "ledger").head()
        assert head is not None
        assert head.n > promised
    assert intact(tmp_path)


def test_an_append_that_fails_leaves_the_ledger_as_it_was(tmp_path: Path, ledger: Ledger) -> None:
    """With a limit on the size of files the write fails half way, and the same process can go on."""
    ledger.append(EntryKind.NOTE, {}, at=NOW)
    before = ledger.path.read_bytes()
    script = """if True:
        import resource, sys
        from pathlib import Path
        from lapse.clock import real_now
        from lapse.errors import StateError
        from lapse.model.ledger_entry import EntryKind
        from lapse.state.keys import load_signer
        from lapse.state.ledger import Ledger
        root, size = Path(sys.argv[1]), int(sys.argv[2])
        ledger = Ledger(root / "ledger", load_signer(root / "keys"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 300, size + 300))
        try:
            ledger.append(EntryKind.NOTE, {"filler": "x" * 500}, at=real_now())
        except StateError:
            print("failed")
    """
    assert finished(start_python(script, tmp_path, len(before))) == "failed"
    assert ledger.path.read_bytes() == before


def test_a_symbolic_link_in_place_of_the_ledger_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    """Nothing is written to where it points."""
    (tmp_path / "victim").write_bytes(b"precious\n")
    ledger.folder.mkdir()
    ledger.path.symlink_to(tmp_path / "victim")
    with pytest.raises(StateError):
        ledger.append(EntryKind.NOTE, {}, at=NOW)
    assert (tmp_path / "victim").read_bytes() == b"precious\n"


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
