"""The key `keep last` of a rule: what it may say, what it means, and what is told of the wrong forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from policy_helpers import complaints, dataset, only, place

from lapse.model.policy import Last, Rule
from lapse.policyfile import effective, json_schema, load

_SCHEMA = json_schema()


def rules(folder: Path, *written: str, more: str = "") -> tuple[Rule, ...]:
    """The rules of a policy."""
    return load(_policy(folder, *written, more=more)).datasets["log"].rules


def _policy(folder: Path, *written: str, more: str = "") -> Path:
    lines = "\n".join(f"  - {rule}" for rule in written)
    return dataset(folder, f"{more}\narchive: cold\nkeep:\n{lines}")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("5", Last(5)),
        ("5 per device_id", Last(5, "device_id")),
        ("1   per   device id", Last(1, "device id")),
        ("12 per $.detail.user", Last(12, "$.detail.user")),
        ("3 per $.per", Last(3, "per")),
        ("2 per tenant", Last(2, "org")),
        ("2 per type", Last(2, "kind")),
    ],
)
def test_how_many_stay_of_which_groups_is_read(tmp_path: Path, said: str, meant: Last) -> None:
    """A number alone counts all that the rule decides about; a role stands for its column."""
    (rule,) = rules(tmp_path, f"{{for: 90 days, keep last: {said}}}", more="tenant: org\ntype: kind")

    assert rule.last == meant


def test_a_rule_that_says_nothing_keeps_no_newest(tmp_path: Path) -> None:
    """Nothing is kept for being new unless the policy says so."""
    (rule,) = rules(tmp_path, "{for: 90 days}")

    assert rule.last is None


def test_what_is_said_is_part_of_the_hash_and_what_is_not_said_is_not(tmp_path: Path) -> None:
    """Another number or another field is another rule; without the key a rule hashes as it always did."""
    (plain,) = rules(tmp_path, "{for: 90 days}")
    (five,) = rules(tmp_path, "{for: 90 days, keep last: 5}")
    (each,) = rules(tmp_path, "{for: 90 days, keep last: 5 per device}")

    assert len({str(rule.facts()) for rule in (plain, five, each, replace(each, last=Last(6, "device")))}) == 4
    assert set(plain.facts()) == {"match", "keep", "archives"}  # type: ignore[arg-type]


def test_the_field_is_one_that_the_policy_uses(tmp_path: Path) -> None:
    """So a store that lacks the column refuses, and the fingerprint pins it."""
    path = _policy(tmp_path, "{for: 90 days, keep last: 5 per device}")

    assert "device" in load(path).datasets["log"].fields


@pytest.mark.parametrize(
    "wrong",
    ["0", "-1", "1.5", "true", "''", "five", "5 device", "5 per", "per device", "[5]", "{per: device}", "05 per a"],
)
def test_a_wrong_form_is_told_with_its_place_and_the_right_one(tmp_path: Path, wrong: str) -> None:
    """Zero, a fraction, a list, or a word where the number should be: nothing is guessed."""
    found = only(_policy(tmp_path, f"{{for: 90 days, keep last: {wrong}}}"))

    assert place(found) == (9, 35)
    assert "`keep last`" in found.message
    assert "keep last: 5 per device_id" in (found.hint or "")


def test_a_path_that_is_none_is_refused(tmp_path: Path) -> None:
    """The field is read as every field of a policy is."""
    found = only(_policy(tmp_path, "{for: 90 days, keep last: '5 per $.a[0]'}"))

    assert "not a path into JSON" in found.message


def test_a_null_is_refused(tmp_path: Path) -> None:
    """An empty scope is an error, never all records."""
    assert complaints(_policy(tmp_path, "{for: 90 days, keep last: }"))


@pytest.mark.parametrize("key", ["keep-last", "keep_last", "keeplast", "keep lsat"])
def test_a_slip_in_the_key_is_told_and_is_no_field(tmp_path: Path, key: str) -> None:
    """A misspelt key would be a field that no record has: then the rule would match nothing."""
    found = only(_policy(tmp_path, f"{{for: 90 days, {key}: 5}}"))

    assert f"unknown key `{key}`" in found.message
    assert "`keep last`" in (found.hint or "")


def test_what_never_goes_needs_no_newest(tmp_path: Path) -> None:
    """Beside `forever` the key means nothing, so something else was meant."""
    found = only(_policy(tmp_path, "{type: a, for: 1 day}", "{for: forever, keep last: 5}", more="type: kind"))

    assert place(found) == (11, 24)
    assert "`keep last` means nothing beside `for: forever`" in found.message


def test_the_effective_policy_shows_it_with_its_place(tmp_path: Path) -> None:
    """`check --effective` prints it as written."""
    values = {each.path: each for each in effective(_policy(tmp_path, "{for: 90 days, keep last: 5 per device}"))}

    found = values["datasets.log.keep[0].keep last"]
    assert found.value == "5 per device"
    assert found.origin is not None
    assert found.origin.line == 9


@pytest.mark.parametrize(("said", "fits"), [(5, True), ("5 per device", True), (0, False), ("per device", False)])
def test_the_schema_knows_the_forms(said: object, fits: bool) -> None:
    """Editors complain of the same forms."""
    rule = {"for": "90 days", "keep last": said}
    policy = {"version": 1, "datasets": {"log": {"store": "a.jsonl", "time": "at", "keep": [rule], "archive": "none"}}}

    assert jsonschema.Draft202012Validator(_SCHEMA).is_valid(policy) is fits


def test_a_rule_names_its_newest(tmp_path: Path) -> None:
    """Plans and reasons say how many stay."""
    (rule,) = rules(tmp_path, "{for: 90 days, keep last: 5000 per device}")

    assert str(rule) == "rule 1 (everything: 90 days and the 5,000 newest per device)"
