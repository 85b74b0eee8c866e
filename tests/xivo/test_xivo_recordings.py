"""Recordings on real servers: they go by the time and tenant of their call, and their files after them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pg_telephony import Telephony
from pg_telephony import telephony_fixture as telephony_fixture

_PURGERS = "enabled_plugins: {purgers: {recordings: true, call-logs: true}}\n"


@pytest.fixture(name="spool")
def spool_fixture(telephony: Telephony) -> Path:
    """A file for each recording of the database, and one that no recording names."""
    spool = telephony.folder / "spool"
    telephony.fill(calls=200, rec_dir=spool, tenants=3, cel=10, qlog=10, stats=10, switchboard=10)
    spool.mkdir()
    for (path,) in telephony.query("SELECT path FROM call_logd_recording"):
        Path(path).write_bytes(b"sound")
    (spool / "stranger.wav").write_bytes(b"sound")
    return spool


def configure(telephony: Telephony, spool: Path, text: str = _PURGERS) -> None:
    """Write the configuration, with the folder of the recordings."""
    telephony.config(f"{text}lapse: {{recordings: '{spool}'}}\n")


def retention(telephony: Telephony, tenant: int, *, calls: int | None, recordings: int | None) -> None:
    """Give a tenant days of its own."""
    values = ", ".join("NULL" if days is None else str(days) for days in (calls, None, recordings))
    telephony.execute(f"INSERT INTO call_logd_retention SELECT fx_tenant({tenant}), {values}")


def young(telephony: Telephony, days: dict[int, int]) -> set[str]:
    """Paths of the recordings whose call is young enough, for tenants with these days, as the database says."""
    cases = " OR ".join(
        f"(c.tenant_uuid = fx_tenant({tenant}) AND c.date >= now() - make_interval(days => {number}))"
        for tenant, number in days.items()
    )
    query = f"SELECT r.path FROM call_logd_recording r JOIN call_logd_call_log c ON c.id = r.call_log_id WHERE {cases}"
    return {str(path) for (path,) in telephony.query(query)}


def recorded(telephony: Telephony) -> set[str]:
    """Paths that entries name."""
    return {str(path) for (path,) in telephony.query("SELECT path FROM call_logd_recording")}


def files(spool: Path) -> set[str]:
    """Files that are there, but for the stranger, which always is."""
    found = {str(path) for path in spool.iterdir()}
    assert str(spool / "stranger.wav") in found
    return found - {str(spool / "stranger.wav")}


def test_recordings_go_before_their_calls(telephony: Telephony, spool: Path) -> None:
    """Each tenant's by its own days, where they are fewer than those of calls; the files after the entries."""
    retention(telephony, 1, calls=None, recordings=30)
    retention(telephony, 2, calls=400, recordings=0)
    configure(telephony, spool)
    kept = young(telephony, {1: 30, 2: 0, 3: 90})
    calls = telephony.query(
        "SELECT count(*) FROM call_logd_call_log WHERE date >= now() - make_interval(days =>"
        " CASE WHEN tenant_uuid = fx_tenant(2) THEN 400 ELSE 90 END)"
    )

    found = telephony.json("-d", "90")

    assert found["exit"] == 0, found
    assert recorded(telephony) == kept
    assert kept
    assert files(spool) == kept
    assert telephony.query("SELECT count(*) FROM call_logd_call_log") == calls
    assert telephony.call("-d", "90").exit_code == 0
    assert recorded(telephony) == kept


def test_a_recording_that_is_kept_for_longer_than_its_call_keeps_it(telephony: Telephony, spool: Path) -> None:
    """The original loses its entry, and forgets its file on the disk. A call without one goes by its own days."""
    retention(telephony, 1, calls=30, recordings=900)
    configure(telephony, spool)
    kept = young(telephony, {1: 900, 2: 90, 3: 90})
    assert kept > young(telephony, {1: 30, 2: 90, 3: 90})
    calls = telephony.query(
        "SELECT count(*) FROM call_logd_call_log c WHERE date >= now() - make_interval(days =>"
        " CASE WHEN tenant_uuid <> fx_tenant(1) THEN 90"
        " WHEN EXISTS (SELECT FROM call_logd_recording r WHERE r.call_log_id = c.id) THEN 900 ELSE 30 END)"
    )

    result = telephony.call("-d", "90")

    assert result.exit_code == 0, result.output
    assert recorded(telephony) == kept
    assert files(spool) == kept
    assert telephony.query("SELECT count(*) FROM call_logd_call_log") == calls
    assert "some recordings are to be kept for longer than their calls" in result.stdout


