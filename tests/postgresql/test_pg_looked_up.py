"""Very many rules, which are looked up: what goes without a copy is counted while it is removed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import psycopg
from pg_looking import dataset, run

from lapse.model.disposal import Waiver
from lapse.model.selection import select
from lapse.ports import Budget
from lapse.sqlcore.lookups import FEWEST
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
    store, gone = PostgresStore(log, read_only=False), Counter[tuple[int, str | None]]()
    with store.lease():
        for piece in store.slices(selection, facts_of(selection), Budget()):
            with store.take(piece) as taken:
                disposal = taken.commit(Waiver(slice=piece.name))
            gone.update({(share.rule, share.tenant): share.records for share in disposal.shares})
    store.close()

    assert gone == {(t - 1, f"t{t}"): t for t in range(1, _TENANTS + 1)}
    with psycopg.connect(pg_database) as connection:
        assert connection.execute("SELECT count(*), min(at) > '2020-01-01' FROM log").fetchone() == (_TENANTS, True)
