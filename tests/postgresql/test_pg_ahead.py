"""What the server sends is read by a thread ahead of who asks for it, and the thread ends with the reading."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lapse.stores.postgresql.ahead import ahead


class Sender:
    """Sends numbers until it is cancelled.

    Attributes:
        sent: How many it has sent.
        cancelled: Set by who wants no more.
    """

    def __init__(self, most: int, error: Exception | None = None) -> None:
        self.sent = 0
        self.cancelled = threading.Event()
        self._most = most
        self._error = error

    def __iter__(self) -> Iterator[int]:
        while self.sent < self._most and not self.cancelled.is_set():
            self.sent += 1
            yield self.sent
        if self._error is not None:
            raise self._error


def threads() -> int:
    """How many threads read ahead now."""
    return sum(thread.name == "lapse-ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("most", [0, 1, 2, 3, 100])
def test_everything_comes_once_and_in_order(most: int) -> None:
    """However much there is."""
    sender = Sender(most)

    assert list(ahead(iter(sender), cancel=sender.cancelled.set)) == list(range(1, most + 1))
    assert not sender.cancelled.is_set()
    assert threads() == 0


def test_no_more_is_read_than_was_nearly_asked_for() -> None:
    """Memory is bounded: one item is in hand, one waits, one is being read."""
    sender = Sender(1000)
    found = ahead(iter(sender), cancel=sender.cancelled.set)

    for number in range(1, 6):
        assert next(found) == number
        assert sender.sent <= number + 2

    found.close()


def test_who_reads_no_further_stops_the_sender() -> None:
    """It is cancelled, what is still under way is thrown away, and the thread has ended."""
    sender = Sender(1_000_000)
    found = ahead(iter(sender), cancel=sender.cancelled.set)
    next(found)

    found.close()

    assert sender.cancelled.is_set()
    assert sender.sent < 1000
    assert threads() == 0


def test_a_sender_that_cannot_be_stopped_is_read_to_its_end() -> None:
    """The thread has ended all the same, so that nobody else reads from the session meanwhile."""

    def fail() -> None:
        raise OSError("no way to tell it")

    sender = Sender(100)
    found = ahead(iter(sender), cancel=fail)
    next(found)

    with pytest.raises(OSError, match="no way"):
        found.close()

    assert sender.sent == 100
    assert threads() == 0


def test_an_error_of_the_sender_comes_behind_what_it_sent() -> None:
    """It is raised where somebody waits for more, as it is."""
    sender = Sender(2, ValueError("gone"))
    found = ahead(iter(sender), cancel=sender.cancelled.set)

    assert (next(found), next(found)) == (1, 2)
    with pytest.raises(ValueError, match="gone"):
        next(found)
    assert threads() == 0
