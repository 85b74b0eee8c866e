"""The file that will stand in a log's place: lines that stay go in, bytes with a digest come out."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lapse.canonical import Digest
from lapse.stores.jsonl.codec import BLOCK, Encoding, encoder
from lapse.stores.jsonl.disk import create, dress, write_all
from lapse.stores.jsonl.redo import Replacement
from lapse.stores.jsonl.trouble import translated


class Rewrite:
    """A new file beside the log, under a working name, until the commit puts it in place or `discard` removes it."""

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self.path = path
        self.size = 0
        self._hasher = hashlib.sha256()
        self._pending: list[bytes] = []
        self._waiting = 0
        with translated("make the new file", path):
            self._descriptor = create(path)
            try:
                self._encoder = encoder(self, encoding)
            except BaseException:
                self.discard()
                raise

    def keep(self, data: bytes) -> None:
        """Take content that stays: a line, or a piece of one.

        Raises:
            StoreError: If there is no room.
        """
        self._pending.append(data)
        self._waiting += len(data)
        if self._waiting >= BLOCK:
            self._flush()

    def end_content(self) -> None:
        """No more content follows but what is copied. The bulk is made durable here, where nobody waits for it yet."""
        self._flush()
        with translated("write the new file", self.path):
            self._encoder.close()
            os.fsync(self._descriptor)

    def _flush(self) -> None:
        data = b"".join(self._pending)
        self._pending.clear()
        self._waiting = 0
        with translated("write the new file", self.path):
            self._encoder.write(data)

    def write(self, data: bytes) -> int:
        """Take bytes as they stand in the file; the encoder's way out, and that of a tail that is copied."""
        if self._descriptor < 0:
            return len(data)  # a compressor that is thrown away still writes its end
        write_all(self._descriptor, data)
        self._hasher.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits behind `write`; compressors ask."""

    def copy(self, source: int, start: int, end: int) -> None:
        """Append bytes *start* to *end* of another file as they are."""
        if self._pending:
            self._flush()
        with translated("write the new file", self.path):
            while start < end:
                data = os.pread(source, min(BLOCK, end - start), start)
                if not data:
                    raise OSError("the log was cut while it was copied")
                self.write(data)
                start += len(data)

    def complete(self, model: int) -> None:
        """Give it the owner, mode, attributes and times of the log, and make it last."""
        with translated("complete the new file", self.path):
            dress(self._descriptor, model)
            os.fsync(self._descriptor)

    def replacement(self) -> Replacement:
        """What the journal says of it."""
        return Replacement(
            inode=os.fstat(self._descriptor).st_ino, size=self.size, digest=Digest(self._hasher.hexdigest())
        )

    def head(self, size: int) -> bytes:
        """Its first bytes."""
        with translated("read the new file", self.path):
            return os.pread(self._descriptor, size, 0)

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Close and remove it."""
        self.close()
        with translated("remove the new file", self.path):
            self.path.unlink(missing_ok=True)
