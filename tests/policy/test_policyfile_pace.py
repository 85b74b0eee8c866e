"""The keys of `pace`: what they may say, where they may stand, and what is told of the wrong ones."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_helpers import complaints, dataset, only, place, write

from lapse.errors import PolicyError
from lapse.model.pace import Pace, Tuning, parse_rest, tuning_of
from lapse.model.span import parse_span, span_text
from lapse.policyfile import effective, json_schema, load

_DATABASE = "sqlite:///log.db"
_SCHEMA = json_schema()


def paced(folder: Path, pace: str, *, top: str = "") -> Path:
    """A policy with a table that has this pace, in flow style."""
    return dataset(folder, f"table: t\npace: {{{pace}}}", head=top, store=_DATABASE)


def test_without_a_word_the_pace_is_gentle(tmp_path: Path) -> None:
    """A second a transaction, rests while others are busy, waits for replicas 10 s behind."""
    path = dataset(tmp_path, "table: t", store=_DATABASE)

    found = load(path).datasets["log"].pace

    assert found == Pace(transaction=1.0, rows_per_second=None, rest=None, max_lag=10.0, pause_while=None)


def test_every_key_is_read(tmp_path: Path) -> None:
    """Spans with their units, numbers, shares, and a query in the store's own language."""
    path = paced(
        tmp_path, 'transaction: 500 ms, rows per second: 2000, rest: 50%, max lag: 1m30s, pause while: "SELECT 1 = 2"'
    )

    found = load(path).datasets["log"].pace

    assert found == Pace(transaction=0.5, rows_per_second=2000, rest=0.5, max_lag=90.0, pause_while="SELECT 1 = 2")


def test_a_dataset_overrides_the_policy_key_by_key(tmp_path: Path) -> None:
    """And can take back what the policy says."""
    top = 'pace: {transaction: 2 s, rows per second: 10, rest: 20%, max lag: none, pause while: "SELECT 1"}\n'
    path = paced(tmp_path, "rows per second: none, rest: auto, pause while: never", top=top)

    found = load(path).datasets["log"].pace

    assert found == Pace(transaction=2.0, rows_per_second=None, rest=None, max_lag=None, pause_while=None)


@pytest.mark.parametrize(
    ("pace", "column", "message", "hint"),
    [
        ("transaction: 1", 25, "`transaction`: 1 is not a span of time", "500 ms"),
        ("transaction: 0 s", 25, "`transaction`: '0 s' is not a span of time", "500 ms"),
        ("transaction: 1 hour", 25, "`transaction`: a transaction of 3600 s is not bearable", "5 minutes"),
        ("transaction: 1 ms", 25, "`transaction`: a transaction of 1 ms is not bearable", "10 ms"),
        ("transaction: [1 s]", 25, "`transaction`: must be a single value, not a list", None),
        ("rows per second: 0", 29, "`rows per second`: 0 is no number of records a second", "2000"),
        ("rows per second: -5", 29, "`rows per second`: -5 is no number", "2000"),
        ("rows per second: 1.5", 29, "`rows per second`: 1.5 is no number", "2000"),
        ("rows per second: true", 29, "`rows per second`: ", "2000"),
        ("rows per second: fast", 29, "`rows per second`: 'fast' is no number", "2000"),
        ("rest: 100%", 18, "`rest`: '100%' is no share of the time", "below 100%"),
        ("rest: 50", 18, "`rest`: 50 is no share of the time", "`50%`"),
        ("rest: sometimes", 18, "`rest`: 'sometimes' is no share", "`auto`"),
        ("max lag: 10", 21, "`max lag`: 10 is not a span of time", "10 s"),
        ("max lag: 2 months", 21, "`max lag`: '2 months' is not a span of time", "10 s"),
        ("pause while: ''", 25, "`pause while`: is empty", None),
        ("pause while: [a]", 25, "`pause while`: must be text, not a list", None),
        ("pause when: x", 12, "unknown key `pause when`", "Did you mean `pause while`?"),
        ("transactoin: 1 s", 12, "unknown key `transactoin`", "Did you mean `transaction`?"),
        ("rest: ", 12, "`rest`: nothing is written here, or null", "null never means all"),
    ],
)
def test_a_wrong_pace_is_told_with_its_place(
    tmp_path: Path, pace: str, column: int, message: str, hint: str | None
) -> None:
    """Line and column of the value, or of the key if that is wrong."""
    found = only(paced(tmp_path, pace))

    assert place(found) == (8, column)
    assert found.message.startswith(message)
    assert hint is None or (found.hint is not None and hint in found.hint)


def test_a_pace_is_a_mapping(tmp_path: Path) -> None:
    """At both places."""
    path = dataset(tmp_path, "table: t\npace: gentle", head="pace: 5\n", store=_DATABASE)

    assert [each.message for each in complaints(path)] == [
        "`pace`: must be a mapping of keys, not 5",
        "`pace`: must be a mapping of keys, not `gentle`",
    ]


