"""``allow: [crlf]`` in a policy file."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from policy_helpers import complaints, dataset, only, place, write

from lapse.dialects.policytext import policy_text
from lapse.model.policy import Dataset
from lapse.policyfile import json_schema, load

_KEEP = "keep: 1 day\narchive: cold\n"


def _loaded(folder: Path, more: str = "") -> Dataset:
    return load(dataset(folder, _KEEP + more)).datasets["log"]


@pytest.mark.parametrize("more", ["allow: [crlf]", "allow: [no time, crlf]", "allow:\n  - crlf"])
def test_lines_that_end_in_crlf_can_be_allowed(tmp_path: Path, more: str) -> None:
    """Beside the other words or alone; what is written as it always was has the hash that it always had."""
    plain, other, allowed = _loaded(tmp_path), _loaded(tmp_path, "allow: [no time]"), _loaded(tmp_path, more)

    assert [each.crlf_allowed for each in (plain, other, allowed)] == [False, False, True]
    assert plain.facts() == other.facts()
    assert "crlf" not in str(plain.facts())
    assert allowed.facts() != plain.facts()


def test_tables_have_no_line_ends(tmp_path: Path) -> None:
    """With its line and column, before any store is opened; `no time` may stand beside it."""
    path = write(
        tmp_path,
        "version: 1\ndatasets:\n"
        "  q: {store: 'sqlite:///a.db', table: t, time: at, allow: [no time, crlf], keep: 1 day, archive: none}\n",
    )

    complaint = only(path)

    assert complaint.message.startswith("`allow: [crlf]` means nothing here")
    assert complaint.hint == "Remove it; it is for log files."
    assert place(complaint) == (3, 69)


def test_the_word_is_written_as_it_is(tmp_path: Path) -> None:
    """Like every other word of the policy."""
    assert "cannot be `CRLF`" in complaints(dataset(tmp_path, _KEEP + "allow: [CRLF]"))[0].message


def test_the_schema_knows_the_word() -> None:
    """And no other than the two."""
    log = {"store": "a.jsonl", "time": "at"}
    for words, valid in ((["crlf"], True), (["no time", "crlf"], True), (["lf"], False), ("crlf", False)):
        policy = {"version": 1, "datasets": {"log": {**log, "allow": words}}}
        assert jsonschema.Draft202012Validator(json_schema()).is_valid(policy) is valid


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("keep: 1 day\nallow: [crlf]", "    allow: [crlf]\n"),
        ("keep: no time\nallow: [no time, crlf]", "    allow: [no time, crlf]\n"),
        ("keep: no time\nallow: [no time]", "    allow: [no time]\n"),
        ("allow: [crlf]", "    allow: [crlf]\n"),
        ("keep: 1 day", ""),
    ],
)
def test_what_is_allowed_is_printed_so_that_it_can_be_read_again(tmp_path: Path, lines: str, said: str) -> None:
    """`lapse as … policy` writes down a policy that means the same."""
    policy = load(dataset(tmp_path, f"{lines}\narchive: none"))

    text = policy_text(policy, head=(), variable="X").text
    again = load(write(tmp_path, text, "again.yaml"))

    assert said in text
    assert ("allow:" in text) is bool(said)
    assert again.datasets["log"].facts() == policy.datasets["log"].facts()
