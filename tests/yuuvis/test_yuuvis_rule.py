"""What goes and what stays: ages to the microsecond, actions, tenants, and entries that cannot be judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yuuvis_world import NOW, Entry, SqliteTrail, World, days, fill, left
from yuuvis_world import either_fixture as either_fixture
from yuuvis_world import world_fixture as world_fixture

from lapse.dialects.yuuvis.catalogue import read_catalogue


def configuration(default: object = None, **ages: object) -> dict[str, Any]:
    """A configuration; ages by action, as in ``a400=1``."""
    actions = [{"action": int(name[1:]), "cleanupAfterDays": age} for name, age in ages.items()]
    return {"audit": {**({} if default is None else {"defaultCleanupAfterDays": default}), "actions": actions}}


def test_the_documented_example_means_what_it_says(either: World) -> None:
    """400 goes after a day, 100 never, all others after ten days; known or not."""
    fill(either.trail, *(Entry(days(age), action) for action in (100, 400, 300, 777) for age in (0.5, 5, 11)))

    deleted = either.deleted()

    assert deleted == {"acme": {"300": 1, "400": 2, "other": 1}}
    assert left(either.trail) == [1, 2, 3, 4, 7, 8, 10, 11]


@pytest.mark.parametrize("number", [1, 10, 365])
def test_exactly_so_many_days_stay_and_one_step_more_goes(either: World, number: int) -> None:
    """Strictly older, by UTC instants of 86,400 s a day: a change of clocks and a leap day play no part."""
    either.configure(configuration(default=number))
    step = either.trail.step
    fill(either.trail, Entry(days(number) - step), Entry(days(number)), Entry(days(number) + step))

    either.deleted()

    assert left(either.trail) == [1, 2]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York", "Europe/Berlin"])
def test_the_zone_of_the_machine_plays_no_part(world: World, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """The same entries go wherever the cleanup runs."""
    monkeypatch.setenv("TZ", zone)
    world.configure(configuration(default=1))
    fill(world.trail, Entry(days(1)), Entry(days(1) + timedelta(milliseconds=1)))

    world.deleted()

    assert left(world.trail) == [1]


def test_an_offset_is_part_of_a_date(world: World) -> None:
    """The same instant goes or stays however its offset is written."""
    world.configure(configuration(default=1))
    limit = NOW - days(1)
    dates = [
        limit.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        (limit + timedelta(hours=14)).replace(tzinfo=None).isoformat(timespec="milliseconds") + "+14:00",
        (limit - timedelta(hours=5, milliseconds=1)).replace(tzinfo=None).isoformat(timespec="milliseconds") + "-0500",
    ]
    fill(world.trail, *(Entry(date=date) for date in dates))

    world.deleted()

    assert left(world.trail) == [1, 2]


@pytest.mark.parametrize("age", [-1, -2, -(10**30)])
def test_any_negative_number_keeps_for_ever(either: World, age: int) -> None:
    """However negative it is."""
    either.configure(configuration(default=age, a400=age))
    fill(either.trail, Entry(days(12_000), 400), Entry(days(12_000), 300))

    assert either.deleted() == {}
    assert left(either.trail) == [1, 2]


def test_zero_is_a_real_age(either: World) -> None:
    """All that is past goes; what is of now, or later, stays."""
    either.configure(configuration(default=0))
    step = either.trail.step
    fill(either.trail, Entry(step), Entry(timedelta(0)), Entry(-step), Entry(days(1)))

    assert either.deleted() == {"acme": {"300": 2}}
    assert left(either.trail) == [2, 3]


@pytest.mark.parametrize("age", [2**31, 10**12, 10**400, int("9" * 4200)])
def test_huge_numbers_keep_and_warn(either: World, age: int) -> None:
    """Nothing overflows."""
    text = (
        f'{{"audit": {{"defaultCleanupAfterDays": {age}, "actions": [{{"action": 400, "cleanupAfterDays": {age}}}]}}}}'
    )
    either.configure(text)
    fill(either.trail, Entry(days(12_000), 400), Entry(days(12_000)))

    result = either.clean()

    assert result.exit_code == 0
    assert result.stderr.count("kept for ever") == 2
    assert left(either.trail) == [1, 2]


def test_without_a_default_only_listed_actions_go(either: World) -> None:
    """A default that is missing is -1, never 0."""
    either.configure(configuration(a400=1))
    fill(either.trail, Entry(action=400), Entry(action=300), Entry(action=777))

    assert either.deleted() == {"acme": {"400": 1}}


def test_a_misspelt_default_keeps_and_warns(world: World) -> None:
    """Listed actions still apply; the warning names what was meant, perhaps."""
    world.configure({"audit": {"defaultCleanUpAfterDays": 0, "actions": [{"action": 400, "cleanupAfterDays": 1}]}})
    fill(world.trail, Entry(action=400), Entry(action=300))

    result = world.clean()

    assert left(world.trail) == [2]
    assert "`audit.defaultCleanUpAfterDays` is unknown" in result.stderr
    assert "`defaultCleanupAfterDays` is meant" in result.stderr


@pytest.mark.parametrize("actions", [{}, {"actions": []}])
def test_without_actions_the_default_stands_alone(either: World, actions: dict[str, Any]) -> None:
    """Missing and empty are the same."""
    either.configure({"audit": {"defaultCleanupAfterDays": 10, **actions}})
    fill(either.trail, Entry(days(9), 400), Entry(days(11), 400), Entry(days(11), 100))

    assert either.deleted() == {"acme": {"100": 1, "400": 1}}


def test_a_mapping_of_an_unknown_action_is_ignored_and_its_entries_are_kept(either: World) -> None:
    """Its number may be a slip, so that neither it nor the default counts for it."""
    either.configure(configuration(default=1, a999=0, a400=1))
    fill(either.trail, Entry(action=999), Entry(action=998), Entry(action=400))

    result = either.clean()

    assert left(either.trail) == [1]
    assert "action 999 is not in the catalogue" in result.stderr


def test_an_operator_extends_the_catalogue(either: World) -> None:
    """A file beside the configuration: then the mapping counts, and so does the name."""
    either.configure(configuration(default=-1, a999=1))
    (either.file.parent / "auditActionCatalogue.json").write_text('{"version": "1", "actions": {"999": "OURS"}}')
    fill(either.trail, Entry(action=999), Entry(action=998))

    result = either.clean()

    assert "  acme: 999 OURS: 1" in result.stdout.splitlines()
    assert left(either.trail) == [2]


@pytest.mark.parametrize("ages", [(5, 50), (50, 5), (-1, 0), (0, -1), (50, -7)])
def test_of_two_mappings_the_more_protective_counts(either: World, ages: tuple[int, int]) -> None:
    """In whatever order they stand; a warning names both places."""
    actions = [{"action": 400, "cleanupAfterDays": age} for age in ages]
    either.configure({"audit": {"defaultCleanupAfterDays": 1, "actions": actions}})
    fill(either.trail, Entry(days(10), 400), Entry(days(60), 400))

    result = either.clean()

    assert left(either.trail) == ([1, 2] if min(ages) < 0 else [1])
    assert "action 400 has 2 mappings" in result.stderr


DOUBTFUL = (
    Entry(date=""), Entry(date="1989-12-31T23:59:59.999Z"), Entry(date="2999-01-01T00:00:00.000Z"),
    Entry(tenant=None), Entry(tenant=""), Entry(action=None),
)  # fmt: skip
ONLY_IN_TEXTS = (
    Entry(date="2020-01-01T00:00:00.000"), Entry(date="2020-01-01"), Entry(date="yesterday"),
    Entry(date="2020-02-30T00:00:00.000Z"), Entry(date="2020-01-01T24:00:00.000Z"), Entry(date="1577836800000"),
)  # fmt: skip


def test_what_cannot_be_judged_is_kept_and_counted_in_one_warning(either: World) -> None:
    """No date, before 1990, future, unreadable, no offset, no tenant, no action; even at age 0."""
    either.configure(configuration(default=0))
    doubtful = (*DOUBTFUL, *(ONLY_IN_TEXTS if isinstance(either.trail, SqliteTrail) else ()))
    fill(either.trail, *doubtful, Entry(date="1990-01-01T00:00:00.000Z"))

    result = either.clean()

    assert left(either.trail) == list(range(1, len(doubtful) + 1))
    (warning,) = [line for line in result.stderr.splitlines() if "cannot be judged" in line]
    assert warning.startswith(f"Warning: {len(doubtful)} entries are kept")
    assert either.answer()["kept_doubtful"] == len(doubtful)


@pytest.mark.parametrize("action", ["abc", "", 1.5, b"400", "x400", " ", "400x", "-", "1,5"])
def test_an_action_that_is_no_code_is_kept_on_sqlite(world: World, action: object) -> None:
    """A column of SQLite can hold anything; the default is for codes."""
    world.configure(configuration(default=0))
    fill(world.trail, Entry(action=action), Entry(action=-5), Entry(action=0), Entry(action=77777))

    assert world.answer()["kept_doubtful"] == 1
    assert left(world.trail) == [1]
    assert world.answer("-t", "acme")["kept_doubtful"] == 1


def test_what_is_doubtful_among_others_is_no_matter_of_one_tenant(either: World) -> None:
    """With -t only that tenant's doubtful entries are counted."""
    fill(either.trail, Entry(date=""), Entry(date="", tenant="other"), Entry(tenant=None))

    assert either.answer("-t", "acme")["kept_doubtful"] == 1


