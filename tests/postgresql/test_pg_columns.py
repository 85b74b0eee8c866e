"""A survey under very many rules, in columns and by joins, counts what one that tries each rule counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter

import psycopg
import pytest
from pg_looking import dataset, run

from lapse.errors import StoreError
from lapse.model.match import Glob
from lapse.model.policy import Dataset, Rule
from lapse.model.selection import Selection, select
from lapse.ports import Budget
from lapse.sqlcore import lookups
from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql import PostgresStore, columncounts, rowcounts, surveying
from lapse.stores.postgresql.cutting import Cutter
from lapse.stores.postgresql.judging import Judge
from lapse.stores.postgresql.pieces import OfPlaces, unpack
from lapse.stores.postgresql.scene import Scene
from lapse.stores.postgresql.surveying import Survey
from lapse.testing.flow import facts_of, rule
from lapse.testing.harness import NOW
from servers.postgres import PostgresServer

_ODD = [
    "",
    "a,b",
    "it's",
    'a "quoted" one',
    "two\nlines",
    "a\rreturn",
    "\\N",
    "\\.",
    "NULL",
    "A",
    "a",
    " a ",
    "é",
    "%s",
]
_TABLE = "CREATE TABLE log (id bigint PRIMARY KEY, at timestamptz, tenant text, kind text)"
_ROWS = (
    "INSERT INTO log SELECT n, CASE WHEN n %% 97 = 0 THEN NULL WHEN n %% 89 = 0 THEN 'infinity' "
    "WHEN n %% 83 = 0 THEN '9999-01-01' "
    f"ELSE to_timestamp({NOW // 10**9}) - (n * 7919 %% 100) * interval '1 day' END, "
    "CASE WHEN n %% 31 = 0 THEN NULL ELSE (%s::text[])[1 + n %% %s] END, 'k' || n / 7 %% 11 "
    "FROM generate_series(1, %s) AS n"
)


@dataclass
class Asked:
    """How the server was asked for rows or their counts, and with which rules joined."""

    found: list[tuple[str, bool]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Stretches and cells are short."""
    noted = Asked([])
    for name in ("counted", "listed"):
        method = getattr(Judge, name)

        def note(
            self: Judge, *arguments: object, joined: bool, _name: str = name, _method: object = method, **more: object
        ) -> object:
            noted.found.append((_name, joined))
            return _method(self, *arguments, joined=joined, **more)  # type: ignore[operator]

        monkeypatch.setattr(Judge, name, note)
    monkeypatch.setattr(rowcounts, "ROWS", 300)
    monkeypatch.setattr(surveying, "ROWS", 300)
    monkeypatch.setattr(columncounts, "ROWS", 300)
    monkeypatch.setattr(columncounts.ColumnCounts, "most", 1500)
    return noted


def _fill(url: str, rows: int, tenants: list[str], *more: str, table: str = _TABLE) -> None:
    run(url, table)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_ROWS.encode(), (tenants, len(tenants), rows))
    run(url, *more, "ANALYZE log")


def _selection(url: str, tenants: list[str]) -> tuple[Dataset, Selection]:
    """A rule for each tenant and kind but the last kind; some archive."""
    rules = [
        rule(f"{10 + 20 * (t % 3)} days", ("cold",) if k == 1 else (), tenant=name, kind=f"k{k}")
        for t, name in enumerate(tenants)
        for k in range(10)
    ]
    numbered = tuple(replace(each, index=index) for index, each in enumerate(rules))
    log = replace(dataset(url, "log", time="at"), tenant="tenant", rules=numbered)
    return log, select(log, floors=(), holds=(), now=NOW, real_now=NOW)


def _surveyed(log: Dataset, selection: Selection, mark: dict[str, tuple[int, ...]] | None) -> Survey:
    scene = Scene(log, read_only=True)
    cutter = Cutter(scene)
    try:
        cutter.survey(selection, mark)
        return cutter._known(selection, mark).survey
    finally:
        scene.close()


def _both(log: Dataset, selection: Selection, mark: dict[str, tuple[int, ...]] | None = None) -> tuple[Survey, Survey]:
    """Looked up, and each rule tried."""
    found = _surveyed(log, selection, mark)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookups, "FEWEST", 10**9)
        return found, _surveyed(log, selection, mark)


def _check(found: Survey, tried: Survey) -> None:
    assert found.tallies == tried.tallies
    assert found.divisions == tried.divisions
    assert found.ruler == tried.ruler
    for one, other in pairwise(found.cells):
        assert other.range.follows(one.range) or one.range.leaf != other.range.leaf
    goals = {goal for cell in tried.cells for goal in cell.going}
    assert len(goals) == 2
    for goal in goals:
        assert sum(cell.count(goal) for cell in found.cells) == sum(cell.count(goal) for cell in tried.cells)
        cutoffs = [{cell.going[goal].cutoff for cell in one.cells if goal in cell.going} for one in (found, tried)]
        assert min(cutoffs[0]) == min(cutoffs[1])
    assert sum(cell.rows for cell in found.cells) == sum(cell.rows for cell in tried.cells)


