"""The index of a dataset's files between runs: what of it still holds, and what is to be remembered next."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import takewhile

import stringzilla as sz

from lapse.canonical import digest_of
from lapse.state.file_index import FileIndex, FileKey, Notes
from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.codec import Encoding, encoding_of
from lapse.stores.jsonl.deciding import Timeline
from lapse.stores.jsonl.fileindex import FileSums, begins_a_line, decode, describe, encode, is_same, left
from lapse.stores.jsonl.judging import Judge, used_fields
from lapse.stores.jsonl.scanning import Extent, opened
from lapse.stores.jsonl.trouble import translated

FULL_AFTER = 30
"""Runs that rely on the index before one reads every file again."""

_VERSION = 5
_MOST_BLANKS = 1024 * 1024


class Memory:
    """What is remembered of the files of a dataset, as far as one selection can use it."""

    def __init__(self, index: FileIndex, judge: Judge, *, rescan: bool, learning: bool) -> None:
        """Read the index.

        Arguments:
            index: Where it is kept.
            judge: What decides.
            rescan: Whether nothing of it is to be relied on.
            learning: Whether more is to be remembered.
        """
        self.learning = learning
        self._index = index
        self.meaning = meaning_of(judge)
        """What the notes depend on."""
        notes = index.read(self.meaning)
        self._full = rescan or not notes.files or notes.runs >= FULL_AFTER
        self._runs = notes.runs
        self._files = {} if self._full else dict(notes.files)
        self._blocks: dict[FileKey, BlockList] = {}
        self._judge, self._timeline = judge, Timeline(judge)

    def judge_by(self, judge: Judge) -> None:
        """Tell outcomes as *judge* does from now on; its meaning is the same."""
        if judge.selection != self._judge.selection or judge.newest is not self._judge.newest:
            self._judge, self._timeline = judge, Timeline(judge)

    def read_all(self) -> None:
        """Rely on nothing that was remembered so far."""
        self._full = True
        self._files.clear()

    def sums_of(self, descriptor: int, extent: Extent) -> FileSums | None:
        """What is remembered of an open file. None if that is nothing, or no longer true.

        Raises:
            StoreError: If the file cannot be read.
        """
        with translated("read it", extent.path):
            data = self._files.get(_key(descriptor))
            sums = None if data is None else decode(data)
            return sums if sums is not None and is_same(descriptor, sums, size=extent.size) else None

    def learn(self, extent: Extent, blocks: BlockList, *, complete: bool) -> None:
        """Remember a file by these blocks.

        Arguments:
            extent: The file.
            blocks: Its content, in order.
            complete: Whether they are all of it; a compressed file is not remembered otherwise.

        Raises:
            StoreError: If it cannot be read.
        """
        with opened(extent) as descriptor, translated("read it", extent.path):
            key, plain = _key(descriptor), encoding_of(descriptor) is Encoding.PLAIN
            self._files.pop(key, None)
            if blocks and (plain or complete):
                end = blocks.end if plain else extent.size
                self._files[key] = encode(describe(descriptor, blocks.sums(), end=end))
            if plain:
                self._blocks[key] = blocks

    def blocks_of(self, extent: Extent, judge: Judge) -> BlockList:
        """The blocks of a plain file as it was surveyed last, or has become since; none if *judge* cannot use them."""
        if meaning_of(judge) != self.meaning:
            return BlockList()
        return next((blocks for key, blocks in self._blocks.items() if key.inode == extent.inode), BlockList())

    def follow(self, before: Extent, after: Extent, goal: int | None, *, upto: int | None) -> None:
        """See that a removal has changed a plain file: its lines of one destination are gone.

        Arguments:
            before: The lines that were judged, in the file as it was.
            after: The same without those that went, in the file as it is: what is in front of them, or in their
                place, is no matter.
            goal: The number of the destination.
            upto: Bytes that went from the head, and no others, if the removal stopped there. None if it did not.

        Raises:
            StoreError: If it cannot be read.
        """
        key = next((key for key in self._blocks if key.inode == before.inode), None)
        if key is None:
            return
        self._files.pop(key, None)
        blocks = self._blocks.pop(key)
        if upto is not None:
            # Blanks at the head may have gone as well, and some may stand there now.
            blocks = BlockList(block for block in blocks if block.sums.start >= upto + _MOST_BLANKS)
            goal = None
        blocks = left(blocks, goal, self._timeline, before=before.size, after=after.size)
        with opened(after) as descriptor, translated("read it", after.path):
            # Where one does not, nobody knows where those in front of it are.
            sound = takewhile(lambda block: begins_a_line(descriptor, block.sums.start), blocks.reversed())
            blocks = BlockList(sound).reversed()
        if blocks:
            self.learn(after, blocks, complete=False)

    def keep_only(self, inodes: Iterable[int]) -> None:
        """Forget the files that are not there any more: those with none of these inodes."""
        there = {key.inode for key in self._files}.intersection(inodes)
        self._files = {key: data for key, data in self._files.items() if key.inode in there}

    def save(self) -> None:
        """Write the index.

        Raises:
            StateError: If it cannot be written.
        """
        runs = 0 if self._full else self._runs + 1
        self._index.write(self.meaning, Notes(self._files, runs))


def meaning_of(judge: Judge) -> str:
    """A digest of everything that the sums of lines depend on; the periods of the rules are no part of it."""
    dataset = judge.selection.dataset
    return digest_of(
        [
            [_VERSION, sz.__version__],  # whose hashes the checksums are made of
            dataset.time,
            dataset.time_format.value,
            dataset.zone,
            dataset.zone_required,
            sorted(used_fields(judge.selection)),
            list(judge.deciding),
            dataset.tenant,
            dataset.crlf_allowed,
            # What is not said leaves the digest as it always was.
            *([[name, sorted(keys)] for name, keys in judge.keyed.items()]),
            *([[name, [], list(map(str, ends))] for name, ends in judge.ranged.items()]),
        ]
    )


def _key(descriptor: int) -> FileKey:
    facts = os.fstat(descriptor)
    return FileKey(facts.st_dev, facts.st_ino)
