"""Blocks into lines, and lines into fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import line, selected

from lapse.errors import PolicyError
from lapse.model.match import text_of
from lapse.model.policy import TimeFormat
from lapse.stores.jsonl import lines as cutting
from lapse.stores.jsonl.fields import Doubtful, FieldReader, path_of
from lapse.stores.jsonl.judging import Judge, instant_of
from lapse.stores.jsonl.lines import Line, Shape, lines

_BYTES = st.lists(st.sampled_from([b"\n", b"\r", b"\x85", b"a", b'{"a":1}', b"\0", b"\xff"]), max_size=30).map(b"".join)


@given(st.lists(_BYTES, max_size=8))
def test_lines_put_together_are_the_blocks_and_end_at_line_feeds_only(blocks: list[bytes]) -> None:
    """However the bytes are cut into blocks, the lines are those of the whole."""
    whole = b"".join(blocks)

    found = list(lines(blocks))

    assert [item.data for item in found] == whole.splitlines(keepends=True) or b"\r" in whole
    assert [item.data for item in found] == [part for part in _split(whole) if part]
    assert [item.shape for item in found if not item.data.endswith(b"\n")] == (
        [Shape.TORN] if whole and not whole.endswith(b"\n") else []
    )


def _split(whole: bytes) -> list[bytes]:
    *ended, last = whole.split(b"\n")
    return [*(part + b"\n" for part in ended), last]


@pytest.mark.parametrize("block", [1, 7, 100, 1000])
def test_a_long_line_passes_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Its pieces are marked, so that none is judged, and the lines around it are whole."""
    monkeypatch.setattr(cutting, "LONGEST", 100)
    whole = b"x\n" + b"y" * 1000 + b"\nz\n"

    found = list(lines(whole[n : n + block] for n in range(0, len(whole), block)))

    assert b"".join(item.data for item in found) == whole
    assert (found[0], found[-1]) == (Line(b"x\n", Shape.WHOLE), Line(b"z\n", Shape.WHOLE))
    assert [item.shape for item in found[1:-1]] == [Shape.LONG, *[Shape.LONG_REST] * (len(found) - 3)]
    assert max(len(item.data) for item in found[1:-1]) <= max(100 + block, 1001 if block == 1000 else 0)


_T = '"time": "2020-01-01T00:00:00Z"'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\n", Doubtful.BLANK),
        (b" \t\r\n", Doubtful.BLANK),
        (b"\0\0\0\n", Doubtful.NUL),
        (b"\0" + b"{" + _T.encode() + b"}\n", Doubtful.NUL),
        (b"\xef\xbb\xbf{" + _T.encode() + b"}\n", Doubtful.BOM),
        (b"{" + _T.encode() + b', "x": "\xff"}\n', Doubtful.NOT_UTF8),
        (b"{" + _T.encode() + b', "\xc3": 1}\n', Doubtful.NOT_UTF8),
        (b"{" + _T.encode() + b', "x": NaN}\n', Doubtful.MALFORMED),
        (b"{" + _T.encode() + b"} {}\n", Doubtful.MALFORMED),
        (b"{" + _T.encode() + b",}\n", Doubtful.MALFORMED),
        (b"{" + _T.encode() + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", Doubtful.MALFORMED),
        (b'["time"]\n', Doubtful.NO_OBJECT),
        (b'"2020-01-01"\n', Doubtful.NO_OBJECT),
        (b"null\n", Doubtful.NO_OBJECT),
        (f'{{{_T}, "time": "2030-01-01T00:00:00Z"}}\n'.encode(), Doubtful.DUPLICATE),
        (f'{{{_T}, "t\\u0069me": "2030-01-01T00:00:00Z"}}\n'.encode(), Doubtful.DUPLICATE),
        (f'{{{_T}, "tenant": "a", "tenant": "b"}}\n'.encode(), Doubtful.DUPLICATE),
        (f'{{{_T}, "detail": {{"user": 1, "user": 2}}}}\n'.encode(), Doubtful.DUPLICATE),
        (b'{"time": null}\n', Doubtful.NO_TIME),
        (b'{"Time": "2020-01-01T00:00:00Z"}\n', Doubtful.NO_TIME),
        (b'{"detail": {"time": "2020-01-01T00:00:00Z"}}\n', Doubtful.NO_TIME),
        (b'{"time": 1577836800}\n', Doubtful.NUMBER),
        (b'{"time": true}\n', Doubtful.BAD_TIME),
        (b'{"time": ["2020-01-01T00:00:00Z"]}\n', Doubtful.BAD_TIME),
        (b'{"time": "yesterday"}\n', Doubtful.BAD_TIME),
        (b'{"time": ""}\n', Doubtful.BAD_TIME),
        (b"{" + _T.encode() + b"}\r\n", Doubtful.CRLF),
        (b"{" + _T.encode() + b"} \r\r\n", Doubtful.CRLF),
        (b"\xef\xbb\xbf{" + _T.encode() + b"}\r\n", Doubtful.BOM),
        (b"{" + _T.encode() + b"}\0\r\n", Doubtful.NUL),
        (b"oops\r\n", Doubtful.MALFORMED),
        (f'{{{_T}, "tenant": "a", "tenant": "b"}}\r\n'.encode(), Doubtful.DUPLICATE),
        (b'{"time": null}\r\n', Doubtful.NO_TIME),
        (b'{"time": 1577836800}\r\n', Doubtful.NUMBER),
    ],
)
def test_a_line_that_cannot_be_told_for_certain_is_doubtful(text: bytes, why: Doubtful) -> None:
    """Each kind of doubt by its name, and the outcome is always doubt."""
    judge = Judge(selected("/x", tenant="tenant", type="$.detail.user"))

    judged = judge.judge(Line(text, Shape.WHOLE))

    assert (judged.doubt, judged.code) == (why, 0)


