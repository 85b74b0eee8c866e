"""Work shared by several processes, and how much memory each of them takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lapse.errors import StoreError
from lapse.stores.jsonl.workers import spread


def _python(code: str, *arguments: str) -> str:
    """What a fresh process prints: it has one thread, so that it may fork."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tasks_are_shared_and_what_comes_of_them_is_joined() -> None:
    """Each is done once, by more than one process; however many there are, each process sends one answer."""
    out = _python("""
        import os, time
        from lapse.stores.jsonl.workers import spread
        def work(task):
            time.sleep(0.005)
            return [(task, os.getpid())]
        found = list(spread(40, work, join=list.extend, workers=3))
        print(sorted(task for made in found for task, _ in made) == list(range(40)))
        print(len(found), [len({pid for _, pid in made}) for made in found])
    """)

    assert out.splitlines() == ["True", "3 [1, 1, 1]"]


def test_what_a_child_did_not_finish_the_parent_does() -> None:
    """A child that fails, or is killed, takes nothing along; an error that is no accident is met by the parent.

    Whether it has done some tasks by then or none: each counts once, also one that could not be joined.
    """
    out = _python("""
        import os, signal
        from lapse.errors import StoreError
        from lapse.stores.jsonl.workers import spread
        parent = os.getpid()
        def killed():
            os.kill(os.getpid(), signal.SIGKILL)
        def failing():
            raise StoreError("a child fails")
        def fails(accident, task, last):
            if os.getpid() != parent and task >= last:
                accident()
        for accident in (killed, failing):
            for last in (0, 1, 5, 8):
                for where in ("work", "join"):
                    def work(task):
                        fails(accident, task, last if where == "work" else 9)
                        return [task]
                    def join(one, other):
                        one.append(other[0])
                        fails(accident, other[0], last if where == "join" else 9)
                        one += other[1:]
                    found = spread(9, work, join=join, workers=2)
                    print(sorted(task for made in found for task in made) == list(range(9)))
        def broken(task):
            raise StoreError("no task can be done")
        try:
            list(spread(9, broken, join=list.extend, workers=2))
        except StoreError as error:
            print(error)
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("no child is left")
    """)

    assert out.splitlines() == [*["True"] * 16, "no task can be done", "no child is left"]


def test_children_end_with_who_does_not_want_the_rest() -> None:
    """Also while its error is kept, and with it the frame that had asked them."""
    out = _python("""
        import os
        from contextlib import closing
        from lapse.stores.jsonl.workers import spread
        def refuse():
            with closing(spread(2, lambda task: [task], join=list.extend, workers=2)) as found:
                for made in found:
                    raise ValueError("too many")
        try:
            refuse()
        except ValueError as error:
            kept = error
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("no child is left")
    """)

    assert out.split("\n")[0] == "no child is left"


def test_what_children_yield_comes_in_order_whatever_becomes_of_them() -> None:
    """Of each task everything once; an error that is no accident is met by the parent, who may also stop early."""
    out = _python("""
        import os, signal
        from lapse.errors import StoreError
        from lapse.stores.jsonl.workers import streamed
        parent, right = os.getpid(), [(task, n) for task in range(9) for n in range(task)]
        def told(accident):
            def work(task):
                for n in range(task):
                    if os.getpid() != parent and (task, n) == (5, 3):
                        accident()
                    yield task, n
            return work
        def failing():
            raise StoreError("a child fails")
        for accident in (lambda: None, lambda: os.kill(os.getpid(), signal.SIGKILL), failing):
            for workers in (0, 1, 2, 20):
                assert list(streamed(9, told(accident), workers=workers)) == right, workers
        assert list(streamed(0, told(failing), workers=2)) == []
        print(len({pid for pid in streamed(8, lambda task: iter([os.getpid()]), workers=2)} - {parent}))
        def broken(task):
            yield task
            raise StoreError("no task can be done")
        try:
            list(streamed(9, broken, workers=2))
        except StoreError as error:
            print(error)
        print(next(streamed(9, lambda task: iter(range(10**6)), workers=2)))
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("no child is left")
    """)

    assert out.splitlines() == ["2", "no task can be done", "0", "no child is left"]


