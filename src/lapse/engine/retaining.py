"""Holds over what lies in the archive, from everything that Lapse knows of a segment without opening it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Set

from lapse.archive.catalog import SegmentEntry, Unreadable
from lapse.archive.holding import Known, covering
from lapse.canonical import sha256
from lapse.engine.boards import read_all
from lapse.engine.holding import checked_holds
from lapse.engine.session import Session
from lapse.errors import HoldsError
from lapse.model.manifest import Manifest
from lapse.model.policy import Hold
from lapse.model.posted import together
from lapse.state.files import read_private
from lapse.state.ledger import sidecar_path
from lapse.state.pins import Pins


class HeldSegments:
    """The holds of this host and of every store, asked about segments.

    Attributes:
        unreached: Stores whose holds could not be read: more segments may be held.
    """

    def __init__(self, session: Session) -> None:
        """Read every hold.

        Raises:
            HoldsError: If those of this host cannot be read.
        """
        self._session = session
        self._pins = Pins(session.folders.root)
        own = session.holds()
        found, self.unreached = read_all(session)
        self._holds: tuple[Hold, ...] = own
        for name, posted in found.items():
            dataset = session.policy.datasets[name]
            self._holds += together(dataset, own, posted)[len(own) :]
        self._by_tenant = any(hold.match.conditions for hold in self._holds)

    def matters(self, segment: SegmentEntry | Unreadable) -> tuple[str, ...]:
        """The matters of the holds that may keep a record in *segment*, each once."""
        known = self._known(segment.manifest) if isinstance(segment, SegmentEntry) and self._by_tenant else Known()
        found = covering(segment, self._holds, self._session.real_now, known)
        return tuple(dict.fromkeys(hold.matter for hold in found))

    def _known(self, manifest: Manifest) -> Known:
        dataset = self._session.policy.datasets.get(manifest.dataset)
        if dataset is None:
            return Known()
        pinned = self._pins.pinned(self._session.state_name(dataset.name))
        # Of another store, or of other columns, what was counted as a tenant may have been something else.
        return Known(dataset=dataset, tenants=self._tenants(manifest) if pinned == manifest.fingerprint else None)

    def _tenants(self, manifest: Manifest) -> Set[str] | None:
        ledger = self._session.ledger
        if manifest.ledger != ledger.ledger_id:
            return None
        entry = ledger.disposal_entry(manifest.run, manifest.slice)
        data = read_private(sidecar_path(ledger.folder, manifest.run, manifest.slice))
        if entry is None or data is None or sha256(data) != entry.body.get("tenants_digest"):
            return None
        return frozenset(json.loads(data))


def require_unheld(session: Session, segments: Iterable[SegmentEntry | Unreadable]) -> None:
    """Refuse to part with *segments* if a hold may keep a record in one of them, or if that cannot be told.

    Whatever removes committed segments, or writes them anew with fewer records, asks here first. What recovery clears
    is no such thing: the records of a slice that was not committed are all in their store.

    Raises:
        HoldsError: Naming the first such segment and its holds; or what is wrong with the holds themselves.
    """
    checked_holds(session)
    held = HeldSegments(session)
    if held.unreached:
        raise HoldsError(
            f"the holds of a store cannot be read: {held.unreached[0]}",
            hint="Nothing leaves the archive until they can.",
        )
    for segment in segments:
        matters = held.matters(segment)
        if matters:
            raise HoldsError(
                f"{segment.path} in archive {segment.archive} may have records that are held: {', '.join(matters)}",
                hint="See `lapse hold list` and `lapse archive list`.",
            )
