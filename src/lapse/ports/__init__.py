"""The doors of the engine: what a store, an archive target and a hook promise.

`lapse.testing` holds the other half of these definitions: an adapter is done when its contract passes.
"""

from __future__ import annotations

from lapse.model.found import Found, Matched, RestoreCount, Sketch
from lapse.ports.abilities import (
    Board,
    Burden,
    Burdened,
    Describable,
    Divisible,
    DriverSession,
    Entangled,
    Filed,
    Inspectable,
    Leased,
    Naming,
    Pledged,
    Pledging,
    Posted,
    Reclaimable,
    Remarking,
    Remembering,
    Restorable,
    Rotatable,
    Searchable,
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
    "Board",
    "Breaks",
    "Budget",
    "Burden",
    "Burdened",
    "Content",
    "Describable",
    "Divisible",
    "DriverSession",
    "Entangled",
    "Event",
    "Filed",
    "Found",
    "Hook",
    "Inspectable",
    "Leased",
    "LineBlock",
    "Matched",
    "Naming",
    "Part",
    "Pledged",
    "Pledging",
    "Posted",
    "Reclaimable",
    "Remarking",
    "Remembering",
    "Restorable",
    "RestoreCount",
    "Rotatable",
    "RowBatch",
    "Searchable",
    "Sketch",
    "Slice",
    "Store",
    "Take",
    "Transacting",
    "Witness",
]
