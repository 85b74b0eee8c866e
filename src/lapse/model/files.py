"""Files that belong to rows: where a policy says they are, and those whose rows are gone."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lapse.canonical import Json
from lapse.errors import PolicyError


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFiles:
    """Files that go after the rows that name them.

    Attributes:
        column: Column that holds a file's path, absolute or relative to *under*. ``table.column`` is one of a table
            whose rows go along.
        under: The only folder below which a file is ever removed; absolute.

    Raises:
        PolicyError: If *under* is no such folder.
    """

    column: str
    under: str

    def __post_init__(self) -> None:
        if not self.under.startswith("/") or os.path.normpath(self.under) != self.under or self.under.strip("/") == "":
            raise PolicyError(
                f"files are never removed below {self.under!r}",
                hint="Name the folder that they lie in by its absolute path.",
            )

    def facts(self) -> Json:
        """What it means, for the policy's hash."""
        return {"column": self.column, "under": self.under}


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file whose rows are gone from their store.

    Attributes:
        number: The store's own number of it.
        path: As its row named it; may be anything.
    """

    number: int
    path: str