def test_dates_without_a_zone_on_postgresql_are_refused(either: World) -> None:
    """Every entry of such a column would be doubtful; the store is named and nothing goes."""
    if isinstance(either.trail, SqliteTrail):
        return
    either.trail.query("ALTER TABLE auditentry ALTER creationdate TYPE timestamp")
    fill(either.trail, Entry(date="2020-01-01 00:00:00"))

    result = either.clean()

    assert result.exit_code == 2
    assert "says no zone" in result.stderr
    assert left(either.trail) == [1]


NAMES = ["acme", "ACME", "a%", "a_me", "o'brien", '"', "zoë", "zoe", "acme ", "-x", "*", "glob:*", "${HOME}", "null"]


def test_a_tenant_is_compared_exactly(either: World) -> None:
    """No pattern, no case folding, no trimming, any quote."""
    fill(either.trail, *(Entry(tenant=name) for name in NAMES))

    for number, name in enumerate(NAMES, 1):
        assert either.deleted(f"--tenant={name}") == {name: {"300": 1}}
        assert left(either.trail) == list(range(number + 1, len(NAMES) + 1))


def test_a_collation_that_folds_case_does_not_matter(world: World) -> None:
    """Neither for -t nor for the counts."""
    world.trail.query("DROP TABLE auditentry")
    world.trail.query(
        "CREATE TABLE auditentry (objectid bigint PRIMARY KEY, referredobjectid, creationdate varchar, createdby,"
        " tenant varchar COLLATE NOCASE, action int, traceid, detail, versionnumber, subaction)"
    )
    fill(world.trail, Entry(tenant="acme"), Entry(tenant="ACME"), Entry(tenant="Acme"))

    assert world.deleted("-t", "ACME") == {"ACME": {"300": 1}}
    assert world.deleted() == {"Acme": {"300": 1}, "acme": {"300": 1}}


