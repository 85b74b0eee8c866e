"""Log lines for programs: what happens in a run, one JSON object a line. Names and counts, never a record's content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from functools import cached_property
from typing import Any, Literal, TypeAlias

from lapse import clock
from lapse.canonical import Json
from lapse.instant import rfc3339
from lapse.ports import Event

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
"""How much a line matters; a log leaves out what matters less than it asks for."""

_LEVELS: Mapping[str, Level] = {
    "dataset.planning": "debug",
    "slice.put_back": "warning",
    "segment.kept": "warning",
    "segment.not_cleared": "warning",
    "dataset.large": "warning",
    "dataset.failed": "error",
    "rotation.failed": "error",
    "run.refused": "error",
    "run.failed": "error",
}
"""Levels of the events that are not just info."""


class JsonLog:
    """Lines of JSON, each with its event, level and time."""

    def __init__(self, write: Callable[[str], None], level: Level = "info") -> None:
        """Hand each line to *write*, without its end; what matters less than *level* is left out."""
        self._write = write
        self._level = level

    def say(self, event: str, level: Level, facts: Mapping[str, Json]) -> None:
        """Write one line."""
        getattr(self._logger, level)(event, **facts)

    @cached_property
    def _logger(self) -> Any:
        import structlog

        return structlog.wrap_logger(
            _Lines(self._write),
            processors=[_ordered, structlog.processors.JSONRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
            context_class=dict,
        )


class LogHook:
    """Writes a line for each event of a run, with the run's id on every one."""

    def __init__(self, log: JsonLog) -> None:
        """Write into *log*."""
        self._log = log
        self._run: Mapping[str, Json] = {}

    def on(self, event: Event) -> None:
        """Write what *event* says."""
        if event.name == "run.started":
            self._run = {"run": event.facts["run"]}
        facts = {**self._run, **event.facts}
        self._log.say(event.name, _LEVELS.get(event.name, "info"), {k: v for k, v in facts.items() if v is not None})


class _Lines:
    """What structlog writes to: every level is one line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = write


def _ordered(_logger: object, level: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What every line has comes first."""
    return {"timestamp": rfc3339(clock.real_now()), "level": level, "event": line.pop("event"), **line}
