"""Files that belong to rows: where a policy says they are, and those whose rows are gone."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from lapse.canonical import Json
from lapse.errors import PolicyError

_ENDING = re.compile(r"\.[A-Za-z0-9]{1,16}")
_OWN_ENDINGS = frozenset(
    {
        ".db",
        ".duckdb",
        ".gz",
        ".idx",
        ".json",
        ".jsonl",
        ".key",
        ".lock",
        ".log",
        ".md",
        ".new",
        ".parquet",
        ".part",
        ".pem",
        ".pid",
        ".prom",
        ".pub",
        ".service",
        ".sqlite",
        ".timer",
        ".tmp",
        ".yaml",
        ".yml",
        ".zst",
    }
)
"""What segments, ledgers, notes, keys and policies end in: files that no row may name.

Where files may lie anywhere, this alone stands before them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFiles:
    """Files that go after the rows that name them.

    Attributes:
        column: Column that holds a file's path, absolute or relative to *under*. ``table.column`` is one of a table
            whose rows go along.
        under: The only folder below which a file is ever removed; absolute. The root needs an *ending*.
        ending: What the name of a file must end in to be removed, such as ``.wav``; case does not matter. None: any.

    Raises:
        PolicyError: If *under* is no such folder, or *ending* is none, or one of Lapse's own files.
    """

    column: str
    under: str
    ending: str | None = None

    def __post_init__(self) -> None:
        if self.ending is not None:
            parse_ending(self.ending)
        if not self.under.startswith("/") or os.path.normpath(self.under) != self.under or self._is_everything:
            raise PolicyError(
                f"files are never removed below {self.under!r}",
                hint="Name the folder that they lie in by its absolute path.",
            )

    @property
    def _is_everything(self) -> bool:
        return self.ending is None and self.under.strip("/") == ""

    def facts(self) -> Json:
        """What it means, for the policy's hash."""
        found: dict[str, Json] = {"column": self.column, "under": self.under}
        return found if self.ending is None else {**found, "ending": self.ending}


def parse_ending(ending: object) -> str:
    """What names of files end in, with its dot.

    Raises:
        PolicyError: If it is none, or what files of Lapse's own end in.
    """
    if not isinstance(ending, str) or not _ENDING.fullmatch(ending):
        raise PolicyError(f"{ending!r} is no ending of a file's name", hint="Write it with its dot, like `.wav`.")
    if ending.lower() in _OWN_ENDINGS:
        raise PolicyError(
            f"files that end in {ending} may be Lapse's own", hint="Leave `ending` out, and name a folder as `under`."
        )
    return ending


@dataclass(frozen=True, slots=True)
class PendingFile:
    """A file whose rows are gone from their store.

    Attributes:
        number: The store's own number of it.
        path: As its row named it; may be anything.
    """

    number: int
    path: str
