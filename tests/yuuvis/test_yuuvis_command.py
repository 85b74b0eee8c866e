"""The command line: spellings, options that make no sense, exit codes, help, and what is said on both streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from yuuvis_world import NOW, Entry, World, days, fill, left
from yuuvis_world import world_fixture as world_fixture

from lapse.cli.links import called_as
from lapse.cli.main import app


@pytest.mark.parametrize("spelling", [("audit", "cleanup"), ("audit-cleanup",)])
@pytest.mark.parametrize("option", [("-t", "acme"), ("-tacme",), ("--tenant", "acme"), ("--tenant=acme",)])
def test_both_spellings_of_the_command_and_all_of_the_option(
    world: World, spelling: tuple[str, ...], option: tuple[str, ...]
) -> None:
    """They do the same."""
    fill(world.trail, Entry(), Entry(tenant="other"))

    result = world.call(*spelling, "--store", world.trail.url, *option)

    assert result.exit_code == 0
    assert left(world.trail) == [2]


def test_a_link_named_commander_calls_it() -> None:
    """Whatever its folder is."""
    assert called_as(["/opt/bin/commander", "audit", "cleanup"]) == ["as", "yuuvis", "audit", "cleanup"]


def test_a_link_runs_as_a_process_and_asks_nothing(world: World, tmp_path: Path) -> None:
    """Standard input is closed; nobody is asked anything."""
    link = tmp_path / "commander"
    link.symlink_to(Path(sys.executable).with_name("lapse"))
    fill(world.trail, Entry())

    done = subprocess.run(
        [link, "audit", "cleanup", "--json"], cwd=world.folder, capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "LAPSE_STATE_DIR": str(world.state), "LAPSE_STORE": world.trail.url},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["deleted"]["total"] == 1
    assert left(world.trail) == []


MISTAKES = [
    ("-t",), ("--tenant",), ("-t", ""), ("-t", " \t"), ("--tenant=",), ("-t", "a", "-t", "a"),
    ("-t", "a", "--tenant=b"), ("-t", "--dry-run"), ("-t", "-x"), ("--bogus",), ("stray",), ("--", "stray"),
    ("-t", "a", "stray"), ("--store",), ("--archive", "--dry-run"), ("--ledger",), ("--store", "nonsense"),
    ("--store", "mysql://db/x"), ("--store", ""), ("--store", "sqlite:///:memory:"), ("--archive", "gopher://x"),
    ("--archive", ""), ("--ledger", ""), ("--ledger", " "),
]  # fmt: skip


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_what_makes_no_sense_is_refused_with_2(world: World, arguments: tuple[str, ...]) -> None:
    """Nothing is touched; with --json there is one object all the same."""
    fill(world.trail, Entry())
    before = world.tree()

    for more in ((), ("--json",)):
        result = world.clean(*more, *arguments)
        assert result.exit_code == 2, result.output
        assert "Error: " in result.stderr
        if more:
            assert json.loads(result.stdout)["exit"] == 2
    assert world.tree() == before
    assert left(world.trail) == [1]


@pytest.mark.parametrize("words", [("audits",), ("audit", "clean"), ("Audit", "cleanup"), ("cleanup",)])
def test_unknown_commands_are_refused_with_2(world: World, words: tuple[str, ...]) -> None:
    """Whichever word it is."""
    assert world.call(*words).exit_code == 2


@pytest.mark.parametrize("words", [(), ("audit",), ("--json",)])
def test_half_a_command_is_refused_with_2(world: World, words: tuple[str, ...]) -> None:
    """What a timer calls every night and does nothing must not look done."""
    result = world.call(*words)

    assert result.exit_code == 2
    assert "there is no command" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("audit", "cleanup", "-h"), ("audit", "cleanup", "--help"), ("audit-cleanup", "-h"),
        ("audit", "cleanup", "--bogus", "-h"), ("audit", "cleanup", "-h", "-t"), ("audit", "cleanup", "-t", "-h"),
        ("audit", "cleanup", "-t", "", "stray", "--help"), ("audit", "cleanup", "--store", "nonsense", "-h"),
        ("audit", "cleanup", "--json", "-h"), ("audit", "-h"), ("-h",), ("bogus", "-h"), ("audit", "bogus", "-h"),
        ("--bogus", "-h"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_help_wins_over_everything_and_reads_nothing(world: World, arguments: tuple[str, ...]) -> None:
    """Even over a configuration that is broken, and a moment that is none."""
    world.configure("broken")

    result = world.call(*arguments, env={"LAPSE_NOW": "yesterday", "LAPSE_STORE": "nonsense"})

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Usage: ")
    assert not world.state.exists()


def test_a_tenant_without_any_entry_is_refused_with_3(world: World) -> None:
    """Nothing is touched, and no ledger is begun."""
    fill(world.trail, Entry())
    before = world.tree()

    result = world.clean("-t", "Acme", "--json")

    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"error": "the tenant 'Acme' has no entry in any audit trail", "exit": 3}
    assert world.tree() == before


@pytest.mark.parametrize("entry", [Entry(days(1)), Entry(action=100), Entry(date=""), Entry(action=None)])
def test_a_tenant_with_any_entry_is_known(world: World, entry: Entry) -> None:
    """Young ones, kept ones and doubtful ones count, too."""
    fill(world.trail, entry)

    assert world.deleted("-t", "acme") == {}


def test_other_tenants_stay_with_a_tenant(world: World) -> None:
    """And so do entries that name none."""
    fill(world.trail, Entry(), Entry(tenant="ACME"), Entry(tenant=None), Entry(tenant="acme2"))

    assert world.deleted("-t", "acme") == {"acme": {"300": 1}}
    assert left(world.trail) == [2, 3, 4]


def test_the_object_is_as_documented(world: World) -> None:
    """One object on stdout, warnings on stderr."""
    fill(
        world.trail,
        Entry(action=400),
        Entry(action=400),
        Entry(action=300, tenant="b"),
        Entry(action=7),
        Entry(date=""),
    )

    result = world.clean("--json")

    found = json.loads(result.stdout)
    assert found.pop("config_sha256")
    assert found == {
        "deleted": {"total": 4, "by_tenant_and_action": {"acme": {"400": 2, "other": 1}, "b": {"300": 1}}},
        "kept_doubtful": 1,
        "now": NOW.isoformat().replace("+00:00", "Z"),
        "dry_run": False,
        "incomplete": [],
    }
    assert result.stderr.startswith("Warning: 1 entry is kept")


def test_the_lines_are_for_people(world: World) -> None:
    """The sum, then each tenant; names that could be taken for something else are quoted."""
    fill(world.trail, Entry(), Entry(tenant="a\n  b: 100: 1"), Entry(tenant="b", action=400))

    result = world.clean()

    assert result.stdout.splitlines() == [
        "3 audit entries deleted.",
        "  'a\\n  b: 100: 1': 300 OBJECT_METADATA_CHANGED: 1",
        "  acme: 300 OBJECT_METADATA_CHANGED: 1",
        "  b: 400 DOCUMENT_ACCESSED: 1",
    ]


def test_a_dry_run_counts_what_goes_and_writes_nothing(world: World) -> None:
    """The same object as the cleanup's, but for its word."""
    fill(world.trail, Entry(), Entry(days(1)), Entry(tenant="b"), Entry(date=""))
    before = world.tree()

    looked = world.answer("--dry-run")

    assert (world.tree(), left(world.trail)) == (before, [1, 2, 3, 4])
    assert {**world.answer(), "dry_run": True} == looked


