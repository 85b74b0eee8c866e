"""The drop-in on real PostgreSQL servers, on the schema of both eras, against the oracle of the fixture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pg_telephony import SIX, Telephony, kept, only
from pg_telephony import telephony_fixture as telephony_fixture

both = pytest.mark.parametrize("telephony", ["wazo", "xivo"], indirect=True)


@both
def test_what_stays_is_what_the_original_keeps(telephony: Telephony) -> None:
    """Table by table, in either era, in a time zone that is not that of the machine; other tables are untouched."""
    telephony.setting("timezone", "America/St_Johns")
    telephony.fill()
    before, expected = telephony.counts(), kept(telephony, 365)

    result = telephony.call()

    assert result.exit_code == 0, result.output
    after = telephony.counts()
    assert only(after, SIX) == only(expected, SIX)
    assert {table: rows for table, rows in after.items() if table not in SIX} == {
        table: rows for table, rows in before.items() if table not in SIX
    }


@both
def test_other_numbers_of_days_are_kept_to(telephony: Telephony) -> None:
    """Fewer and fewer of them; the oracle is asked anew for each."""
    telephony.fill()
    for days in (1000, 30):
        expected = kept(telephony, days)

        assert telephony.call("-d", str(days)).exit_code == 0
        assert only(telephony.counts(), SIX) == only(expected, SIX)


@both
def test_a_second_purge_finds_nothing(telephony: Telephony) -> None:
    """What went is gone, what stays stays, and both runs are in the ledger."""
    telephony.fill()
    telephony.call()
    after = telephony.counts()

    found = telephony.json()

    assert found["exit"] == 0
    assert found["result"]["run"]["records"] == 0
    assert telephony.counts() == after
    assert len(telephony.entries("run")) == 12


def test_zero_days_keep_the_future_the_unknown_and_the_infinite(telephony: Telephony) -> None:
    """Everything that is past goes, whatever share of the table that is."""
    telephony.fill()

    assert telephony.call("-d", "0").exit_code == 0
    left = {str(callid) for (callid,) in telephony.query("SELECT callid FROM queue_log")}
    assert left == {"edge-null", "edge-infinity", "edge-neg-infinity", "edge-future-1h", "edge-future-10d"}
    assert telephony.query("SELECT linkedid FROM cel") == [("edge-future-1h",)]
    assert telephony.counts()["stat_queue_periodic"] == 0


@pytest.mark.parametrize(
    ("telephony", "edges", "said"),
    [
        (
            "wazo",
            {"edge-null", "edge-infinity", "edge-neg-infinity", "edge-future-1h", "edge-future-10d", "edge-just-young"},
            "queue-log purger: 3 entries are kept: no readable time",
        ),
        (
            "xivo",
            {"edge-empty-text", "edge-future-1h", "edge-just-young", "edge-unparsable"},
            "queue-log purger: 2 entries are kept: no readable time",
        ),
    ],
    indirect=["telephony"],
)
def test_the_edges_of_the_queue_log(telephony: Telephony, edges: set[str], said: str) -> None:
    """A minute makes the difference; what cannot be read is kept and told, and stops no other row."""
    telephony.fill()
    if telephony.era == "xivo":
        telephony.execute("INSERT INTO queue_log (time, callid) VALUES ('yesterday', 'edge-unparsable')")

    result = telephony.call()

    assert result.exit_code == 0, result.output
    found = {str(callid) for (callid,) in telephony.query("SELECT callid FROM queue_log WHERE callid LIKE 'edge%'")}
    assert found == edges
    assert said in result.stdout


@pytest.mark.parametrize("telephony", ["xivo"], indirect=True)
def test_empty_times_go_where_the_configuration_says_so(telephony: Telephony) -> None:
    """As the original has it, without being asked; what cannot be read is kept all the same."""
    telephony.fill()
    telephony.execute("INSERT INTO queue_log (time, callid) VALUES ('yesterday', 'edge-unparsable')")
    telephony.config("lapse: {empty_times: purge}\n")

    result = telephony.call()

    assert result.exit_code == 0, result.output
    found = {str(callid) for (callid,) in telephony.query("SELECT callid FROM queue_log WHERE callid LIKE 'edge%'")}
    assert found == {"edge-future-1h", "edge-just-young", "edge-unparsable"}
    assert "queue-log purger: 1 entry is kept: no readable time" in result.stdout


def test_the_switch_for_empty_times_is_no_matter_where_there_can_be_none(telephony: Telephony) -> None:
    """A configuration outlives the column's type."""
    telephony.fill()
    telephony.config("lapse: {empty_times: purge}\n")

    assert telephony.call().exit_code == 0


