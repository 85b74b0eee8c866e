"""Another run of Lapse that is at work, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_HOLDING = """
import json
import sys
from lapse.model.policy import Dataset
from lapse.registry import open_store

store = open_store(Dataset(**json.loads(sys.argv[1])), read_only=False)
with store.lease():
    print("held", flush=True)
    sys.stdin.read()
store.close()
"""


@contextmanager
def another_run(address: str, **dataset: str) -> Iterator[None]:
    """While the block lasts, another process holds the lease of a store.

    Arguments:
        address: Where the store is.
        dataset: What else the other run's policy says of it.
    """
    told = {"name": "other", "store": address, "shown": address, **dataset}
    command = [sys.executable, "-c", _HOLDING, json.dumps(told)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"held\n"
            yield
        finally:
            process.communicate()