def test_a_hold_on_recordings_keeps_them_their_calls_and_their_files(telephony: Telephony, spool: Path) -> None:
    """Whatever purger would take them; the calls of that tenant that have no recording go."""
    configure(telephony, spool)
    holds = telephony.conf / "holds"
    holds.mkdir()
    (holds / "case.yaml").write_text(
        "matter: M-1\nreason: litigation\nmatch: {dataset: recordings, tenant: 00000000-0000-4000-8000-000000000001}\n"
    )
    kept = young(telephony, {1: 9000, 2: 90, 3: 90})

    result = telephony.call("-d", "90")

    assert result.exit_code == 0, result.output
    assert recorded(telephony) == kept
    assert files(spool) == kept
    assert "entries are kept: hold M-1" in result.stdout
    unrecorded = "NOT EXISTS (SELECT FROM call_logd_recording r WHERE r.call_log_id = c.id)"
    query = f"SELECT count(*) FROM call_logd_call_log c WHERE date < now() - interval '91 days' AND {unrecorded}"
    assert telephony.query(query) == [(0,)]


def test_without_the_purger_of_recordings_no_file_goes(telephony: Telephony, spool: Path) -> None:
    """Entries go with their calls all the same, and that is said."""
    configure(telephony, spool, "enabled_plugins: {purgers: {call-logs: true}}\n")
    before, kept = files(spool), young(telephony, {1: 90, 2: 90, 3: 90})

    result = telephony.call("-d", "90")

    assert result.exit_code == 0, result.output
    assert recorded(telephony) == kept
    assert files(spool) == before
    assert "but their files stay, since the recordings purger is not enabled" in result.stdout


def test_a_file_that_is_missing_is_fine_and_one_elsewhere_is_left_and_told(telephony: Telephony, spool: Path) -> None:
    """The entry is gone either way; what was left is tried again, and the exit code says so each time."""
    outside = telephony.folder / "outside.wav"
    outside.write_bytes(b"sound")
    (gone, away, *_) = sorted(recorded(telephony) - young(telephony, {1: 90, 2: 90, 3: 90}))
    Path(gone).unlink()
    telephony.execute(f"UPDATE call_logd_recording SET path = '{outside}' WHERE path = '{away}'")
    configure(telephony, spool)

    for _ in range(2):
        result = telephony.call("-d", "90")

        assert result.exit_code == 1
        assert outside.exists()
        assert "recordings purger: failed: 1 file is still there" in result.stdout + result.stderr
    assert recorded(telephony) == young(telephony, {1: 90, 2: 90, 3: 90})


def test_without_a_line_of_configuration_sounds_go_wherever_they_lie(telephony: Telephony, spool: Path) -> None:
    """As with the original; but no file that is no sound, and none behind a link."""
    going = recorded(telephony) - young(telephony, {1: 90, 2: 90, 3: 90})
    (text, behind, *_) = sorted(going)
    (away := telephony.folder / "away").mkdir()
    (telephony.folder / "link").symlink_to(away)
    for path in (notes := telephony.folder / "notes.txt", away / "a.wav"):
        path.write_bytes(b"sound")
    telephony.execute(f"UPDATE call_logd_recording SET path = '{notes}' WHERE path = '{text}'")
    telephony.execute(f"UPDATE call_logd_recording SET path = '{away.parent}/link/a.wav' WHERE path = '{behind}'")
    telephony.config(_PURGERS)

    result = telephony.call("-d", "90")

    assert "recordings purger: failed: 2 files are still there" in result.stdout + result.stderr
    assert files(spool) == young(telephony, {1: 90, 2: 90, 3: 90}) | {text, behind}
    assert (result.exit_code, notes.exists(), (away / "a.wav").exists()) == (1, True, True)


def test_a_dry_run_removes_no_file(telephony: Telephony, spool: Path) -> None:
    """It counts the entries."""
    configure(telephony, spool)
    before = files(spool)

    found = telephony.json("--dry-run", "-d", "90")

    going = {each["dataset"]: each["remaining"] for each in found["result"]["run"]["datasets"]}
    assert going["recordings"] == len(before - young(telephony, {1: 90, 2: 90, 3: 90}))
    assert files(spool) == before
