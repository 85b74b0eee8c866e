"""`lapse why` about records that are not in their store any more: told by the ledger and the archive, and honestly."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from why_world import POLICY, WhyWorld, decided, fresh, old, world

from lapse.engine.asking import why
from lapse.model.why import Explanation

__all__ = ["world"]


def _why(world: WhyWorld, key: str, name: str = "calls") -> Explanation:
    (found,) = why(world.session(), name, key)
    return found


def _segments(world: WhyWorld) -> list[Path]:
    return sorted((world.folder / "archive").rglob("*.parquet"))


def _image(world: WhyWorld) -> dict[str, bytes]:
    """Every file but the locks that are empty."""
    files = (path for path in sorted(world.folder.rglob("*")) if path.is_file())
    return {str(path): data for path in files if (data := path.read_bytes())}


def test_a_record_that_went_names_run_rule_segment_and_method(world: WhyWorld) -> None:
    """Of several rules the one it lapsed under; nothing is written to find that out."""
    world.policy(POLICY.replace("for: 1 year", "for: 30 days"))
    world.rows([*old(1, 3), *old(4, 6, kind="BILLED"), *fresh(7, 9)])
    world.done("run")
    before = _image(world)

    call, billed = _why(world, "2"), _why(world, "5")

    (run,) = {each.run for found in (call, billed) for each in found.disposals}
    for found, rule in ((call, "rule 2 (everything: 90 days)"), (billed, "rule 1 (type BILLED: 30 days)")):
        (disposal,) = found.disposals
        assert (found.verdict, decided(found)) == ("disposed", "disposal")
        assert (disposal.run, disposal.rules, disposal.method) == (run, (rule,), "row delete")
        assert disposal.segment in {str(path.relative_to(world.folder / "archive")) for path in _segments(world)}
        assert disposal.archives == ("cold",)
        assert str(disposal.segment) in found.reason
    assert call.values["kind"] == "CALL"
    assert _image(world) == before
    assert "lapse archive restore " in world.done("why", "calls", "2")


def test_after_a_change_of_the_rules_all_that_are_possible_are_named(world: WhyWorld) -> None:
    """The ledger counts by rule, not by record: with other rules nobody can tell which it was."""
    world.policy(POLICY.replace("for: 1 year", "for: 30 days"))
    world.rows([*old(1, 3), *old(4, 6, kind="BILLED"), *fresh(7, 9)])
    world.done("run")
    world.policy(POLICY.replace("for: 1 year", "for: 31 days"))

    (disposal,) = _why(world, "2").disposals

    assert disposal.rules == ("rule 1 (type BILLED: 30 days)", "rule 2 (everything: 90 days)")


def test_a_record_that_came_back_has_its_history(world: WhyWorld) -> None:
    """Disposed of, restored, held now; when it goes again, both disposals are named, and in the order of events."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("run")
    world.done("archive", "restore", "--all")
    held = _why(world, "2")
    world.done("hold", "release", held.reason.removeprefix("hold "))
    lapsed = _why(world, "2")
    world.done("run")
    gone = _why(world, "2")

    assert (held.verdict, lapsed.verdict, gone.verdict) == ("held", "lapsed", "disposed")
    assert [layer.name for layer in held.layers][:2] == ["disposal", "restore"]
    assert len(lapsed.disposals) == 1
    assert [layer.name for layer in gone.layers] == ["store", "disposal", "restore", "disposal"]
    assert gone.layers[-1].decided
    first, second = gone.disposals
    assert first.at is not None
    assert second.at is not None
    assert first.at < second.at
    assert first.run != second.run


