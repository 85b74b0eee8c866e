"""Very many rules, which are looked up: what goes without a copy is counted while it is removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import psycopg
import pytest
from pg_looking import dataset, run

from lapse.model.disposal import Disposal, Waiver
from lapse.model.match import Glob
from lapse.model.policy import Rule
from lapse.model.selection import Selection, select
from lapse.ports import Budget
from lapse.sqlcore import lookups
from lapse.sqlcore.fragments import Fragment
from lapse.sqlcore.lookups import FEWEST
from lapse.sqlcore.sidetables import Placed
from lapse.stores.postgresql import PostgresStore
from lapse.testing.flow import facts_of, rule
from lapse.testing.harness import NOW

_TENANTS = FEWEST + 10


def test_each_rule_is_told_the_rows_that_went_under_it(pg_database: str) -> None:
    """A tenant of number n has n old rows, all of which go; the young one of each stays."""
    run(
        pg_database,
        "CREATE TABLE log (id int PRIMARY KEY, at timestamptz, tenant text)",
        f"INSERT INTO log SELECT row_number() OVER (), CASE WHEN n > 0 THEN '2000-01-01'::timestamptz "
        f"ELSE to_timestamp({NOW // 10**9 - 60}) END, 't' || t "
        f"FROM generate_series(1, {_TENANTS}) AS t, generate_series(0, t) AS n",
    )
    rules = [replace(rule("30 days", (), tenant=f"t{t}"), index=t - 1) for t in range(1, _TENANTS + 1)]
    log = replace(dataset(pg_database, "log", time="at"), tenant="tenant", rules=tuple(rules))
    selection = select(log, floors=(), holds=(), now=NOW, real_now=NOW)
    gone = _gone(selection)

    assert gone == {(t - 1, f"t{t}"): t for t in range(1, _TENANTS + 1)}
    with psycopg.connect(pg_database) as connection:
        assert connection.execute("SELECT count(*), min(at) > '2020-01-01' FROM log").fetchone() == (_TENANTS, True)


_ODD = ["", "a,b", "it's", "two\nlines", "NULL", "A", "a", " a ", "é", "%s"]
_PATTERN, _KIND = rule("1 day", (), tenant=Glob("t1*")), rule("5 days", (), kind="k3")
_FILLING = (
    "CREATE TABLE log (id int PRIMARY KEY, at timestamptz, tenant text, kind text)",
    (
        f"INSERT INTO log SELECT n, CASE WHEN n % 97 = 0 THEN NULL WHEN n % 89 = 0 THEN 'infinity' "
        f"ELSE to_timestamp({NOW // 10**9}) - (n * 7919 % 100) * interval '1 day' END, "
        "CASE WHEN n % 31 = 0 THEN NULL WHEN n % 29 = 0 THEN 'nobody' "
        f"WHEN n % 5 = 0 THEN (ARRAY[$${'$$,$$'.join(_ODD)}$$])[1 + n / 5 % {len(_ODD)}] "
        f"ELSE 't' || n % {_TENANTS} END, "
        "'k' || n % 5 FROM generate_series(1, 3000) AS n"
    ),
)
_CHILD = (
    "CREATE TABLE part (log int REFERENCES log ON DELETE CASCADE)",
    "INSERT INTO part SELECT id FROM log WHERE id % 3 = 0",
)


@pytest.mark.parametrize("child", [False, True], ids=["alone", "with rows that go along"])
@pytest.mark.parametrize("more", [(), (_PATTERN,), (_KIND,), (_PATTERN, _KIND)], ids=len)
def test_what_is_looked_up_goes_as_what_is_tried(
    pg_database: str, monkeypatch: pytest.MonkeyPatch, more: tuple[Rule, ...], child: bool
) -> None:
    """Joined where nothing else decides, else row by row; what has no time or no tenant, or no rule, stays."""
    texts = [*_ODD, *(f"t{t}" for t in range(_TENANTS - 5))]
    rules = [*(rule(f"{10 + 20 * (n % 3)} days", (), tenant=text) for n, text in enumerate(texts)), *more]
    numbered = tuple(replace(each, index=index) for index, each in enumerate(rules))
    log = replace(dataset(pg_database, "log", time="at"), tenant="tenant", rules=numbered)
    selection = select(log, floors=(), holds=(), now=NOW, real_now=NOW)
    ways, used = [], _counted(monkeypatch)
    for fewest in (1, 10**9):
        monkeypatch.setattr(lookups, "FEWEST", fewest)
        run(pg_database, "DROP TABLE IF EXISTS part, log, lapse_disposals", *_FILLING, *(_CHILD if child else ()))
        ways.append((_disposals(selection), _left(pg_database)))

    (gone, left), (tried, other) = ways
    assert left == other
    assert [_told(each) for each in gone] == [_told(each) for each in tried]
    assert len(gone) > 1
    assert len({share for each in gone for share in each.shares}) > FEWEST
    assert bool(used) == (not more and not child)
    assert 0 < len(left) < 3000


def _told(disposal: Disposal) -> tuple[object, ...]:
    """What of a disposal tells which records went."""
    return dict(disposal.shares), disposal.records, disposal.size, disposal.oldest, disposal.newest


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The alias of each side table that is joined to rows that go."""
    used: list[str] = []
    using = Placed.using

    def noted(self: Placed, alias: str, keys: Sequence[Fragment]) -> tuple[Fragment, Fragment]:
        used.append(alias)
        return using(self, alias, keys)

    monkeypatch.setattr(Placed, "using", noted)
    return used


def _gone(selection: Selection) -> Counter[tuple[int, str | None]]:
    """Remove what has lapsed: the records that went, by rule and tenant."""
    return sum((Counter(each.shares) for each in _disposals(selection)), Counter[tuple[int, str | None]]())


def _disposals(selection: Selection) -> Sequence[Disposal]:
    """Remove what has lapsed, in pieces of some hundred records."""
    store, found = PostgresStore(selection.dataset, read_only=False), list[Disposal]()
    with store.lease():
        for piece in store.slices(selection, facts_of(selection), Budget(rows=500)):
            with store.take(piece) as taken:
                found.append(taken.commit(Waiver(slice=piece.name)))
    store.close()
    return found


def _left(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT id FROM log ORDER BY id").fetchall()
