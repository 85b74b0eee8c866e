"""Stopping a run from outside: the first signal asks, the second ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lapse.cli.output import print_at_once

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping(say: Callable[[str], None] = print_at_once) -> Iterator[Callable[[], bool]]:
    """Within the block, SIGINT and SIGTERM only ask: the callable answers whether one came.

    A second signal interrupts as usual; the slice under way is put back.

    Arguments:
        say: Told from within the signal handler that the run is stopping.
    """
    asked = False
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for each in _SIGNALS:
            signal.signal(each, _interrupt)
        say("Stopping after the slice under way. Once more ends it now, and the slice is put back.")

    for number in _SIGNALS:
        signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
