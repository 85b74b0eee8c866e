"""Progress on a terminal: a bar a dataset with records, rate and time left; a hook that is drawn on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lapse.cli.output import console, is_terminal, print_note
from lapse.cli.wording import duration, plain

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID

    from lapse.ports import Event, Hook


@contextmanager
def progress_bar(*, wanted: bool) -> Iterator[tuple[Hook, ...]]:
    """A hook that draws progress on stderr until the block is left.

    Where stderr is no terminal it only says when a run waits for others; no hook if nothing is *wanted*.
    """
    if not wanted:
        yield ()
        return
    if not is_terminal(sys.stderr):
        yield (WaitingHook(),)
        return
    with _progress() as progress:
        yield (ProgressHook(progress),)


class WaitingHook:
    """Says in one line that a run begins to wait, and in another that it goes on: for the mail of a cron job."""

    def __init__(self) -> None:
        self._waits = False

    def on(self, event: Event) -> None:
        """Tell what *event* says of waiting; a wait whose reason changes is told once."""
        name = plain(str(event.facts.get("dataset", "")))
        if event.name == "run.waiting" and not self._waits:
            self._waits = True
            print_note(f"{name} waits: {plain(str(event.facts['reason']))}")
        elif event.name == "run.going_on":
            self._waits = False
            print_note(f"{name} goes on after {duration(float(str(event.facts['seconds'])))}")


class ProgressHook:
    """Moves a bar for each dataset."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def on(self, event: Event) -> None:
        """Draw what *event* says."""
        name = plain(str(event.facts.get("dataset", "")))
        match event.name:
            case "dataset.planning":
                self._tasks[name] = self._progress.add_task(f"{name}: looking", total=None)
            case "dataset.started":
                total = int(str(event.facts["records"]))
                self._progress.reset(self._task(name), total=total, description=name)
            case "disposal.committed":
                self._progress.advance(self._task(name), int(str(event.facts["records"])))
            case "slice.put_back":
                self._progress.update(self._task(name), description=f"{name}: a slice again")
            case "run.waiting":
                reason = plain(str(event.facts["reason"]))
                self._progress.update(self._task(name), description=f"{name} waits: {reason}")
            case "run.going_on":
                self._progress.update(self._task(name), description=name)
            case "canary.checking":
                self._progress.update(self._task(name), description=f"{name}: checking the canary")
            case "canary.verified":
                self._progress.update(self._task(name), description=f"{name}: {plain(str(event.facts['text']))}")
            case "dataset.failed":
                self._progress.update(self._task(name), description=f"{name}: incomplete")
                self._progress.stop_task(self._task(name))
            case _:
                pass

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None)
        return self._tasks[name]


def _progress() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Records a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if not speed else f"{speed:,.0f} records/s")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=console(sys.stderr),
        transient=True,
    )
