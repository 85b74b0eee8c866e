"""Lines that are held by key, judged many at once and one by one, and remembered from run to run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lapse.instant import parse_rfc3339, rfc3339
from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Hold, Rule
from lapse.model.selection import Selection, select
from lapse.stores.jsonl import JsonlStore
from lapse.stores.jsonl.bulk import Bulk
from lapse.stores.jsonl.judging import Judge, keyed_fields
from lapse.stores.jsonl.lines import Line, Shape

NOW = parse_rfc3339("2026-11-22T10:00:00Z")
VALUES = [7, "7", "07", 7.0, True, None, "a", "A", ["7"], {"uid": "7"}, "é", ""]


def _selection(folder: Path, *holds: Hold, require: tuple[str, ...] = (), key: str = "uid") -> Selection:
    rule = Rule(index=0, match=Match(), keep=parse_period("90 days"), waived=True)
    dataset = Dataset(
        name="log", store=str(folder / "log.jsonl"), shown="log", time="at", key=key, rules=(rule,), require=require
    )
    return select(dataset, floors=(), holds=holds, now=NOW, real_now=NOW)


def _held(*keys: str) -> Hold:
    return Hold(matter="M-1", dataset="log", keys=keys)


@pytest.mark.parametrize("keys", [("7",), ("true", "a"), ("é", "A", ""), ("nobody",)])
@pytest.mark.parametrize("require", [(), ("uid",)])
def test_lines_are_judged_alike_together_and_one_by_one(
    tmp_path: Path, keys: tuple[str, ...], require: tuple[str, ...]
) -> None:
    """A key is the text that values are compared by: a number's digits, and no list's."""
    judge = Judge(_selection(tmp_path, _held(*keys), require=require))
    lines = [json.dumps({"at": "2025-01-01T00:00:00Z", "uid": value}).encode() + b"\n" for value in VALUES]
    lines += [b'{"at": "2025-01-01T00:00:00Z"}\n']

    singly = [judge.judge(Line(line, Shape.WHOLE)).code for line in lines]
    together = [code for block in Bulk(judge).judge(b"".join(lines)) for code in block.codes]

    assert together == singly


def test_keys_that_no_hold_names_fall_into_one_group(tmp_path: Path) -> None:
    """Else there would be a group for each line."""
    judge = Judge(_selection(tmp_path, _held("17", "18")))
    lines = [json.dumps({"at": "2025-01-01T00:00:00Z", "uid": number}).encode() + b"\n" for number in range(1000)]

    (block,) = Bulk(judge).judge(b"".join(lines))

    assert sorted(item.records for item in block.sums()) == [1, 1, 998]


def test_a_field_that_decides_otherwise_is_told_as_it_is(tmp_path: Path) -> None:
    """Not every key is as good as any other where the key is required, too."""
    assert keyed_fields(_selection(tmp_path, _held("1"))) == {"uid": frozenset({"1"})}
    assert keyed_fields(_selection(tmp_path, _held("1"), require=("uid",))) == {}


def test_what_was_remembered_under_other_keys_is_not_believed(tmp_path: Path) -> None:
    """The index of a run with one hold says nothing about the keys of another."""
    lines = [
        json.dumps({"at": rfc3339(parse_rfc3339("2025-01-01T00:00:00Z")), "uid": number, "x": "y" * 200})
        for number in range(30_000)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")

    for keys in (("1", "2"), ("3",), ("29999", "3", "1"), ()):
        selection = _selection(tmp_path, *([_held(*keys)] if keys else []))
        store = JsonlStore(selection.dataset, read_only=False)
        store.remember(tmp_path / "state", "log", rescan=False)
        for _ in range(2):
            with store.lease():
                counts = {tally.code: tally.records for tally in store.survey(selection)}
            assert counts.get(selection.first_hold if keys else -1, 0) == len(keys)
            assert counts[selection.lapsed_code(0)] == 30_000 - len(keys)
        store.close()
