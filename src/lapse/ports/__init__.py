"""The doors of the engine: what a store, an archive target and a hook promise.

`lapse.testing` holds the other half of these definitions: an adapter is done when its contract passes.
"""

from __future__ import annotations

from lapse.model.found import Found, RestoreCount, Sketch
from lapse.ports.abilities import (
    Burden,
    Burdened,
    Describable,
    Divisible,
    DriverSession,
    Filed,
    Inspectable,
    Pledged,
    Pledging,
    Reclaimable,
    Remarking,
    Remembering,
    Restorable,
    Rotatable,
    Transacting,
    Witness,
)
from lapse.ports.outside import (
    ArchiveTarget,
    Event,
    Hook,
)
from lapse.ports.stores import (
    Store,
)
from lapse.ports.work import (
    Batch,
    Breaks,
    Budget,
    Content,
    LineBlock,
    Part,
    RowBatch,
    Slice,
    Take,
)

__all__ = [
    "ArchiveTarget",
    "Batch",
    "Breaks",
    "Budget",
    "Burden",
    "Burdened",
    "Content",
    "Describable",
    "Divisible",
    "DriverSession",
    "Event",
    "Filed",
    "Found",
    "Hook",
    "Inspectable",
    "LineBlock",
    "Part",
    "Pledged",
    "Pledging",
    "Reclaimable",
    "Remarking",
    "Remembering",
    "Restorable",
    "RestoreCount",
    "Rotatable",
    "RowBatch",
    "Sketch",
    "Slice",
    "Store",
    "Take",
    "Transacting",
    "Witness",
]
