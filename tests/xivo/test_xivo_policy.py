"""The configuration as a policy: what it says, and that its text says the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xivo_world import TABLES, XivoWorld
from xivo_world import world_fixture as world_fixture

from lapse.dialects.policytext import policy_text
from lapse.dialects.xivo.mapping import policy_of
from lapse.dialects.xivo.settings import Settings, load
from lapse.dialects.xivo.tables import BY_NAME, PURGERS
from lapse.errors import PolicyError, StoreError
from lapse.instant import from_datetime
from lapse.model.facts import DatabaseFacts
from lapse.model.policy import DOUBT_BEFORE_DEFAULT, Dataset, Policy, RowFiles
from lapse.policyfile import load as load_policy

WITH_ZONE, WITHOUT_ZONE, TEXT = "timestamp with time zone", "timestamp without time zone", "character varying"


def settings_of(folder: Path, text: str = "", days: int | None = None) -> Settings:
    """What a config.yml of *text* says."""
    file = folder / "wazo-purge-db" / "config.yml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return load(folder, days=days, foreign=())


def facts_of(kind: str = WITH_ZONE, zone: str = "Europe/Paris", **rows: tuple[Any, ...]) -> DatabaseFacts:
    """A database whose times are all of one type."""
    return DatabaseFacts(time_zone=zone, tables={p.table: {p.time: kind} for p in PURGERS}, rows=rows)


def policy(folder: Path, text: str = "", facts: DatabaseFacts | None = None, days: int | None = None) -> Policy:
    """The policy of a config.yml."""
    return policy_of(settings_of(folder, text, days), facts or facts_of()).policy


def reread(folder: Path, made: Policy, monkeypatch: pytest.MonkeyPatch) -> Policy:
    """The policy that the text of *made* loads to; its variables are set to what they stand for."""
    text = policy_text(made, head=["A comment."], variable="LAPSE_XIVO")
    for name in text.variables:
        monkeypatch.setenv(name, "s3cr:t%2F" if name.endswith("PASSWORD") else next(iter(made.datasets.values())).store)
    file = folder / "lapse.yaml"
    file.write_text(text.text, encoding="utf-8")
    return load_policy(file)


def same(one: Policy, other: Policy) -> None:
    """Both decide alike, of the same records."""
    assert [_meaning(each) for each in one.datasets.values()] == [_meaning(each) for each in other.datasets.values()]
    assert (one.archives, one.ledger) == (other.archives, other.ledger)
    assert one.digest == other.digest


def _meaning(dataset: Dataset) -> Dataset:
    """The dataset without the words that messages have for its address."""
    return replace(dataset, shown="")


def test_each_purger_has_its_table_and_time(tmp_path: Path) -> None:
    """The six that run by default, in their order, each with one rule and no copy."""
    found = policy(tmp_path)

    assert {dataset.table: dataset.time for dataset in found.datasets.values()} == TABLES
    assert list(found.datasets) == [
        "cel", "queue-log", "stat-agent", "stat-call-on", "stat-queue", "stat-switchboard",
    ]  # fmt: skip
    for dataset in found.datasets.values():
        (rule,) = dataset.rules
        assert rule.keep.text == "365 calendar days in Europe/Paris"
        assert (rule.waived, rule.archives) == (True, ())
        assert dataset.doubt_before == DOUBT_BEFORE_DEFAULT
        assert dataset.zone is None
        assert dataset.shown == "postgresql://asterisk:***@localhost/asterisk"


@pytest.mark.parametrize(
    ("name", "table", "time"),
    [
        ("call-log", "call_log", "date"),
        ("call-logs", "call_logd_call_log", "date"),
        ("exports", "call_logd_export", "requested_at"),
        ("recordings", "call_logd_recording", "call_log_id.date"),
        ("webhookd-logs", "webhookd_subscription_log", "started_at"),
    ],
)
def test_the_others_run_where_they_are_enabled(tmp_path: Path, name: str, table: str, time: str) -> None:
    """With the days of their own configuration file."""
    found = policy(tmp_path, f"enabled_plugins: {{purgers: {{{name}: true}}}}\ndays_to_keep_per_plugin: {{{name}: 30}}")

    dataset = found.datasets[name]
    assert (dataset.table, dataset.time) == (table, time)
    assert dataset.rules[-1].keep.text == "30 calendar days in Europe/Paris"
    assert found.datasets["cel"].rules[0].keep.text == "365 calendar days in Europe/Paris"


@pytest.mark.parametrize("kind", [WITHOUT_ZONE, TEXT, "character varying(26)", "timestamp(6) without time zone"])
def test_times_without_a_zone_are_those_of_the_database(tmp_path: Path, kind: str) -> None:
    """Local time of the writer, in the zone of a session that asks for none."""
    kinds = {d.zone for d in policy(tmp_path, facts=facts_of(kind)).datasets.values()}

    assert kinds == {"Europe/Paris"}


@pytest.mark.parametrize(
    ("now", "cutoff"),
    [
        ("2026-04-15T12:00:00+02:00", "2026-03-16T12:00:00+01:00"),
        ("2026-11-10T12:00:00+01:00", "2026-10-11T12:00:00+02:00"),
        ("2026-07-10T12:00:00+02:00", "2026-06-10T12:00:00+02:00"),
    ],
)
def test_days_are_calendar_days_of_the_database(tmp_path: Path, now: str, cutoff: str) -> None:
    """Over a change of the clocks 30 days are 719 or 721 hours."""
    (rule,) = policy(tmp_path, days=30).datasets["cel"].rules

    assert rule.keep.cutoff(from_datetime(datetime.fromisoformat(now))) == from_datetime(datetime.fromisoformat(cutoff))


def test_zero_days_cut_off_at_now(tmp_path: Path) -> None:
    """Exactly, also in the hour that the clocks show twice."""
    (rule,) = policy(tmp_path, days=0).datasets["cel"].rules
    now = from_datetime(datetime(2026, 10, 25, 1, 30, tzinfo=UTC))

    assert rule.keep.text == "no time"
    assert rule.keep.cutoff(now) == now


@pytest.mark.parametrize("zone", ["<+02>-02", "Mars/Olympus", "", "CEST-2"])
def test_a_time_zone_without_rules_stops_the_purge(tmp_path: Path, zone: str) -> None:
    """Days that cannot be counted are not guessed."""
    with pytest.raises(StoreError) as caught:
        policy(tmp_path, facts=facts_of(zone=zone))

    assert repr(zone) in str(caught.value)
    assert "ALTER ROLE" in str(caught.value.hint)


def test_an_archive_and_a_ledger_of_lapse_s_own_can_be_named(tmp_path: Path) -> None:
    """Relative paths start at the configuration; every rule then archives."""
    found = policy(tmp_path, "lapse: {archive: ../archive, ledger: /srv/ledger}")

    assert found.archives["archive"].to == str(tmp_path / "archive")
    assert found.ledger == "/srv/ledger"
    for dataset in found.datasets.values():
        assert [(rule.archives, rule.waived) for rule in dataset.rules] == [(("archive",), False)]


def test_a_purger_of_a_plug_in_is_no_dataset(tmp_path: Path) -> None:
    """It is run by itself."""
    file = tmp_path / "wazo-purge-db" / "config.yml"
    file.parent.mkdir()
    file.write_text("enabled_plugins: {purgers: {mine: true}}")
    settings = load(tmp_path, days=None, foreign=["mine"])

    assert settings.purgers[-1] == "mine"
    assert "mine" not in policy_of(settings, facts_of()).policy.datasets


def test_files_of_recordings_are_sounds_or_lie_below_one_folder(tmp_path: Path) -> None:
    """Sounds anywhere, as the original removes what entries name, unless a folder is named; of no other purger."""
    text = "enabled_plugins: {purgers: {recordings: true, call-logs: true}}\n"

    found = policy(tmp_path, text).datasets
    assert found["recordings"].files == RowFiles(column="path", under="/", ending=".wav")
    assert [name for name, dataset in found.items() if dataset.files is not None] == ["recordings"]
    other = policy(tmp_path, f"{text}lapse: {{recordings: ../spool}}").datasets["recordings"].files
    assert other == RowFiles(column="path", under=str(tmp_path / "spool"))


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("{recordings: /}", "is every file there is"),
        ("{recordings: 's3://bucket/x'}", "is not the path of a folder"),
        ("{recordings: /srv/all, archive: /srv/all/archive}", "overlap"),
    ],
)
def test_a_folder_where_a_row_could_name_any_file_is_refused(tmp_path: Path, own: str, words: str) -> None:
    """Before anything is removed, with its line."""
    with pytest.raises(PolicyError, match=words) as caught:
        policy(tmp_path, f"enabled_plugins: {{purgers: {{recordings: true}}}}\nlapse: {own}\n")

    assert caught.value.origin is not None
    assert caught.value.origin.line == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "{recordings: true, call-logs: true}}\ndays_to_keep_per_plugin: {recordings: 40, call-logs: 30}",
            "for longer",
        ),
        ("{recordings: true, call-logs: true}}\ndays_to_keep_per_plugin: {recordings: 30, call-logs: 40}", None),
        ("{recordings: true, call-logs: true}}", None),
        ("{call-logs: true}}", "their files stay"),
        ("{recordings: true}}", None),
    ],
)
def test_calls_and_recordings_that_do_not_go_together_are_warned_of(
    tmp_path: Path, text: str, words: str | None
) -> None:
    """Calls that stay for their recordings, and files that nobody removes."""
    settings = settings_of(tmp_path, f"enabled_plugins: {{purgers: {text}\n")

    warnings = policy_of(settings, facts_of()).warnings

    assert [words in text for text in warnings] == [True] if words else warnings == ()


def test_one_tenant_whose_recordings_outlive_its_calls_is_enough(tmp_path: Path) -> None:
    """A number of its own for either counts against the default of the other."""
    settings = settings_of(tmp_path, "enabled_plugins: {purgers: {recordings: true, call-logs: true}}\n")
    row = {"tenant_uuid": "t", "cdr_days": "30", "export_days": None, "recording_days": None}

    warnings = policy_of(settings, facts_of(call_logd_retention=(row,))).warnings

    assert any("some recordings are to be kept for longer than their calls" in text for text in warnings)


@pytest.mark.parametrize(("kind", "oldest"), [(TEXT, True), ("character varying(26)", True), (WITH_ZONE, False)])
def test_empty_times_go_where_that_is_said_and_there_can_be_some(tmp_path: Path, kind: str, oldest: bool) -> None:
    """Not unless it is said."""
    said = policy(tmp_path, "lapse: {empty_times: purge}", facts_of(kind)).datasets["queue-log"]

    assert said.empty_is_oldest is oldest
    assert not policy(tmp_path, "lapse: {empty_times: keep}", facts_of(kind)).datasets["queue-log"].empty_is_oldest
    assert not policy(tmp_path, "", facts_of(kind)).datasets["queue-log"].empty_is_oldest


ADDRESSES = [
    "postgresql://h/d", "postgresql://u@h:5432/d?sslmode=require", "postgresql://u:s3cr:t%2F@h/d",
    "postgresql+psycopg2://u:s3cr:t%2F@h/d?application_name=x", "postgresql://u@h/d?password=s3cret",
    "postgresql://u:s3cr:t%2F@h/d?sslpassword=x", "postgresql://u@h/a${b}",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_text_of_a_policy_keeps_the_address_but_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Read again it is the same address, once the variables that it names are set."""
    made = policy(tmp_path, f"db_uri: '{address}'")

    same(made, reread(tmp_path, made, monkeypatch))

    text = (tmp_path / "lapse.yaml").read_text()
    assert "s3cr" not in text
    assert "password=s" not in text