def test_a_dry_run_of_an_unknown_tenant_is_refused_as_well(world: World) -> None:
    """It says what the cleanup would say."""
    fill(world.trail, Entry())

    assert world.clean("-t", "nobody", "--dry-run").exit_code == 3


@pytest.mark.parametrize("moment", ["yesterday", "2999-01-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_a_moment_that_cannot_be_is_refused_with_2(world: World, moment: str) -> None:
    """`LAPSE_NOW` is RFC 3339, and not later than the real time."""
    fill(world.trail, Entry())

    assert world.clean(env={"LAPSE_NOW": moment}).exit_code == 2
    assert left(world.trail) == [1]


def test_all_entries_may_go(world: World) -> None:
    """The guard against emptying is off here, as the original has none."""
    fill(world.trail, Entry())

    assert world.deleted() == {"acme": {"300": 1}}
    assert left(world.trail) == []


def test_the_ledger_says_what_went_and_that_there_is_no_copy(world: World) -> None:
    """In the state folder, or where --ledger says."""
    fill(world.trail, Entry(action=400), Entry())

    world.deleted("--ledger", "proof")

    assert not (world.state / "ledger").exists()
    entries = (world.folder / "proof" / "ledger.jsonl").read_text().splitlines()
    (disposal,) = [body for line in entries if (body := json.loads(line)["body"]).get("slice")]
    assert disposal["records"] == 2
    assert len(disposal["waiver"]) > 0
    assert any("type 400: 1 day" in text for text in disposal["rules"].values())


def test_another_database_under_the_same_address_is_refused_until_it_is_trusted(world: World) -> None:
    """The fingerprint stays on; the remedy is a command of the drop-in."""
    fill(world.trail, Entry())
    world.deleted()
    world.trail.query("PRAGMA application_id = 7")
    fill(world.trail, Entry())

    refused = world.clean()

    assert refused.exit_code == 1
    assert "lapse as yuuvis trust" in refused.stderr
    assert world.call("trust", "--store", world.trail.url).exit_code == 0
    assert world.deleted() == {"acme": {"300": 1}}


def test_a_hold_beside_the_configuration_keeps(world: World) -> None:
    """What the original cannot."""
    fill(world.trail, Entry(), Entry(tenant="b"))
    folder = world.file.parent / "holds"
    folder.mkdir()
    (folder / "matter.yaml").write_text("{matter: M-1, match: {tenant: acme}, reason: litigation}\n")

    result = world.clean()

    assert result.exit_code == 0, result.output
    assert left(world.trail) == [1]
    assert "1 entry is kept, since it is held: hold M-1: 1" in result.stderr


def test_holds_that_cannot_be_read_stop_everything(world: World) -> None:
    """Before anything is touched, with the place."""
    fill(world.trail, Entry())
    folder = world.file.parent / "holds"
    folder.mkdir()
    (folder / "matter.yaml").write_text("{matter: M-1, match: {tenants: acme}\n")

    result = world.clean()

    assert result.exit_code == 2
    assert f"{folder / 'matter.yaml'}:" in result.stderr
    assert not world.state.exists()
    assert left(world.trail) == [1]


def test_without_any_store_it_is_refused_with_2(world: World) -> None:
    """Nothing says where the audit trail is."""
    result = CliRunner().invoke(app, ["as", "yuuvis", "audit", "cleanup"], env={"LAPSE_STATE_DIR": str(world.state)})

    assert result.exit_code == 2
    assert "nothing says where the audit trail is" in result.stderr
