"""The strict reader of JSON, held against Python's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lapse.dialects.jsonfile import read
from lapse.dialects.yamlfile import plain
from lapse.errors import Complaint
from lapse.policyfile.tree import Mapped

FILE = Path("some.json")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values, st.sampled_from([None, 1, 7]), st.booleans())
def test_what_is_json_is_read_as_it_is_meant(value: Any, indent: int | None, ascii_only: bool) -> None:
    """Every kind of value, in every layout."""
    complaints: list[Complaint] = []

    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    node = read(text.encode("utf-8", "surrogatepass"), FILE, complaints)

    assert node is not None
    assert plain(node) == value
    assert complaints == []


@given(values, st.data())
def test_what_is_no_json_is_a_complaint(value: Any, data: st.DataObject) -> None:
    """A text with one character too many, too few or another one is read as Python reads it, or not at all."""
    text = json.dumps(value)
    place = data.draw(st.integers(0, len(text) - 1))
    text = text[:place] + data.draw(st.sampled_from(["", "}", ",", '"', "0", "x", "\0"])) + text[place + 1 :]
    complaints: list[Complaint] = []

    node = read(text.encode(), FILE, complaints)

    try:
        expected = json.loads(text, parse_constant=_refused)
    except ValueError:
        assert complaints
    else:
        assert complaints or (node is not None and plain(node) == expected)


@pytest.mark.parametrize("text", ['{"a":\n "x\\ud800"}', '{"a": 1,\n "\\udc00": 1}'])
def test_half_a_character_is_a_complaint(text: str) -> None:
    """In a value as in a key, with its place: no store could hold it."""
    complaints: list[Complaint] = []

    read(text.encode(), FILE, complaints)

    (complaint,) = complaints
    assert str(complaint.origin) == "some.json:2:2"
    assert "half a character" in complaint.message


def _refused(word: str) -> None:
    raise ValueError(word)


@pytest.mark.parametrize(
    ("text", "place"),
    [('{"a":\n  [1,\n\t"é", x]}', "some.json:3:7"), ('{"a" 1}', "some.json:1:6"), ('{"a": 1 "b": 2}', "some.json:1:9")],
)
def test_a_complaint_names_line_and_column(text: str, place: str) -> None:
    """Counted in characters, from 1."""
    complaints: list[Complaint] = []

    assert read(text.encode(), FILE, complaints) is None
    assert str(complaints[0].origin) == place


@pytest.mark.parametrize(
    ("text", "what"),
    [('{"a": "b', "unterminated string"), ('{"a": "\t"}', "invalid control character"), ("[", "its end stands where")],
)
def test_a_complaint_is_a_sentence(text: str, what: str) -> None:
    """Also where the reader of strings found it, which says where by a number that stands elsewhere here."""
    complaints: list[Complaint] = []

    assert read(text.encode(), FILE, complaints) is None
    assert complaints[0].message.startswith(f"this is not JSON: {what}")
    assert not complaints[0].message.endswith((" at", " starting"))


def test_every_value_knows_where_it_stands() -> None:
    """Keys and values both."""
    root = read(b'{\n  "a": {"b": 12}}', FILE, [])

    assert isinstance(root, Mapped)
    entry, value = root.entry("a"), root.get("a", "b")
    assert entry is not None
    assert value is not None
    assert (str(entry.origin), str(value.origin)) == ("some.json:2:3", "some.json:2:14")
