"""`lapse daemon`: runs at their times, one at a time, until a signal ends it."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from unattended_world import World, await_handler, program
from unattended_world import world_fixture as world_fixture

from lapse import clock
from lapse.engine.daemon import Daemon, Plan
from lapse.engine.pulse import health_file, plan_of
from lapse.instant import DAY, SECOND, Nanos, parse_rfc3339, rfc3339
from lapse.model.status import Ended, PastRun
from lapse.state.runs import LastRuns


class Watched:
    """A daemon whose log lines can be awaited."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(json.loads(line))

    def awaits(self, event: str) -> dict[str, Any]:
        """The next line of that event; those before it are passed over."""
        while True:
            line = self._lines.get(timeout=60)
            if line["event"] == event:
                return line

    def stopped(self, number: int = signal.SIGTERM) -> int:
        """The exit code once a signal has ended it."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def daemon(world: World, *arguments: str, **more: str) -> Iterator[Watched]:
    """A daemon at work, with JSON lines."""
    process = world.start("daemon", "--log-format", "json", *arguments, **more)
    watched = Watched(process)
    try:
        yield watched
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def health(world: World) -> dict[str, Any]:
    """What the daemon says of itself."""
    found: dict[str, Any] = json.loads(health_file(world.session()).read_text(encoding="utf-8"))
    return found


def test_it_runs_again_and_again(world: World) -> None:
    """`--every` at once where there was no run before; each run is remembered; SIGTERM ends it with 0."""
    with daemon(world, "--every", "500 ms") as found:
        first = found.awaits("run.started")
        assert found.awaits("daemon.run_ended")["exit"] == 0
        second = found.awaits("run.started")
        found.awaits("daemon.run_ended")
        code = found.stopped()

    assert code == 0
    assert first["run"] != second["run"]
    assert world.rows() == 5
    assert world.call("daemon", "--check").exit_code == 1


def test_a_run_that_fails_does_not_end_it(world: World) -> None:
    """The next one is due as ever."""
    (world.folder / "calls.db").unlink()
    with daemon(world, "--every", "300 ms") as found:
        assert found.awaits("daemon.run_ended")["exit"] == 2
        assert found.awaits("daemon.run_ended")["exit"] == 2
        assert found.stopped() == 0


def test_arguments_go_to_the_run(world: World) -> None:
    """What stands after `--`."""
    with daemon(world, "--every", "1 hour", "--", "--rows", "3", "--metrics", "lapse.prom") as found:
        assert found.awaits("run.ended")["records"] == 3
        found.awaits("daemon.run_ended")
        assert found.stopped() == 0

    assert world.rows() == 12
    assert (world.folder / "lapse.prom").exists()


def test_sigterm_is_passed_on_and_awaited(world: World) -> None:
    """The run under way ends by itself, the slice is not torn, and only then the daemon is gone."""
    with daemon(world, "--every", "1 hour", "--", "--jitter", "10 minutes") as found:
        pid = found.awaits("daemon.run_started")["pid"]
        await_handler(pid)
        assert os.getpgid(pid) == pid  # Ctrl-C on a terminal reaches the daemon alone, and is passed on once
        assert found.stopped() == 0
        assert found.awaits("run.stopping")
        assert found.awaits("daemon.run_ended")["exit"] == 1
        assert found.awaits("daemon.stopped")

    assert not Path(f"/proc/{pid}").exists()
    assert world.rows() == 15


def test_sighup_reads_the_policy_again(world: World) -> None:
    """A new schedule counts at once; one that cannot be read leaves the old one."""
    with daemon(world) as found:
        found.awaits("daemon.started")
        world.policy("schedule: {every: 1 minute}\n")
        found.process.send_signal(signal.SIGHUP)
        due = found.awaits("daemon.policy_read")["next"]
        world.policy("schedule: {every: 7 minutes}\n")
        found.process.send_signal(signal.SIGHUP)
        assert "lapse.yaml has 1 problem" in found.awaits("daemon.policy_unreadable")["error"]
        assert found.stopped() == 0

    assert parse_rfc3339(due) <= clock.real_now() + 60 * SECOND


def test_a_run_that_was_missed_is_made_up_for_once(world: World) -> None:
    """Two nights without a daemon are one run at its start."""
    began = Nanos(clock.real_now() - 2 * DAY - SECOND)
    run = PastRun(run="R", began=began, at=began, ended=Ended.DONE)
    LastRuns(world.state).add({world.session().state_name("calls"): run})
    with daemon(world) as found:
        assert found.awaits("daemon.run_ended")["exit"] == 0
        _await(lambda: health(world)["next"] is not None)
        assert found.stopped() == 0

    assert world.rows() == 5


def test_a_first_run_waits_for_its_time(world: World) -> None:
    """A policy that has never run is not run at a time that nobody chose; one that has run in time is not, either."""
    now = clock.real_now()
    never = plan_of(world.session(), None).first
    LastRuns(world.state).add(
        {world.session().state_name("calls"): PastRun(run="R", began=now, at=now, ended=Ended.DONE)}
    )
    lately = plan_of(world.session(), None).first

    assert now < never <= now + DAY
    assert lately == never


def test_a_daemon_that_begins_while_the_jitter_lasts_still_has_its_first_night(world: World) -> None:
    """Told to read the policy again at the wrong minute, it would else wait a day more, each day."""
    now = clock.real_now()
    lately = datetime.fromtimestamp((now - 60 * SECOND) / SECOND, UTC)
    for jitter, within in (("10 min", True), ("1 s", False)):
        schedule = f'{{daily at: "{lately:%H:%M}", time zone: UTC, jitter: {jitter}}}'
        world.policy(f"schedule: {schedule}\n")
        due = {plan_of(world.session(), None).first for _ in range(20)}
        assert {now <= each < now + 10 * 60 * SECOND for each in due} == {within}
        assert len(due) > 10


def test_jitter_moves_a_due_time_back_at_random(world: World) -> None:
    """Never before it, never by more."""
    world.policy("schedule: {daily at: 02:00, jitter: 1 hour}\n")
    plan = plan_of(world.session(), None)
    due = {(plan.next_after(Nanos(0)) // SECOND) % 86_400 for _ in range(50)}

    start = min(due)
    assert max(due) - start <= 3600
    assert len(due) > 10


def test_it_gives_signs_of_life(world: World) -> None:
    """While it waits and while it runs; `--check` answers for a health check."""
    assert world.call("daemon", "--check").exit_code == 1
    with daemon(world) as found:
        found.awaits("daemon.started")
        _await(lambda: world.call("daemon", "--check").exit_code == 0)
        said = health(world)
        assert (said["pid"], said["running"]) == (found.process.pid, None)
        assert found.stopped() == 0


def test_a_daemon_that_hangs_is_told_from_one_that_lives(world: World) -> None:
    """An old sign of life is none."""
    file = health_file(world.session())
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text(json.dumps({"at": rfc3339(Nanos(clock.real_now() - 3600 * SECOND))}), encoding="utf-8")
    result = world.call("daemon", "--check")

    assert result.exit_code == 1
    assert "no sign of life for 3600 s" in result.stdout


def test_without_a_schedule_it_does_not_begin(world: World) -> None:
    """Exit 2, with both ways to say when."""
    world.policy()
    result = world.call("daemon")

    assert result.exit_code == 2
    assert "--every" in result.stderr


@pytest.mark.parametrize("text", ["soon", "0 s", "6"])
def test_a_span_that_is_none_is_refused(world: World, text: str) -> None:
    """Before anything runs."""
    assert world.call("daemon", "--every", text).exit_code == 2


def test_systemd_is_told_that_it_is_ready(world: World) -> None:
    """`Type=notify`: READY, signs of life, STOPPING."""
    address = str(world.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(60)
        with daemon(world, NOTIFY_SOCKET=address) as found:
            told = [listener.recv(100), listener.recv(100)]
            assert found.stopped() == 0
            told.append(listener.recv(100))

    assert told == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_manager_that_does_not_listen_does_not_end_it(world: World) -> None:
    """NOTIFY_SOCKET may lead nowhere, as in a container that has inherited it."""
    with daemon(world, NOTIFY_SOCKET=str(world.folder / "nobody")) as found:
        found.awaits("daemon.started")
        assert found.stopped() == 0


def test_signs_of_life_that_cannot_be_removed_are_no_failure(world: World) -> None:
    """It was asked to end, and has: exit 0, and a line that says what is left."""
    file, elsewhere = world.folder / "health", world.folder / "elsewhere"
    elsewhere.write_text("{}", encoding="utf-8")
    with daemon(world, "--health", str(file)) as found:
        _await(file.exists)
        file.unlink()
        file.symlink_to(elsewhere)
        assert found.stopped() == 0
        assert str(file) in found.awaits("daemon.health_not_removed")["error"]

    assert elsewhere.read_text(encoding="utf-8") == "{}"


def test_signs_of_life_that_cannot_be_written_do_not_end_it(world: World) -> None:
    """Runs are worth more; who checks is alarmed."""
    with daemon(world, "--health", "/proc/nowhere/health") as found:
        found.awaits("daemon.health_not_written")
        assert found.stopped() == 0


def test_another_daemon_of_the_same_policy_keeps_its_sign_of_life(world: World) -> None:
    """Who ends takes only what it wrote itself; processes of two containers may have the same number."""
    with daemon(world) as found:
        found.awaits("daemon.started")
        _await(lambda: world.call("daemon", "--check").exit_code == 0)
        theirs = {**health(world), "at": rfc3339(Nanos(clock.real_now() + SECOND))}
        health_file(world.session()).write_text(json.dumps(theirs), encoding="utf-8")
        assert found.stopped() == 0

    assert health(world) == theirs


def test_a_sign_of_life_from_the_future_is_none(world: World) -> None:
    """A clock that was set back must not make a dead daemon live until then."""
    file = health_file(world.session())
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text(json.dumps({"at": rfc3339(Nanos(clock.real_now() + 3600 * SECOND))}), encoding="utf-8")

    assert world.call("daemon", "--check").exit_code == 1


class Told:
    """Hears what a daemon in this process does, and ends it after a certain event."""

    def __init__(self, last: str) -> None:
        self.events: dict[str, Any] = {}
        self._last = last

    def __call__(self, name: str, facts: Mapping[str, Any]) -> None:
        self.events[name] = facts
        if name == self._last:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_that_cannot_be_started_does_not_end_it(tmp_path: Path) -> None:
    """As while Lapse itself is upgraded."""
    told = Told("daemon.run_not_started")
    plan = Plan(next_after=lambda began: Nanos(began + DAY), first=Nanos(0))
    Daemon([str(tmp_path / "gone")], plan=lambda: plan, health=tmp_path / "health", tell=told).run()

    assert told.events["daemon.run_not_started"]["error"].endswith("gone: No such file or directory")
    assert "daemon.stopped" in told.events


def test_a_clock_that_is_set_back_brings_the_next_run_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that began years ahead does not wait for years once its clock is right."""
    told, ahead, right = Told("daemon.clock_set_back"), Nanos(3000 * DAY), Nanos(1000 * DAY)
    times = iter([ahead, ahead, ahead, ahead])
    monkeypatch.setattr(clock, "real_now", lambda: next(times, right))
    monkeypatch.setattr("lapse.engine.daemon.PULSE", 0.01)
    plan = Plan(next_after=lambda began: Nanos(began + DAY), first=Nanos(ahead + DAY))
    Daemon(["unused"], plan=lambda: plan, health=tmp_path / "health", tell=told).run()

    assert parse_rfc3339(told.events["daemon.clock_set_back"]["next"]) == right + DAY


def test_text_is_for_people(world: World) -> None:
    """One line for each thing that happens."""
    program(world.folder, "unused", "true")
    process = world.start("daemon", "--every", "1 hour")
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert lines[0].startswith("daemon: started pid=")
    assert lines[1].startswith("daemon: run started pid=")
    assert lines[2] == "daemon: run ended exit=0\n"


def _await(condition: Any) -> None:
    while not condition():
        clock.sleep(0.02)
