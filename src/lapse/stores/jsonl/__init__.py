"""Text logs: JSON lines in files, plain or compressed, found by a path or a glob."""

from lapse.stores.jsonl.scanning import Doubt
from lapse.stores.jsonl.store import JsonlStore

__all__ = ["STORE", "Doubt", "JsonlStore"]

STORE = JsonlStore
