"""The world of text logs for the store contract: one JSON object a line, in one file or behind a glob."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from lapse.instant import rfc3339
from lapse.stores.jsonl import JsonlStore
from lapse.testing.harness import Record, Traits, World


class JsonlWorld(World):
    """Records in a log file of their own folder."""

    store_class = JsonlStore
    table = None
    traits = Traits(keyed=False, divisible=False)

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "logs"
        self.file = self._folder / "audit.jsonl"

    @property
    def address(self) -> str:
        """The file itself."""
        return str(self.file)

    def create(self, records: Sequence[Record]) -> None:
        """Write the file anew and clear its folder."""
        self._folder.mkdir(exist_ok=True)
        for path in self._folder.iterdir():
            path.unlink()
        self.file.write_bytes(b"".join(map(line_of, records)))

    def add(self, *records: Record) -> bool:
        """Append, as a writer does that opens and closes the file for each batch."""
        with self.file.open("ab") as file:
            file.write(b"".join(map(line_of, records)))
        return True

    def change(self, record: Record) -> bool:
        """Write a line anew in place, where the others keep their bytes."""
        lines = self.file.read_bytes().splitlines(keepends=True)
        changed = [line_of(record) if json.loads(line)["id"] == record.key else line for line in lines]
        with self.file.open("r+b") as file:
            file.write(b"".join(changed))
            file.truncate()
        return True

    def snapshot(self) -> Mapping[int, object]:
        """Every line by its record's key."""
        return {json.loads(line)["id"]: line for line in self.file.read_bytes().splitlines(keepends=True)}

    def image(self) -> object:
        """Every file in the folder: content, inode and time stamps."""
        return {
            path.name: (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self._folder.iterdir()
        }


def line_of(record: Record) -> bytes:
    """A record as a log line."""
    at = record.at if record.at is None or isinstance(record.at, str) else rfc3339(record.at)
    fields = {
        "id": record.key,
        "at": at,
        "kind": record.kind,
        "tenant": record.tenant,
        "level": record.level,
        "body": record.body,
    }
    return json.dumps(fields, ensure_ascii=record.key % 2 == 0).encode() + b"\n"
