"""Reading ahead: the server goes on sending while what it sent is sealed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

_AHEAD = 1  # item that nobody has asked for yet


class _End:
    """Nothing comes any more.

    Attributes:
        error: Why, if that is not the end of it.
    """

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterator[T], *, cancel: Callable[[], None]) -> Generator[T]:
    """The *items*, fetched by a thread of its own, one ahead of what is asked for.

    The thread has ended when this has, in whichever way.

    Arguments:
        items: Fetched in the thread, to their end in any case.
        cancel: Makes them end soon, called where nobody wants the rest.
    """
    found: SimpleQueue[T | _End] = SimpleQueue()
    room = threading.Semaphore(_AHEAD)

    def fetch() -> None:
        try:
            for item in items:
                room.acquire()
                found.put(item)
            found.put(_End())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            found.put(_End(error))

    thread = threading.Thread(target=fetch, name="lapse-ahead", daemon=True)
    thread.start()
    ended = False
    try:
        while not isinstance(item := found.get(), _End):
            room.release()
            yield item
        ended = True
        if item.error is not None:
            raise item.error
    finally:
        try:
            if not ended:
                cancel()
        finally:
            if not ended:
                _drain(found, room)
            thread.join()


def _drain(found: SimpleQueue[T | _End], room: threading.Semaphore) -> None:
    """Throw away what still comes."""
    while not isinstance(found.get(), _End):
        room.release()
