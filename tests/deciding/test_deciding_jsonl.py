"""What is decided about a line, alone, in blocks or from the index, is what `Selection.decide` decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
import random_policies
from cellkinds import INNER_TEXTS, NUMBER_TEXTS, TEXTS, inside
from clocks import NO_TIMES, NUMBERS, ODD_TIMES, any_text, counted, floating, read_number, read_text, text
from judging_worlds import (
    Clock,
    Ground,
    Row,
    Seen,
    Size,
    check_that_much_was_tried,
    hold_against_the_definition,
)
from newest_groups import keeps_newest
from random_policies import Menu

from lapse.instant import DAY, Nanos
from lapse.model.match import Condition
from lapse.model.policy import Dataset, TimeFormat
from lapse.model.selection import Selection
from lapse.ports import Store
from lapse.state.file_index import FileIndex
from lapse.stores.jsonl import JsonlStore, filescan, judged, recalling
from lapse.stores.jsonl.bulk import Bulk
from lapse.stores.jsonl.judging import Judge
from lapse.stores.jsonl.lines import lines
from lapse.stores.jsonl.memory import Memory
from lapse.stores.jsonl.pieces import pieces
from lapse.stores.jsonl.scanning import Counts, Extent
from lapse.stores.jsonl.surveying import survey

_INNER: tuple[object, ...] = (
    None,
    True,
    False,
    7,
    -7,
    0,
    1.5,
    7.0,
    10**30,
    "acme",
    "ACME",
    "",
    "7",
    ["acme"],
    {"user": "acme"},
    "zoë",
    {},
)
_ANY = (*TEXTS, *_INNER)
_DETAILS: tuple[object, ...] = (
    None,
    "acme",
    [],
    *({"user": value} for value in _INNER),
    *({"a": {"b": value}} for value in _INNER),
)
_ABSENT = object()
_OPTIONS: tuple[dict[str, bool], ...] = ({}, {}, {"zone_required": True})


_SHORT = Size(rounds=15, policies=9, rows=850)


class JsonlGround(Ground):
    """A log file; its index is kept while policies come and go."""

    clamps = False
    variety = 4
    clocks: ClassVar[Sequence[Clock]] = (
        Clock(
            name="mixed", kind="", write=any_text, read=read_text, strange=(*NO_TIMES, *ODD_TIMES, 5), options=_OPTIONS
        ),
        Clock(name="micros", kind="", write=text(6, tail="Z"), read=read_text, strange=ODD_TIMES),
        Clock(name="nanos", kind="", write=text(9, separator="T"), read=read_text, strange=ODD_TIMES),
        Clock(name="seconds", kind="", write=text(0), read=read_text, strange=(True, [], {}), options=_OPTIONS),
        *(counted(form, "", strange=(0, -1, 2**63 - 1, -(2**63), "1", True)) for form in NUMBERS),
        Clock(
            name="floats", kind="", write=floating(TimeFormat.SECONDS), read=read_number, form=TimeFormat.SECONDS,
            strange=(1e300, -1e300, 0, 0.5, "x"),
        ),
    )  # fmt: skip
    columns: ClassVar = {
        "kind": (*_ANY, _ABSENT),
        "tenant": (*_ANY, _ABSENT),
        "level": (*_INNER, *NUMBER_TEXTS, _ABSENT),
        "detail": (*_DETAILS, _ABSENT),
    }
    menu = Menu(
        texts={
            "kind": TEXTS, "tenant": TEXTS, "level": NUMBER_TEXTS, "$.detail.user": INNER_TEXTS,
            "$.detail.a.b": INNER_TEXTS, "gone": TEXTS,
        },
        # A line may have any key: none is missing from all of them.
        missing=("gone",),
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "log.jsonl"
        self._asked = 0

    def dataset(self, clock: Clock) -> Dataset:
        """The dataset of the file."""
        return Dataset(
            name="log", store=str(self._log), shown=str(self._log), time="at", time_format=clock.form, type="kind",
            tenant="tenant", key="id",
        )  # fmt: skip

    def fill(self, clock: Clock, rows: Sequence[Row]) -> Sequence[Seen]:
        """Write the file anew; keys in any order, and non-ASCII letters escaped or not."""
        rng = Random(rows[0].key)
        self._log.write_bytes(b"".join(_line(rng, row) for row in rows))
        found = [json.loads(line) for line in self._log.read_bytes().splitlines()]
        return [_seen(fields, self.menu.texts) for fields in found]

    @contextmanager
    def opened(self, dataset: Dataset) -> Iterator[Store]:
        """The store, which remembers between surveys."""
        store = JsonlStore(dataset, read_only=False)
        store.remember(self._folder / "memory", "log", rescan=False)
        yield store
        store.close()

    def codes(self, store: Store, selection: Selection) -> Iterator[Mapping[int, int]]:
        """Line by line, in blocks; and counted with what was remembered under other policies."""
        if keeps_newest(selection):
            return  # no line by itself says how it fares; a survey and a take do
        judge, whole = Judge(selection), self._log.read_bytes()
        blocks = [list(map(int, block.codes)) for piece in pieces([whole]) for block in Bulk(judge).judge(piece.data)]
        told = dict(enumerate(chain(*blocks), start=1))
        yield told
        self._asked += 1
        if self._asked % 3 == 0:
            yield {number: judge.judge(line).code for number, line in enumerate(lines([whole]), start=1)}
        if self._asked % 6 == 0:
            number = 1 + self._asked % len(told)
            assert [each.code for each in store.find(selection, str(number))] == [told[number]]
            for shift in (0, DAY, -30 * DAY):
                self._check_index(Judge(_shifted(selection, shift)), whole)

    def _check_index(self, judge: Judge, whole: bytes) -> None:
        """What is remembered of other surveys leads to the same counts."""
        facts = self._log.stat()
        extent = Extent(path=self._log, inode=facts.st_ino, size=facts.st_size)
        memory = Memory(FileIndex(self._folder, "index"), judge, rescan=False, learning=True)
        assert survey([extent], judge, memory).counts.tallies() == _counted(judge, whole).tallies()
        memory.save()


def _shifted(selection: Selection, shift: int) -> Selection:
    """The same policy on another day."""
    return replace(selection, now=Nanos(selection.now + shift))


def _counted(judge: Judge, whole: bytes) -> Counts:
    counts = Counts()
    for line in lines([whole]):
        told = judge.judge(line)
        counts.add(line, told, judge.tenant(told))
    return counts


def _line(rng: Random, row: Row) -> bytes:
    fields = {"id": row.key, "at": row.at, **row.cells}
    named = [(name, value) for name, value in fields.items() if value is not _ABSENT]
    if rng.random() < 0.3:
        rng.shuffle(named)
    return json.dumps(dict(named), ensure_ascii=rng.random() < 0.5).encode() + b"\n"


def _seen(fields: dict[str, Any], paths: Mapping[str, object]) -> Seen:
    found = {path: inside(fields, path[2:]) for path in paths if path.startswith("$.")}
    return Seen(at=fields.get("at"), fields={**fields, **found})


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JsonlGround:
    """A file of any size is worth an index, and many lines at once are judged so."""
    for module in (filescan, recalling):
        monkeypatch.setattr(module, "SMALLEST", 1)
    monkeypatch.setattr(filescan, "_SMALL", 0)
    monkeypatch.setattr(filescan, "block_size", lambda size: 2000)
    monkeypatch.setattr("lapse.stores.jsonl.fileindex.block_size", lambda size: 2000)
    monkeypatch.setattr(judged, "_WORTH_IT", 0)
    monkeypatch.setattr(random_policies, "FORMS", [*random_policies.FORMS, _numbers])
    return JsonlGround(tmp_path)


def _numbers(rng: Random, field: str, texts: Sequence[str]) -> Condition:
    """Whole numbers, which the same digits as text do not match; drop-ins say so of text logs."""
    plain = random_policies.FORMS[0](rng, field, texts)
    return replace(plain, values=plain.values[1:], numbers=tuple(rng.sample((0, 1, 7, -7, 10**30), 2)))


def test_text_logs_are_decided_as_the_definition_has_it(
    ground: JsonlGround, record_property: Callable[[str, object], None]
) -> None:
    """100,000 decisions and more, in blocks and line by line; counts with an index that other policies have filled."""
    done = hold_against_the_definition(ground, seed=1, size=_SHORT)

    check_that_much_was_tried(done, 100_000)
    record_property("ran", f"text logs: {done}")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 104))
def test_text_logs_are_decided_as_the_definition_has_it_millions_of_times(
    ground: JsonlGround, record_property: Callable[[str, object], None], seed: int
) -> None:
    """Each seed makes other files and policies."""
    done = hold_against_the_definition(ground, seed, Size(rounds=240, policies=25))

    check_that_much_was_tried(done, 1_900_000)
    record_property("ran", f"text logs, seed {seed}: {done}")
