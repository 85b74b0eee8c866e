"""Two steps of a chain at once: a thread does one with an item while its caller does the other with the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")

_AHEAD = 2
"""Items that are made before they are asked for: with fewer the thread would sleep between any two."""


class Behind(Generic[Item]):
    """Does a step with each item, in order, while the caller goes on.

    An error comes with the next call, at the latest when the ``with`` block is left. The first item is done at once:
    often there is no other, and a thread costs more.
    """

    def __init__(self, step: Callable[[Item], object]) -> None:
        """Nothing is begun yet."""
        self._step = step
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[object] | None = None

    def __enter__(self) -> Behind[Item]:
        return self

    def take(self, item: Item) -> None:
        """Do the step with *item* as soon as those before it are done. Errors of the step pass."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="lapse-behind")  # which starts nothing yet
            self._step(item)
            return
        self.settle()  # a second item that waits would only be held in memory: its maker is at the next one by then
        self._pending = self._thread.submit(self._step, item)

    def settle(self) -> None:
        """Wait until every item is done. Errors of the step pass."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.settle()
        finally:
            if self._thread is not None:
                self._thread.shutdown(cancel_futures=True)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same *items*, each made while those before it are used; an error comes in its place.

    The first two are made at once: often there are no more, and a thread costs more.
    """
    first, second = next(items, None), next(items, None)
    if first is not None:
        yield first
    if second is None:
        return
    with ThreadPoolExecutor(1, thread_name_prefix="lapse-ahead") as thread:
        pending = deque(thread.submit(next, items, None) for _ in range(_AHEAD))
        yield second
        while (item := pending.popleft().result()) is not None:
            pending.append(thread.submit(next, items, None))
            yield item
