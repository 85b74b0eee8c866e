"""Beside a running server of MXCP: nothing that it writes is lost, and it goes on as before."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mxcp_world import YOUNG, Site, schema
from mxcp_world import site_fixture as site_fixture
from originals import VERSIONS, full_record, program

_TOOL = """\
mxcp: 1
tool:
  name: hello
  description: Says hello
  parameters:
    - {name: name, type: string, description: Whom}
  return: {type: string}
  source: {code: "SELECT 'Hello ' || $name"}
"""
_CALLS = 150
_PATIENCE = 60


@contextmanager
def serving(site: Site, version: str) -> Iterator[str]:
    """While the block lasts, a server of that version serves the site; its URL."""
    (site.folder / "tools").mkdir()
    (site.folder / "tools" / "hello.yml").write_text(_TOOL, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program(version, "mxcp")), "serve", "--port", str(port)]
    env = {"PATH": os.environ["PATH"], "HOME": str(site.folder.parent), "MXCP_TELEMETRY_ENABLED": "false"}
    log = site.folder.parent / "serve.log"
    with log.open("wb") as stream, subprocess.Popen(command, cwd=site.folder, env=env, stderr=stream) as server:
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _answers(port):
                assert server.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _names(site: Site) -> list[str]:
    """What the server was asked, by the records of its calls, the oldest first."""
    files = sorted(site.log.parent.glob("logs-default*.jsonl"))
    lines = [line for path in files if path != site.registry for line in path.read_text(encoding="utf-8").splitlines()]
    found = [json.loads(line) for line in lines if line.strip()]
    called = sorted((each for each in found if each["operation_name"] == "hello"), key=lambda each: each["timestamp"])
    return [each["input_data"]["name"] for each in called]


@pytest.mark.soak
@pytest.mark.parametrize("version", VERSIONS)
def test_a_running_server_loses_nothing(site: Site, version: str) -> None:
    """Cleanups that each have something to remove, while it answers calls; then it answers some more."""
    ages = range(300, 100, -1)
    site.write(*(full_record(age + 0.5, str(age)) for age in ages), full_record(YOUNG, "young"))
    client = str(Path(__file__).parents[2] / "bench" / "real" / "apps" / "mxcp_calling.py")
    python, removed, days = str(program(version, "python")), 0, 300
    with serving(site, version) as url:
        with subprocess.Popen([python, client, url, str(_CALLS)]) as calling:
            while calling.poll() is None and days > 110:
                days -= 10
                site.register(schema(days=days))
                removed += sum(site.deleted().values())
        assert calling.returncode == 0
        subprocess.run([python, client, url, "5"], check=True, timeout=_PATIENCE)
        deadline = time.monotonic() + _PATIENCE
        while len(_names(site)) < _CALLS + 5 and time.monotonic() < deadline:
            time.sleep(0.1)  # it writes in batches
    site.register(schema())
    removed += sum(site.deleted().values())

    assert removed == len(ages)
    expected = [f"n{number}" for number in range(_CALLS)] + [f"n{number}" for number in range(5)]
    assert _names(site) == expected