def test_tenants_of_any_text_and_none_are_told_apart(pg_database: str, asked: Asked) -> None:
    """Separators, quotes, ends of lines, what reads like NULL; times that are none; a summary of sixty rows a group."""
    _fill(pg_database, 9_000, _ODD)
    log, selection = _selection(pg_database, _ODD)

    found, tried = _both(log, selection)

    _check(found, tried)
    assert {tally.tenant for tally in found.tallies} == {None, *_ODD}
    assert {how for how, _ in asked.found} == {"counted", "listed"}
    assert ("listed", True) in asked.found or ("counted", True) in asked.found


def test_where_nearly_each_row_is_a_group_of_its_own_rows_are_asked_for(pg_database: str, asked: Asked) -> None:
    """After the first stretch, and with the rules joined; few groups are counted by the server throughout."""
    tenants = [f"t{number}" for number in range(700)]
    _fill(pg_database, 9_000, tenants)
    log, selection = _selection(pg_database, tenants)

    found, tried = _both(log, selection)

    _check(found, tried)
    assert asked.found[0][0] == "counted"
    assert {how for how, _ in asked.found[1:]} == {"listed"}


def test_few_groups_are_counted_by_the_server(pg_database: str, asked: Asked) -> None:
    """However long the table is."""
    _fill(pg_database, 9_000, ["a"])
    log, selection = _selection(pg_database, ["a", *(f"t{number}" for number in range(9))])

    found, tried = _both(log, selection)

    _check(found, tried)
    assert {how for how, _ in asked.found} == {"counted"}


@pytest.mark.parametrize(("looks", "joined"), [(0, False), (10**6, True)])
def test_rules_are_joined_or_looked_up(
    pg_database: str, asked: Asked, monkeypatch: pytest.MonkeyPatch, looks: int, joined: bool
) -> None:
    """Beside further rules that have to be tried, and others that ask for one field: the first that matches counts."""
    monkeypatch.setattr(columncounts, "_LOOKS", looks)
    _fill(pg_database, 3_000, _ODD)
    log, selection = _selection(pg_database, _ODD)
    more = (rule("5 days", (), kind="k3"), *log.rules[:70], rule("1 day", (), tenant=Glob("a*")), *log.rules[70:])
    log = replace(log, rules=tuple(replace(each, index=index) for index, each in enumerate(more)))
    selection = select(log, floors=(), holds=(), now=NOW, real_now=NOW)

    found, tried = _both(log, selection)

    _check(found, tried)
    assert {how for _, how in asked.found} == {joined}


def test_a_stretch_has_cells_that_are_as_short_as_elsewhere(pg_database: str, asked: Asked) -> None:
    """So that slices of few rows can be cut out of them; each has the rows that lie in it."""
    _fill(pg_database, 20_000, _ODD)
    log, selection = _selection(pg_database, _ODD)

    found, _ = _both(log, selection)

    with psycopg.connect(pg_database) as connection:
        pages = connection.execute("SELECT split_part(trim('(' FROM ctid::text), ',', 1)::int FROM log").fetchall()
    lying = Counter(page for (page,) in pages)
    for cell in found.cells:
        assert cell.rows == sum(lying[page] for page in range(cell.range.first[0], cell.range.last[0]))

    assert len(asked.found) < 0.5 * len(found.cells)
    assert max(cell.rows for cell in found.cells) <= 600


def test_slices_of_few_rows_read_little_more_than_they_take(pg_database: str, asked: Asked) -> None:
    """What goes without a copy is two thirds of the rows: a slice of 150 need not read an eighth of the table."""
    _fill(pg_database, 9_000, _ODD)
    log, selection = _selection(pg_database, _ODD)
    store = PostgresStore(log, read_only=True)
    planned = tuple(store.survey(selection))
    found = [
        (piece.destination, bounds.stretch)
        for piece in store.slices(selection, facts_of(selection), Budget(rows=150))
        if isinstance(bounds := unpack(piece.bounds), OfPlaces)
    ]
    store.close()

    assert asked.found
    assert len(found) >= sum(tally.records for tally in planned if selection.ending(tally.code) is not None) // 150
    with psycopg.connect(pg_database) as connection:
        ((pages,),) = connection.execute("SELECT pg_relation_size('log') / 8192").fetchall()
    read = [each.last[0] - each.first[0] for goal, each in found if not goal.archives]
    assert len(read) > 20
    assert max(read) < pages / 8


def test_each_leaf_of_a_partitioned_table_is_counted(pg_database: str, asked: Asked) -> None:
    """Of any size, an empty one included."""
    table = (
        "CREATE TABLE log (id bigint NOT NULL, at timestamptz, tenant text, kind text) PARTITION BY RANGE (id);"
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (6000);"
        "CREATE TABLE log_3 PARTITION OF log FOR VALUES FROM (6000) TO (7000);"
        "CREATE TABLE log_4 PARTITION OF log FOR VALUES FROM (10000) TO (20000)"
    )
    _fill(pg_database, 6_500, _ODD, table=table)
    log, selection = _selection(pg_database, _ODD)

    found, tried = _both(log, selection)

    _check(found, tried)
    assert len({cell.range.leaf for cell in found.cells}) == 3


