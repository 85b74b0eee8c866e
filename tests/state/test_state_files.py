"""Durable files, folders and small keyed files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from state_helpers import files_below, finished, start_python

from lapse.errors import StateError
from lapse.state.files import (
    create_durably,
    make_private,
    permission_warning,
    read_private,
    remove_durably,
    safe_name,
    write_durably,
)
from lapse.state.folders import StateFolders, state_root
from lapse.state.pins import Pins


def test_a_new_folder_and_its_parents_are_for_their_owner_only(tmp_path: Path) -> None:
    """Every folder that had to be made is 0700, and there is nothing to warn of."""
    assert make_private(tmp_path / "a" / "b") is None
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")] == [0o700, 0o700]


def test_a_wider_folder_is_reported_and_left_as_it_is(tmp_path: Path) -> None:
    """The warning names the folder and the command that closes it."""
    tmp_path.chmod(0o755)
    warning = make_private(tmp_path)
    assert warning is not None
    assert f"chmod 700 {tmp_path}" in warning
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_what_is_written_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    """The file is 0600, whole, and the temporary file is gone."""
    write_durably(tmp_path / "f", b"one")
    write_durably(tmp_path / "f", b"two")
    assert read_private(tmp_path / "f") == b"two"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert files_below(tmp_path) == ["f"]
    assert permission_warning(tmp_path / "f") is None


def test_the_next_writer_uses_up_what_a_killed_one_left(tmp_path: Path) -> None:
    """A temporary file with half of something longer in it does no harm and does not stay."""
    (tmp_path / ".f.tmp").write_bytes(b"half of something longer")
    write_durably(tmp_path / "f", b"new")
    assert read_private(tmp_path / "f") == b"new"
    assert files_below(tmp_path) == ["f"]


def test_creating_keeps_what_is_there(tmp_path: Path) -> None:
    """The second one is told that it did not write, and leaves nothing behind."""
    assert create_durably(tmp_path / "f", b"one")
    assert not create_durably(tmp_path / "f", b"two")
    assert read_private(tmp_path / "f") == b"one"
    assert files_below(tmp_path) == ["f"]


def test_of_many_processes_that_create_one_file_one_wins(tmp_path: Path) -> None:
    """Exactly one says that it wrote, and the file is its own."""
    script = """if True:
        import os, sys
        from pathlib import Path
        from lapse.state.files import create_durably
        sys.stdin.readline()
        print(os.getpid() if create_durably(Path(sys.argv[1]), str(os.getpid()).encode()) else "")
    """
    racers = [start_python(script, tmp_path / "f") for _ in range(4)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    winners = [output for output in map(finished, racers) if output]
    assert winners == [(tmp_path / "f").read_text()]
    assert files_below(tmp_path) == ["f"]


@pytest.mark.parametrize("name", ["f", ".f.tmp"])
def test_a_symbolic_link_in_place_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    """Neither the file nor its temporary name lead elsewhere; what the link points to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / name).symlink_to(victim)
    if name == "f":
        with pytest.raises(StateError, match="cannot read"):
            read_private(tmp_path / "f")
    else:
        with pytest.raises(StateError) as caught:
            write_durably(tmp_path / "f", b"new")
        assert caught.value.hint is not None
        assert "symbolic link" in caught.value.hint
    assert victim.read_bytes() == b"precious"


def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    """Nobody writes into the pipe, and still the call returns."""
    os.mkfifo(tmp_path / "f")
    with pytest.raises(StateError, match="not a regular file"):
        read_private(tmp_path / "f")


def test_removing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    """The outcome is the same: there is no such file."""
    write_durably(tmp_path / "f", b"x")
    remove_durably(tmp_path / "f")
    remove_durably(tmp_path / "f")
    assert read_private(tmp_path / "f") is None


def test_an_error_of_the_system_says_what_to_do(tmp_path: Path) -> None:
    """A folder that is a file becomes a StateError with a hint."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError) as caught:
        write_durably(tmp_path / "file" / "f", b"x")
    assert "cannot write" in caught.value.message
    assert caught.value.hint


def test_a_write_that_fails_leaves_the_old_content_and_no_stray_file(tmp_path: Path) -> None:
    """With a limit on the size of files, the write fails half way."""
    write_durably(tmp_path / "f", b"old")
    script = """if True:
        import resource, sys
        from pathlib import Path
        from lapse.errors import StateError
        from lapse.state.files import write_durably
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_durably(Path(sys.argv[1]), b"x" * 2000)
        except StateError:
            print("failed")
    """
    assert finished(start_python(script, tmp_path / "f")) == "failed"
    assert read_private(tmp_path / "f") == b"old"
    assert files_below(tmp_path) == ["f"]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a\n", "a" * 201, "zoë"])
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    """Runs and slices come from stores, which others can write to."""
    with pytest.raises(StateError):
        safe_name(name)


def test_the_state_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPSE_STATE_DIR wins; a relative one is made absolute; an empty one does not count."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAPSE_STATE_DIR", "state")
    assert state_root() == tmp_path / "state"
    monkeypatch.setenv("LAPSE_STATE_DIR", "")
    assert state_root() != tmp_path


@pytest.mark.parametrize(
    ("user", "xdg", "expected"),
    [
        (0, "/xdg", "/var/lib/lapse"),
        (1000, "/xdg", "/xdg/lapse"),
        (1000, "relative", "/home/ann/.local/state/lapse"),
        (1000, None, "/home/ann/.local/state/lapse"),
    ],
)
def test_the_default_state_folder_depends_on_the_user(
    monkeypatch: pytest.MonkeyPatch, user: int, xdg: str | None, expected: str
) -> None:
    """Root has the system's folder; others have their own."""
    monkeypatch.delenv("LAPSE_STATE_DIR", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if xdg is not None:
        monkeypatch.setenv("XDG_STATE_HOME", xdg)
    assert state_root() == Path(expected)


def test_the_policy_moves_the_ledger_only(tmp_path: Path) -> None:
    """The keys stay in the root; both folders are made private and warned of where they are not."""
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "elsewhere").chmod(0o755)
    folders = StateFolders(tmp_path / "root", tmp_path / "elsewhere")
    assert (folders.ledger, folders.keys) == (tmp_path / "elsewhere", tmp_path / "root" / "keys")
    assert StateFolders(tmp_path / "root").ledger == tmp_path / "root" / "ledger"
    assert [str(tmp_path / "elsewhere") in warning for warning in folders.prepare()] == [True]
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700


def test_a_pinned_fingerprint_is_found_again(tmp_path: Path) -> None:
    """Each dataset has its own; before the first run there is none, and asking makes nothing."""
    assert Pins(tmp_path).pinned("calls") is None
    assert files_below(tmp_path) == []
    Pins(tmp_path).pin("calls", "sqlite:1")
    Pins(tmp_path).pin("audit", "jsonl:2")
    Pins(tmp_path).pin("calls", "sqlite:3")
    assert (Pins(tmp_path).pinned("calls"), Pins(tmp_path).pinned("audit")) == ("sqlite:3", "jsonl:2")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"calls": 3}', b"\xff"])
def test_pins_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    """Otherwise another database would be pinned as if it were the first."""
    (tmp_path / "pins.json").write_bytes(content)
    with pytest.raises(StateError):
        Pins(tmp_path).pinned("calls")
