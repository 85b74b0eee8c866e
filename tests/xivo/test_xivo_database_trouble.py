"""The drop-in on real PostgreSQL servers where something is not as it should be, and what Lapse adds there."""

from __future__ import annotations

import pytest
from pg_telephony import SIX, Telephony, kept, only
from pg_telephony import telephony_fixture as telephony_fixture

from other_runs import another_run
from servers.postgres import PostgresServer


def test_a_dry_run_changes_nothing(telephony: Telephony) -> None:
    """It counts what a purge would remove; no table of Lapse's own appears."""
    telephony.fill()
    before, expected = telephony.counts(), kept(telephony, 365)

    found = telephony.json("--dry-run")

    assert telephony.counts() == before
    assert telephony.query("SELECT to_regclass('lapse_disposals')") == [(None,)]
    going = {each["plan"]["dataset"]: each["remaining"] for each in found["result"]["run"]["datasets"]}
    assert sum(going.values()) == sum(before[table] - expected[table] for table in SIX)


def test_a_table_that_fails_leaves_the_others_purged(telephony: Telephony) -> None:
    """In the original one bad table blocks them all."""
    telephony.fill()
    expected = kept(telephony, 365)
    telephony.execute(
        "ALTER TABLE queue_log RENAME TO queue_log_was", "CREATE VIEW queue_log AS SELECT * FROM queue_log_was",
        "DROP TABLE stat_switchboard_queue",
    )  # fmt: skip

    result = telephony.call()

    assert result.exit_code == 1
    assert "queue-log purger: failed: " in result.stderr
    assert "stat-switchboard purger: failed: " in result.stderr
    after = telephony.counts()
    for table in SIX:
        if table not in ("queue_log", "stat_switchboard_queue"):
            assert after[table] == expected[table]
    assert after["queue_log_was"] == 207


def test_a_missing_index_on_time_is_told(telephony: Telephony) -> None:
    """Two of the tables have none in any version of the original."""
    telephony.fill()

    assert "stat-call-on purger: " in telephony.call("--dry-run").stdout


def test_the_policy_of_a_database_says_what_it_is(telephony: Telephony) -> None:
    """Run by itself it finds the same rows."""
    from lapse.policyfile import load

    telephony.fill()
    telephony.execute("INSERT INTO call_logd_retention SELECT fx_tenant(1), 0, 30, NULL")
    telephony.config("enabled_plugins: {purgers: {call-logs: true, exports: true, webhookd-logs: true}}\n")

    result = telephony.call("policy", "-d", "100")

    file = telephony.folder / "lapse.yaml"
    file.write_text(result.stdout)
    policy = load(file)
    assert policy.datasets["stat-switchboard"].zone is not None
    assert policy.datasets["cel"].zone is None
    assert [rule.keep.text.split(" in ")[0] for rule in policy.datasets["call-logs"].rules] == [
        "no time", "100 calendar days",
    ]  # fmt: skip


def test_a_database_that_is_not_there_stops_the_purge(telephony: Telephony) -> None:
    """Exit 1, and the cause without the password."""
    telephony.extra("a.yml", "db_uri: postgresql://asterisk:hunter2@127.0.0.1:1/asterisk\n")

    result = telephony.call()

    assert result.exit_code == 1
    assert "127.0.0.1" in result.stderr
    assert "hunter2" not in result.output


def test_a_role_without_rights_is_told_per_table(telephony: Telephony, postgres: PostgresServer) -> None:
    """What it may not delete is named; what it may is purged."""
    telephony.fill()
    role = f"reader_{telephony.address.rpartition('_')[2]}"
    telephony.execute(
        f"CREATE ROLE {role} LOGIN", "GRANT CREATE ON SCHEMA public TO PUBLIC",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}", f"GRANT DELETE ON stat_agent_periodic TO {role}",
    )  # fmt: skip
    expected = kept(telephony, 365)["stat_agent_periodic"]
    before = telephony.counts()
    telephony.extra("a.yml", f"db_uri: {telephony.address.replace('postgres@', f'{role}@')}\n")

    result = telephony.call()

    telephony.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    assert result.exit_code == 1
    assert "cel purger: failed" in result.stderr
    after = telephony.counts()
    assert after["stat_agent_periodic"] == expected
    assert after["cel"] == before["cel"]


