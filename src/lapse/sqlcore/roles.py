"""Which columns speak by their name for being a log's time, type, tenant or actor."""

from __future__ import annotations

import re


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|_)(?:{pattern})(?:$|_)")


# For each role the names that speak for a column, the clearest first.
TIMES = (
    _words(r"timestamp|event_?time|log_?time|logged(?:_at)?|occurred(?:_at)?|ts"),
    _words(r"created(?:_at|_on|_time)?|time|datetime|visit_time"),
    _words(r"started(?:_at)?|start(?:_time)?|date|at|when"),
    _words(r".*(?:time|date|_at|stamp)"),
)
TYPES = (
    _words(r"event_?type|action(?:_flag)?|schema_name|operation|event_?name|transition"),
    _words(r"type|event|verb|kind|category"),
    _words(r"level|severity|status|method|content_type(?:_id)?"),
)
TENANTS = (_words(r"tenant(?:_?(?:uuid|id|name))?|org(?:ani[sz]ation)?(?:_id)?|account|customer|workspace|site|realm"),)
ACTORS = (
    _words(r"actor(?:_(?:id|email|name))?|who|performed_by|created_by|changed_by"),
    _words(r"user(?:_?(?:id|name|email))?|username|principal|login|remote_user|caller(?:_id)?|cid_num|author|email"),
)
_ON_THE_WAY = re.compile(r"expir|until|deadline|due|birth|updated|modified|deleted|end(?:ed)?(?:$|_)")


def plain(name: str) -> str:
    """``eventTime`` and ``Event-Time`` as ``event_time``."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def rank(names: tuple[re.Pattern[str], ...], column: str) -> int | None:
    """How clearly a column's name speaks for a role, 0 the clearest. None if it does not."""
    spoken = plain(column)
    return next((number for number, pattern in enumerate(names) if pattern.search(spoken)), None)


def is_passing(column: str) -> bool:
    """Whether a time column says when a record ends or changed rather than when it arose."""
    return _ON_THE_WAY.search(plain(column)) is not None
