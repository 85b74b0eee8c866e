"""What `lapse why` says equals an oracle that was written from the design alone, in hundreds of made-up situations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from oracle import Answer, Situation, answer, nameless
from situations import situation, write_policy, write_store
from why_world import decided

from lapse.engine.asking import why, why_matching
from lapse.engine.session import Session, session_for
from lapse.errors import PolicyError
from lapse.instant import from_datetime
from lapse.model.match import Match
from lapse.model.why import Explanation
from lapse.policyfile import load

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REFUSED = ("all its records first", "records go, ever")
"""What a policy is refused for that has a rule which can never decide: such situations are made anew."""


def _situations(wanted: int, kind: str, folder: Path) -> Iterator[tuple[int, Situation, Session]]:
    """So many situations whose policy is accepted by those who read it and by stores, each with its session."""
    made = 0
    for seed in count():
        found, place = situation(seed), folder / str(seed)
        try:
            policy = load(write_policy(found, place, kind))
        except PolicyError as error:
            if not all(any(words in each.message for words in _REFUSED) for each in error.complaints):
                raise
            continue
        if nameless(found):
            continue
        write_store(found, place, kind)
        yield seed, found, session_for(policy, now=from_datetime(found.now))
        made += 1
        if made == wanted:
            return


def _check(wanted: int, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Compare every record of so many situations; the verdicts and layers that were met."""
    met: Counter[str] = Counter()
    monkeypatch.setenv("LAPSE_STATE_DIR", str(folder / "state"))
    for seed, found, session in _situations(wanted, kind, folder):
        for expected, said in _pairs(found, session):
            assert _said(said) == (expected.verdict, expected.layer), f"seed {seed}, key {said.key}"
            assert _is_just_after(said.lapses, expected.last_kept), f"seed {seed}, key {said.key}: {said.lapses}"
            met[expected.verdict] += 1
            met[expected.layer.split()[0]] += 1
    return met


def _pairs(found: Situation, session: Session) -> Iterator[tuple[Answer, Explanation]]:
    """All records at once, and one of them by its key."""
    listing = why_matching(session, "log", Match(), limit=1000)
    assert listing.records == len(listing.shown) == len(found.records)
    for record, said in zip(found.records, listing.shown, strict=True):
        yield answer(found, record), said
    one = found.records[len(found.records) // 2]
    (said,) = why(session, "log", str(one.key))
    yield answer(found, one), said


def _said(explanation: Explanation) -> tuple[str, str | None]:
    """Verdict and deciding layer; of a rule its name without what it says."""
    layer = decided(explanation)
    return explanation.verdict, layer if layer is None else layer.partition(" (")[0]


def _is_just_after(lapses: int | None, last_kept: datetime | None) -> bool:
    """Whether a moment in nanoseconds is within the microsecond behind the last one that keeps."""
    if lapses is None or last_kept is None:
        return lapses is None and last_kept is None
    nanos = (last_kept - _EPOCH) // timedelta(microseconds=1) * 1000
    return nanos < lapses <= nanos + 1000


def test_every_situation_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 situations: verdict, deciding layer and deadline of each record are the oracle's."""
    met = _check(500, "sqlite", tmp_path, monkeypatch)

    for way in ("lapsed", "held", "kept", "doubtful", "unmatched", "rule", "tenant", "floor", "keep", "cutoff", "hold"):
        assert met[way] >= 40, f"too few situations with {way}: {met}"


def test_some_situations_on_text_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers where nothing is compiled into SQL."""
    _check(60, "jsonl", tmp_path, monkeypatch)


@pytest.mark.soak
def test_every_situation_on_text_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 500."""
    _check(500, "jsonl", tmp_path, monkeypatch)