def test_a_type_that_folds_case_does_not_matter_on_postgresql(either: World) -> None:
    """To citext names are equal that differ by case."""
    if isinstance(either.trail, SqliteTrail):
        return
    either.trail.query("CREATE EXTENSION citext")
    either.trail.query("ALTER TABLE auditentry ALTER tenant TYPE citext")
    fill(either.trail, Entry(tenant="acme"), Entry(tenant="ACME"), Entry(tenant="Acme"))

    assert either.deleted("-t", "ACME") == {"ACME": {"300": 1}}
    assert either.deleted() == {"Acme": {"300": 1}, "acme": {"300": 1}}


def test_a_second_cleanup_of_the_same_moment_deletes_nothing(either: World) -> None:
    """And says so."""
    fill(either.trail, Entry(), Entry(days(1)))

    assert either.answer()["deleted"]["total"] == 1
    assert either.answer()["deleted"]["total"] == 0


def test_an_archive_has_the_entries_byte_for_byte(either: World) -> None:
    """`detail` is parsed by others."""
    detail = "a;b=\"ü\"\t'\\n' "
    fill(either.trail, Entry())
    either.trail.query("UPDATE auditentry SET detail = ?", (detail,))

    either.deleted("--archive", "cold")

    import pyarrow.parquet as pq

    (segment,) = (either.folder / "cold").rglob("*.parquet")
    assert pq.read_table(segment).column("detail").to_pylist() == [detail]


ages = st.one_of(st.none(), st.integers(-2, 40))
codes = st.sampled_from([100, 101, 400, 999, 10000])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    default=ages,
    listed=st.lists(st.tuples(codes, st.integers(-2, 40)), max_size=6),
    entries=st.lists(st.tuples(codes, st.integers(0, 41), st.sampled_from(["a", "B", None])), max_size=12),
)
def test_what_goes_is_what_the_documentation_says(
    world: World,
    default: int | None,
    listed: list[tuple[int, int]],
    entries: list[tuple[int, int, str | None]],
) -> None:
    """Random configurations and entries, against the rules of the documentation written down once more."""
    actions = [{"action": action, "cleanupAfterDays": age} for action, age in listed]
    world.configure(
        {"audit": {**({} if default is None else {"defaultCleanupAfterDays": default}), "actions": actions}}
    )
    world.trail.query("DELETE FROM auditentry")
    fill(world.trail, *(Entry(days(age), action, tenant) for action, age, tenant in entries))

    world.deleted()

    known = read_catalogue(world.file.parent).names
    kept = [
        number
        for number, (action, age, tenant) in enumerate(entries, 1)
        if tenant is None or not _goes(action, age, default, listed, known=action in known)
    ]
    assert left(world.trail) == kept


def _goes(action: int, age: int, default: int | None, listed: list[tuple[int, int]], *, known: bool) -> bool:
    found = [number for code, number in listed if code == action]
    if found and (not known or min(found) < 0):
        return False
    limit = max(found) if found else -1 if default is None else default
    return limit >= 0 and age > limit


def test_an_entry_of_now_that_comes_while_a_cleanup_runs_stays(world: World) -> None:
    """Its date is not before the moment that decides."""
    world.configure(configuration(default=0))
    fill(world.trail, *(Entry(days(age)) for age in range(1, 5)))
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    world.trail.query(
        "CREATE TRIGGER late AFTER DELETE ON auditentry WHEN old.objectid = 1 BEGIN INSERT INTO auditentry"
        f" (objectid, referredobjectid, creationdate, tenant, action) VALUES (100, 'r', '{moment}', 'acme', 300); END"
    )

    world.deleted()

    assert left(world.trail) == [100]
