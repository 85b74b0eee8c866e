"""Kill a run at every port call, before and after, and let the next run recover; one JSON line a case.

Usage: python matrix.py KIND FOLDER [FIRST STEP]. The process imports everything once and forks for each
case, so a case costs milliseconds, and what dies by SIGKILL is a real process with real files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import pyarrow.parquet  # noqa: F401  imported before the fork

from lapse.engine import pruning
from lapse.engine.ledgering import verify
from lapse.model.report import Status
from lapse.registry import store_class
from lapse.state.journal import Journal
from lapse.state.ledger import Ledger
from lapse.targets.file import FileTarget
from worlds import World, make

RECORDS = 90  # enough for a first slice, one between, and a last
_PRUNED = 2  # disposals after which a run removes markers, while it goes on
_PORTS: dict[type, tuple[str, ...]] = {
    FileTarget: ("staging", "publish", "put", "open", "remove"),
    Journal: ("begin", "segment", "committing", "committed", "ledgered", "settled", "rolled_back"),
    Ledger: ("append", "record", "checkpoint"),
}
_STORE_PORTS = ("identity", "survey", "slices", "take", "recover", "prune")
_TAKE_PORTS = ("parts", "tallies", "commit")


class Bomb:
    """Counts calls and kills its own process at one of them."""

    def __init__(self, fuse: int | None) -> None:
        self.calls: list[str] = []
        self.fuse = fuse

    def tick(self, name: str) -> None:
        """Count a moment; the last one is final."""
        self.calls.append(name)
        if len(self.calls) == self.fuse:
            os.kill(os.getpid(), signal.SIGKILL)

    def arm(self, owner: type, names: tuple[str, ...]) -> None:
        """Put a moment before and after each method of *owner*."""
        for name in names:
            if hasattr(owner, name):
                setattr(owner, name, self._wrapped(f"{owner.__name__}.{name}", getattr(owner, name)))

    def _wrapped(self, label: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.tick(f"before {label}")
            result = method(*args, **kwargs)
            self.tick(f"after {label}")
            return result

        return wrapped


class ArmedTake:
    """The take's context manager, with moments around everything that is done with the take."""

    def __init__(self, manager: Any, bomb: Bomb) -> None:
        self._manager, self._bomb = manager, bomb

    def __enter__(self) -> Any:
        self._taken = self._manager.__enter__()
        armed = type("Armed", (), {name: self._method(name) for name in _TAKE_PORTS})
        return armed()

    def _method(self, name: str) -> Callable[..., Any]:
        def method(_self: Any, *args: Any) -> Any:
            self._bomb.tick(f"before Take.{name}")
            result = getattr(self._taken, name)(*args)
            self._bomb.tick(f"after Take.{name}")
            return result

        return method

    def __exit__(self, *error: Any) -> Any:
        self._bomb.tick("before Take.__exit__")
        result = self._manager.__exit__(*error)
        self._bomb.tick("after Take.__exit__")
        return result


def arm(bomb: Bomb, store: Any, armed: type[ArmedTake] = ArmedTake) -> None:
    """Arm every port of a run on a class of stores, whose takes become *armed*."""
    for owner, names in _PORTS.items():
        bomb.arm(owner, names)
    bomb.arm(store, _STORE_PORTS)
    taking = store.take

    @wraps(taking)
    def take(self: Any, piece: Any) -> Any:
        return armed(taking(self, piece), bomb)

    store.take = take


def arm_files(bomb: Bomb, kind: str) -> None:
    """Arm every port of a run on files of that kind."""
    arm(bomb, store_class("sqlite://" if kind == "sqlite" else "/logs"))


def in_child(work: Callable[[], None]) -> int:
    """Run *work* in a forked process; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  a forked child must not return into the parent's stack
            print(json.dumps({"error": repr(error)}), file=sys.stderr, flush=True)
            os._exit(70)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def told_in_child(work: Callable[[], Mapping[str, object]], answers: Path) -> tuple[int, dict[str, Any]]:
    """How a forked process ended that does *work*, and what it found, which is nothing where it died."""
    answers.unlink(missing_ok=True)
    ended = in_child(lambda: write(answers, work()))
    return ended, json.loads(answers.read_text()) if answers.exists() else {}


def write(file: Path, facts: Mapping[str, object]) -> None:
    """Put facts into a file."""
    file.write_text(json.dumps(facts))


def crash(
    world: World, fuse: int | None, log: Path, *, arming: Callable[[Bomb], None] | None = None, rows: int = 20
) -> int:
    """Run with slices of *rows* until the fuse burns; how the process ended. Stores other than files need *arming*."""

    def work() -> None:
        pruning.EVERY = _PRUNED
        bomb = Bomb(fuse)
        if arming is None:
            arm_files(bomb, world.kind)
        else:
            arming(bomb)
        world.run(rows)
        log.write_text(json.dumps(bomb.calls))

    return in_child(work)


def check(world: World, original: Counter[str]) -> dict[str, object]:
    """What a world looks like after one more run."""
    report = world.run()
    archived = world.archived()
    return {
        "complete": all(dataset.status is not Status.INCOMPLETE for dataset in report.datasets),
        "troubles": [d.trouble.message for d in report.datasets if d.trouble],
        "whole": world.records() + archived == original,
        "twice": [record for record, count in archived.items() if count > original[record]],
        "counted": world.ledger_records() == archived.total(),
        "left": archived.total(),
        "strays": world.strays(),
        "ledger": verify(world.session()).ok,
    }


def assert_recovered(case: Mapping[str, Any]) -> None:
    """The run of a case was killed, and after the next one nothing is lost, nothing twice, nothing left around."""
    assert case["ended"] == -signal.SIGKILL, case
    assert case["recovered"] == 0, case
    assert_whole(case)


def assert_whole(facts: Mapping[str, Any]) -> None:
    """What `check` found is as if there had been no crash."""
    assert facts["complete"], facts
    assert facts["whole"], facts
    assert facts["twice"] == [], facts
    assert facts["counted"], facts
    assert facts["left"] > 0, facts
    assert facts["strays"] == [], facts
    assert facts["ledger"], facts


def case(kind: str, folder: Path, fuse: int, moment: str, answers: Path) -> None:
    """One crash and its recovery."""
    shutil.rmtree(folder, ignore_errors=True)
    world = make(folder, kind, RECORDS)
    original = world.records()
    ended = crash(world, fuse, answers)
    recovered, facts = told_in_child(lambda: check(world, original), answers)
    print(json.dumps({"fuse": fuse, "moment": moment, "ended": ended, "recovered": recovered, **facts}), flush=True)


def main(kind: str, folder: Path, first: int = 1, step: int = 1) -> None:
    """Every moment from *first* on, each *step*-th."""
    answers = folder / "answers.json"
    folder.mkdir(parents=True, exist_ok=True)
    rehearsal = make(folder / "rehearsal", kind, RECORDS)
    assert crash(rehearsal, None, answers) == 0, "the rehearsal failed"
    moments = json.loads(answers.read_text())
    print(json.dumps({"moments": len(moments)}), flush=True)
    for fuse in range(first, len(moments) + 1, step):
        case(kind, folder / "world", fuse, moments[fuse - 1], answers)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
