"""Files of rows that are gone: asked of the store, removed, and forgotten once they are not there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lapse.engine.session import Session
from lapse.errors import LapseError, PolicyError, UnsupportedError
from lapse.model.policy import Dataset
from lapse.model.report import Trouble
from lapse.ports import Filed, Store
from lapse.registry import store_class
from lapse.sqlcore.markers import FILES_TABLE
from lapse.stages.filing import unlink


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesDone:
    """What became of the files of a dataset.

    Attributes:
        removed: How many were removed.
        left: How many could not be, by the reason; no path, which may be personal data.
        stopped: Why some were not even tried. None if all were.
    """

    removed: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    stopped: Trouble | None = None

    @property
    def trouble(self) -> Trouble | None:
        """Why files are still there whose rows are gone. None if none is."""
        if not self.left:
            return self.stopped
        files = sum(self.left.values())
        are = "1 file is" if files == 1 else f"{files:,} files are"
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(self.left.items()))
        return Trouble(
            message=f"{are} still there, though their rows are gone: {reasons}",
            hint=f"Their paths stand in table {FILES_TABLE}. Remove the cause, then run again.",
        )

    def besides(self, trouble: Trouble | None) -> Trouble | None:
        """*trouble* together with that of the files."""
        own = self.trouble
        if trouble is None or own is None:
            return own or trouble
        return Trouble(message=f"{trouble.message}; and {own.message}", hint=trouble.hint)


def check_files(session: Session, dataset: Dataset) -> None:
    """Refuse what can never be done with the files of *dataset*.

    Raises:
        UnsupportedError: If its store cannot note which files go.
        PolicyError: If Lapse's own files lie where a row could name them.
    """
    if dataset.files is None:
        return
    if not issubclass(store_class(dataset.store), Filed):
        raise UnsupportedError(
            f"{dataset.name}: {dataset.shown} cannot keep account of files that go with their rows",
            hint="Remove `files`; only PostgreSQL can.",
            origin=dataset.origin("files"),
        )
    if dataset.files.under == "/":
        return  # there is an ending then, and no file of Lapse's own ends so
    under = os.path.realpath(dataset.files.under)
    for own in (session.folders.root, session.folders.ledger):
        if os.path.commonpath([under, place := os.path.realpath(own)]) in (under, place):
            raise PolicyError(
                f"{dataset.name}: a row could name a file of Lapse's own in {own}",
                hint="Name another folder as `files: {under: …}`, or move LAPSE_STATE_DIR.",
                origin=dataset.origin("files"),
            )


def remove_files(dataset: Dataset, store: Store, *, stopping: Callable[[], bool]) -> FilesDone:
    """Remove every file whose rows are gone, those of earlier runs included.

    Arguments:
        dataset: Says below which folder.
        store: Knows them. Nothing of its transactions is open.
        stopping: Asked between batches; True leaves the rest for the next run.
    """
    if dataset.files is None or not isinstance(store, Filed):
        return FilesDone()
    removed, left = 0, Counter[str]()
    stopped: Trouble | None = None
    try:
        for batch in store.pending_files():
            if stopping():
                message = "files are still there, though their rows are gone: the run was asked to stop"
                stopped = Trouble(message=message, hint="Run again: it goes on where it stopped.")
                break
            done = unlink(batch, under=dataset.files.under, ending=dataset.files.ending)
            store.forget_files(done.gone)
            removed += done.removed
            left.update({reason: len(files) for reason, files in done.left.items()})
    except LapseError as error:
        message = f"files may still be there, though their rows are gone: {error}"
        stopped = Trouble(message=message, hint=error.hint)
    return FilesDone(removed=removed, left=dict(left), stopped=stopped)