def test_a_record_that_never_went_has_no_history_of_others(world: WhyWorld) -> None:
    """What is restored is looked through for its key, and only its own disposals are told."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("run")
    world.done("archive", "restore", "--all")

    assert _why(world, "7").disposals == ()


def test_without_a_copy_only_the_ledger_speaks(world: WhyWorld) -> None:
    """It may be among those that went, and no more is claimed; its time narrows it down."""
    world.policy(POLICY.replace("archive: cold", "archive: none"))
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("run")

    found = world.json("why", "calls", "2")["records"][0]
    there = world.json("why", "calls", "2", "--at", "2026-01-03")["records"][0]
    elsewhere = world.call("why", "calls", "2", "--at", "2026-02-03")

    assert found["verdict"] == there["verdict"] == "unknown"
    assert "3 records of this dataset that were removed without one, and it may be among them" in found["reason"]
    (disposal,) = found["disposals"]
    assert (disposal["records"], disposal["segment"]) == (3, None)
    assert (disposal["oldest"], disposal["newest"]) == ("2026-01-02T00:00:00Z", "2026-01-04T00:00:00Z")
    assert elsewhere.exit_code == 2
    assert "has no record '2'" in elsewhere.stderr


def test_without_a_copy_the_tenant_narrows_it_down(world: WhyWorld) -> None:
    """By the counts beside the ledger; where these are gone nothing is ruled out."""
    world.policy(POLICY.replace("archive: cold", "archive: none"))
    world.rows([*old(1, 3), *old(4, 5, tenant="beta"), *fresh(6, 9)])
    world.done("run")

    beta = world.json("why", "calls", "2", "--tenant", "beta")["records"][0]
    nobody = world.call("why", "calls", "2", "--tenant", "nobody")
    shutil.rmtree(world.state / "ledger" / "tenants")
    unsure = world.json("why", "calls", "2", "--tenant", "nobody")["records"][0]

    assert [(each["records"], each["of_tenant"]) for each in beta["disposals"]] == [(5, 2)]
    assert "2 of them of that tenant" in beta["layers"][-1]["finding"]
    assert nobody.exit_code == 2
    assert [(each["records"], each["of_tenant"]) for each in unsure["disposals"]] == [(5, None)]


def test_a_record_that_never_was_is_a_usage_error(world: WhyWorld) -> None:
    """Also next to others that went with a copy: none of them has its key."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("run")

    result = world.call("why", "calls", "4711")

    assert result.exit_code == 2
    assert "lapse archive query" in result.stderr


@pytest.mark.parametrize("damage", ["lost", "folder", "cut", "manifest"])
def test_an_archive_that_cannot_be_looked_into_is_not_silence(world: WhyWorld, damage: str) -> None:
    """Exit 1, and what is missing is told: nobody says that the record never was."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("run")
    (segment,) = _segments(world)
    if damage == "lost":
        segment.unlink()
        segment.with_name(segment.name + ".manifest.json").unlink()
        segment.with_name(segment.name + ".entry.json").unlink()
    elif damage == "folder":
        shutil.rmtree(world.folder / "archive")
    elif damage == "cut":
        segment.write_bytes(segment.read_bytes()[:100])
    else:
        segment.with_name(segment.name + ".manifest.json").write_text("{}")

    result = world.call("why", "calls", "2")

    assert result.exit_code == 1, result.stdout
    assert "Not looked into: segment " in result.stdout
    assert segment.name in result.stdout


def test_of_two_copies_the_one_that_can_be_read_is_enough(world: WhyWorld) -> None:
    """The segment lies in both archives; one of them is damaged."""
    world.policy(POLICY.replace("  cold: {to: ./archive}", "  cold: {to: ./archive}\n  spare: {to: ./spare}")
                 .replace("archive: cold", "archive: [cold, spare]"))  # fmt: skip
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("run")
    (segment,) = _segments(world)
    segment.write_bytes(b"nothing")

    found = _why(world, "2")

    assert (found.verdict, found.unread) == ("disposed", ())
    assert found.disposals[0].archives == ("cold", "spare")


def test_without_the_ledger_the_entry_beside_the_segment_tells(world: WhyWorld) -> None:
    """A new host with the archive and the policy can still say when it went."""
    world.rows([*old(1, 3), *fresh(4, 9)])
    world.done("run")
    with_ledger = _why(world, "2")
    shutil.rmtree(world.state)

    found = _why(world, "2")

    assert found.verdict == "disposed"
    assert found.disposals == with_ledger.disposals


def test_lines_are_found_by_their_key_field(world: WhyWorld) -> None:
    """Also where it lies inside an object, and holds what JSON escapes; a place is no name of a line that went."""
    world.policy(POLICY.split("datasets:")[0] + "datasets:\n  tools: {store: ./a.jsonl, time: at, key: $.call.id,"
                 " type: kind, keep: 90 days, archive: cold}\n")  # fmt: skip
    ids = ["a", 'quo"te', "zoë", "a\nb"]
    world.lines("a.jsonl", [
        *({"at": "2026-01-01T00:00:00Z", "call": {"id": one}, "kind": "x"} for one in ids),
        {"at": "2026-05-31T00:00:00Z", "call": {"id": "young"}},
    ])  # fmt: skip
    world.done("run")

    for one in ids:
        found = _why(world, one, "tools")
        assert (found.verdict, found.values["$.call.id"]) == ("disposed", one)
    assert _why(world, "young", "tools").verdict == "kept"
    assert world.call("why", "tools", "b").exit_code == 2


def test_lines_without_a_key_field_say_how_to_find_them(world: WhyWorld) -> None:
    """Line numbers change as soon as lines before them go."""
    world.policy(POLICY.split("datasets:")[0] + "datasets:\n  tools: {store: ./a.jsonl, time: at, keep: 90 days,"
                 " archive: cold}\n")  # fmt: skip
    world.lines("a.jsonl", [{"at": "2026-01-01T00:00:00Z"}, {"at": "2026-05-31T00:00:00Z"}])
    world.done("run")

    result = world.call("why", "tools", "a.jsonl:2")

    assert result.exit_code == 2
    assert "A line's number changes" in result.stderr
    assert "`key:`" in result.stderr


def test_rows_that_only_their_place_names_cannot_be_looked_up(world: WhyWorld) -> None:
    """A place is not archived, and may be another row's by now: nobody claims that the row never was."""
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.execute("CREATE TABLE cel (at TEXT, kind TEXT, tenant TEXT)")
        times = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-05-31T00:00:00Z"]
        connection.executemany("INSERT INTO cel VALUES (?, 'CALL', 'acme')", [(time,) for time in times])
    connection.close()
    world.done("run")

    result = world.call("why", "calls", "1")

    assert _why(world, "3").verdict == "kept"
    assert result.exit_code == 1
    assert "it has no column rowid, by which the store names a record" in result.stdout


