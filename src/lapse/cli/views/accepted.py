"""Small answers: the version, a store that is trusted from now on, and derived data that holds what may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import Block, Line
from lapse.cli.view import Done
from lapse.instant import Nanos, rfc3339


@dataclass(frozen=True, slots=True)
class VersionView(Done):
    """The version of the program."""

    version: str

    def result(self) -> shapes.VersionResult:
        """The version for programs."""
        return shapes.VersionResult(version=self.version)

    def page(self) -> Iterator[Block]:
        """``lapse 1.2.3``."""
        yield Line(f"lapse {self.version}")


@dataclass(frozen=True, slots=True)
class TrustView(Done):
    """A dataset and the store that it was given."""

    dataset: str
    fingerprint: str

    def result(self) -> shapes.TrustResult:
        """The same for programs."""
        return shapes.TrustResult(dataset=self.dataset, fingerprint=self.fingerprint)

    def page(self) -> Iterator[Block]:
        """What is trusted."""
        yield Line(f"{self.dataset} is trusted as {self.fingerprint}, and the ledger says so.", "bold")


@dataclass(frozen=True, slots=True)
class RefreshedView(Done):
    """What is derived from a dataset, and the time before which it holds every record."""

    dataset: str
    derived: str
    until: Nanos

    def result(self) -> shapes.RefreshedResult:
        """The same for programs."""
        return shapes.RefreshedResult(dataset=self.dataset, derived=self.derived, until=rfc3339(self.until))

    def page(self) -> Iterator[Block]:
        """What it holds."""
        held = f"all records of {self.dataset} from before {rfc3339(self.until)}"
        yield Line(f"{self.derived!r} holds {held}, and the ledger says so.", "bold")
