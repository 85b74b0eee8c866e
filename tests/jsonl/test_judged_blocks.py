"""Many lines judged at once, held against the judge of single lines, which is the definition."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from logs import dataset, line, selected

from lapse.instant import Nanos, rfc3339
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.policy import Floor, Hold, Rule, TimeFormat
from lapse.model.selection import Selection, select
from lapse.model.timetext import number_instant, parse_time_text
from lapse.stores.jsonl import codec, judged
from lapse.stores.jsonl.bulk import Bulk
from lapse.stores.jsonl.bulktimes import number_instants, text_instants
from lapse.stores.jsonl.bytescan import is_utf8, line_ends
from lapse.stores.jsonl.judged import JudgedBlock, Judges, judged_blocks
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.lines import lines
from lapse.stores.jsonl.pieces import pieces
from lapse.stores.jsonl.scanning import Counts, Extent
from lapse.stores.jsonl.summing import number_of
from lapse.testing.flow import Not, matching, rule
from lapse.testing.harness import NOW

DAY = 86_400_000_000_000
_MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_ODD_TIMES = [
    "2020-02-30T00:00:00Z", "2020-02-29T23:59:59Z", "2021-02-29T00:00:00Z", "2016-12-31T23:59:60Z", "2020-01-01",
    "2020-01-01T00:00:00", "2020-01-01 00:00:00.5+02:00", "2020-01-01T00:00:00,123456789Z", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z", "2261-12-31T23:59:59Z", "2262-04-12T00:00:00Z", "1677-01-01T00:00:00Z",
    "1678-01-01T00:00:00+23:59", "2020-13-01T00:00:00Z", "2020-00-01T00:00:00Z", "2020-01-00T00:00:00Z",
    "2020-01-01T24:00:00Z", "2020-01-01T00:60:00Z", "2020-01-01T00:00:00+24:00", "2020-01-01T00:00:00+0230",
    "2020-01-01T00:00:00-05", "2020-01-01t00:00:00z", "2020-01-01T00:00:00z", "2020-01-01T00:00:00 Z", "", "Z",
    "２０２０-01-01T00:00:00Z", "2020/01/01T00:00:00Z", "2020-01-01T00:00:00*02:00", "9020-01-01T00:00:00Z",
    "2020-10-25T02:30:00",
]  # fmt: skip


def _near(draw: st.DrawFn) -> str:
    offset = draw(st.integers(-50 * DAY, 5 * DAY))
    return rfc3339(Nanos(NOW + offset - (offset % draw(st.sampled_from([1, 1000, 1_000_000_000])))))


@st.composite
def _times(draw: st.DrawFn) -> Any:
    kind = draw(st.integers(0, 9))
    if kind < 6:
        return _near(draw)
    if kind < 8:
        return draw(st.sampled_from(_ODD_TIMES))
    return draw(st.sampled_from([None, 0, 1.5, True, [], {"time": 1}, NOW // 1_000_000_000, -(2**70), 2**63, 1e300]))


_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    ["a", "b", "", None, 1, True, 1.0, [], {"type": "a"}, "1", "true", "é", "a\u2028b", 2**80]
)


@st.composite
def _plain_lines(draw: st.DrawFn) -> bytes:
    fields: dict[str, Any] = {}
    for name, values in (("time", _times()), ("type", _VALUES), ("tenant", _VALUES), ("more", _VALUES)):
        if draw(st.integers(0, 9)):
            fields[name] = draw(values)
    fields["detail"] = draw(st.sampled_from([None, {"user": "u"}, {"user": {"user": 1}}, {"time": "x"}, "\\", "\x7f"]))
    text = json.dumps(fields, ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "surrogatepass") + draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b" \n"]))


_OLD = b'"time":"2020-01-01T00:00:00Z"'
_ODD_LINES = st.sampled_from(
    [
        b"\n",
        b"\r\n",
        b"  \n",
        b"null\n",
        b"[]\n",
        b'"a"\n',
        b"{}\n",
        b"{\n",
        b"}\n",
        b"}{\n",
        b"{}{}\n",
        b"{} {}\n",
        b"{" + _OLD + b"}{" + _OLD + b"}\n",
        b"{" + _OLD + b"," + _OLD + b"}\n",
        b"{" + _OLD + b',"time":null}\n',
        b'{"a":' + b"{" + _OLD + b"}}\n",
        b"{" + _OLD + b',"a":{' + _OLD + b"}}\n",
        b"{" + _OLD + b',"a":"\\"time\\""}\n',
        b'{"\\u0074ime":"2020-01-01T00:00:00Z"}\n',
        b"{" + _OLD + b',"\\u0074ime":1}\n',
        b"{" + _OLD + b',"t\\u0059pe":1}\n',
        b"{" + _OLD + b',"type":"a","\\u0074\\u0079pe":"b"}\n',
        b"{" + _OLD + b',"x":NaN}\n',
        b"{" + _OLD + b',"x":"\xff"}\n',
        b"{" + _OLD + b',"x":"\xc3"}\n',
        b"{" + _OLD + b',"x":"\xed\xa0\x80"}\n',
        b"{" + _OLD + b',"x":"\\ud800"}\n',
        b"\0" * 9 + b"\n",
        b"{" + _OLD + b"}\0\n",
        b"\xef\xbb\xbf{" + _OLD + b"}\n",
        b" {" + _OLD + b"}\n",
        b"{" + _OLD + b"\n",
        b"{" + _OLD + b',"a":[\n',
        b'{"b":1}]}\n',
        b'{"a":{"b":1}\n',
        b"{" + _OLD + b"},{" + _OLD + b"}\n",
        b"x\x85y\n",
        b"{" + _OLD + b',"x":"' + "é".encode() * 40 + b'"}\n',
        b'{"x":"' + b"y" * 300 + b'",' + _OLD + b"}\n",
        b"{" + _OLD + b',"x":' + b"[" * 3000 + b"]" * 3000 + b"}\n",
        b'{"time":"2020-01-01T00:00:00Z","time":5}\n',
        b'{"":1}\n',
        b"{" + _OLD + b"}\r\n",
        b"{" + _OLD + b"} \r\n",
        b"{" + _OLD + b"}\r\r\n",
        b"{" + _OLD + b"}\r \n",
        b"\r{" + _OLD + b"}\n",
        b"{" + _OLD + b"}\0\r\n",
        b"{" + _OLD + b',"x":"\xff"}\r\n',
        b"{" + _OLD + b"," + _OLD + b"}\r\n",
        b"{" + _OLD + b',"\\u0074\\u0079pe":"b"}\r\n',
        b"{" + _OLD + b"}{" + _OLD + b"}\r\n",
        b'{"time":null}\r\n',
        b"}\r\n",
    ]
)

_CONTENT = st.lists(st.one_of(_plain_lines(), _plain_lines(), _plain_lines(), _ODD_LINES), max_size=40)


def _match(**values: str) -> Match:
    return Match(tuple(Condition(field=name, values=(value,)) for name, value in values.items()))


_STAR = Match((Condition(field="type", values=("1",), globs=(Glob("a*"),)),))
_GLOB = Match((Condition(field="$.detail.user", values=("u",), globs=(Glob("v*"),)),))


def _rule(period: str, match: Match | None = None) -> Rule:
    return replace(rule(period), match=match or Match())


_RULES = [
    (_rule("30 days"),),
    (_rule("2 days", _match(type="a")), _rule("forever", _match(tenant="b")), _rule("10 days", _match(type="1"))),
    (_rule("5 days", _match(type="true", tenant="é")), _rule("1 days", _GLOB), _rule("40 days")),
    (
        _rule("2 days", matching(more=Range(1))),
        _rule("9 days", matching(type=Not(["a", Range(last=1)]))),
        _rule("30 days"),
    ),
    (_rule("1 days", _STAR), _rule("40 days", _match(type="a")), _rule("9 days", _match(tenant="b")), _rule("forever")),
    (_rule("2 days", matching(more=Not(Range(2, 5)), type=Range(1, 1))), _rule("9 days", matching(more=Range(last=1)))),
]
_FLOORS = [(), (Floor(match=_match(type="a"), at_least=rule("20 days").keep, because="law"),)]
_HOLDS = [
    (),
    (
        Hold(
            matter="1",
            match=_match(tenant="a"),
            records_from=Nanos(NOW - 20 * DAY),
            records_before=Nanos(NOW - 3 * DAY),
        ),
        Hold(matter="2", match=_match(more="b"), records_before=Nanos(NOW - 45 * DAY)),
    ),
]
_OVERRIDES: list[dict[str, Any]] = [
    {},
    {"type": "type", "tenant": "tenant", "require": ("type", "time"), "key": "more"},
    {"tenant": "$.detail.user", "zone": "Europe/Paris"},
    {"zone": "UTC", "tenant": "tenant"},
    {"time_format": TimeFormat.SECONDS, "tenant": "tenant", "doubt_before": None},
    {"zone_required": True, "doubt_before": None, "require": ("more",)},
    {"doubt_before": Nanos(NOW - 45 * DAY), "tenant": "tenant"},
    {"crlf_allowed": True, "tenant": "tenant"},
    {"crlf_allowed": True, "require": ("type",), "key": "more"},
]


@st.composite
def _selections(draw: st.DrawFn) -> Selection:
    chosen = dataset("/x.jsonl", *draw(st.sampled_from(_RULES)), **draw(st.sampled_from(_OVERRIDES)))
    floors, holds = draw(st.sampled_from(_FLOORS)), draw(st.sampled_from(_HOLDS))
    return select(chosen, floors=floors, holds=holds, now=NOW, real_now=NOW)


def _singly(judge: Judge, whole: bytes) -> tuple[list[int], list[tuple[int, object]], Counts]:
    counts = Counts()
    codes: list[int] = []
    doubts: list[tuple[int, object]] = []
    for number, found in enumerate(lines([whole])):
        told = judge.judge(found)
        counts.add(found, told, judge.tenant(told))
        codes.append(told.code)
        if told.doubt is not None:
            doubts.append((number, told.doubt))
    return codes, doubts, counts


def _told(blocks: Sequence[JudgedBlock]) -> tuple[list[int], list[tuple[int, object]], Counts]:
    counts, codes = Counts(), []
    doubts: list[tuple[int, object]] = []
    begun = 0
    for block in blocks:
        block.tally(counts)
        codes += [int(code) for code in block.codes]
        doubts += [(begun + number, kind) for number, kind in block.judgement.doubts()]
        begun += block.records
    return codes, doubts, counts


@_MANY
@given(selection=_selections(), content=_CONTENT, most=st.sampled_from([1, 3, 8192]))
@example(selection=selected("/x"), content=[b"{" + _OLD + b',"a":[\n', b'{"b":1}]}\n'], most=8192)
@example(selection=selected("/x"), content=[b"{" + _OLD + b"}{" + _OLD + b"}\n", b'{"a":{"b":1}\n', b"}\n"], most=8192)
@example(
    selection=selected("/x"),
    content=[b"{" + _OLD + b"}{" + _OLD + b"}\n", b"{" + _OLD + b',"a":[\n', b'{"b":1}]}\n'],
    most=8192,
)
@example(selection=selected("/x"), content=[b"{" + _OLD + b"}\r\n", b"{" + _OLD + b"}\n", b"oops\r\n"], most=8192)
@example(selection=selected("/x", crlf_allowed=True), content=[b"{" + _OLD + b"}\r\n", b"oops\r\n"], most=8192)
@example(
    selection=selected("/x", rule("2 days", type="a")),
    content=[b"{" + _OLD + b',"\\u0074\\u0079pe":"b","type":"a"}\n'],
    most=8192,
)
def test_lines_judged_together_fare_like_lines_judged_one_by_one(
    monkeypatch: pytest.MonkeyPatch, selection: Selection, content: list[bytes], most: int
) -> None:
    """Outcome of each, counts, checksums and doubts are the same, whatever the lines are and the policy says."""
    monkeypatch.setattr("lapse.stores.jsonl.bulk._MOST_LINES", most)
    judge, whole = Judge(selection), b"".join(content)
    codes, doubts, counts = _singly(judge, whole)

    found = [
        JudgedBlock(0, bytes(told.data), told)
        for piece in pieces([whole])
        for told in (Bulk(judge).judge(piece.data) if whole else ())
    ]

    assert b"".join(block.data for block in found) == whole
    assert [int(end) for block in found for end in block.ends][-1:] == ([len(found[-1].data)] if found else [])
    assert _told(found)[:2] == (codes, doubts)
    assert _told(found)[2].tallies() == counts.tallies()


@_MANY
@given(
    selection=_selections(),
    content=_CONTENT,
    most=st.sampled_from([1, 3, 8192]),
    cells=st.sampled_from([1, 6, 1 << 19]),
    groups=st.sampled_from([1, 4, 1 << 15]),
)
def test_lines_are_counted_alike_whatever_is_remembered_of_those_before(
    monkeypatch: pytest.MonkeyPatch, selection: Selection, content: list[bytes], most: int, cells: int, groups: int
) -> None:
    """Values and groups keep their numbers from block to block, in a table or not, until there are too many."""
    monkeypatch.setattr("lapse.stores.jsonl.bulk._MOST_LINES", most)
    monkeypatch.setattr("lapse.stores.jsonl.bulkgroups._MOST_CELLS", cells)
    monkeypatch.setattr("lapse.stores.jsonl.deciding._MOST_GROUPS", groups)
    monkeypatch.setattr("lapse.stores.jsonl.bulk._MANY", 0)
    judge, whole, counts = Judge(selection), b"".join(content), Counts()
    bulk = Bulk(judge)
    found = [told for piece in pieces([whole]) for told in (bulk.judge(piece.data) if whole else ())]

    for told in found:
        counts.add_sums(told.sums())

    values = [item.values for told in found for item in told.sums() for _ in range(item.records)]
    assert counts.tallies() == _singly(judge, whole)[2].tallies()
    assert sorted(map(repr, values)) == sorted(repr(judge.values(judge.judge(each))) for each in lines([whole]))


@_MANY
@given(content=_CONTENT, torn=_ODD_LINES, size=st.sampled_from([1, 7, 64, 1000]), packed=st.booleans())
def test_a_file_is_judged_alike_however_it_is_cut_and_packed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: list[bytes], torn: bytes, size: int, packed: bool
) -> None:
    """Blocks end anywhere, the last line may be torn, and lines too long to judge pass in pieces."""
    monkeypatch.setattr("lapse.stores.jsonl.lines.LONGEST", 200)
    monkeypatch.setattr(codec, "BLOCK", size)
    monkeypatch.setattr(judged, "_WORTH_IT", 0)
    whole = b"".join([*content, torn.rstrip()])
    log = tmp_path / "log"
    log.write_bytes(gzip.compress(whole) if packed else whole)
    judge = Judge(selected(log, tenant="tenant"))
    _, doubts, counts = _singly(judge, whole)

    descriptor = os.open(log, os.O_RDONLY)
    facts = os.fstat(descriptor)
    extent = Extent(path=log, inode=facts.st_ino, size=facts.st_size)
    judges = Judges(judge, size=extent.size)
    found = list(judged_blocks(descriptor, extent, judges))
    start = found[len(found) // 2].start if found else 0
    rest = list(judged_blocks(descriptor, extent, judges, start=start))
    os.close(descriptor)

    assert b"".join(block.data for block in found) == whole
    assert b"".join(block.data for block in rest) == whole[start:]
    assert [block.start for block in found] == [sum(len(b.data) for b in found[:n]) for n in range(len(found))]
    assert _told(found)[1] == doubts
    assert _told(found)[2].tallies() == counts.tallies()
    assert sum(block.records for block in found) == len(whole.splitlines()) or b"\r" in whole or b"\x85" in whole


@_MANY
@given(
    st.lists(
        st.one_of(_times().filter(lambda t: isinstance(t, str)), st.from_regex(r"\A[0-9T :.+-]{1,40}Z?\Z")), max_size=99
    )
)
def test_times_read_together_are_those_of_the_exact_parser(texts: list[str]) -> None:
    """To the nanosecond; what is not read together is left to it, and most ordinary ones are not."""
    instants, read = text_instants(texts, naive=True)

    exact = [parse_time_text(text, None) for text in texts]
    assert [told for told, known in zip(instants.tolist(), read, strict=True) if known] == [
        right for right, known in zip(exact, read, strict=True) if known
    ]


def test_ordinary_times_are_all_read_together() -> None:
    """Every day of the Gregorian cycle, with and without a fraction, in any offset, and no day that is none."""
    days = [
        f"{year:04}-{month:02}-{day:02}"
        for year in (1900, 1999, 2000, 2023, 2024)
        for month in range(14)
        for day in range(33)
    ]
    suffixes = ("T10:11:12Z", "T23:59:59.000001Z", " 00:00:00.123456789+05:30", "T01:02:03-0100", "T01:02:03.5")
    for suffix in suffixes:
        instants, read = text_instants([day + suffix for day in days], naive=True)

        exact = [parse_time_text(day + suffix, None) for day in days]
        assert [told if known else None for told, known in zip(instants.tolist(), read, strict=True)] == exact


_NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.integers(-(2**50), 2**50))


@_MANY
@given(st.lists(_NUMBERS), st.lists(st.floats()), st.sampled_from([form for form in TimeFormat if form.unit]))
def test_numbers_read_together_are_those_of_the_exact_parser(
    whole: list[int], broken: list[float], form: TimeFormat
) -> None:
    """Integers and floating point numbers, of any size and in any unit."""
    for values, kind in ((whole, int), (broken, float)):
        instants, read = number_instants(values, kind, form)
        exact = [number_instant(value, form) for value in values]
        assert [told for told, known in zip(instants.tolist(), read, strict=True) if known] == [
            right for right, known in zip(exact, read, strict=True) if known
        ]


@_MANY
@given(
    st.lists(
        st.sampled_from([b"a" * 7, b"\n", b"\xc3", b"\xa9", b"\xe2\x82\xac", b"\xed\xa0", b"\xff", b"abcdefgh", b""])
    )
)
def test_bytes_are_scanned_as_python_does(parts: list[bytes]) -> None:
    """Where lines end, and whether the bytes are UTF-8, wherever the words of eight bytes begin."""
    data = b"".join(parts)
    try:
        data.decode()
        right = True
    except UnicodeDecodeError:
        right = False

    assert is_utf8(data) is right
    assert line_ends(data).tolist() == [place + 1 for place, byte in enumerate(data) if byte == 0x0A]


def test_a_checksum_tells_lines_apart_by_any_byte() -> None:
    """Wherever a line differs, its number does; a line without a time has none."""
    data = line(text="x" * 100)
    found = {number_of(data[:place] + b"~" + data[place + 1 :], NOW) for place in range(len(data))}

    assert len(found) == len(data)
    assert number_of(data, None) == 0