def test_a_key_of_several_columns_is_found_in_the_archive(world: WhyWorld) -> None:
    """The parts stand between commas, as in the store; any of them may hold commas."""
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.execute("CREATE TABLE cel (host INTEGER, id TEXT, at TEXT, kind TEXT, tenant TEXT,"
                           " PRIMARY KEY (host, id)) WITHOUT ROWID")  # fmt: skip
        connection.executemany("INSERT INTO cel VALUES (?, ?, ?, 'CALL', 'acme')", [
            (1, "a", "2026-01-01T00:00:00Z"), (1, "b,c", "2026-01-01T00:00:00Z"), (2, "a", "2026-05-31T00:00:00Z"),
        ])  # fmt: skip
    connection.close()
    world.done("run")

    assert _why(world, "1,b,c").verdict == "disposed"
    assert _why(world, "2,a").verdict == "kept"
    assert world.call("why", "calls", "2,b,c").exit_code == 2
    assert world.call("why", "calls", "1").exit_code == 2


def test_a_first_part_of_a_key_with_commas_is_found_in_the_archive(world: WhyWorld) -> None:
    """Nobody is told that a record never was, only because its key can be divided in more than one way."""
    connection = sqlite3.connect(world.folder / "calls.db")
    with connection:
        connection.execute("CREATE TABLE cel (host TEXT, id INTEGER, at TEXT, kind TEXT, tenant TEXT,"
                           " PRIMARY KEY (host, id))")  # fmt: skip
        connection.executemany("INSERT INTO cel VALUES (?, ?, ?, 'CALL', 'acme')", [
            ("a,b", 1, "2026-01-01T00:00:00Z"), (None, 2, "2026-01-01T00:00:00Z"), ("a", 2, "2026-05-31T00:00:00Z"),
        ])  # fmt: skip
    connection.close()
    world.done("run")

    assert _why(world, "a,b,1").verdict == "disposed"
    assert _why(world, "a,2").verdict == "kept"
    assert world.call("why", "calls", ",2").exit_code == 2
