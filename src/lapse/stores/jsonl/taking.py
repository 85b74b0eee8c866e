"""One slice: the lapsed lines of one file on their way out, and the commit that lets them go."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from lapse import clock
from lapse.canonical import Digest
from lapse.errors import ChangedError, CommitUnknownError, ProofError, StoreError
from lapse.instant import SECOND
from lapse.model.disposal import Disposal, Method, Proof, Waiver
from lapse.model.plan import Tally
from lapse.ports import LineBlock, Part, Slice
from lapse.segments.content import ContentDigest
from lapse.segments.overlapping import Behind
from lapse.stores.jsonl.blocklist import BlockList
from lapse.stores.jsonl.choosing import Ground, is_better_in_place
from lapse.stores.jsonl.collapsing import roll_forward
from lapse.stores.jsonl.disk import inode_of, line_start, open_anew
from lapse.stores.jsonl.following import held, replace_and_follow
from lapse.stores.jsonl.guarding import Guard, lock, unlock
from lapse.stores.jsonl.inplace import InPlace
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.laying import draw_heads, lay_out
from lapse.stores.jsonl.lifting import Lift
from lapse.stores.jsonl.names import Kind, OwnName
from lapse.stores.jsonl.probing import block_to_collapse, is_odd
from lapse.stores.jsonl.proving import check_proof, working_slice
from lapse.stores.jsonl.quiet import write_lease
from lapse.stores.jsonl.redo import Journalled, Redo, publish
from lapse.stores.jsonl.rereading import Digested
from lapse.stores.jsonl.rewriting import Rewrite
from lapse.stores.jsonl.scanning import Extent
from lapse.stores.jsonl.settling import PATIENCE, drain, put_in_place
from lapse.stores.jsonl.task import Task
from lapse.stores.jsonl.trouble import store_error, translated
from lapse.stores.jsonl.writers import Standing, refusal, stand

_GOING = 0.2
"""Seconds that a writer gets to close the file, which it may have opened for a few lines only."""

_LATELY = 600 * SECOND

_LOCK_PATIENCE = 2.0
"""Seconds to wait for those who lock the file while they write a line."""

HEAD_LIMIT = 1024 * 1024 * 1024
"""Bytes of lapsed lines at the head of a file that one slice takes, where the next one can go on from there."""


class JsonlTake:
    """The lapsed lines of the judged beginning of one log file.

    While they are read, the lines that stay between them are written to a new file beside the log. Nothing else
    happens before the commit, and `close` removes the new file if there was none.
    """

    def __init__(
        self, piece: Slice, extent: Extent, task: Task, *, descriptor: int, judge: Judge, known: BlockList | None = None
    ) -> None:
        self._piece = piece
        self._extent = extent
        self._task = task
        self._descriptor = descriptor
        self._folder, self._name = extent.path.parent, extent.path.name
        self._slice = working_slice(piece)
        self._began = clock.real_now()
        self._facts = os.fstat(descriptor)
        self._content = ContentDigest()
        self._head: Digest | None = None  # of the lines before the first one that stays, once that is found
        self._records = 0
        working = self._own(Kind.TEMPORARY)
        self._lift = Lift(descriptor, extent, judge, piece.destination, working=working, known=known)
        self._ground = self._look_around()
        self.redo: Journalled | None = None
        """The journal of the commit. None before it."""
        self._check_free()

    @property
    def limited(self) -> bool:
        """Whether it stopped for its size, so that more may have lapsed in the file."""
        return self._lift.limited

    @property
    def partial(self) -> bool:
        """Whether it stopped for the number of lines, so that more may have lapsed in the file."""
        return self._lift.partial

    def _look_around(self) -> Ground:
        plain = self._lift.plain and not is_odd(self._descriptor)
        return Ground(
            plain=self._lift.plain,
            block=block_to_collapse(self._folder, read_only=False) if plain else None,
            rewrite=self._task.rewrite,
            reopen=self._piece.dataset.reopen,
        )

    def _check_free(self) -> None:
        """Refuse before any work is done, where the commit would refuse."""
        self._lock()
        unlock(self._descriptor)  # sealing may take long; until the commit others may lock the file
        standing = self._stand()
        self._still = standing.quiet and self._settled
        if not standing.quiet and self._ground.reopen is None:
            self._refuse(standing, self._ground.obstacle or standing.trouble)
        if inode_of(self._own(Kind.JOURNAL)) is not None:
            raise StoreError(f"{self._own(Kind.JOURNAL)}: this slice was committed already", hint="Run again.")

    def _stand(self) -> Standing:
        promise = self._piece.dataset.writers
        return stand(self._descriptor, self._extent.path, promise=promise, patience=self._patience)

    @property
    def _patience(self) -> float:
        """Seconds to wait for writers where nothing can be done under them."""
        return _GOING if self._ground.obstacle is not None and self._ground.reopen is None else 0

    def _refuse(self, standing: Standing, why: str | None) -> None:
        if why is not None:
            raise refusal(standing, self._extent.path, why=why)

    def _lock(self) -> None:
        """Lock the file against those who lock it before they write; until `unlock`, or the descriptor is closed.

        Raises:
            StoreError: If somebody else keeps it locked.
        """
        lock(self._descriptor, self._extent.path, patience=_LOCK_PATIENCE)

    def _own(self, kind: Kind) -> Path:
        return self._folder / str(OwnName(self._name, self._slice, kind))

    def parts(self) -> Iterator[Part]:
        """The lapsed lines, in one part; no part if there is none."""
        batches = self._removed()
        first = next(batches, None)
        if first is not None:
            rest = itertools.chain([first], batches)
            content = self._content if self._piece.destination.archives else None
            yield Part(table=self._task.table, columns=(), odd_column=None, batches=rest, content=content)

    def _removed(self, *, wanted: bool = True) -> Iterator[LineBlock]:
        limit = HEAD_LIMIT if self._ground.obstacle is None else None
        archived, unarchived = bool(self._piece.destination.archives), Digested.NOTHING if self._still else Digested.ALL
        read = Digested.FROM_FIRST_THAT_STAYS if archived else unarchived
        with Behind(self._content.update) as digesting:
            for block in self._lift.lapsed(
                expected=self._task.expected, limit=limit, digested=read, most=self._task.most, wanted=wanted
            ):
                if self._head is None and not self._lift.goes_whole:
                    digesting.settle()
                    self._head = self._content.digest()
                self._records += block.records
                if archived:
                    digesting.take(block)
                yield block

    def tallies(self) -> tuple[Tally, ...]:
        """Counts of the lapsed lines, by code and tenant."""
        return self._lift.counts.tallies()

    def commit(self, proof: Proof) -> Disposal:
        """Remove the lapsed lines. The journal that is written here stays beside the log as the marker.

        Late lines of a writer that still has the old file open may be on their way when it returns; then
        `redo` is pending.

        Raises:
            ProofError: If *proof* is not for exactly these lines.
            ChangedError: If what was read is no longer there. Nothing was removed.
            StoreError: If somebody writes to the file in a way that cannot be followed, or there is no room.
                Nothing was removed.
            CommitUnknownError: If the commit was begun but not brought to its end.
        """
        if not self._lift.done and isinstance(proof, Waiver):
            for _ in self._removed(wanted=False):
                pass
        if not self._lift.done:
            raise ProofError(f"{self._extent.path}: a commit was asked for before all of its lines were read")
        check_proof(proof, self._piece, self._content)
        if not self._records:
            return self._disposal(proof, Method.FILE_REWRITE)
        self._lock()
        standing = self._stand()
        if self._goes_in_place(standing) and (done := self._commit_in_place(proof, standing)) is not None:
            return done
        return self._commit_anew(proof, standing)

    def _goes_in_place(self, standing: Standing) -> bool:
        if self._ground.obstacle is not None or self._ground.block is None or standing.trouble is not None:
            return False
        lift = self._lift
        size, lively = os.fstat(self._descriptor).st_size, self._is_lively()
        return not standing.quiet or is_better_in_place(
            end=lift.end, kept=lift.kept, size=size, block=self._ground.block, lively=lively
        )

    def _is_lively(self) -> bool:
        """Whether it is a log in use by the look of it: one that stays, and was written to lately."""
        return not self._task.removable and self._facts.st_mtime_ns > self._began - _LATELY

    def _commit_in_place(self, proof: Proof, standing: Standing) -> Disposal | None:
        """Remove the lines where they are. None if that cannot be done after all, and a new file can be made."""
        path = self._extent.path
        try:
            open_anew(self._descriptor, path, os.O_RDWR)
        except OSError as error:
            if standing.quiet and isinstance(error, PermissionError):
                return None  # a new file needs no right to write to the old one
            raise store_error("open it for writing", path, error) from error
        self._lock()
        with Guard(self._descriptor, path, promise=self._piece.dataset.writers) as guard:
            trouble = guard.trouble()
            if trouble is None:
                with translated("draw up the removal", path):
                    journal = self._draw(proof, self._check_unchanged())
                self._decide(journal)
                self.redo = journal
                self._finish(lambda: self._roll_forward(journal, guard))
                return journal.disposal
        with translated("open it for reading", path):
            open_anew(self._descriptor, path, os.O_RDONLY)
        self._lock()
        if not standing.quiet and self._ground.reopen is None:
            self._refuse(standing, trouble)
        return None

    def _roll_forward(self, journal: InPlace, guard: Guard) -> None:
        self.redo = roll_forward(self._folder, journal, self._descriptor, guard)

    def _draw(self, proof: Proof, facts: os.stat_result) -> InPlace:
        """Say what the commit in place will do."""
        assert self._ground.block is not None  # noqa: S101 - the caller has seen it
        lift, size = self._lift, facts.st_size
        layout = lay_out(self._descriptor, end=lift.end, kept=lift.kept, block=self._ground.block, size=size)
        side = b"" if lift.working is None else lift.working.head(layout.block)
        journal = InPlace(
            log=self._name,
            slice=self._slice,
            inode=self._extent.inode,
            judged=self._extent.size,
            size=size,
            mtime_ns=facts.st_mtime_ns,
            layout=layout,
            heads=draw_heads(self._descriptor, layout, judged=self._extent.size, size=size, side=side),
            side=None if lift.working is None else lift.working.replacement().digest,
            disposal=self._disposal(proof, Method.FILE_COLLAPSE),
        )
        if not journal.phases_differ:
            raise StoreError(
                f"{self._extent.path}: a line that stays begins with nothing but tabs, and cannot be moved in place",
                hint="Use `lapse run --rewrite` while nobody writes to the file.",
            )
        return journal

    def _commit_anew(self, proof: Proof, standing: Standing) -> Disposal:
        """Put a new file in the place of the log; writers are followed to it, where they can be told."""
        with ExitStack() as lease:
            state = lease.enter_context(write_lease(self._descriptor, self._extent.path, patience=self._patience))
            standing = replace(standing, state=state)
            if standing.quiet:
                redo = self._decide_anew(proof, followed=False)
                self._finish(lambda: self._replace(redo, lease))
                return redo.disposal
        settings = self._ground.reopen
        if settings is None:
            raise refusal(standing, self._extent.path, why=self._ground.obstacle or standing.trouble or "it is live")
        redo = self._decide_anew(proof, followed=True)
        self._finish(lambda: replace_and_follow(self._folder, redo, settings))
        return redo.disposal

    def _replace(self, redo: Redo, lease: ExitStack) -> None:
        """Put the new file in place and let the *lease* on the old one go; who waited for it writes late lines."""
        with held(self._folder, redo) as new:
            put_in_place(self._folder, redo)
            lease.close()
            redo = new.move_late()
        drain(self._folder, redo, patience=PATIENCE)

    def _decide_anew(self, proof: Proof, *, followed: bool) -> Redo:
        redo = self._prepare(proof, self._check_unchanged(), followed=followed)
        path, aside = self._extent.path, self._own(Kind.ASIDE)
        with translated("give it a second name", path):
            os.link(path, aside, follow_symlinks=False)
            if inode_of(aside) != redo.inode:
                raise ChangedError(f"{path} was replaced", hint="Run again.")
        self._decide(redo)
        if self._lift.working is not None:
            self._lift.working.close()  # nobody shall have the new file open when late lines come
        self.redo = redo
        return redo

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
        if not (unmoved and self._settled) and not self._lift.is_there(self._head or self._content.digest()):
            raise ChangedError(f"{path} was changed while its lines were sealed", hint="Run again.")
        return now

    @property
    def _settled(self) -> bool:
        """Whether the file's time stamps tell of every change since it was looked at.

        A change right before that could bear the same time stamp as one right after it.
        """
        return self._facts.st_mtime_ns < self._began - SECOND

    def _prepare(self, proof: Proof, facts: os.stat_result, *, followed: bool) -> Redo:
        """Complete the new file with what stays behind the last lapsed line, and say what the commit will do.

        Where writers are followed, a line that is not ended yet is left to come with the late ones.
        """
        lift, judged = self._lift, self._extent.size
        removal = self._task.removable and not followed and not lift.stays and facts.st_size == judged
        size = self._whole_lines(facts.st_size) if followed else facts.st_size
        new = None if removal else self._new_file(size)
        return Redo(
            log=self._name,
            slice=self._slice,
            inode=self._extent.inode,
            judged=judged,
            consumed=size,
            kept=0 if new is None else new.size - max(0, size - judged),
            replacement=None if new is None else new.replacement(),
            mode=facts.st_mode & 0o7777,
            uid=facts.st_uid,
            gid=facts.st_gid,
            disposal=self._disposal(proof, Method.FILE_REMOVAL if removal else Method.FILE_REWRITE),
        )

    def _new_file(self, size: int) -> Rewrite:
        """The new file, complete with everything below *size* of the log that stays."""
        lift = self._lift
        fresh = lift.working is None
        new = lift.new_file()
        if fresh:
            new.end_content()
        new.copy(self._descriptor, lift.end if lift.plain else self._extent.size, size)
        new.complete(self._descriptor)
        return new

    def _whole_lines(self, size: int) -> int:
        """Where the last whole line below *size* ends, at least where the last lapsed one does."""
        if not self._lift.plain:
            return size
        with translated("read it", self._extent.path):
            return max(self._lift.end, line_start(self._descriptor, size))

    def _disposal(self, proof: Proof, method: Method) -> Disposal:
        return self._piece.disposal(method, tallies=self.tallies(), proof=proof)

    def _decide(self, redo: Journalled) -> None:
        """The commit: the journal is there, durably."""
        try:
            publish(self._folder, redo)
        except OSError as error:
            if inode_of(self._own(Kind.JOURNAL)) is None:
                raise store_error("write the journal", self._own(Kind.JOURNAL), error) from error
            raise self._unknown(error) from error

    def _finish(self, step: Callable[[], object]) -> None:
        """Do what the journal says, which is there by now."""
        try:
            step()
        except (OSError, StoreError) as error:
            raise self._unknown(error) from error

    def _unknown(self, error: Exception) -> CommitUnknownError:
        return CommitUnknownError(
            f"{self._extent.path}: the commit was begun but could not be finished: {error}",
            hint="No line is lost. Run again once the cause is gone: the next run finishes it.",
        )

    def close(self) -> None:
        """Remove what was prepared, unless the journal says that it is needed."""
        working = self._lift.working
        if inode_of(self._own(Kind.JOURNAL)) is not None:
            if working is not None:
                working.close()
            return
        for kind in (Kind.ASIDE, Kind.JOURNAL_DRAFT):
            with translated("remove a working file", self._own(kind)):
                self._own(kind).unlink(missing_ok=True)
        if working is not None:
            working.discard()
