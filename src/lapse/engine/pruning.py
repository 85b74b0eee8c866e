"""Markers that the ledger and its checkpoints have made needless, removed as a run goes on and at its end."""

from __future__ import annotations

from lapse.engine.checkpointing import checkpoint
from lapse.engine.recovering import Recovered
from lapse.engine.session import Session
from lapse.errors import LapseError
from lapse.model.disposal import Disposal
from lapse.ports import Store
from lapse.state.journal import finish

EVERY = 1_024
"""Disposals of a dataset between two checkpoints in a run.

No more of them have a marker, a line in the journal, or room in memory, however many slices the run has.
"""


class Pruning:
    """The disposals of one dataset whose markers still stand: recovered ones, and what a run adds to them."""

    def __init__(self, session: Session, store: Store, recovered: Recovered) -> None:
        """Those of *recovered* are the first."""
        self._session = session
        self._store = store
        self._waiting = list(recovered.markers)
        self._enough = EVERY

    def add(self, disposal: Disposal) -> None:
        """Take in a disposal; when there are enough, checkpoint the ledger and remove their markers.

        Where that cannot be done it is put off: nothing that was removed depends on it.
        """
        self._waiting.append(disposal.without_counts())
        if len(self._waiting) < self._enough:
            return
        try:
            if not checkpoint(self._session):
                self.prune()
                finish(self._session.folders.root, disposal.owner.run)
        except LapseError:
            pass  # the end of the run tries again, and says so
        self._enough = len(self._waiting) + EVERY

    def prune(self) -> None:
        """Remove the markers of everything that the ledger has. A checkpoint of it stands in every archive.

        Raises:
            LapseError: If the store or the ledger does not let it: the markers stay until the next run.
        """
        ledger = self._session.writable_ledger  # which knows what it has written
        self._store.prune(each for each in self._waiting if ledger.has_disposal(each.owner.run, each.slice))
        self._waiting.clear()
