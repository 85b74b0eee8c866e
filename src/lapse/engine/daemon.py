"""Runs at the policy's times, one after another, for places without a service manager or cron.

Each run is a child process, so that what it needed of memory is given back, and so that a run that dies takes
nothing else with it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from lapse import clock
from lapse.canonical import Json
from lapse.errors import ExitCode, LapseError, StateError
from lapse.instant import SECOND, Nanos, parse_rfc3339, rfc3339
from lapse.state.files import make_private, read_private, remove_durably, write_durably

PULSE = 30.0
"""Seconds between two signs of life; also how soon a clock that was set is noticed."""
_STALE = 4 * PULSE
_STOP = (signal.SIGTERM, signal.SIGINT)
_HEARD = (*_STOP, signal.SIGHUP, signal.SIGCHLD)
_SET_BACK = round(PULSE * SECOND)
"""By how much a clock must go back until due times are looked up anew; less is what time servers do all the time."""
_LOST = 128  # what a shell adds to the number of the signal that ended a process

Tell = Callable[[str, Mapping[str, Json]], None]
Due = Callable[[Nanos], Nanos]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the daemon goes by, until it is told to read the policy again.

    Attributes:
        next_after: From the beginning of a run to the time at which the next one is due, jitter included. May be
            past by the time the run has ended: then it is made up for at once.
        first: When the first run is due. May be past as well.
    """

    next_after: Due
    first: Nanos


@dataclass(slots=True)
class _Heard:
    """What signals have asked for."""

    stop: list[int] = field(default_factory=list)
    reread: bool = False


class Daemon:
    """The loop. It lives until a signal ends it."""

    def __init__(self, command: Sequence[str], *, plan: Callable[[], Plan], health: Path, tell: Tell) -> None:
        """A loop that has not begun.

        Arguments:
            command: What a run is.
            plan: Reads the policy; called at the start and after each SIGHUP.
            health: File that is touched as a sign of life.
            tell: Told what happens, as an event with facts.
        """
        self._command = tuple(command)
        self._plan = plan
        self._health = health
        self._tell = tell
        self._heard = _Heard()
        self._exit: int | None = None
        self._mute = False
        self._last_sign: bytes | None = None

    def run(self) -> None:
        """Keep the schedule until SIGTERM or SIGINT.

        Raises:
            LapseError: If the policy says nothing to begin with.
        """
        plan = self._plan()
        with _signals(self._heard) as wake:
            due, seen = plan.first, clock.real_now()
            self._tell("daemon.started", {"pid": os.getpid()})
            _notify_manager("READY=1")
            while not self._heard.stop:
                before, seen = seen, clock.real_now()
                if seen < before - _SET_BACK:
                    due = min(due, plan.next_after(seen))  # else it would wait for a time that is far away by now
                    self._tell("daemon.clock_set_back", {"next": rfc3339(due)})
                if self._heard.reread:
                    plan, due = self._reread(plan, due)
                    continue
                if due <= clock.real_now():
                    began = clock.real_now()
                    self._run_once(wake)
                    due = plan.next_after(began)
                    continue
                self._sign_of_life(due, None)
                _wait(wake, min(PULSE, (due - clock.real_now()) / SECOND))
        self._tell("daemon.stopped", {})
        _notify_manager("STOPPING=1")
        self._end_signs_of_life()

    def _reread(self, plan: Plan, due: Nanos) -> tuple[Plan, Nanos]:
        """The plan by the policy as it is now; the one before if that cannot be read."""
        self._heard.reread = False
        try:
            plan = self._plan()
        except LapseError as error:
            self._tell("daemon.policy_unreadable", {"error": str(error)})
            return plan, due
        self._tell("daemon.policy_read", {"next": rfc3339(plan.first)})
        return plan, plan.first

    def _run_once(self, wake: int) -> None:
        """One run, until it has ended; signals to stop are passed on."""
        # In a group of its own: what a terminal sends to everybody would reach it twice.
        try:
            child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, process_group=0)
        except OSError as error:  # an upgrade that is under way, no memory: the next one may do better
            self._exit = int(ExitCode.INCOMPLETE)
            self._tell("daemon.run_not_started", {"error": f"{self._command[0]}: {error.strerror}"})
            return
        self._tell("daemon.run_started", {"pid": child.pid})
        passed = 0
        while child.poll() is None:
            for number in self._heard.stop[passed:]:
                child.send_signal(number)
                passed += 1
            self._sign_of_life(None, child.pid)
            _wait(wake, PULSE)
        self._exit = child.returncode if child.returncode >= 0 else _LOST - child.returncode
        self._tell("daemon.run_ended", {"exit": self._exit})

    def _sign_of_life(self, due: Nanos | None, child: int | None) -> None:
        facts: dict[str, Json] = {
            "pid": os.getpid(),
            "at": rfc3339(clock.real_now()),
            "next": None if due is None else rfc3339(due),
            "running": child,
            "exit": self._exit,
        }
        _notify_manager("WATCHDOG=1")
        try:
            make_private(self._health.parent)
            self._last_sign = json.dumps(facts).encode() + b"\n"
            write_durably(self._health, self._last_sign)
            self._mute = False
        except StateError as error:  # runs are worth more than signs of life: they go on, and who checks is alarmed
            if not self._mute:
                self._tell("daemon.health_not_written", {"error": str(error)})
            self._mute = True

    def _end_signs_of_life(self) -> None:
        """Remove the last one; another daemon's, of the same policy, stays: that one goes on.

        It is known by all it says: in containers each daemon may be process 1.
        """
        try:
            if read_private(self._health) == self._last_sign:
                remove_durably(self._health)
        except StateError as error:  # it was asked to end, and has ended: that is no failure
            self._tell("daemon.health_not_removed", {"error": str(error)})


def sign_of_life(health: Path) -> str | None:
    """What is wrong with the daemon that keeps the file *health*. None if it lives.

    Raises:
        StateError: If the file cannot be read.
    """
    data = read_private(health)
    if data is None:
        return "no daemon is at work on this policy"
    try:
        seen = parse_rfc3339(json.loads(data)["at"])
    except (ValueError, KeyError, TypeError):
        return f"{health} is not what the daemon writes"
    silent = (clock.real_now() - seen) / SECOND
    if silent < -_STALE:
        return "the daemon's last sign of life lies in the future: the clock was set back"
    return f"the daemon has given no sign of life for {silent:.0f} s" if silent > _STALE else None


@contextmanager
def _signals(heard: _Heard) -> Iterator[int]:
    """Within the block, signals are noted; the descriptor is readable once one came."""

    def note(number: int, frame: FrameType | None) -> None:
        if number in _STOP:
            heard.stop.append(number)
        elif number == signal.SIGHUP:
            heard.reread = True

    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    handlers = {number: signal.signal(number, note) for number in _HEARD}
    before = signal.set_wakeup_fd(writing)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _wait(wake: int, seconds: float) -> None:
    """Wait for a signal, or for so long."""
    ready, _, _ = select.select([wake], [], [], max(0.0, seconds))
    if ready:
        os.read(wake, 4096)


def _notify_manager(state: str) -> None:
    """Tell systemd, where it wants to be told (``Type=notify``); nobody listens elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    import socket

    # A manager that does not listen, or another one's address in a container, is no reason to end.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        channel.send(state.encode())
