"""Rotation of logs: when a policy wants it and how, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lapse.errors import ExitCode, PolicyError
from lapse.instant import Nanos
from lapse.model.growth import Footprint


class Packing(Enum):
    """How rotated files are compressed."""

    NONE = "none"
    ZSTD = "zstd"
    GZIP = "gzip"

    @property
    def suffix(self) -> str:
        """What the name of a compressed file has more than that of the plain one."""
        return _SUFFIXES[self]


_SUFFIXES = {Packing.NONE: "", Packing.ZSTD: ".zst", Packing.GZIP: ".gz"}


class Every(Enum):
    """A time after which a log is rotated, however small it is."""

    DAY = "daily"
    WEEK = "weekly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When the log that a writer appends to is set aside under another name, and what becomes of it there.

    Attributes:
        size: Bytes from which on it is. None if its size does not matter.
        every: The time after which it is, unless it is empty. None if time does not matter.
        packing: How it is compressed, once nobody writes to it.

    Raises:
        PolicyError: If it would never be.
    """

    size: int | None = None
    every: Every | None = None
    packing: Packing = Packing.NONE

    def __post_init__(self) -> None:
        if self.size is None and self.every is None:
            raise PolicyError("nothing says when to rotate", hint="Write `at: 1 GB`, `at: daily`, or a list of both.")


class Step(Enum):
    """What became of a log, or of a file that it was rotated to."""

    DUE = "would be rotated"
    ROTATED = "rotated"
    PACKED = "compressed"
    WAITING = "waits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One step of a rotation.

    Attributes:
        step: Which.
        log: Path of the log.
        file: Path of the file with its lines, after the step.
        size: Bytes of that file.
        why: Why the step was made, or what it waits for; one phrase.
    """

    step: Step
    log: str
    file: str
    size: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRotation:
    """What came of rotating one dataset's logs.

    Attributes:
        dataset: Its name.
        turns: The steps, in order.
        before: What its files came to before. None if that is not known.
        seconds: Wall time.
        trouble: What could not be done. None if nothing failed.
        hint: What to do about that. None if nothing can be said.
    """

    dataset: str
    turns: tuple[Turn, ...] = ()
    before: Footprint | None = None
    seconds: float = 0.0
    trouble: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationReport:
    """What came of rotating the chosen datasets.

    Attributes:
        at: The instant that decided.
        dry: Whether it only looked.
        datasets: In policy order.
        warnings: Remarks that do not change the outcome.
    """

    at: Nanos
    dry: bool
    datasets: tuple[DatasetRotation, ...]
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """1 if something could not be done, else 0."""
        return ExitCode.INCOMPLETE if any(each.trouble for each in self.datasets) else ExitCode.DONE
