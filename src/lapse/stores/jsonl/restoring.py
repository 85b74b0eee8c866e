"""Lines from the archive back into a dataset: those that are not there, all of them or none."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lapse.errors import StoreError, UnsupportedError
from lapse.ports import LineBlock, Part, RestoreCount
from lapse.stores.jsonl.codec import BLOCK, Encoding, encoder, encoding_of
from lapse.stores.jsonl.disk import create, dress, open_log, sync_folder, write_all
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.inplace import BLANK
from lapse.stores.jsonl.lines import Shape, lines
from lapse.stores.jsonl.listed import LogFile
from lapse.stores.jsonl.names import Kind, OwnName
from lapse.stores.jsonl.scanning import Extent, opened, reading
from lapse.stores.jsonl.trouble import translated

_SUFFIX = ".jsonl"


def restore(logs: LogSet, part: Part) -> RestoreCount:
    """Write the lines of *part* that no file of the set has; a line that was there twice is wanted twice.

    With a glob, and beside segments, they go into a new file beside, named after their content; into a file that was
    named exactly they are appended. The caller holds the lease.

    Raises:
        StoreError: If they cannot be written.
    """
    with translated("restore into it", logs.pattern), tempfile.TemporaryFile(dir=logs.base) as spool:
        wanted = _spool(part, spool)
        total = wanted.lines.total()
        files = logs.files()
        for file in files:
            _strike_out(file, wanted)
        missing = wanted.lines.total()
        if missing and logs.sole(files) is not None and wanted.torn is not None:
            raise _torn(wanted.torn)
        if missing:
            _write(logs, part.table, _only(spool, wanted.lines))
    return RestoreCount(restored=missing, present=total - missing)


def _torn(path: Path) -> StoreError:
    return StoreError(
        f"{path}: its last line has no end, and a restored line would run on from it",
        hint="Wait until its writer has ended the line, or end it with: echo >> FILE. Then restore again.",
    )


class _Wanted:
    """The lines of a part that are not there yet, by digest; and a file that ends in a torn line."""

    def __init__(self) -> None:
        self.lines: Counter[bytes] = Counter()
        self.torn: Path | None = None


def _digest(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


def _spool(part: Part, spool: BinaryIO) -> _Wanted:
    wanted = _Wanted()
    for batch in part.batches:
        if not isinstance(batch, LineBlock):
            raise UnsupportedError(
                f"{part.table}: rows cannot be restored into text logs", hint="Restore into a table."
            )
        spool.write(batch.data)
        wanted.lines.update(_digest(line.data) for line in lines([batch.data]))
    return wanted


def _strike_out(file: LogFile, wanted: _Wanted) -> None:
    """Take the lines that a file has off those that are wanted."""
    extent = Extent(path=file.path, inode=file.inode, size=file.size)
    with opened(extent) as descriptor, reading(descriptor, extent) as (_, found):
        for number, line in enumerate(found):
            # Blanks at the head are what a removal in place has left there: no part of a line, and none themselves.
            data = line.data if number else line.data.lstrip(BLANK)
            if line.shape is Shape.TORN and data:
                wanted.torn = file.path
            digest = _digest(data)
            if wanted.lines[digest] > 0:
                wanted.lines[digest] -= 1


def _only(spool: BinaryIO, left: Counter[bytes]) -> Iterator[bytes]:
    """The lines that are left to write, in the order of the part, in blocks."""
    waiting = io.BytesIO()
    spool.seek(0)
    for line in lines(iter(lambda: spool.read(BLOCK), b"")):
        digest = _digest(line.data)
        if left[digest] > 0:
            left[digest] -= 1
            waiting.write(line.data)
        if waiting.tell() >= BLOCK:
            yield waiting.getvalue()
            waiting = io.BytesIO()
    yield waiting.getvalue()


def _write(logs: LogSet, table: str, content: Iterator[bytes]) -> None:
    files = logs.files()
    sole = logs.sole(files)
    if sole is not None:
        _append(sole, content)
    else:
        model = max(files, key=lambda file: file.mtime_ns)
        _write_beside(logs, table, content, model=model.path)


def _append(path: Path, content: Iterator[bytes]) -> None:
    """Append to the end of a file; if that fails it is as long as before. OSErrors are the caller's."""
    source = open_log(path)
    try:
        size, encoding = os.fstat(source).st_size, encoding_of(source)
    finally:
        os.close(source)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _append_whole(descriptor, size, encoding, content)
    finally:
        os.close(descriptor)


def _append_whole(descriptor: int, size: int, encoding: Encoding, content: Iterator[bytes]) -> None:
    sink = _Descriptor(descriptor)
    try:
        packed = encoder(sink, encoding)
        for data in content:
            packed.write(data)
        packed.close()
        os.fsync(descriptor)
    except OSError:
        if os.fstat(descriptor).st_size == size + sink.written:  # nobody else has appended behind it
            os.ftruncate(descriptor, size)
        raise


class _Descriptor:
    """A descriptor as a sink that counts."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.written = 0

    def write(self, data: bytes) -> int:
        """Write all of *data*."""
        view = memoryview(data)
        while view:
            done = os.write(self._descriptor, view)
            self.written += done
            view = view[done:]
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""


def _write_beside(logs: LogSet, table: str, content: Iterator[bytes], *, model: Path) -> None:
    """Write a new file that the glob matches, with owner and mode of a log beside it."""
    folder = (logs.base / table).parent
    if folder not in logs.folders():
        folder = model.parent
    # Named after a log of the set, so that recovery clears what a killed restore has left.
    temporary = folder / str(OwnName(model.name, f"restore-{os.getpid()}", Kind.TEMPORARY))
    hasher = hashlib.sha256()
    descriptor = create(temporary)
    try:
        for data in content:
            write_all(descriptor, data)
            hasher.update(data)
        source = open_log(model)
        try:
            dress(descriptor, source)
        finally:
            os.close(source)
        os.utime(descriptor)
        os.fsync(descriptor)
        os.link(temporary, folder / _name_for(logs, Path(table).name, hasher.hexdigest()[:8]))
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)
    sync_folder(folder)


def _name_for(logs: LogSet, name: str, digest: str) -> str:
    segment = logs.segment_named(name, int(digest, 16))
    if segment is not None:
        return segment
    stem = name.partition(_SUFFIX)[0]
    tried = (f"{stem}.restored-{digest}{_SUFFIX}", f"{name}.restored-{digest}", f"{stem}-restored-{digest}{_SUFFIX}")
    for candidate in tried:
        if logs.matches(candidate):
            return candidate
    raise UnsupportedError(
        f"{logs.pattern} matches no name that a file of restored lines could have, such as {tried[0]}",
        hint="Restore with a dataset whose glob ends in *, such as audit*.jsonl*.",
    )