@given(
    st.dictionaries(st.sampled_from(sorted(BY_NAME)), st.booleans()),
    st.dictionaries(st.sampled_from(sorted(BY_NAME)), st.integers(0, 3_650_000)),
    st.integers(0, 3_650_000),
    st.sampled_from([WITH_ZONE, WITHOUT_ZONE, TEXT]),
    st.sampled_from(["UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires", "Europe/Paris"]),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(*[st.none() | st.integers(0, 900)] * 3), max_size=5),
)
def test_the_text_of_a_policy_is_the_policy(
    tmp_path_factory: pytest.TempPathFactory,
    purgers: dict[str, bool],
    days_of: dict[str, int],
    days: int,
    kind: str,
    zone: str,
    archived: bool,
    emptied: bool,
    tenants: list[tuple[int | None, ...]],
) -> None:
    """Whatever is configured, with tenants and without: `policy` prints a file that loads to an equal policy."""
    folder = tmp_path_factory.mktemp("policy")
    rows: tuple[dict[str, str | None], ...] = tuple(
        {
            "tenant_uuid": f"00000000-0000-4000-8000-{n:012}",
            **{
                f"{k}_days": None if v is None else str(v)
                for k, v in zip(("cdr", "export", "recording"), row, strict=True)
            },
        }
        for n, row in enumerate(tenants)
    )
    text = f"db_uri: postgresql://h/d\ndays_to_keep: {days}\nenabled_plugins: {{purgers: {_flow(purgers)}}}\n"
    own = [*(["archive: '/srv/a b'", "ledger: l"] * archived), *(["empty_times: purge", "recordings: r d"] * emptied)]
    text += f"days_to_keep_per_plugin: {_flow(days_of)}\nlapse: {{{', '.join(own)}}}\n"
    made = policy(folder, text, facts_of(kind, zone, call_logd_retention=rows))

    file = folder / "lapse.yaml"
    file.write_text(policy_text(made, head=[], variable="X").text, encoding="utf-8")
    same(made, load_policy(file))


