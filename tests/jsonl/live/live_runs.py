"""Runs of `lapse`, each a process of its own that can be killed.

As a program it imports Lapse once and forks for each run that it is asked for, so that many runs cost little. It
reads one JSON object a line: the arguments, the environment, and whether the child starts the interpreter anew. It
answers with the child's process id, and with how the child ended.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn, Self
from unittest.mock import patch


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        exit: Its exit code; negative for a signal.
        out: What it wrote to stdout.
        said: What it wrote to stderr.
    """

    exit: int
    out: str
    said: str

    @property
    def records(self) -> int:
        """How many records it removed, as its ``--json`` says."""
        return int(json.loads(self.out)["result"]["records"])

    @property
    def told(self) -> str:
        """Everything that it said."""
        return self.out + self.said


class Runs:
    """The program below, asked for one run after the other.

    Arguments:
        folder: Where what the runs print lies meanwhile.
        user: The user that they run as, where the tests run as root. None: this one.
    """

    def __init__(self, folder: Path, *, user: int | None = None) -> None:
        self._out, self._said = folder / "stdout", folder / "stderr"
        command = [
            sys.executable,
            __file__,
            str(self._out),
            str(self._said),
            *([str(user)] if user is not None else []),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        self._process.wait(60)

    def start(self, *arguments: str, env: Mapping[str, str], fresh: bool = False) -> int:
        """Start a run; its process id.

        Arguments:
            arguments: Of the command line.
            env: Further variables of its environment.
            fresh: Whether it starts an interpreter of its own, as on the command line.
        """
        requests = _pipe(self._process.stdin)
        requests.write(json.dumps({"arguments": arguments, "env": dict(env), "fresh": fresh}) + "\n")
        requests.flush()
        return int(self._answer())

    def end(self) -> Ended:
        """Wait for the end of the run that was started last."""
        code = int(self._answer())
        return Ended(code, self._out.read_text(encoding="utf-8"), self._said.read_text(encoding="utf-8"))

    def whole(self, *arguments: str, env: Mapping[str, str], fresh: bool = False) -> Ended:
        """A run from its beginning to its end."""
        self.start(*arguments, env=env, fresh=fresh)
        return self.end()

    def _answer(self) -> str:
        answer = _pipe(self._process.stdout).readline()
        assert answer, "the program that starts runs is gone"
        return answer


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def redirect(out: str, said: str) -> None:
    """Let what this process prints go into the files *out* and *said*."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(out, flags, 0o600), 1)
    os.dup2(os.open(said, flags, 0o600), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def become(arguments: Sequence[str], *, fresh: bool = False) -> NoReturn:
    """Be the program from here on."""
    if fresh:
        os.execv(sys.executable, [sys.executable, "-m", "lapse", *arguments])
    from lapse.cli.main import main

    sys.argv = ["lapse", *arguments]
    main()
    raise SystemExit(0)


_REHEARSED = """\
version: 1
archives: {cold: {to: archive}}
datasets:
  log: {store: a.jsonl, time: at, keep: 1 day, archive: cold}
"""


def rehearse() -> None:
    """Run once and fail once here, so that a fork has everything imported, also as a user that cannot read it."""
    from lapse.cli.main import main

    with tempfile.TemporaryDirectory(prefix="lapse-rehearsal-") as name, patch.dict(os.environ, LAPSE_STATE_DIR=name):
        policy = Path(name) / "lapse.yaml"
        policy.write_text(_REHEARSED, encoding="utf-8")
        (policy.parent / "a.jsonl").write_text('{"at": "2020-01-01T00:00:00Z"}\n{"at": "2090-01-01T00:00:00Z"}\n')
        for arguments in (("run", "--policy", str(policy)), ("run", "--policy", str(policy / "none"), "--json")):
            printed = io.StringIO()
            with redirect_stdout(printed), redirect_stderr(printed), contextlib.suppress(SystemExit):
                sys.argv = ["lapse", *arguments]
                main()


def serve(out: str, said: str, user: str | None = None) -> None:
    """Answer requests until there are no more."""
    rehearse()
    if user is not None and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))
    for text in iter(sys.stdin.readline, ""):
        request = json.loads(text)
        child = os.fork()
        if child == 0:
            redirect(out, said)
            os.environ.update(request["env"])
            become(request["arguments"], fresh=request["fresh"])
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
