"""Progress of a rewrite on a terminal: a bar a dataset with its phase and bytes; a hook that is drawn on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lapse.canonical import Json
from lapse.cli.output import console, is_terminal
from lapse.cli.wording import plain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from lapse.ports import Event, Hook


@contextmanager
def byte_bar(*, wanted: bool) -> Iterator[tuple[Hook, ...]]:
    """A hook that draws progress on stderr until the block is left; no hook if nobody would see it."""
    if not wanted or not is_terminal(sys.stderr):
        yield ()
        return
    with _progress() as progress:
        yield (ByteHook(progress),)


class ByteHook:
    """Moves a bar for each dataset that is written anew."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def on(self, event: Event) -> None:
        """Draw what *event* says."""
        name = plain(str(event.facts.get("dataset", "")))
        match event.name:
            case "reclaim.started":
                self._tasks[name] = self._progress.add_task(name, total=None)
            case "reclaim.progress":
                phase = plain(str(event.facts["phase"]))
                done, total = _bytes(event.facts.get("done")), _bytes(event.facts.get("total"))
                self._progress.update(
                    self._tasks[name], description=f"{name}: {phase}", completed=done or 0, total=total
                )
            case "dataset.failed" if name in self._tasks:
                self._progress.update(self._tasks[name], description=f"{name}: incomplete")
                self._progress.stop_task(self._tasks[name])
            case _:
                pass


def _bytes(value: Json) -> int | None:
    return value if isinstance(value, int) else None


def _progress() -> Progress:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(binary_units=True),
        TimeElapsedColumn(),
        console=console(sys.stderr),
        transient=True,
    )
