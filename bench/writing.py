"""Sessions that write while somebody purges, and how long each of their statements took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_EVERY = 0.005
"""Seconds between two writes of a session."""

Write = Callable[[Any], None]
"""Runs one statement in a session of the driver's, without committing it."""


@dataclass(slots=True)
class Waits:
    """Seconds that statements took, by the name of who wrote."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    def longest(self, name: str) -> float:
        """The slowest statement of one writer."""
        return max(self.taken[name])


@contextmanager
def writing(connect: Callable[[], Any], writers: Mapping[str, Write]) -> Iterator[Waits]:
    """Let *writers* write in a session each until the block ends; only the statements are timed, not the commits.

    Raises:
        ExceptionGroup: If writers failed; after the block.
    """
    waits, done, failures = Waits({name: [] for name in writers}), threading.Event(), list[Exception]()

    def work(name: str, write: Write) -> None:
        session = connect()
        try:
            while not done.is_set():
                began = time.perf_counter()
                write(session)
                waits.taken[name].append(time.perf_counter() - began)
                session.commit()
                time.sleep(_EVERY)
        except Exception as error:  # noqa: BLE001 - a thread's error is told where the threads are joined
            failures.append(error)
        finally:
            session.close()

    threads = [threading.Thread(target=work, args=writer) for writer in writers.items()]
    for thread in threads:
        thread.start()
    try:
        yield waits
    finally:
        done.set()
        for thread in threads:
            thread.join()
    if failures:
        raise ExceptionGroup("writers failed", failures)
