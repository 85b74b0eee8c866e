"""What the ramp of a new rule promises on a table of a database server; each of them subclasses `SharedRamps`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace

from lapse.engine.running import Wishes, run
from lapse.model.ledger_entry import EntryKind
from lapse.model.report import Status
from lapse.ports import Event
from server_ground import ServerGround

TEN = "guards: {ramp: 10}\n"


def steps(ground: ServerGround) -> list[tuple[int, int | None, str]]:
    """Records, step of the ramp and method of every disposal."""
    bodies = [entry.body for entry in ground.session().ledger.entries() if entry.kind is EntryKind.DISPOSAL]
    return [(int(str(b["records"])), b.get("ramp"), str(b["method"])) for b in bodies]  # type: ignore[misc]  # ours


class SharedRamps:
    """A new rule begins small: partitions wait for its canary.

    A subclass stands beside these fixtures: `ground`, with a policy that ramps from ten records, on a table that is
    not there yet; `fill`, which makes it with so many lapsed rows and one that is kept; `parted`, the ground with four
    partitions of ten lapsed rows each, and one of a row that is kept.
    """

    def test_a_partition_waits_until_a_canary_of_its_rows_has_passed(self, parted: ServerGround) -> None:
        """It is larger than the canary, so that its first rows go by themselves; then partitions are dropped."""
        text = (parted.folder / "lapse.yaml").read_text(encoding="utf-8")
        (parted.folder / "lapse.yaml").write_text(text.replace(TEN, "guards: {ramp: 4}\n"), encoding="utf-8")

        report = parted.run()

        assert steps(parted)[0] == (4, 1, "row delete")
        assert parted.methods() == {"row delete": 4, "partition drop": 36}
        assert report.status is Status.DONE

    def test_a_partition_no_larger_than_a_canary_is_one(self, parted: ServerGround) -> None:
        """Ten rows are ten rows, however they go; only so many before they are checked."""
        parted.run()

        assert steps(parted)[0] == (10, 1, "partition drop")
        assert parted.methods() == {"partition drop": 40}

    def test_a_run_killed_before_its_canary_is_checked_begins_anew(
        self, ground: ServerGround, fill: Callable[[int], None]
    ) -> None:
        """SIGKILL between the commit and the check: nothing is lost, and the next run checks a canary of its own."""
        fill(100)
        before, kept = ground.everything(), ground.execute("SELECT id FROM log WHERE at > '2026-01-01'")

        class Killer:
            def on(self, event: Event) -> None:
                if event.name == "canary.checking":
                    os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if child == 0:
            try:
                run(replace(ground.session(), hooks=(Killer(),)), Wishes())
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert steps(ground) == [(10, 1, "row delete")]

        report = ground.run()

        assert [step for _, step, _ in steps(ground)][:3] == [1, 1, 2]
        assert (report.status, ground.everything()) == (Status.DONE, before)
        assert ground.execute("SELECT id FROM log") == kept
