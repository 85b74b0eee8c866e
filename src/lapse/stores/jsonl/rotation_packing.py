"""Compression of a rotated file: a verified compressed file in, its name given to it, the plain one gone.

Nobody can have the plain file open for writing meanwhile, by a lease on it. Never are both files seen by
their names, and never is a plain one gone whose compressed one was not read back.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from dataclasses import replace
from pathlib import Path

from lapse.canonical import Digest
from lapse.errors import StoreError, VerificationError
from lapse.model.bytesize import size_text
from lapse.model.rotation import Packing, Step, Turn
from lapse.stores.jsonl.codec import BLOCK, Encoding, Head, blocks, encoding_of
from lapse.stores.jsonl.disk import create, inode_of, open_log, rename_new, sync_folder, write_all
from lapse.stores.jsonl.quiet import Writers, is_awaited, write_lease
from lapse.stores.jsonl.rewriting import Rewrite
from lapse.stores.jsonl.rotation_journal import Content, RotationJournal, close, publish
from lapse.stores.jsonl.rotation_names import Kind, names_at
from lapse.stores.jsonl.settling import find_inode
from lapse.stores.jsonl.trouble import translated

_ENCODINGS = {Packing.ZSTD: Encoding.ZSTD, Packing.GZIP: Encoding.GZIP}


def pack(folder: Path, journal: RotationJournal, *, promise: str | None) -> Turn | None:
    """Compress a rotated file, unless somebody writes to it; what was interrupted is finished or undone first.

    Arguments:
        folder: Folder of the log.
        journal: Its rotation; closed when nothing is left to do.
        promise: The dataset's ``writers:``; ``none`` is believed where the system cannot tell.

    Returns:
        What became of it. None if it is gone, or was compressed already.

    Raises:
        StoreError: If it cannot be done. The plain file is still whole.
        VerificationError: If what was compressed does not read back the same.
    """
    journal = settle_packing(folder, journal)
    plain = folder / str(journal.rotated)
    with translated("compress it", plain):
        descriptor = None if inode_of(plain) is None else open_log(plain)
        if descriptor is None:
            close(folder, journal)  # compressed before an interruption, or its lines have lapsed since
            return None
        try:
            if encoding_of(descriptor) is Encoding.PLAIN:
                return _packed(folder, journal, descriptor, promise)
            close(folder, journal)
            return None
        finally:
            os.close(descriptor)


def is_hidden(folder: Path, journal: RotationJournal) -> bool:
    """Whether compression was interrupted where the lines stand under a working name."""
    return inode_of(journal.path(folder, Kind.ASIDE)) is not None and journal.rotated is not None


def settle_packing(folder: Path, journal: RotationJournal) -> RotationJournal:
    """Finish or undo an interrupted compression, so that the lines stand under one name that the dataset sees.

    Raises:
        StoreError: If that cannot be done.
    """
    with translated("finish its compression", folder / journal.log):
        if is_hidden(folder, journal):
            descriptor = open_log(journal.path(folder, Kind.ASIDE))
            try:
                journal = _settled(folder, journal, descriptor)
            finally:
                os.close(descriptor)
        journal.path(folder, Kind.PACKED).unlink(missing_ok=True)
    return journal


def _settled(folder: Path, journal: RotationJournal, plain: int) -> RotationJournal:
    content = journal.content
    with write_lease(plain, journal.path(folder, Kind.ASIDE)) as writers:
        if content is None or writers is not Writers.NONE or not _unchanged(plain, content):
            return _undo(folder, journal)
        if not _is_packed(folder, journal, content):
            return _undo(folder, journal)
        _finish(folder, journal, plain, content)
        return journal


def _packed(folder: Path, journal: RotationJournal, plain: int, promise: str | None) -> Turn:
    """Compress an open file under a lease on it."""
    path = folder / str(journal.rotated)
    with write_lease(plain, path) as writers:
        if writers is not Writers.NONE and not (writers is Writers.UNKNOWN and promise == Writers.NONE.value):
            return _waiting(journal, path, writers)
        content = _compress(folder, journal, plain, writers)
        if content is None:
            return _waiting(journal, path, Writers.SOME)
        journal = replace(journal, content=content)
        publish(folder, journal)
        name = _put_in_place(folder, journal, plain, writers)
    if name is None:
        return _waiting(journal, path, Writers.SOME)
    _keep_late(folder, journal, plain)
    close(folder, journal)
    return _turn(Step.PACKED, journal, folder / name, f"{size_text(content.size)} before, read back and compared")


def _compress(folder: Path, journal: RotationJournal, plain: int, writers: Writers) -> Content | None:
    """Write the compressed file under its working name, and read it back. None as soon as somebody wants to write.

    Raises:
        VerificationError: If it holds anything else.
    """
    path = journal.path(folder, Kind.PACKED)
    rewrite = Rewrite(path, _ENCODINGS[journal.packing])
    try:
        hasher, size = hashlib.sha256(), 0
        while data := os.pread(plain, BLOCK, size):
            rewrite.keep(data)
            hasher.update(data)
            size += len(data)
            if _is_awaited(plain, writers):
                break
        rewrite.end_content()
        rewrite.complete(plain)
        content = Content(os.fstat(plain).st_ino, size, Digest(hasher.hexdigest()), rewrite.replacement().inode)
        found = _digest(path)
        if found != (content.size, content.digest):
            raise VerificationError(
                f"{path}: the compressed file reads back as {found[0]:,} bytes, {found[1][:12]},"
                f" not as {content.size:,} bytes, {content.digest[:12]}",
                hint="The plain file is still whole. Look at the disk and the memory of this machine.",
            )
    except BaseException:
        rewrite.discard()
        raise
    if not _is_left_alone(plain, content, writers):
        rewrite.discard()
        return None
    rewrite.close()
    return content


def _digest(path: Path) -> tuple[int, Digest]:
    """Bytes and SHA-256 of the content of a compressed file."""
    descriptor = open_log(path)
    try:
        hasher, size = hashlib.sha256(), 0
        head = Head(descriptor, os.fstat(descriptor).st_size)
        with blocks(head, encoding_of(descriptor), path) as content:
            for block in content:
                hasher.update(block)
                size += len(block)
        return size, Digest(hasher.hexdigest())
    finally:
        os.close(descriptor)


def _is_left_alone(plain: int, content: Content, writers: Writers) -> bool:
    """Whether nobody has written to the file since it was compressed, nor waits to."""
    return _unchanged(plain, content) and not _is_awaited(plain, writers)


def _is_awaited(plain: int, writers: Writers) -> bool:
    return writers is Writers.NONE and is_awaited(plain)


def _unchanged(plain: int, content: Content) -> bool:
    facts = os.fstat(plain)
    return (facts.st_ino, facts.st_size) == (content.inode, content.size)


def _put_in_place(folder: Path, journal: RotationJournal, plain: int, writers: Writers) -> str | None:
    """Let the compressed file stand for the plain one. None if somebody came to write to that after all."""
    assert journal.content is not None  # noqa: S101 - the caller has set it
    aside = journal.path(folder, Kind.ASIDE)
    (folder / str(journal.rotated)).rename(aside)
    if inode_of(aside) != journal.content.inode or not _is_left_alone(plain, journal.content, writers):
        _undo(folder, journal)
        return None
    name = _name_packed(folder, journal)
    sync_folder(folder)
    if not _is_left_alone(plain, journal.content, writers):
        _undo(folder, journal)
        return None
    aside.unlink()
    sync_folder(folder)
    return name


def _name_packed(folder: Path, journal: RotationJournal) -> str:
    """Give the compressed file the name of the plain one with its suffix, or another one if that is taken."""
    suffix = journal.packing.suffix
    wanted = itertools.chain([f"{journal.rotated}{suffix}"], names_at(journal.log, journal.stamp, suffix))
    packed = journal.path(folder, Kind.PACKED)
    return next(name for name in wanted if rename_new(packed, folder / name))


def _packed_path(folder: Path, journal: RotationJournal, content: Content) -> Path | None:
    """Where the compressed file is: under its working name, or under its own."""
    working = journal.path(folder, Kind.PACKED)
    return working if inode_of(working) == content.packed else find_inode(folder, journal.log, content.packed)


def _is_packed(folder: Path, journal: RotationJournal, content: Content) -> bool:
    """Whether the compressed file is there, and holds what was compressed."""
    packed = _packed_path(folder, journal, content)
    try:
        return packed is not None and _digest(packed) == (content.size, content.digest)
    except StoreError:
        return False  # damaged: the plain file is there, and is compressed anew


def _finish(folder: Path, journal: RotationJournal, plain: int, content: Content) -> None:
    if inode_of(journal.path(folder, Kind.PACKED)) == content.packed:
        _name_packed(folder, journal)
        sync_folder(folder)
    journal.path(folder, Kind.ASIDE).unlink()
    sync_folder(folder)
    _keep_late(folder, journal, plain)


def _undo(folder: Path, journal: RotationJournal) -> RotationJournal:
    """Give the plain file a name again, and remove the compressed one."""
    if journal.content is not None:
        packed = _packed_path(folder, journal, journal.content)
        if packed is not None:
            packed.unlink()
    aside = journal.path(folder, Kind.ASIDE)
    wanted = itertools.chain([str(journal.rotated)], names_at(journal.log, journal.stamp))
    name = next(name for name in wanted if rename_new(aside, folder / name))
    journal = replace(journal, rotated=name, content=None)
    publish(folder, journal)
    return journal


def _keep_late(folder: Path, journal: RotationJournal, plain: int) -> None:
    """Keep what one wrote who had found the plain file by its name just before that was taken away."""
    assert journal.content is not None  # noqa: S101 - the caller has set it
    late = os.pread(plain, BLOCK, journal.content.size)
    if not late:
        return
    for name in names_at(journal.log, journal.stamp):
        try:
            descriptor = create(folder / name)
        except FileExistsError:
            continue
        try:
            write_all(descriptor, late)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(folder)
        return


def _waiting(journal: RotationJournal, path: Path, writers: Writers) -> Turn:
    why = "it is compressed once nobody has it open for writing"
    if writers is Writers.UNKNOWN:
        why = "this file system, or this user, cannot tell who writes to it: it stays as it is"
    return _turn(Step.WAITING, journal, path, why)


def _turn(step: Step, journal: RotationJournal, path: Path, why: str) -> Turn:
    return Turn(step=step, log=str(path.with_name(journal.log)), file=str(path), size=path.stat().st_size, why=why)
