"""Another process that wants a store's lease: its class and dataset, pickled, on stdin; what it got on stdout."""

from __future__ import annotations

import pickle
import sys

from lapse.errors import LapseError


def main() -> None:
    """Ask for the lease once and say what came of it."""
    store_class, dataset = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own parent wrote it
    try:
        store = store_class(dataset, read_only=False)
        with store.lease():
            answer = "leased"
        store.close()
    except LapseError as error:
        answer = type(error).__name__
    sys.stdout.write(f"{answer}\n")


if __name__ == "__main__":
    main()
