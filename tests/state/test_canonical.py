"""Canonical JSON is that of RFC 8785, to the byte, however it is made."""

from __future__ import annotations

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from lapse.canonical import Json, canonical, spelled

numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers | st.text()
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@given(values)
def test_every_value_is_spelled_as_the_standard_says(value: Json) -> None:
    """Texts, numbers, lists and mappings of all kinds: the same bytes as the reference gives."""
    assert canonical(value) == rfc8785.dumps(value)


@given(values)
def test_what_is_spelled_once_stands_for_its_value(value: Json) -> None:
    """As a value alone, in a list and in a mapping: the bytes are those of the value itself."""
    once = spelled(value)

    assert canonical(once) == rfc8785.dumps(value)
    assert canonical({"b": [once, 1], "a": once}) == rfc8785.dumps({"a": value, "b": [value, 1]})


def test_keys_are_in_the_order_of_their_code_units() -> None:
    """A letter outside the first plane comes before U+FB33, which is greater by its number."""
    assert canonical({"\ufb33": 1, "\U0001f600": 2, "a": 3}) == '{"a":3,"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {"\udfff": 1}, [2**60]])
def test_what_cannot_be_written_exactly_is_refused(value: Json) -> None:
    """By the reference itself, so that the error is its own."""
    with pytest.raises(ValueError):
        canonical(value)


_EXACT = 2**53 - 1


@given(
    st.sampled_from([{str(number): "plain" for number in range(40)}, {str(number): number for number in range(40)}]),
    st.dictionaries(st.text(), st.text(), max_size=4) | st.dictionaries(st.text(), st.integers(-_EXACT, _EXACT)),
)
def test_many_members_are_spelled_like_few(many: dict[str, Json], drawn: dict[str, Json]) -> None:
    """Mappings of very many plain values take a way of their own, and come out the same."""
    value = {**many, **drawn}

    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("odd", [2**53, "\ud800", 1.5e300, True, None, {"b": [1]}])
def test_one_odd_value_among_many_counts(odd: Json) -> None:
    """What cannot be written is refused, and everything else written, whatever stands beside it."""
    value = {**{str(number): number for number in range(100)}, "odd": odd}
    try:
        expected = rfc8785.dumps(value)
    except ValueError as error:
        with pytest.raises(type(error)):
            canonical(value)
    else:
        assert canonical(value) == expected