_SURVEY = """
    import os, resource, sys
    from pathlib import Path
    from lapse.instant import Nanos
    from lapse.model.match import Match
    from lapse.model.period import parse_period
    from lapse.model.policy import Dataset, Rule
    from lapse.model.selection import select
    from lapse.stores.jsonl import filescan, surveying
    from lapse.stores.jsonl.judging import Judge
    from lapse.stores.jsonl.scanning import Extent
    log, workers, now = Path(sys.argv[1]), int(sys.argv[2]), Nanos(1_795_000_000_000_000_000)
    surveying.processors = lambda: workers
    surveying._FOR_ONE, surveying._TASK = 1, 1 << 20
    rule = Rule(index=0, match=Match(), keep=parse_period("30 days"), archives=(), waived=True)
    dataset = Dataset(name="log", store=str(log), shown=str(log), time="time", tenant="tenant", rules=(rule,))
    selection = select(dataset, floors=(), holds=(), now=now, real_now=now)
    facts = log.stat()
    extent = Extent(path=log, inode=facts.st_ino, size=facts.st_size)
    found = surveying.survey([extent], Judge(selection))
    print(found.counts.tallies(), [str(doubt) for doubt in found.doubts.all()])
    # What getrusage says of this process includes that of the one that started it.
    own = next(text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith("VmHWM:"))
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(max(int(own.split()[1]), children) // 1024)
"""


def _large_log(path: Path, lines: int) -> Path:
    body = b'{"time": "2026-01-01T00:00:00Z", "tenant": "t%d", "text": "some words"}\n'
    with path.open("wb") as file:
        for number in range(lines):
            file.write(b"{\n" if number % 50_021 == 50_020 else body % (number % 7))
    return path


def test_a_large_file_is_counted_by_two_processes_as_by_one(tmp_path: Path) -> None:
    """The same tallies, checksums and doubts, with the line of the first one; neither process takes 80 MB."""
    log = _large_log(tmp_path / "log", 200_000)

    alone, shared = (_python(_SURVEY, str(log), workers).splitlines() for workers in ("1", "2"))

    assert alone[0] == shared[0]
    assert f"3 × not JSON, first {log}:50021" in alone[0]
    assert int(alone[1]) < 80
    assert int(shared[1]) < 80


@pytest.mark.parametrize("size", [7_000_000, 10_000_000])
def test_lines_of_megabytes_take_little_memory(tmp_path: Path, size: int) -> None:
    """Judged up to 8 MiB, passed in pieces beyond; even where keys are doubtful."""
    log = tmp_path / "log"
    with log.open("wb") as file:
        for number in range(6):
            again = b'"time"' if number % 2 else b"x"
            file.write(b'{"time": "2026-01-01T00:00:00Z", "text": ["' + again.replace(b'"', b'\\"') + b'", "')
            file.write(b"y" * size + b'"]}\n')
            file.write(b'{"time": "2026-01-01T00:00:00Z"}\n{"time": "2026-01-01T00:00:00Z", "a": {"time": 1}}\n')

    peak = int(_python(_SURVEY, str(log), "1").splitlines()[1])

    assert peak < 80


def test_one_worker_is_a_child_whose_memory_goes_with_it() -> None:
    """What the work imports is not imported here."""
    out = _python("""
        import os, sys
        from lapse.stores.jsonl.workers import spread
        def work(task):
            import wave
            return {os.getpid()}
        (found,) = spread(3, work, join=set.update, workers=1)
        print(len(found), os.getpid() in found, "wave" in sys.modules)
    """)

    assert out.split() == ["1", "False", "False"]


def test_without_workers_this_process_works() -> None:
    """Nothing is forked, an error comes as it is, and Ctrl-C does what it did before."""
    before = signal.getsignal(signal.SIGINT)

    found = spread(3, lambda task: [(task, os.getpid())], join=list.extend, workers=0)
    assert list(found) == [[(task, os.getpid())] for task in range(3)]
    with pytest.raises(StoreError, match="no"):
        list(spread(1, _fail, join=list.extend, workers=0))
    assert signal.getsignal(signal.SIGINT) is before


def _fail(_: int) -> list[None]:
    raise StoreError("no")
