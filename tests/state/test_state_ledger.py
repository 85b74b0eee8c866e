"""The ledger: what is appended, recorded and repaired."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from state_helpers import NOW, RUN, disposal, files_below, finished, intact, ledger, said, signer, start_python

from lapse.canonical import Digest, canonical, sha256
from lapse.errors import StateError, VerificationError
from lapse.instant import DAY, Nanos
from lapse.model.disposal import Disposal, SealedSegment
from lapse.model.ledger_entry import GENESIS_PREVIOUS, EntryKind
from lapse.state.keys import Signer, load_signer, public_keys, verify
from lapse.state.ledger import Head, Ledger
from lapse.state.ledger_index import DisposalIndex

__all__ = ["ledger", "signer"]

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


def test_an_entry_is_found_wherever_it_lies(tmp_path: Path, signer: Signer) -> None:
    """Between entries of other kinds and of other processes; what this one has written it need not read."""
    one, other = Ledger(tmp_path / "ledger", signer), Ledger(tmp_path / "ledger", signer)
    written = {}
    for number in range(1, 13):
        name = f"{number:06d}"
        written[name] = (one if number % 4 else other).record(disposal(name, tenants={"acme": number}), at=NOW)
        if number % 5 == 0:
            one.append(EntryKind.NOTE, {"note": "é" * number}, at=NOW)

    for each in one, other, Ledger(tmp_path / "ledger"):
        assert {name: each.disposal_entry(RUN, name) for name in written} == written
        assert not each.has_disposal(RUN, "000013")


def test_a_recorded_entry_is_what_is_read_back_later(ledger: Ledger) -> None:
    """It is not parsed when it is written, and yet the same value: lists stay lists."""
    segment = SealedSegment(
        archive="cold", path="a/b", digest=Digest("d"), size=1, records=2, merkle_root=Digest("m"), manifest=Digest("f")
    )
    gone = replace(disposal(), segments=(segment,), earlier=("x", "y"), rule_digests={"0": "h"}, ramp=1)

    written = [ledger.record(gone), ledger.record(replace(gone, slice="000002", segments=(), waiver=("é", "b")))]

    assert written == [entry for entry in ledger.entries() if entry.kind is EntryKind.DISPOSAL]
    assert all(entry.computed_hash() == entry.hash for entry in written)


def test_what_is_spelled_once_is_spelled_as_ever() -> None:
    """Marker, entry and sidecar have the bytes of the whole spelled at once."""
    gone = replace(disposal(tenants={"é": 1, "b": 1}), rule_digests={"0": "h", "10": "i"}, counts={"10": 1, "0": 1})

    assert canonical(gone.shorthand()) == canonical(gone.to_json()) == canonical(json.loads(canonical(gone.to_json())))
    assert gone.spelled("tenants") == canonical(dict(gone.tenants)).decode()
    assert Disposal.from_json(json.loads(canonical(gone.shorthand()))) == gone


def test_a_ledger_put_back_from_a_backup_is_read_anew(tmp_path: Path, signer: Signer) -> None:
    """What was in the former file is not taken to be in this one, though it is no shorter."""
    ledger, backup = Ledger(tmp_path / "ledger", signer), Ledger(tmp_path / "backup", signer)
    ledger.record(disposal("000001"), at=NOW)
    backup.record(disposal("000002"), at=NOW)
    assert ledger.has_disposal(RUN, "000001")
    backup.path.replace(ledger.path)
    assert not ledger.has_disposal(RUN, "000001")
    assert ledger.has_disposal(RUN, "000002")


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


def test_a_disposal_is_found_by_whatever_name_its_slice_has(tmp_path: Path) -> None:
    """Slices are numbered; one that is not, or whose number is far from the others, is found as well, and no other."""
    names = ["000001", "000002", "000007", "999999999", "last", "1", "01", "1000000", "0000001", "٠٠٠٠٠٣", ""]
    lines = [canonical({"kind": "disposal", "body": {"run": "R", "slice": name}}) + b"\n" for name in names]
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(lines))
    index = DisposalIndex(path)

    assert [index.line("R", name) for name in names] == [line.removesuffix(b"\n") for line in lines]
    assert [index.offset("R", name) for name in ("000000", "000003", "000008", "001000", "2")] == [None] * 5
    assert index.offset("S", "000001") is None


def test_a_slice_with_a_huge_number_takes_no_room(tmp_path: Path) -> None:
    """Where it lies is told by 8 bytes for each number up to it only while the numbers lie close together."""
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(canonical({"kind": "disposal", "body": {"run": "R", "slice": "90000000"}}) + b"\n")

    tracemalloc.start()
    try:
        assert DisposalIndex(path).offset("R", "90000000") == 0
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
