"""The lease of a file store, and the lock between holds and commits."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from state_helpers import files_below, finished, said, start_python

from lapse.errors import ExitCode, HoldsError, LeaseError, StoreError
from lapse.state import holdlock
from lapse.state.lease import hold

HOLDER = """if True:
    import sys
    from pathlib import Path
    from lapse.state.lease import hold
    with hold(Path(sys.argv[1]), what="run 7"):
        print("held", flush=True)
        sys.stdin.read()
"""

TRIER = """if True:
    import sys
    from pathlib import Path
    from lapse.errors import LeaseError
    from lapse.state.lease import hold
    try:
        with hold(Path(sys.argv[1]), what="run 9"):
            print("held")
    except LeaseError:
        print("refused")
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lease until its standard input is closed."""
    process = start_python(HOLDER, path)
    assert said(process) == "held"
    return process


def test_a_lease_leaves_no_file_behind(tmp_path: Path) -> None:
    """While it is held there is a private lock file; afterwards there is nothing."""
    with hold(tmp_path / "log.lease", what="run 1"):
        assert (tmp_path / "log.lease").stat().st_mode & 0o777 == 0o600
    assert files_below(tmp_path) == []


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    """The error is exit code 4 and names the process and its run; nothing is waited for."""
    process = holder(tmp_path / "log.lease")
    with pytest.raises(LeaseError) as caught, hold(tmp_path / "log.lease", what="run 8"):
        pass
    assert caught.value.exit_code is ExitCode.LEASED
    assert f"pid {process.pid}, run 7" in caught.value.message
    finished(process)
    with hold(tmp_path / "log.lease", what="run 8"):
        pass
    assert files_below(tmp_path) == []


@pytest.mark.crash
def test_a_killed_holder_frees_the_lease(tmp_path: Path) -> None:
    """SIGKILL leaves the file; the next run takes it over, and removes it at its end."""
    process = holder(tmp_path / "log.lease")
    process.kill()
    process.communicate()
    assert files_below(tmp_path) == ["log.lease"]
    with hold(tmp_path / "log.lease", what="run 8"):
        assert f'"pid":{os.getpid()}' in (tmp_path / "log.lease").read_text()
    assert files_below(tmp_path) == []


def test_one_process_can_hold_a_lease_twice(tmp_path: Path) -> None:
    """Two datasets in one file share the lease, by whatever path; it is free when both are done."""
    (tmp_path / "link").symlink_to(tmp_path)
    with hold(tmp_path / "log.lease", what="run 1"):
        with hold(tmp_path / "link" / "log.lease", what="run 1"):
            pass
        assert finished(start_python(TRIER, tmp_path / "log.lease")) == "refused"
    assert files_below(tmp_path) == []


def test_a_forked_child_does_not_keep_its_parents_lease(tmp_path: Path) -> None:
    """When the parent is killed, the lease is free although a child of it is still there."""
    script = """if True:
        import os, sys, time
        from pathlib import Path
        from lapse.state.lease import hold
        with hold(Path(sys.argv[1]), what="run 7"):
            if os.fork() == 0:
                print(os.getpid(), flush=True)
                time.sleep(60)
                os._exit(0)
            sys.stdin.read()
    """
    process = start_python(script, tmp_path / "log.lease")
    child = int(said(process))
    try:
        process.kill()
        process.wait()
        with hold(tmp_path / "log.lease", what="run 8"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


def test_a_forked_child_that_leaves_the_block_does_not_end_its_parents_lease(tmp_path: Path) -> None:
    """The child runs through the same `finally`, and the file is still its parent's."""
    script = """if True:
        import os, sys
        from pathlib import Path
        from lapse.state.lease import hold
        with hold(Path(sys.argv[1]), what="run 7"):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                print("held", flush=True)
                sys.stdin.read()
    """
    process = start_python(script, tmp_path / "log.lease")
    assert said(process) == "held"
    with pytest.raises(LeaseError), hold(tmp_path / "log.lease", what="run 8"):
        pass
    finished(process)


def test_processes_that_race_for_a_lease_never_hold_it_together(tmp_path: Path) -> None:
    """Taking and giving back in a tight loop, nobody ever finds another one inside."""
    script = """if True:
        import os, sys
        from pathlib import Path
        from lapse.errors import LeaseError
        from lapse.state.lease import hold
        folder, taken = Path(sys.argv[1]), 0
        while taken < 150:
            try:
                with hold(folder / "log.lease", what=sys.argv[2]):
                    os.mkdir(folder / "inside")
                    os.rmdir(folder / "inside")
                    taken += 1
            except LeaseError:
                pass
    """
    for process in [start_python(script, tmp_path, name) for name in ("a", "b", "c")]:
        finished(process)
    assert files_below(tmp_path) == []


def test_a_symbolic_link_in_place_of_the_lock_file_is_refused(tmp_path: Path) -> None:
    """What it points to is not overwritten."""
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "log.lease").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError), hold(tmp_path / "log.lease", what="run 1"):
        pass
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_folder_without_room_for_the_lock_file_is_a_store_that_is_not_writable(tmp_path: Path) -> None:
    """Exit code 1, with a hint; a missing folder stands for a read-only one, which root could write to."""
    with pytest.raises(StoreError) as caught, hold(tmp_path / "gone" / "log.lease", what="run 1"):
        pass
    assert caught.value.hint is not None
    assert "not writable" in caught.value.hint


def test_runs_do_not_exclude_each_other_from_the_holds(tmp_path: Path) -> None:
    """Two runs stand between recheck and commit at once."""
    with holdlock.shared(tmp_path), holdlock.shared(tmp_path, seconds=0):
        pass


def test_a_hold_is_not_added_while_a_run_commits(tmp_path: Path) -> None:
    """Adding waits, gives up after its time, and succeeds once the commit is through."""
    with holdlock.shared(tmp_path), pytest.raises(HoldsError), holdlock.exclusive(tmp_path, seconds=0.05):
        pass
    with holdlock.exclusive(tmp_path, seconds=0):
        pass


def test_adding_a_hold_waits_for_the_commit_under_way(tmp_path: Path) -> None:
    """The lock is had as soon as the other process has left."""
    script = """if True:
        import sys, time
        from pathlib import Path
        from lapse.state import holdlock
        with holdlock.shared(Path(sys.argv[1])):
            print("in", flush=True)
            time.sleep(0.2)
            Path(sys.argv[1], "committed").touch()
    """
    process = start_python(script, tmp_path)
    assert said(process) == "in"
    with holdlock.exclusive(tmp_path, seconds=20):
        assert (tmp_path / "committed").exists()
    finished(process)


def test_a_run_does_not_commit_while_a_hold_is_added(tmp_path: Path) -> None:
    """A run that cannot get the lock stops: unknown holds mean keep."""
    with holdlock.exclusive(tmp_path), pytest.raises(HoldsError), holdlock.shared(tmp_path, seconds=0.05):
        pass
