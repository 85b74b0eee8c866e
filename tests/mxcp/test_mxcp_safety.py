"""What the original gets wrong, and what must never happen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mxcp_world import OLD, SITE, YOUNG, Site, record, schema
from mxcp_world import site_fixture as site_fixture

from other_runs import another_run

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def test_a_dry_run_writes_nothing_at_all(site: Site) -> None:
    """No state folder, no lock, no segment, no changed time; and it counts exactly what a run removes."""
    site.write(*(record(age) for age in (89.5, 90.5, 91.5, 92)))
    before = site.tree()
    dry = json.loads(site.clean("--dry-run", "--json", "--archive", str(site.state / "cold")).stdout)

    assert site.tree() == before
    assert not site.state.exists()
    assert dry["result"]["deleted_per_schema"] == site.deleted() == {"mxcp.endpoints:v2": 2}


def test_where_nothing_is_to_go_the_log_is_not_touched(site: Site) -> None:
    """Same file, same times."""
    site.write(record(YOUNG))
    before = site.log.stat()

    assert site.deleted() == {}
    assert (site.log.stat().st_ino, site.log.stat().st_mtime_ns, site.log.stat().st_ctime_ns) == (
        before.st_ino, before.st_mtime_ns, before.st_ctime_ns,
    )  # fmt: skip


def test_mode_and_owner_are_kept(site: Site) -> None:
    """Another file may take the log's place; nobody can tell by looking at it."""
    site.write(record(OLD), record(YOUNG))
    site.log.chmod(0o640)
    os.chown(site.log, 1234 if os.geteuid() == 0 else -1, -1)
    before = site.log.stat()

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    after = site.log.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_foreign_temporary_file_is_left_alone(site: Site) -> None:
    """The original overwrites `logs-default.tmp`, and removes it."""
    site.write(record(OLD))
    other = site.write("mine", to="logs-default.tmp")

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert other.read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize("how", ["text", "json"])
def test_a_folder_in_which_nothing_can_be_written_is_an_error(site: Site, how: str) -> None:
    """The original reports success and 0 records. Exit 1, the place, and the records stay."""
    site.write(record(OLD))
    (site.folder / "audit" / ".lapse.lock").mkdir()
    result = site.clean(*(["--json"] if how == "json" else []))

    assert result.exit_code == 1
    assert ".lapse.lock" in result.output
    if how == "json":
        assert json.loads(result.stdout)["status"] == "error"
    assert len(site.lines()) == 1


def test_a_log_that_is_no_file_is_an_error(site: Site) -> None:
    """Exit 1, and a remedy."""
    site.log.mkdir()
    result = site.clean()

    assert result.exit_code == 1
    assert "is a folder" in result.stderr


def test_two_cleanups_do_not_overlap(site: Site) -> None:
    """The second one gives way: exit 1, and the first one's work is not undone."""
    site.write(record(OLD))
    with another_run(str(site.log), time="timestamp"):
        result = site.clean()

    assert result.exit_code == 1
    assert "another run" in result.stderr.lower()
    assert site.deleted() == {"mxcp.endpoints:v2": 1}


def test_a_hold_beside_the_site_file_keeps_records(site: Site) -> None:
    """What is held stays, whatever the registry says."""
    site.write(record(OLD), record(OLD, user_id="u1"))
    (site.folder / "holds").mkdir()
    (site.folder / "holds" / "case.yaml").write_text("matter: 2026-17\nmatch: {user_id: u1}\n", encoding="utf-8")

    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    assert json.loads(site.lines()[0])["user_id"] == "u1"


def test_without_an_archive_the_ledger_says_so(site: Site) -> None:
    """The original archives nothing, so a removal without a copy is a waiver, in the ledger of the state folder."""
    site.write(record(OLD), record(YOUNG))
    site.clean()

    (disposal,) = (entry.body for entry in site.ledger.entries() if entry.kind.value == "disposal")
    assert "waiver" in json.dumps(disposal, default=dict)