def test_text_logs_answer_no_query(tmp_path: Path) -> None:
    """Who writes that there is wrong; the policy's own pace is meant for its databases."""
    wrong = dataset(tmp_path, 'pace: {pause while: "SELECT 1"}')

    assert place(only(wrong)) == (7, 12)
    assert load(dataset(tmp_path, "pace: {pause while: never}"))
    assert load(dataset(tmp_path, "", head='pace: {pause while: "SELECT 1"}\n'))


def test_pace_says_nothing_about_what_goes(tmp_path: Path) -> None:
    """So a sealed plan and the ledger do not mind a changed pace."""
    one = load(paced(tmp_path, "transaction: 1 s")).digest
    other = load(paced(tmp_path, "rows per second: 5", top="pace: {rest: none}\n")).digest

    assert one == other


def test_the_effective_pace_is_shown(tmp_path: Path) -> None:
    """What is written, with its place; and the policy's defaults."""
    values = {each.path: each for each in effective(paced(tmp_path, "rest: 50%", top="pace: {max lag: 5 s}\n"))}

    assert values["pace.max lag"].value == "5 s"
    assert values["pace.transaction"].value == "1 s"
    assert values["pace.transaction"].is_default
    assert values["datasets.log.pace.rest"].value == "50%"
    assert str(values["datasets.log.pace.rest"].origin).endswith("lapse.yaml:9:18")
    assert "datasets.log.pace.transaction" not in values
    plain = {each.path: each.value for each in effective(dataset(tmp_path, "table: t", store=_DATABASE))}
    assert plain["pace.rest"] == "auto"


def test_conf_d_adds_to_the_pace(tmp_path: Path) -> None:
    """Key by key, each once."""
    main = paced(tmp_path, "transaction: 1 s", top="pace: {rest: none}\n")
    write(tmp_path, "pace: {max lag: 5 s}", "conf.d/a.yaml")
    assert load(main).datasets["log"].pace.max_lag == 5.0

    write(tmp_path, "pace: {rest: auto}", "conf.d/b.yaml")

    assert "`pace.rest` stands at" in only(main).message


@pytest.mark.parametrize(
    ("pace", "is_right"),
    [
        ({"transaction": "1 s", "rows per second": 5, "rest": "auto", "max lag": "none", "pause while": "never"}, True),
        ({"rows per second": "none"}, True),
        ({"rows per second": 0}, False),
        ({"rows per second": "fast"}, False),
        ({"transaction": 1}, False),
        ({"speed": "fast"}, False),
    ],
)
def test_the_published_schema_knows_the_pace(pace: dict[str, object], is_right: bool) -> None:
    """At both places."""
    table = {"store": _DATABASE, "table": "t", "time": "at"}
    for policy in ({"version": 1, "pace": pace}, {"version": 1, "datasets": {"log": {**table, "pace": pace}}}):
        assert jsonschema.Draft202012Validator(_SCHEMA).is_valid(policy) is is_right


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500 ms", 0.5), ("500ms", 0.5), ("10 s", 10), ("90m", 5400), ("1h30m", 5400), ("1 h 30 min", 5400),
        ("2 hours", 7200), ("1 day", 86_400), ("PT2H", 7200), ("1.5 s", 1.5), ("2d", 172_800),
    ],
)  # fmt: skip
def test_a_span_has_a_unit(text: str, seconds: float) -> None:
    """Short forms, and those of retention periods."""
    assert parse_span(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "5", 5, None, True, "1 month", "forever", "0 s", "-1 s", "400 days", "s", "1 x"])
def test_what_is_no_span_is_refused(value: object) -> None:
    """A month is no span of a clock, and nothing lasts longer than a year."""
    with pytest.raises(PolicyError):
        parse_span(value)


@given(st.integers(1, 10**7).map(lambda number: number / 1000))
def test_a_span_is_read_as_it_is_written(seconds: float) -> None:
    """To the millisecond."""
    assert parse_span(span_text(seconds)) == pytest.approx(seconds, rel=1e-5)


@given(
    st.builds(
        Tuning,
        transaction=st.none() | st.sampled_from(["1 s", "250 ms"]),
        rows_per_second=st.none() | st.just("none") | st.integers(1, 10**6).map(str),
        rest=st.none() | st.sampled_from(["auto", "none", "5%"]),
        paused=st.booleans(),
    )
)
def test_a_tuning_survives_its_file(tuning: Tuning) -> None:
    """What is written is what is read."""
    assert tuning_of(tuning.facts()) == tuning


def test_a_share_of_the_time_is_below_all_of_it() -> None:
    """Who rests all the time never works."""
    assert parse_rest("99.9%") == pytest.approx(0.999)