@pytest.mark.parametrize("telephony", ["xivo"], indirect=True)
def test_an_archive_of_lapse_s_own_holds_what_went(telephony: Telephony) -> None:
    """Sealed, read back, and in it as many rows as are gone."""
    telephony.fill()
    telephony.config(f"lapse: {{archive: {telephony.folder}/archive}}\n")
    before, expected = telephony.counts(), kept(telephony, 365)

    result = telephony.call()

    assert result.exit_code == 0, result.output
    assert only(telephony.counts(), SIX) == only(expected, SIX)
    gone = sum(before[table] - expected[table] for table in SIX)
    assert sum(int(each["records"]) for each in telephony.entries("disposal")) == gone
    assert list((telephony.folder / "archive").rglob("*.parquet"))


def test_a_foreign_purger_works_on_the_server(telephony: Telephony, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a transaction of its own, with psycopg's placeholders and the time zone that everybody has."""
    from plugin_tools import install

    code = """
        class Purger:
            def purge(self, days_to_keep, session):
                zone = session.execute("SHOW timezone").fetchone()[0]
                found = session.execute("DELETE FROM webhookd_subscription_log WHERE started_at < now() - %s * "
                                        "interval '1 day'", (days_to_keep,))
                print(zone, found.rowcount)

        class Failing(Purger):
            def purge(self, days_to_keep, session):
                super().purge(days_to_keep, session)
                try:
                    session.execute("SELECT 1 / 0")
                except Exception:
                    pass
    """
    telephony.setting("timezone", "Asia/Tokyo")
    telephony.fill()
    points = {"wazo_purge_db.purgers": {"mine": "Purger", "failing": "Failing"}}
    install(telephony.folder, monkeypatch, code=code, points=points)
    before = telephony.counts()["webhookd_subscription_log"]
    expected = telephony.expected(365)["webhookd_subscription_log"]

    telephony.config("enabled_plugins: {purgers: {failing: true}}\n")
    result = telephony.call()
    assert result.exit_code == 1
    assert "failing purger: failed" in result.stderr
    assert telephony.counts()["webhookd_subscription_log"] == before

    telephony.config("enabled_plugins: {purgers: {mine: true}}\n")
    result = telephony.call()
    assert result.exit_code == 0, result.output
    assert f"(INFO) (mine): Asia/Tokyo {before - expected}" in result.stdout
    assert telephony.counts()["webhookd_subscription_log"] == expected


def test_a_statement_timeout_of_the_role_is_no_hindrance(telephony: Telephony) -> None:
    """Each transaction is short; in the original one shorter than the whole meant no progress, ever."""
    telephony.fill(cel=20_000)
    telephony.setting("statement_timeout", "250ms")
    expected = kept(telephony, 365)["cel"]

    result = telephony.call()

    assert result.exit_code == 0, result.output
    assert telephony.counts()["cel"] == expected


def test_the_tables_are_tidied_and_what_stays_allocated_is_told(telephony: Telephony) -> None:
    """Removed rows no longer take part in the table; what gives the bytes back is named."""
    telephony.fill(cel=5_000)

    result = telephony.call()

    assert "bytes stay allocated" in result.stdout
    assert "`lapse reclaim` says what gives them back" in result.stdout
    visible = "SELECT reltuples::bigint FROM pg_class WHERE relname = 'cel'"
    assert telephony.query(visible) == [(telephony.counts()["cel"],)]


def test_a_second_purge_of_the_same_database_does_not_begin(telephony: Telephony) -> None:
    """Another run holds the lease in the database itself, on whatever machine it runs."""
    telephony.fill()
    before = telephony.counts()
    with another_run(telephony.store, table="cel", time="eventtime"):
        result = telephony.call()

    assert result.exit_code == 1
    assert "another run" in result.stderr
    assert telephony.counts() == before
