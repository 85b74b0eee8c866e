"""Reading ahead: what comes from the server is taken in while the caller works on what came before.

The server deletes and sends at the same time, but stops when nobody takes what it sends: the buffer of a socket
holds some hundred rows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The items, fetched by a thread of their own; closing waits until it has fetched the last one.

    Raises:
        Exception: What *items* raised, in its place.
    """
    queue: SimpleQueue[Item | _End] = SimpleQueue()

    def fetch() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                queue.put(item)
        except BaseException as caught:  # noqa: BLE001 - it is raised where the items are read
            error = caught
        queue.put(_End(error))

    fetcher = Thread(target=fetch, name="lapse-mysql-reader")
    fetcher.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
    finally:
        fetcher.join()
    if item.error is not None:
        raise item.error
