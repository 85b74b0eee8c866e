"""How a table of MariaDB is cut into slices: each lapsed row once, few others read, by keys, times and sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mysql_opened import rows_read, statements, world
from mysql_worlds import MysqlWorld

from lapse.instant import SECOND
from lapse.model.disposal import Waiver
from lapse.ports import Budget
from lapse.stores.mysql import MysqlStore
from lapse.testing.contract_taking import aged
from lapse.testing.flow import cut, days_ago, facts_of, judged, keys_of, remove, rule, run
from lapse.testing.harness import Record

__all__ = ["world"]

KEYS = {
    "VARCHAR(60) CHARACTER SET latin1 COLLATE latin1_german2_ci": "CONCAT(CHAR(65 + seq % 26), 'é ', seq)",
    "VARCHAR(60) COLLATE utf8mb4_unicode_ci": "CONCAT('😀', seq % 7, '\"%', CHAR(39), seq)",
    "CHAR(36) CHARACTER SET ucs2": "MD5(seq)",
    "BINARY(16)": "UNHEX(MD5(seq))",
    "VARBINARY(40)": "CONCAT(UNHEX('00FF'), seq)",
    "UUID": "CAST(CONCAT(LEFT(MD5(seq), 8), '-0000-1000-8000-000000000000') AS UUID)",
    "INET6": "CONCAT('::', HEX(seq))",
    "DATETIME(6)": "'2020-01-01' + INTERVAL seq * 13 MICROSECOND",
    "TIMESTAMP(3)": "'2020-01-01' + INTERVAL seq HOUR",
    "DATE": "'2020-01-01' + INTERVAL seq DAY",
    "DECIMAL(40, 10)": "seq / 7 - 5",
    "BIGINT UNSIGNED": "18446744073709551615 - seq",
    "BIGINT": "50 - CAST(seq AS SIGNED)",
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("composite", [False, True], ids=["alone", "second"])
def test_a_key_of_any_type_is_walked_once(world: MysqlWorld, kind: str, composite: bool) -> None:
    """Slices by a primary or a unique key, alone or behind another column, visit each lapsed row once."""
    world.create([])
    key = "PRIMARY KEY (tenant, named)" if composite else "UNIQUE (named)"
    statements(
        world,
        f"CREATE TABLE keyed (id BIGINT, named {kind} NOT NULL, at DATETIME, tenant VARCHAR(9), kind TEXT, {key})",
        f"INSERT INTO keyed SELECT seq, {KEYS[kind]}, IF(seq % 3, '2020-01-01', '2026-11-20'), seq % 4, 'call' "
        "FROM seq_1_to_90",
    )
    selection = judged(world, rule("30 days"), table="keyed")

    with world.store(selection.dataset) as store:
        assert store.identity().refusal is None
        removals = run(store, selection, Budget(rows=7))

    gone = [key for removal in removals for key in keys_of(removal.drained)]
    assert sorted(gone) == [number for number in range(1, 91) if number % 3]
    assert max(removal.disposal.records for removal in removals) <= 7


def test_a_run_reads_hardly_more_rows_than_it_removes(world: MysqlWorld) -> None:
    """Where what lapsed lies together in the order of the key; the survey is not counted."""
    world.create([])
    statements(
        world,
        "INSERT INTO log (id, at, kind, tenant, body) SELECT seq, '2026-01-01' + INTERVAL seq MINUTE, 'call', 't', "
        "REPEAT('x', 50) FROM seq_1_to_60000",
    )
    cutoff = days_ago(310)
    selection = judged(world, rule("310 days", ()))
    with world.store() as store:
        list(store.survey(selection))
        pieces = store.slices(selection, facts_of(selection), Budget(rows=4000))
        read, gone = 0, 0
        for piece in pieces:
            before = rows_read(world)
            with store.take(piece) as taken:
                gone += taken.commit(Waiver(slice=piece.name, rules=("rule 1",))).records
            read += rows_read(world) - before

    assert gone == (cutoff - 1_767_225_600 * SECOND - 1) // (60 * SECOND)
    assert read <= 1.2 * gone


def test_heavy_rows_make_small_slices(world: MysqlWorld) -> None:
    """The budget is one of bytes, too."""
    world.create([Record(key=n, at=days_ago(400), body="x" * 10_000) for n in range(1, 41)])
    selection = judged(world, rule("1 day"))

    with world.store() as store:
        removals = run(store, selection, Budget(rows=1000, size=100_000))

    assert len(removals) >= 4
    assert max(removal.disposal.records for removal in removals) <= 12
    assert world.snapshot() == {}


def test_rows_go_from_partitions_as_from_any_table(world: MysqlWorld) -> None:
    """A partitioned table needs nothing of its own."""
    world.create([])
    statements(
        world,
        "DROP TABLE log",
        "CREATE TABLE log (id BIGINT NOT NULL AUTO_INCREMENT, at DATETIME(6) NOT NULL, kind VARCHAR(40), "
        "tenant VARCHAR(40), level BIGINT, body TEXT, PRIMARY KEY (id, at)) PARTITION BY RANGE COLUMNS (at) "
        "(PARTITION old VALUES LESS THAN ('2026-06-01'), PARTITION new VALUES LESS THAN (MAXVALUE))",
    )
    records = [Record(key=n, at=days_ago(n * 7)) for n in range(1, 51)]
    world.add(*records)
    selection = judged(world, rule("100 days"))

    with world.store() as store:
        gone = {key for removal in run(store, selection, Budget(rows=6)) for key in keys_of(removal.drained)}

    assert gone == {n for n in range(1, 51) if n * 7 > 100}
    assert set(world.snapshot()) == set(range(1, 51)) - gone


def test_a_slice_that_was_too_long_comes_again_in_halves(world: MysqlWorld) -> None:
    """Together they hold what it held, each row once; one row cannot be cut."""
    world.create(aged(60))
    selection = judged(world, rule("10 days"))
    with world.store() as store:
        assert isinstance(store, MysqlStore)
        (piece,) = cut(store, selection)
        halves = [replace(half, name=f"00000{n}") for n, half in enumerate(store.halves(piece))]
        gone = [removal for half in halves if (removal := remove(store, half)) is not None]

    counts = [removal.disposal.records for removal in gone]
    assert counts == [25, 25]

    world.create([Record(key=1, at=days_ago(400))])
    with world.store() as store:
        assert isinstance(store, MysqlStore)
        (piece,) = cut(store, selection)
        assert store.halves(piece) == ()


SCATTERED = (
    "INSERT INTO log (id, at, kind, tenant, body) SELECT seq, "
    "'2025-01-01' + INTERVAL (seq * 7919 % 40000) * 20 MINUTE + INTERVAL seq % 10 MICROSECOND, 'call', 't', "
    "REPEAT('x', 50) FROM seq_1_to_40000"
)


@pytest.mark.parametrize("index", ["KEY `by_time` (`at`)", "KEY `elsewhere` (`tenant`)"])
def test_rows_that_lie_scattered_are_found_by_the_index_of_their_times(world: MysqlWorld, index: str) -> None:
    """Then hardly more rows are read than go; without such an index the table is read once. The same rows go."""
    world.create([])
    statements(world, "ALTER TABLE log DROP KEY `by_time`", f"ALTER TABLE log ADD {index}", SCATTERED)
    statements(world, "INSERT INTO log (id, at) VALUES (50000, NULL), (50001, '1970-01-05')", "ANALYZE TABLE log")
    selection = judged(world, rule("600 days", ()))
    before = world.server.execute("SELECT COUNT(*) FROM log", database=world.database)[0][0]
    with world.store(read_only=True) as store:
        assert sum(tally.records for tally in store.survey(selection)) == before
    with world.store() as store:
        lapsed = sum(tally.records for tally in store.survey(selection) if tally.code in selection.lapsed_codes())
        reads = rows_read(world)
        gone = 0
        for piece in store.slices(selection, facts_of(selection), Budget(rows=1500)):
            with store.take(piece) as taken:
                gone += taken.commit(Waiver(slice=piece.name, rules=("rule 1",))).records
        reads = rows_read(world) - reads

    (left,) = world.server.execute("SELECT COUNT(*) FROM log", database=world.database)[0]
    assert 3000 < gone == lapsed == before - left < 20_000
    assert reads <= (1.2 * gone if "by_time" in index else 1.4 * before)