def test_an_archive_gets_exactly_what_goes(site: Site, tmp_path: Path) -> None:
    """Byte for byte, sealed and read back before the removal."""
    going = [record(OLD), record(OLD + 1, name="mxcp.endpoints")]
    site.write(going[0], record(YOUNG), going[1])
    site.clean("--archive", str(tmp_path / "cold"), "--ledger", str(tmp_path / "ledger"))

    (segment,) = (tmp_path / "cold").rglob("*.jsonl.zst")
    assert zstd.decompress(segment.read_bytes()).decode().splitlines() == going
    assert (tmp_path / "ledger" / "ledger.jsonl").exists()


def test_an_archive_that_cannot_be_written_stops_the_removal(site: Site, tmp_path: Path) -> None:
    """Nothing goes without its copy: exit 1."""
    site.write(record(OLD), record(YOUNG))
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = site.clean("--archive", str(tmp_path / "file" / "cold"))

    assert result.exit_code == 1
    assert "Error: " in result.stderr
    assert len(site.lines()) == 2
    assert json.loads(site.clean("--archive", "gopher://x", "--json").stdout)["status"] == "error"


def test_a_clock_behind_the_ledger_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guards for the clock and the fingerprint stay on."""
    from lapse import clock
    from lapse.instant import DAY, Nanos

    site.write(record(OLD), record(YOUNG))
    site.clean()
    real = clock.real_now()
    monkeypatch.setattr(clock, "real_now", lambda: Nanos(real - DAY))
    result = site.clean()

    assert result.exit_code == 1
    assert "the clock says" in result.stderr


_WRITER = """
import sys
from pathlib import Path

path, line = Path(sys.argv[1]), sys.argv[2]
for number in range(int(sys.argv[3])):
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line.replace("NUMBER", str(number)) + "\\n")
"""


def test_what_a_server_appends_meanwhile_is_never_lost(site: Site) -> None:
    """The server opens its file for every batch; the original loses what comes while it rewrites."""
    count = 3000
    site.write(*(record(OLD) for _ in range(200)))
    command = [sys.executable, "-c", _WRITER, str(site.log), record(YOUNG, number="NUMBER"), str(count)]
    removed = 0
    with subprocess.Popen(command) as writer:
        while writer.poll() is None:
            result = site.clean("--json")
            found = json.loads(result.stdout)
            removed += sum(found.get("result", found).get("deleted_per_schema", {}).values())
    removed += sum(site.deleted().values())

    assert removed == 200
    assert [json.loads(line)["number"] for line in site.lines()] == [str(number) for number in range(count)]


def test_a_schema_registered_later_changes_nothing_about_the_store(site: Site) -> None:
    """The fingerprint of the first run holds, however the registry grows."""
    site.write(record(OLD), record(OLD, name="new", version=1), record(YOUNG))
    site.registry.unlink()
    assert site.deleted() == {}
    site.register(schema())
    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    site.register(schema(), schema("new", 1, 30))
    assert site.deleted() == {"new:v1": 1}


def test_another_log_than_before_is_refused_until_it_is_trusted(site: Site) -> None:
    """A path that was changed by a slip must not empty somebody else's file: exit 1, and the remedy works."""
    site.write(record(OLD), record(YOUNG))
    assert site.deleted() == {"mxcp.endpoints:v2": 1}
    site.configure(SITE.replace("true", "true, path: audit/other.jsonl"))
    other = site.write(record(OLD), record(YOUNG), to="other.jsonl")
    site.register(schema())
    site.registry.rename(other.with_name("other_schemas.jsonl"))
    refused = site.clean()

    assert refused.exit_code == 1
    assert "lapse as mxcp trust" in refused.stderr
    assert len(site.lines("other.jsonl")) == 2
    assert site.call("trust").stdout.startswith("The log is trusted as jsonl:")
    assert site.deleted() == {"mxcp.endpoints:v2": 1}
