"""``empty time`` in a policy file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapse.errors import PolicyError
from lapse.model.policy import Dataset
from lapse.policyfile import load

_POLICY = "version: 1\ndatasets:\n  q: {{store: '{store}', table: t, time: at, keep: 1 day, archive: none{more}}}\n"


def policy(folder: Path, more: str = "", store: str = "postgresql://h/d") -> Dataset:
    """The dataset of a policy with *more* keys."""
    file = folder / "lapse.yaml"
    file.write_text(_POLICY.format(store=store, more=more))
    return load(file).datasets["q"]


def test_an_empty_time_is_doubtful_unless_it_is_said_to_be_the_oldest(tmp_path: Path) -> None:
    """Both may be written; what is written as it always was has the hash that it always had."""
    unsaid, doubtful = policy(tmp_path), policy(tmp_path, ", empty time: doubtful")
    oldest = policy(tmp_path, ", empty time: oldest")

    assert (unsaid.empty_time, doubtful.empty_time) == (None, None)
    assert oldest.empty_time == oldest.doubt_before
    assert unsaid.facts() == doubtful.facts()
    assert "empty_time" not in str(unsaid.facts())
    assert oldest.facts() != unsaid.facts()


@pytest.mark.parametrize(
    ("more", "store", "words"),
    [
        (", empty time: oldest", "sqlite:///a.db", "`empty time: oldest` means nothing here"),
        (", empty time: lapsed", "postgresql://h/d", "oldest"),
        (", empty time: true", "postgresql://h/d", "empty time"),
        (", empty time: null", "postgresql://h/d", "empty time"),
        (", empty times: oldest", "postgresql://h/d", "empty time"),
    ],
)
def test_where_it_cannot_be_meant_it_is_a_complaint(tmp_path: Path, more: str, store: str, words: str) -> None:
    """With its line and column, before any store is opened."""
    with pytest.raises(PolicyError) as caught:
        policy(tmp_path, more, store)

    (complaint,) = caught.value.complaints
    assert words in f"{complaint.message} {complaint.hint}"
    assert complaint.origin.line == 3


def test_other_stores_may_say_what_they_do_anyway(tmp_path: Path) -> None:
    """`doubtful` is what an empty time is to all of them."""
    assert policy(tmp_path, ", empty time: doubtful", "sqlite:///a.db").empty_time is None
