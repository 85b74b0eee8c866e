"""Work cut into tasks that do not depend on each other, done by several processes where that is worth it.

Children are forked, which costs next to nothing, and only while this process has one thread: so they begin with what
it has read by then. They take their tasks from a pipe and send back what came of them; what a child did not bring to
its end the parent does itself, and meets the same error.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from lapse.errors import LapseError

T = TypeVar("T")

MOST_TASKS = 8192
"""Tasks at most: so their numbers fit into a pipe before anyone reads it."""

_NUMBER = 4
_SET_PARENT_DEATH_SIGNAL = 1


@dataclass(frozen=True, slots=True)
class _Child:
    process: int
    answers: int


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def spread(
    tasks: int, work: Callable[[int], T], *, join: Callable[[T, T], None], workers: int
) -> Generator[T, None, None]:
    """What *work* makes of the tasks 0, 1, 2, …, joined or not, in any order; each task is in it once.

    Who may not come to its end closes it: then children end, too.

    Arguments:
        tasks: How many there are, at most `MOST_TASKS`.
        work: Does one of them. What it gives back is pickled.
        join: Puts what was made of a task, its second argument, to what was made of others, its first: so what
            children hold does not grow with the number of tasks.
        workers: How many children should do it. This process waits for them: what the work needs of memory, and what
            it imports, goes with them. 0 lets this process do it.
    """
    left = set(range(tasks))
    if workers and tasks and _is_alone():
        queue = _queue(tasks)
        children: list[_Child] = []
        try:
            children += [_fork(lambda writing: _send(writing, queue, work, join)) for _ in range(min(workers, tasks))]
            for child in children:
                done, made = _answer(child)
                left.difference_update(done)
                yield from made
        finally:
            os.close(queue)
            for child in children:
                _end(child)
    for task in sorted(left):
        yield work(task)


def streamed(tasks: int, work: Callable[[int], Iterator[T]], *, workers: int) -> Iterator[T]:
    """Everything that *work* yields for the tasks 0, 1, 2, …, in that order; children are ahead as far as pipes hold.

    Arguments:
        tasks: How many there are.
        work: Does one of them. What it yields is pickled.
        workers: How many children take turns. 0 lets this process do it.
    """
    workers = min(workers, tasks)
    children: list[_Child] = []
    try:
        if workers and _is_alone():
            turns = [range(first, tasks, workers) for first in range(workers)]
            children += [_fork(partial(_stream, tasks=turn, work=work)) for turn in turns]
        streams = [os.fdopen(child.answers, "rb", closefd=False) for child in children]
        for task in range(tasks):
            numbers = count()
            for item in _items(streams[task % len(streams)]) if streams else ():
                if item is None:
                    break
                yield item
                next(numbers)
            else:  # there are no children, or this one has not brought it to its end
                yield from islice(work(task), next(numbers), None)
    finally:
        for child in children:
            _end(child)


def _stream(writing: int, *, tasks: Iterable[int], work: Callable[[int], Iterator[object]]) -> None:
    with contextlib.suppress(LapseError):  # the parent goes on from there
        for task in tasks:
            for item in work(task):
                _write(writing, pickle.dumps(item))
            _write(writing, pickle.dumps(None))


def _items(stream: BinaryIO) -> Iterator[Any]:
    """What a child has sent, until it ends."""
    while True:
        try:
            yield pickle.load(stream)  # noqa: S301 - of our own child
        except (pickle.UnpicklingError, EOFError):
            return


def _is_alone() -> bool:
    """Whether this process has one thread: a child of several could wait for ever for a lock of one it has not."""
    return len(list(Path("/proc/self/task").iterdir())) == 1


def _queue(tasks: int) -> int:
    reading, writing = os.pipe()
    os.write(writing, b"".join(task.to_bytes(_NUMBER, "little") for task in range(tasks)))
    os.close(writing)
    return reading


def _taken(queue: int) -> Iterator[int]:
    """Take tasks until there are none."""
    while taken := os.read(queue, _NUMBER):
        yield int.from_bytes(taken, "little")


def _fork(send: Callable[[int], None]) -> _Child:
    reading, writing = os.pipe()
    parent = os.getpid()
    process = os.fork()
    if process:
        os.close(writing)
        return _Child(process, reading)
    try:
        _end_with(parent)
        send(writing)
    finally:
        os._exit(0)  # nothing of the parent's is ended here, neither its buffers nor its locks


def _end_with(parent: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _send(writing: int, queue: int, work: Callable[[int], T], join: Callable[[T, T], None]) -> None:
    done: list[int] = []
    made: list[T] = []
    for task in _taken(queue):
        try:
            found = work(task)
        except LapseError:
            break  # the parent does that task again
        if made:
            join(made[0], found)
        else:
            made.append(found)
        done.append(task)
    _write(writing, pickle.dumps((done, made)))


def _write(writing: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(writing, view) :]


def _answer(child: _Child) -> tuple[Sequence[int], Sequence[Any]]:
    """The tasks that a child has done, and what it has made of all of them; nothing if it was killed."""
    with os.fdopen(child.answers, "rb", closefd=False) as stream:
        return next(_items(stream), ((), ()))


def _end(child: _Child) -> None:
    os.close(child.answers)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.process, signal.SIGKILL)
    os.waitpid(child.process, 0)
