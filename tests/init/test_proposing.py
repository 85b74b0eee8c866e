"""The text of a proposed policy."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from lapse.engine.proposing import Proposed, policy_text
from lapse.instant import Nanos
from lapse.model.period import Kind
from lapse.model.policy import Policy, TimeFormat
from lapse.policyfile import load
from lapse.ports import Sketch

CALLS = Sketch(
    store="sqlite:///calls.db",
    table="cel",
    records=200_000,
    size=41_000_000,
    time="eventtime",
    type="eventtype",
    tenant="tenant",
    actor="cid_num",
    oldest=Nanos(1_700_000_000_000_000_000),
    newest=Nanos(1_760_000_000_000_000_000),
    types=(("CHAN_START", 0.5), ("0", 0.3), ("true", 0.2)),
    notes=("times without a zone are read as UTC",),
    fingerprint="sqlite:1:cel:2",
)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda text: text.strip() != "" and not text.startswith("$") and "${" not in text
)


def loaded(text: str) -> Policy:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lapse.yaml"
        file.write_text(text, encoding="utf-8")
        return load(file)


def uncommented(text: str) -> str:
    """The text with the example rules in place of ``keep: forever``."""
    text = text.replace("    keep: forever\n", "")
    return re.sub(r"^    # (keep:|  - \{)", r"    \1", text, flags=re.MULTILINE)


def test_a_proposed_policy_keeps_everything_until_it_is_edited() -> None:
    """The only rule of the dataset keeps for ever, and every key found stands in it."""
    policy = loaded(policy_text([Proposed("cel", CALLS)], [], archive="./lapse-archive"))

    dataset = policy.datasets["cel"]
    assert [rule.keep.kind for rule in dataset.rules] == [Kind.FOREVER]
    assert (dataset.table, dataset.time, dataset.type, dataset.tenant) == ("cel", "eventtime", "eventtype", "tenant")
    assert dataset.expect == "sqlite:1:cel"
    assert dataset.rules[0].archives == ("cold",)


def test_the_example_rules_are_made_of_the_types_seen_and_can_be_used_as_they_stand() -> None:
    """Taking the comment signs away gives a policy that loads; types that look like numbers stay text."""
    policy = loaded(uncommented(policy_text([Proposed("cel", CALLS)], [], archive="./lapse-archive")))

    rules = policy.datasets["cel"].rules
    assert [str(rule.match) for rule in rules] == ["type CHAN_START", "type 0", "type true", "everything"]
    assert [rule.keep.text for rule in rules] == ["90 days", "1 year", "6 years", "365 days"]


def test_what_was_seen_and_left_out_is_said_in_comments() -> None:
    """A table without a time, and one that is no log, are named with the reason."""
    others = [replace(CALLS, table="users"), replace(CALLS, table="settings", time=None)]

    text = policy_text([Proposed("cel", CALLS)], others, archive="./lapse-archive")

    assert "#   users: 200,000 records; eventtime is a time, but it looks like no log" in text
    assert "#   without a time: settings\n" in text
    assert set(loaded(text).datasets) == {"cel"}


@settings(max_examples=60, deadline=None)
@given(
    column=NAMES,
    type_column=st.none() | NAMES,
    kinds=st.lists(NAMES, max_size=3, unique=True),
    note=st.text(max_size=20),
    time_format=st.sampled_from(TimeFormat),
)
def test_any_name_that_a_store_has_survives_the_text(
    column: str, type_column: str | None, kinds: list[str], note: str, time_format: TimeFormat
) -> None:
    """Quotes, colons, line ends, emoji and words that YAML reads as something else come back as they were."""
    sketch = replace(
        CALLS,
        table=column,
        time=column,
        time_format=time_format,
        type=type_column,
        types=tuple((kind, 0.1) for kind in kinds),
        notes=(note,),
    )

    text = policy_text([Proposed("log", sketch)], [replace(sketch, time=None)], archive="./lapse-archive")

    dataset = loaded(text).datasets["log"]
    assert (dataset.table, dataset.time, dataset.type) == (column, column, type_column)
    assert dataset.time_format is time_format
    assert len(loaded(uncommented(text)).datasets["log"].rules) == 1 + (len(kinds) if type_column else 0)