@pytest.mark.parametrize("telephony", ["xivo"], indirect=True)
def test_call_logs_of_the_old_era_go_with_their_participants(telephony: Telephony) -> None:
    """The children first, without an index; kept events that point at purged calls are warned of."""
    telephony.fill()
    telephony.config("enabled_plugins: {purgers: {call-log: true}}\ndays_to_keep_per_plugin: {call-log: 30}\n")
    expected = telephony.expected(30)["call_log"]

    result = telephony.call()

    assert result.exit_code == 0, result.output
    after = telephony.counts()
    assert after["call_log"] == expected
    assert after["call_log_participant"] == 2 * expected
    assert telephony.query("SELECT count(*) FROM cel WHERE call_log_id NOT IN (SELECT id FROM call_log)") == [(0,)]
    assert "rows of cel stay and lose their reference" in result.stdout
    assert "call events are kept for longer than the 30 days of call logs" in result.stdout
    assert "call_log_participant" in result.stdout


def test_webhook_logs_have_days_of_their_own(telephony: Telephony) -> None:
    """From a file of conf.d, as the other service installs it; one without a time is kept."""
    telephony.fill()
    telephony.execute(
        "INSERT INTO webhookd_subscription_log (uuid, subscription_uuid, attempts)"
        " VALUES ('null', 'fx-subscription', 1)"
    )
    telephony.extra(
        "10-wazo-webhookd.yml",
        "enabled_plugins: {purgers: {webhookd-logs: true}}\ndays_to_keep_per_plugin: {webhookd-logs: 30}\n",
    )
    expected = telephony.expected(30)["webhookd_subscription_log"]

    result = telephony.call()

    assert result.exit_code == 0, result.output
    assert telephony.counts()["webhookd_subscription_log"] == expected
    assert "webhookd-logs purger: deleting entries older than 30 days" in result.stdout


def test_each_tenant_s_calls_and_exports_go_by_its_own_days(telephony: Telephony) -> None:
    """Nought is a number, null is the default; what hangs on a call goes with it."""
    telephony.fill(tenants=3)
    telephony.config("enabled_plugins: {purgers: {call-logs: true, exports: true}}\n")
    telephony.execute(
        "INSERT INTO call_logd_retention SELECT fx_tenant(1), 30, 0, NULL",
        "INSERT INTO call_logd_retention SELECT fx_tenant(2), NULL, 1000, NULL",
    )
    kept_calls = _kept(telephony, "call_logd_call_log", "date", {1: 30, 2: 500, 3: 500})
    kept_exports = _kept(telephony, "call_logd_export", "requested_at", {1: 0, 2: 1000, 3: 2})

    result = telephony.call("-d", "500")

    assert result.exit_code == 0, result.output
    after = telephony.counts()
    assert after["call_logd_call_log"] == kept_calls
    assert after["call_logd_call_log_participant"] == 2 * kept_calls
    assert after["call_logd_call_log_destination"] == 2 * kept_calls
    assert after["call_logd_export"] == kept_exports


def _kept(telephony: Telephony, table: str, time: str, days: dict[int, int]) -> int:
    """Rows that the database itself says are young enough, for tenants with these days."""
    cases = " OR ".join(
        f"(tenant_uuid = fx_tenant({tenant}) AND {time} >= now() - make_interval(days => {number}))"
        for tenant, number in days.items()
    )
    return int(telephony.query(f"SELECT count(*) FROM {table} WHERE {cases}")[0][0])


def test_a_database_without_tenants_days_takes_the_shipped_ones(telephony: Telephony) -> None:
    """No row of defaults is a warning, not an error."""
    telephony.fill()
    telephony.execute("DELETE FROM call_logd_config")
    telephony.config("enabled_plugins: {purgers: {call-logs: true, exports: true}}\n")
    exports = _kept(telephony, "call_logd_export", "requested_at", {1: 2, 2: 2})

    result = telephony.call()

    assert result.exit_code == 0, result.output
    assert "call_logd_config: it has no row; the 2 days that call-logd comes with count" in result.stdout
    assert telephony.counts()["call_logd_export"] == exports
    assert telephony.counts()["call_logd_call_log"] == telephony.expected(365)["call_logd_call_log"]


def test_the_program_itself_purges_when_it_is_called_by_the_old_name(telephony: Telephony) -> None:
    """In a process of its own, through a link, as a job of cron would."""
    telephony.fill()
    expected = kept(telephony, 90)
    link = telephony.folder / "wazo-purge-db"
    link.symlink_to(Path(sys.executable).with_name("lapse"))

    ended = subprocess.run(
        [link, "--days", "90"], capture_output=True, text=True, check=False, env={**os.environ, **telephony.env()}
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == telephony.log.read_text()
    assert only(telephony.counts(), SIX) == only(expected, SIX)
