"""Policies and roles with which files cannot be removed are refused before anything is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pg_calls import Calls, stranger, world

from lapse.engine.checking import check
from lapse.engine.planning import plan
from lapse.engine.running import Wishes, dry_run, run
from lapse.errors import ExitCode, PolicyError, StoreMissingError, UnsupportedError
from lapse.model.report import Status

__all__ = ["stranger", "world"]


def test_a_role_that_may_not_note_files_is_told_how(stranger: Calls) -> None:
    """Statement by statement, until the run goes through with exactly those rights."""
    stranger.execute("GRANT UPDATE ON recording TO files_stranger")
    file = stranger.file("a.wav")
    stranger.call("a.wav")
    said: list[str] = []

    for _ in range(4):
        try:
            report = stranger.purge()
            break
        except UnsupportedError as error:
            said.append(error.message)
            assert file.exists()
            statements = error.message.partition(": ")[2].partition(": ")[2]
            stranger.execute(statements)

    assert len(said) == 2, said
    assert "CREATE TABLE lapse_files" in said[1]
    assert "GRANT UPDATE ON call TO" in said[0]
    assert (report.status, report.files) == (Status.DONE, 1)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("pahts", "has no column 'pahts'"),
        ("recording.pahts", "has no column 'pahts'"),
        ("nothing.path", "`files`: nothing is no table whose rows go along with those of call"),
        ("id", "`files`: column id of call is bigint, which holds no path"),
    ],
)
def test_a_column_that_names_no_files_is_refused(world: Calls, column: str, message: str) -> None:
    """With its place in the policy, before anything is removed."""
    world.policy(column=column)
    world.call("a.wav")

    with pytest.raises((StoreMissingError, UnsupportedError)) as caught:
        world.purge()

    assert message in caught.value.message
    assert caught.value.origin is not None
    assert caught.value.origin.line == 13
    assert world.calls() == 1


@pytest.mark.parametrize("store", ["sqlite:///calls.db", "duckdb:///calls.duckdb", "mysql://db.invalid/calls"])
def test_other_stores_refuse_files(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is opened: they could not note which files go in the transaction that removes the rows."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    world = Calls(tmp_path, "other", "")
    world.policy(store=store)
    session = world.session()

    for look in (check, plan, lambda session: run(session, Wishes()), lambda session: dry_run(session, Wishes())):
        with pytest.raises(UnsupportedError, match="cannot keep account of files") as caught:
            look(session)

        assert caught.value.exit_code == ExitCode.USAGE
        assert caught.value.origin is not None
        assert caught.value.origin.line == 13


def test_a_folder_with_lapses_own_files_is_refused(world: Calls) -> None:
    """A row could name the ledger."""
    world.policy(under="state/spool")

    with pytest.raises(PolicyError, match="a row could name a file of Lapse's own"):
        world.purge()