def _flow(values: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {str(value).lower()}" for name, value in values.items()) + "}"


def test_the_command_prints_the_policy_and_asks_the_database(world: XivoWorld) -> None:
    """Data on stdout, and nothing but data; days may be given as for a purge."""
    for arguments in (["policy", "-d", "9"], ["-d", "9", "policy"]):
        result = world.call(*arguments)
        assert result.exit_code == 0, result.output
        file = world.folder / "lapse.yaml"
        file.write_text(result.stdout)
        assert {d.rules[0].keep.text for d in load_policy(file).datasets.values()} == {
            "9 calendar days in Europe/Paris"
        }
    assert world.json("policy", "-d", "9")["result"]["policy"] == result.stdout
    assert not world.log.exists()
    assert not (world.folder / "state").exists()


def test_a_policy_needs_days_that_exist(tmp_path: Path) -> None:
    """A tenant's absurd number is as wrong as the purge's."""
    rows = ({"tenant_uuid": "t", "cdr_days": "99999999999", "export_days": None, "recording_days": None},)
    facts = facts_of(call_logd_retention=rows)

    with pytest.raises(PolicyError, match="longer than the calendar"):
        policy(tmp_path, "enabled_plugins: {purgers: {call-logs: true}}", facts)


def test_no_dataset_is_a_policy_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything can be switched off."""
    made = policy(tmp_path, f"enabled_plugins: {{purgers: {_flow(dict.fromkeys(BY_NAME, False))}}}")

    assert made.datasets == dict[str, Dataset]()
    same(made, reread(tmp_path, made, monkeypatch))
