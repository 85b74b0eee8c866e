"""One slice: the lapsed lines of one file on their way out, and the commit that lets them go."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from lapse import clock
from lapse.canonical import Digest, sha256
from lapse.errors import ChangedError, CommitUnknownError, ProofError, StoreError
from lapse.instant import SECOND
from lapse.model.disposal import Disposal, Method, Proof, Waiver
from lapse.model.plan import Tally
from lapse.ports import LineBlock, Part, Slice
from lapse.segments.content import ContentDigest
from lapse.stores.jsonl.codec import BLOCK, Head, encoding_of
from lapse.stores.jsonl.disk import inode_of
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.names import Kind, OwnName
from lapse.stores.jsonl.quiet import refusal, write_lease
from lapse.stores.jsonl.redo import Redo, publish
from lapse.stores.jsonl.rewriting import Rewrite
from lapse.stores.jsonl.scanning import Counts, Extent, reading
from lapse.stores.jsonl.settling import PATIENCE, drain, put_in_place
from lapse.stores.jsonl.trouble import store_error, translated


class JsonlTake:
    """The lapsed lines of the judged beginning of one log file.

    While they are read, the lines that stay are written to a new file beside the log. Nothing else happens
    before the commit, and `close` removes the new file if there was none.
    """

    def __init__(self, piece: Slice, extent: Extent, *, descriptor: int, table: str, removable: bool) -> None:
        self._piece = piece
        self._extent = extent
        self._descriptor = descriptor
        self._table = table
        self._removable = removable
        self._folder, self._name = extent.path.parent, extent.path.name
        self._slice = working_slice(piece)
        self._began = clock.real_now()
        self._facts = os.fstat(descriptor)
        self._counts = Counts()
        self._content = ContentDigest()
        self._rewrite: Rewrite | None = None
        self._head: Digest | None = None
        self._kept = 0
        self.redo: Redo | None = None
        """The journal of the commit. None before it."""
        self._check_alone()

    def _check_alone(self) -> None:
        """Refuse before any work is done, where the commit would refuse."""
        with write_lease(self._descriptor, self._extent.path) as writers:
            refused = refusal(writers, self._descriptor, self._extent.path, promise=self._piece.dataset.writers)
        if refused is not None:
            raise refused
        if inode_of(self._own(Kind.JOURNAL)) is not None:
            raise StoreError(f"{self._own(Kind.JOURNAL)}: this slice was committed already", hint="Run again.")

    def _own(self, kind: Kind) -> Path:
        return self._folder / str(OwnName(self._name, self._slice, kind))

    def parts(self) -> Iterator[Part]:
        """The lapsed lines, in one part; no part if there is none."""
        batches = self._removed()
        first = next(batches, None)
        if first is not None:
            rest = itertools.chain([first], batches)
            yield Part(table=self._table, columns=(), odd_column=None, batches=rest)

    def _removed(self) -> Iterator[LineBlock]:
        judge = Judge(self._piece.selection)
        going = frozenset(self._piece.selection.lapsed_codes(self._piece.destination))
        with translated("read it", self._extent.path):
            encoding = encoding_of(self._descriptor)
        self._rewrite = rewrite = Rewrite(self._own(Kind.TEMPORARY), encoding)
        waiting: list[bytes] = []
        size = 0
        with reading(self._descriptor, self._extent) as (head, found):
            for line in found:
                judged = judge.judge(line)
                if judged.code not in going:
                    self._kept += len(line.data)
                    rewrite.keep(line.data)
                    continue
                self._counts.add(line, judged, judge.tenant(judged))
                waiting.append(line.data)
                size += len(line.data)
                if size >= BLOCK:
                    yield self._block(waiting)
                    waiting, size = [], 0
            if waiting:
                yield self._block(waiting)
            rewrite.end_content()
            self._head = head.digest()

    def _block(self, waiting: list[bytes]) -> LineBlock:
        block = LineBlock(b"".join(waiting), len(waiting))
        self._content.update(block)
        return block

    def tallies(self) -> tuple[Tally, ...]:
        """Counts of the lapsed lines, by code and tenant."""
        return self._counts.tallies()

    def commit(self, proof: Proof) -> Disposal:
        """Remove the lapsed lines. The journal that is written here stays beside the log as the marker.

        Late lines of a writer that still has the old file open may be on their way when it returns; then
        `redo` is pending.

        Raises:
            ProofError: If *proof* is not for exactly these lines.
            ChangedError: If what was read is no longer there. Nothing was removed.
            StoreError: If somebody writes to the file, or there is no room. Nothing was removed.
            CommitUnknownError: If the commit was begun but not brought to its end.
        """
        if self._rewrite is None and isinstance(proof, Waiver):
            for part in self.parts():
                for _ in part.batches:
                    pass
        if self._head is None or self._rewrite is None:
            raise ProofError(f"{self._extent.path}: a commit was asked for before all of its lines were read")
        _check_proof(proof, self._piece, self._content)
        if not self._content.records:
            return self._disposal(proof, Method.FILE_REWRITE)
        with write_lease(self._descriptor, self._extent.path) as writers:
            refused = refusal(writers, self._descriptor, self._extent.path, promise=self._piece.dataset.writers)
            if refused is not None:
                raise refused
            redo = self._prepare(proof, self._check_unchanged())
            self._decide(redo)
            self.redo = redo
            self._finish(redo)
        self._finish_late(redo)
        return redo.disposal

    def _check_unchanged(self) -> os.stat_result:
        """See that the bytes that were judged are still there; more may have come behind them."""
        path, judged = self._extent.path, self._extent.size
        with translated("look at it", path):
            now = os.fstat(self._descriptor)
            named = inode_of(path)
        if named != now.st_ino or now.st_size < judged:
            raise ChangedError(f"{path} was {'cut' if named == now.st_ino else 'replaced'}", hint="Run again.")
        if now.st_nlink != 1:
            raise StoreError(f"{path} has got a hard link since it was looked at", hint="Remove it, then run again.")
        before = self._facts
        unmoved = (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (judged, before.st_mtime_ns, before.st_ctime_ns)
        # A change right before the reading could bear the same time stamp as one right after it.
        settled = before.st_mtime_ns < self._began - SECOND
        if not (unmoved and settled) and Head(self._descriptor, judged).digest() != self._head:
            raise ChangedError(f"{path} was changed while its lines were sealed", hint="Run again.")
        return now

    def _prepare(self, proof: Proof, facts: os.stat_result) -> Redo:
        """Complete the new file with what came behind the judged bytes, and say what the commit will do."""
        assert self._rewrite is not None  # noqa: S101 - the caller has seen it
        kept = self._rewrite.size
        removal = self._removable and not self._kept and facts.st_size == self._extent.size
        if removal:
            self._rewrite.discard()
        else:
            self._rewrite.copy(self._descriptor, self._extent.size, facts.st_size)
            self._rewrite.complete(self._descriptor)
        return Redo(
            log=self._name,
            slice=self._slice,
            inode=self._extent.inode,
            judged=self._extent.size,
            consumed=facts.st_size,
            kept=kept,
            replacement=None if removal else self._rewrite.replacement(),
            mode=facts.st_mode & 0o7777,
            uid=facts.st_uid,
            gid=facts.st_gid,
            disposal=self._disposal(proof, Method.FILE_REMOVAL if removal else Method.FILE_REWRITE),
        )

    def _disposal(self, proof: Proof, method: Method) -> Disposal:
        rules = {outcome.code: outcome.rule for outcome in self._piece.selection.outcomes if outcome.rule is not None}
        return self._piece.facts.disposal(
            slice_name=self._piece.name,
            dataset=self._piece.dataset.name,
            method=method,
            at=clock.real_now(),
            rule_of=rules,
            tallies=self.tallies(),
            proof=proof,
        )

    def _decide(self, redo: Redo) -> None:
        """The commit: the old file gets a second name, then the journal is there, durably."""
        with translated("give it a second name", self._extent.path):
            os.link(self._extent.path, self._own(Kind.ASIDE), follow_symlinks=False)
        try:
            publish(self._folder, redo)
        except OSError as error:
            if inode_of(self._own(Kind.JOURNAL)) is None:
                raise store_error("write the journal", self._own(Kind.JOURNAL), error) from error
            raise self._unknown(error) from error

    def _finish(self, redo: Redo) -> None:
        try:
            put_in_place(self._folder, redo)
        except (OSError, StoreError) as error:
            raise self._unknown(error) from error

    def _finish_late(self, redo: Redo) -> None:
        try:
            drain(self._folder, redo, patience=PATIENCE)
        except (OSError, StoreError) as error:
            raise self._unknown(error) from error

    def _unknown(self, error: Exception) -> CommitUnknownError:
        return CommitUnknownError(
            f"{self._extent.path}: the commit was begun but could not be finished: {error}",
            hint="No line is lost. Run again once the cause is gone: the next run finishes it.",
        )

    def close(self) -> None:
        """Remove what was prepared, unless the journal says that it is needed."""
        if self._rewrite is None:
            return
        if inode_of(self._own(Kind.JOURNAL)) is not None:
            self._rewrite.close()
            return
        for kind in (Kind.ASIDE, Kind.JOURNAL_DRAFT):
            with translated("remove a working file", self._own(kind)):
                self._own(kind).unlink(missing_ok=True)
        self._rewrite.discard()


def working_slice(piece: Slice) -> str:
    """What the names of a slice's working files carry: run, slice, and a short form of the ledger."""
    owner = piece.facts.owner
    return f"{owner.run}-{piece.name}-{sha256(owner.ledger.encode())[:8]}"


def _check_proof(proof: Proof, piece: Slice, content: ContentDigest) -> None:
    """See that a proof is for exactly what was yielded, one for each archive.

    Raises:
        ProofError: If it is not.
    """
    if isinstance(proof, Waiver):
        if piece.destination.archives or proof.slice != piece.name:
            raise ProofError(f"slice {piece.name}: a waiver does not stand for {piece.destination}")
        return
    archives = tuple(sorted(verified.archive for verified in proof))
    if not archives or archives != piece.destination.archives:
        raise ProofError(f"slice {piece.name} needs proofs from {piece.destination}, not from {', '.join(archives)}")
    expected = (content.digest(),) if content.records else ()
    for verified in proof:
        if verified.slice != piece.name or verified.content != expected:
            raise ProofError(f"slice {piece.name}: the proof from {verified.archive} is for other lines")
        if sum(segment.records for segment in verified.segments) != content.records:
            raise ProofError(f"slice {piece.name}: the segments in {verified.archive} hold another number of lines")