def test_scattered_times_are_divided_as_elsewhere(pg_database: str, asked: Asked) -> None:
    """By the ruler, for slices by time."""
    _fill(pg_database, 20_000, _ODD, "CREATE INDEX ON log (at)")
    log, selection = _selection(pg_database, _ODD)

    found, tried = _both(log, selection)

    _check(found, tried)
    assert found.ruler is not None
    assert len(found.divisions) > 10
    assert {how for how, _ in asked.found} == {"counted", "listed"}


def test_what_came_after_a_sealed_plan_is_not_counted(pg_database: str, asked: Asked) -> None:
    """Keys above its mark."""
    _fill(pg_database, 5_000, _ODD)
    log, selection = _selection(pg_database, _ODD)

    found, tried = _both(log, selection, {"id": (3_210,)})

    _check(found, tried)
    assert sum(tally.records for tally in found.tallies) == 3_210


def test_a_dataset_without_tenants_is_counted(pg_database: str, asked: Asked) -> None:
    """All of them have none."""
    _fill(pg_database, 3_000, _ODD)
    log, selection = _selection(pg_database, _ODD)
    log = replace(log, tenant=None)
    selection = select(log, floors=(), holds=(), now=NOW, real_now=NOW)

    found, tried = _both(log, selection)

    _check(found, tried)
    assert {tally.tenant for tally in found.tallies} == {None}


@pytest.fixture
def encoded(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of another encoding."""
    with postgres.connect() as connection:
        connection.execute(f"CREATE DATABASE encoded ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0".encode())
    yield postgres.url("encoded")
    postgres.drop_database("encoded")


@pytest.mark.parametrize("encoded", ["LATIN1"], indirect=True)
def test_a_database_of_another_encoding_is_counted(encoded: str, asked: Asked) -> None:
    """Its texts are compared and named as what they mean."""
    _fill(encoded, 3_000, _ODD)
    log, selection = _selection(encoded, _ODD)

    found, tried = _both(log, selection)

    _check(found, tried)
    assert "é" in {tally.tenant for tally in found.tallies}


@pytest.mark.parametrize("encoded", ["SQL_ASCII"], indirect=True)
def test_bytes_that_are_no_text_stop_the_survey_and_leave_the_session_usable(encoded: str, asked: Asked) -> None:
    """Where the database does not say what its bytes mean."""
    _fill(encoded, 300, ["a"], "UPDATE log SET tenant = convert_from('\\xff', 'SQL_ASCII') WHERE id = 7")
    log, selection = _selection(encoded, ["a", *(f"t{number}" for number in range(9))])
    store = PostgresStore(log, read_only=True)

    try:
        with pytest.raises(StoreError, match='encoding "UTF8"'):
            list(store.survey(selection))

        assert store.identity().fingerprint.text
    finally:
        store.close()


def test_a_server_that_ends_long_statements_is_asked_for_less(
    pg_database: str, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is counted twice."""
    _fill(pg_database, 3_000, _ODD)
    log, selection = _selection(pg_database, _ODD)
    whole, _ = _both(log, selection)
    slow = "(SELECT 0 FROM pg_sleep(CASE WHEN r.id % 300 = 7 THEN 0.02 ELSE 0 END))".replace("%", "%%")
    number = columncounts._number
    monkeypatch.setattr(columncounts, "_number", lambda cells: f"{number(cells)} + {slow}")
    run(pg_database, "ALTER ROLE postgres SET statement_timeout = '90ms'")
    try:
        found = _surveyed(log, selection, None)
    finally:
        run(pg_database, "ALTER ROLE postgres RESET statement_timeout")

    assert found.tallies == whole.tallies


_PATTERN, _KIND = rule("1 day", (), tenant=Glob("a*")), rule("5 days", (), kind="k3")


@pytest.mark.parametrize("more", [(), (_PATTERN,), (_KIND,), (_PATTERN, _KIND)], ids=len)
def test_what_is_joined_and_what_is_looked_up_is_the_same_code(pg_database: str, more: tuple[Rule, ...]) -> None:
    """Row by row, with one table of rules or two, and with a rule that is tried or none."""
    _fill(pg_database, 2_000, _ODD)
    log, selection = _selection(pg_database, _ODD)
    rules = (*log.rules[:12], *more, *log.rules[12:])
    log = replace(log, rules=tuple(replace(each, index=index) for index, each in enumerate(rules)))
    selection = select(log, floors=(), holds=(), now=NOW, real_now=NOW)
    scene = Scene(log, read_only=True)
    judge = scene.judge(selection)
    assert judge.lookups is not None
    assert len(judge.lookups.texts) == 1 + (_KIND in more)
    assert len(judge.lookups.singles) == (_PATTERN in more)

    asked = (judge.listed(Fragment("TRUE"), ["r.id"], from_="log AS r", joined=joined) for joined in (False, True))
    answers = [sorted(scene.connection.query(question), key=itemgetter(2)) for question in asked]
    scene.close()

    assert len(answers[0]) == 2_000
    assert answers[0] == answers[1]