@pytest.mark.parametrize("shape", [Shape.TORN, Shape.LONG, Shape.LONG_REST])
def test_a_torn_or_long_line_is_doubtful_whatever_it_says(shape: Shape) -> None:
    """A lapsed record without its line end may not be complete."""
    assert Judge(selected("/x")).judge(Line(line(), shape)).code == 0
    assert Judge(selected("/x")).judge(Line(line()[:-1] + b"\r", shape)).doubt in (Doubtful.TORN, Doubtful.LONG)
    assert Judge(selected("/x")).judge(Line(line(), Shape.WHOLE)).doubt is None


def test_a_key_that_stands_elsewhere_too_is_no_duplicate() -> None:
    """The same word as a value, in a nested object or in a text is not the same key again."""
    reader = FieldReader(["time", "$.detail.user"])
    text = '{"time": "t", "x": "time", "y": {"time": 1}, "z": "\\"time\\"", "detail": {"user": 7}, "user": 8}\n'

    assert reader.read(text.encode()) == {"time": "t", "$.detail.user": 7}


def test_blanks_around_an_object_are_fine() -> None:
    """JSON allows white space, carriage returns included; only CR LF as a line end is asked about."""
    assert FieldReader(["a"]).read(b' \t{"a": 1} \r\n') == {"a": 1}
    assert Judge(selected("/x")).judge(Line(b"\r" + line()[:-1] + b"\r \n", Shape.WHOLE)).doubt is None


@pytest.mark.parametrize(
    ("field", "keys"),
    [
        ("time", ("time",)),
        ("a.b", ("a.b",)),
        ("$.a.b", ("a", "b")),
        ('$.a."b.c d".e', ("a", "b.c d", "e")),
    ],
)
def test_a_plain_name_is_a_key_and_a_path_leads_through_objects(field: str, keys: tuple[str, ...]) -> None:
    """Only what begins with ``$.`` is a path."""
    assert path_of(field) == keys


@pytest.mark.parametrize("field", ["$.", "$.a[0]", "$.a..b", '$."a', "$.a."])
def test_a_path_that_text_logs_cannot_follow_is_a_policy_error(field: str) -> None:
    """Lists, empty steps and open quotes are refused before anything is read."""
    with pytest.raises(PolicyError, match="is no JSON path"):
        FieldReader([field])


@pytest.mark.parametrize(
    ("value", "time_format", "instant"),
    [
        (1577836800, TimeFormat.SECONDS, 1577836800 * 10**9),
        (1577836800.25, TimeFormat.SECONDS, 1577836800_250_000_000),
        (1577836800123, TimeFormat.MILLISECONDS, 1577836800_123_000_000),
        (float("inf"), TimeFormat.SECONDS, Doubtful.BAD_TIME),
        (True, TimeFormat.SECONDS, Doubtful.BAD_TIME),
        ("2020-01-01T00:00:00Z", TimeFormat.SECONDS, Doubtful.BAD_TIME),
        ("2020-01-01T00:00:00Z", TimeFormat.AUTO, 1577836800 * 10**9),
    ],
)
def test_a_number_is_a_time_only_with_its_unit(value: object, time_format: TimeFormat, instant: object) -> None:
    """And with a unit nothing but a number is one."""
    found = instant_of(value, selected("/x", time_format=time_format).dataset)

    assert found == instant
    assert type(found) is type(instant)


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["time", "a", "b", "", "ü", "\u2028", "\\", "/"]), st.text(max_size=5),
)  # fmt: skip
_KEYS = st.sampled_from(["a", "b", "a/b", "ü", 'q"', "time"])
_OBJECTS = st.recursive(_VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_KEYS, inner, max_size=3))


class _Many(list[tuple[str, Any]]):
    """Pairs of an object."""


@given(pairs=st.lists(st.tuples(_KEYS, _OBJECTS), max_size=6), ascii_only=st.booleans())
def test_fields_are_what_the_standard_library_reads(pairs: list[tuple[str, Any]], ascii_only: bool) -> None:
    """For any object, with duplicate and escaped keys, values are equal or the line is doubtful."""
    text = ", ".join(f"{json.dumps(k, ensure_ascii=ascii_only)}: {json.dumps(v)}" for k, v in pairs)
    names = ["a", "a/b", "ü", 'q"', "$.b.a"]

    found = FieldReader(names).read(f"{{{text}}}\n".encode())

    keys = [key for key, _ in pairs]
    if any(keys.count(key) > 1 for key in ("a", "a/b", "ü", 'q"', "b")):
        assert found is Doubtful.DUPLICATE
        return
    flat = dict(pairs)
    under = flat.get("b")
    deep = under.get("a") if isinstance(under, dict) else None
    if isinstance(found, Doubtful):
        assert found is Doubtful.MALFORMED
        assert "\\ud" in text  # half a surrogate pair is no text
    else:
        expected = {**{name: flat.get(name) for name in names[:4]}, "$.b.a": deep}
        assert {key: text_of(value) for key, value in found.items()} == {
            key: text_of(value) for key, value in expected.items()
        }
