"""ISO texts as record times: read once for each row, into nanoseconds.

A cast would stop the statement at the first text that is no time, so a pattern looks first, calendar included.
"""

# ruff: noqa: S608 - names are quoted, no value is in it

from __future__ import annotations

from dataclasses import dataclass

from lapse.instant import MAX, MIN, SECOND, Nanos
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.rules import clamped
from lapse.stores.postgresql.times import clamp

_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29"
_DAY = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.,][0-9]{1,9})?"
_ZONE = "[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
_ISO = f"^(?:[0-9]{{4}}-(?:{_DAY})|{_LEAP})(?:[T ]{_TIME}(?:{_ZONE})?)?$"


@dataclass(frozen=True, slots=True)
class TextTime:
    """Texts with or without an offset from UTC.

    Attributes:
        text: The column as text.
        zone: Zone of texts without offset, as a literal. None reads them as UTC.
        empty: What an empty text is read as. None reads it as no time.
    """

    text: str
    zone: str | None
    empty: Nanos | None = None

    @property
    def lateral(self) -> str:
        """The nanoseconds, joined to the rows."""
        return f" CROSS JOIN LATERAL {self._read}"

    @property
    def raw(self) -> str:
        """The nanoseconds."""
        return "tm.n"

    @property
    def hashed(self) -> str:
        """A number made of the text."""
        return f"coalesce(hashtextextended({self._bytes}, 0), 0)"

    def missing(self) -> Fragment:
        """Whether no time can be read; never NULL."""
        return Fragment("tm.n IS NULL")

    def compare(self, operator: str, instant: Nanos) -> Fragment:
        """Whether the time is so; not true where there is none."""
        return Fragment(f"tm.n {operator} {int(clamped(instant))}")

    def bound(self, operator: str, instant: Nanos) -> Fragment | None:
        """None: texts are in the order of another collation, and have offsets."""
        return None

    def nanos(self, raw: str) -> str:
        """The number itself."""
        return raw

    def once(self, expression: Fragment) -> Fragment:
        """The expression on the time, which is read beside it."""
        return "(SELECT " + expression + f" FROM {self._read})"

    @property
    def _read(self) -> str:
        """The row ``tm`` with the nanoseconds ``n``. ``OFFSET 0`` keeps its steps from being merged and repeated."""
        quick = f"(extract(epoch FROM {self._local('s::timestamp')}) * 1000000)::bigint * 1000"
        valid = f"s ~ '{_ISO}' AND s >= '0001'"
        empty = "" if self.empty is None else f" WHEN s = '' THEN ({int(clamped(self.empty))})::bigint"
        read = f"CASE WHEN {self._usual} THEN {quick} WHEN {valid} THEN {self._unusual}{empty} END"
        return f"(SELECT {read} AS n FROM (SELECT {self._bytes} AS s OFFSET 0) AS tm OFFSET 0) AS tm"

    @property
    def _usual(self) -> str:
        """Whether a cast reads the text rightly: no offset, microseconds at most, a recent year, a day of any month.

        That is told without a pattern, which would take twice the time of all the rest.
        """
        layouts = [(f"--{sep}::{dot}", f"____-__-__{sep}__:__:__{dot and '._%%'}") for sep in " T" for dot in ("", ".")]
        if self.zone is None:
            layouts += [(f"{signs}Z", f"{layout}Z") for signs, layout in layouts]
        cases = " ".join(f"WHEN '{signs}' THEN s LIKE '{layout}'" for signs, layout in layouts)
        day = "substr(s, 9, 2)"
        parts = (
            f"CASE translate(s, '0123456789', '') {cases} END",
            "length(s) <= 26 AND s >= '1900' AND s < '2100' AND substr(s, 6, 2) BETWEEN '01' AND '12'",
            f"{day} >= '01' AND ({day} <= '28' OR {day} <= '30' AND substr(s, 6, 2) <> '02')",
            "substr(s, 12, 2) <= '23' AND substr(s, 15, 1) <= '5' AND substr(s, 18, 1) <= '5'",
        )
        return " AND ".join(parts)

    @property
    def _unusual(self) -> str:
        """The nanoseconds of any other text ``s`` that is a time, clamped. NULL if it leaves the calendar in UTC."""
        wall = "substr(s, 1, 19)::timestamp + CASE length(s) WHEN 10 THEN interval '1 day' ELSE interval '0' END"
        sign = "greatest(strpos(substr(s, 20), '+'), strpos(substr(s, 20), '-'))"
        digits = "substr(tail, 2, CASE sign WHEN 0 THEN 10 ELSE greatest(sign - 2, 0) END)"
        rest = f"CASE WHEN whole THEN -1 ELSE rpad(rtrim({digits}, 'Zz'), 9, '0')::int END"
        steps = (
            f"{wall} AS wall, length(s) = 10 AS whole, substr(s, 20) AS tail, {sign} AS sign",
            f"{self._seconds} AS seconds, {rest} AS rest, whole",
        )
        rows = ""
        for step in steps:
            rows = f" FROM (SELECT {step}{rows} OFFSET 0) AS steps"
        nanos = "(seconds * 1000000000 + rest)"
        # The end of a day is far in the future, if it is beyond the calendar.
        known = f"whole OR {nanos} >= {int(MIN)} AND {nanos} < {int(MAX + SECOND)}"
        return f"(SELECT CASE WHEN {known} THEN {clamp(nanos)} END{rows})"

    def _local(self, wall: str) -> str:
        """The instant of a wall clock time of the zone, as a timestamp of whatever kind."""
        return wall if self.zone is None else f"timezone({self.zone}, {wall})"

    @property
    def _bytes(self) -> str:
        """The text, compared byte by byte."""
        return f'{self.text} COLLATE "C"'

    @property
    def _seconds(self) -> str:
        """Whole seconds since 1970 as numeric."""
        minutes = "coalesce(nullif(translate(substr(tail, sign + 3), ':', ''), '')::int, 0)"
        ahead = f"(substr(tail, sign + 1, 2)::int * 3600 + {minutes} * 60)"
        signed = f"CASE substr(tail, sign, 1) WHEN '-' THEN -{ahead} ELSE {ahead} END"
        wall = "extract(epoch FROM wall)::numeric"
        local = f"extract(epoch FROM {self._local('wall')})::numeric"
        zulu = "right(tail, 1) IN ('Z', 'z')"
        return f"CASE WHEN sign > 0 THEN {wall} - {signed} WHEN {zulu} THEN {wall} ELSE {local} END"
