"""A kill that cuts a write of late lines short, and a writer that appends right behind what was written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import NEW, line, opened, purge, selected, strays

from lapse.stores.jsonl import settling, taking
from lapse.stores.jsonl.fragments import blank_out, fragment
from lapse.stores.jsonl.redo import Redo, journals
from lapse.stores.jsonl.settling import _written, drain

_PAGE = 4096


def _line(writer: str, number: int, width: int) -> bytes:
    return json.dumps({"writer": writer, "number": number, "text": "x" * width}).encode() + b"\n"


_WIDTHS = st.lists(st.integers(0, 3000), min_size=1, max_size=6)


def _lines(writer: str, widths: list[int]) -> list[bytes]:
    return [_line(writer, number, width) for number, width in enumerate(widths)]


@given(late=_WIDTHS, before=_WIDTHS, after=_WIDTHS, at=st.integers(0, 20_000), half=st.booleans())
def test_what_a_kill_left_of_a_line_is_found_wherever_a_page_ends(
    late: list[int], before: list[int], after: list[int], at: int, half: bool
) -> None:
    """With blanks in its place, every line of the others can be read, and every late one is there once in the end."""
    ours, others = _lines("late", late), _lines("other", after)
    chunk, since = b"".join(ours), b"".join(_lines("other", before))
    room = -(at + len(since)) % _PAGE or _PAGE  # the kernel fills the page that the file ends in
    for size in range(room, len(chunk), _PAGE):
        there = since + chunk[:size] + b"".join(others)
        unfinished = half and len(others) == 1
        there = there[: len(there) - 3] if unfinished else there  # it is still being written

        done = _written(chunk, there)
        place = fragment(chunk, done, there, at)

        torn = size - done
        # Before a value, what is not ended yet could be just that.
        assert (place is not None) is (torn > 0) or (unfinished and 0 < torn < len(_line("late", 0, 0)))
        if place is not None:
            assert len(place) == torn
            there = there[: place.start - at] + b" " * torn + there[place.stop - at :]
        lines = [each for each in there.split(b"\n")[:-1] if json.loads(each)]
        assert sorted(ours) == sorted(x + b"\n" for x in (*lines, *chunk[done:].splitlines()) if b'"late"' in x)


@given(late=_WIDTHS, there=_WIDTHS, at=st.integers(0, 20_000), same=st.booleans())
def test_lines_of_others_are_never_taken_for_one(late: list[int], there: list[int], at: int, same: bool) -> None:
    """However much they look like ours, and wherever pages end in them."""
    chunk = b"".join(_lines("late", late))
    since = b"".join(_lines("late" if same else "other", [width + 1 for width in there]))

    assert fragment(chunk, _written(chunk, since), since, at) is None


@given(prefix=st.sampled_from([b'{"a": ', b'{"a": [', b'{"a": {"b": ', b'{"a": "']), size=st.integers(1, 30))
def test_a_value_inside_a_line_that_is_being_written_is_no_line(prefix: bytes, size: int) -> None:
    """It begins where a page ends, behind what our line begins with, too; its end is still to come."""
    ours = prefix + b'{"writer": "late"}}\n'
    value = b"{writer: 'other'" if prefix.endswith(b'"') else b'{"writer": "other", "text": "xxxxx'
    since = prefix + value[:size]

    assert fragment(ours, 0, since, _PAGE - len(prefix)) is None


@pytest.mark.parametrize("flags", [os.O_APPEND, 0])
def test_blanks_are_put_where_they_belong(tmp_path: Path, flags: int) -> None:
    """Also through a descriptor that appends, which it does again afterwards."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"half{}\n")
    descriptor = os.open(file, os.O_WRONLY | flags)
    try:
        blank_out(descriptor, range(4))
        if flags:
            os.write(descriptor, b"end\n")
    finally:
        os.close(descriptor)

    assert file.read_bytes() == b"    {}\n" + (b"end\n" if flags else b"")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with an old line and a new one, whose removal stops before late lines are moved."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(line() + line(NEW, n=2))
    return path


def test_a_line_behind_a_half_one_can_be_read_after_recovery(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The killed run wrote to the end of a page; a writer has appended since. Both lines are there, once and whole."""

    def no_drain(folder: Path, redo: Redo, *, patience: float) -> bool:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(taking, "drain", no_drain)
        with pytest.raises(Exception, match="could not be finished"):
            purge(selected(log))
    (old,) = log.parent.glob(".*.old")
    late = [line(NEW, late=number, text="x" * 3000) for number in range(4)]
    with old.open("ab") as writer:
        writer.write(b"".join(late))
    other = line(NEW, other=1)

    def die(folder: Path, redo: Redo, data: bytes, new: int | None = None) -> Redo:
        with log.open("ab") as target:
            target.write(data[: 2 * _PAGE - log.stat().st_size] + other)
        raise OSError(5, "Input/output error")

    (redo,) = journals(log.parent)
    assert isinstance(redo, Redo)
    with monkeypatch.context() as patched:
        patched.setattr(settling, "_append_late", die)
        with pytest.raises(OSError, match="Input"):
            drain(log.parent, redo, patience=0)

    list(opened(selected(log)).recover(lambda _: True))

    found = [each.lstrip(b" ") for each in log.read_bytes().splitlines(keepends=True)]
    assert found == [line(NEW, n=2), *late[:2], other, *late[2:]]
    assert strays(log.parent) == []
