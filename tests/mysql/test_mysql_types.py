"""Every column type goes to Parquet and back into the same table exactly, or the take names its column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mysql_worlds import NoReturningStore

from lapse.errors import StoreError
from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import Dataset, Rule
from lapse.model.selection import Selection, select
from lapse.ports import Part
from lapse.segments import open_writer, read_segment
from lapse.stores.mysql import MysqlStore
from lapse.testing.flow import Drained, cut, drain, prove
from lapse.testing.harness import NOW
from servers.mariadb import MariadbServer

MODE = "ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO"
TYPES: dict[str, tuple[str, list[str]]] = {
    "tinyint": ("TINYINT", ["-128", "127", "0"]),
    "bool": ("BOOLEAN", ["0", "1", "7"]),
    "unsigned": ("TINYINT UNSIGNED", ["255"]),
    "smallint": ("SMALLINT UNSIGNED", ["65535"]),
    "mediumint": ("MEDIUMINT", ["-8388608", "8388607"]),
    "mediumint unsigned": ("MEDIUMINT UNSIGNED", ["16777215"]),
    "int zerofill": ("INT(8) ZEROFILL", ["42", "4294967295"]),
    "bigint": ("BIGINT", ["-9223372036854775808", "9223372036854775807"]),
    "bigint unsigned": ("BIGINT UNSIGNED", ["18446744073709551615", "9223372036854775808"]),
    "decimal": ("DECIMAL(38,10)", ["-9999999999999999999999999999.9999999999", "0.0000000001"]),
    "decimal 65": ("DECIMAL(65,30)", ["-99999999999999999999999999999999999.999999999999999999999999999999", "0"]),
    "decimal whole": ("DECIMAL(20,0)", ["99999999999999999999"]),
    "float": ("FLOAT", ["0.1", "16777217", "3.4028234e38", "1.17549435e-38", "1e-45", "-1.5", "123456.789"]),
    "float shown": ("FLOAT(7,2)", ["12345.67", "-0.1"]),
    "double": ("DOUBLE", ["0.1", "1.7976931348623157e308", "5e-324", "0.30000000000000004", "123456789012345678"]),
    "double shown": ("DOUBLE(12,3)", ["0.123", "-99999.999"]),
    "bit": ("BIT(64)", ["b'1111111111111111111111111111111111111111111111111111111111111111'", "0", "b'10'"]),
    "bit 1": ("BIT(1)", ["b'1'", "b'0'"]),
    "bit 13": ("BIT(13)", ["b'1010101010101'"]),
    "year": ("YEAR", ["0", "1901", "2155"]),
    "time": ("TIME(6)", ["'-838:59:59.000000'", "'838:59:59'", "'00:00:00.000001'", "'-00:00:01.5'"]),
    "date": ("DATE", ["'0000-00-00'", "'2020-00-00'", "'2020-02-31'", "'1000-01-01'", "'9999-12-31'", "'0000-01-01'"]),
    "datetime": (
        "DATETIME(6)",
        [
            "'0000-00-00'",
            "'2020-01-00'",
            "'2020-02-31 10:00:00.5'",
            "'9999-12-31 23:59:59.999999'",
            "'0001-01-01 00:00:00.000001'",
            "'1969-12-31 23:59:59.999999'",
        ],
    ),
    "datetime plain": ("DATETIME", ["'2020-01-01 10:00:00'", "'0000-00-00 00:00:00'"]),
    "datetime 3": ("DATETIME(3)", ["'2020-01-01 10:00:00.123'"]),
    "timestamp": ("TIMESTAMP(6) NULL", ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'", "'0000-00-00'"]),
    "char": ("CHAR(5)", ["'ab   '", "''", "'a\\nb'"]),
    "char binary": ("CHAR(5) CHARACTER SET binary", ["'ab'", "X'00FF22'"]),
    "varchar": (
        "VARCHAR(200)",
        ["'😀 \"q\", \\n\\r\\n\\0 ''é'' %s ? |'", "'trailing '", "''", "','", "'\"'", "'NULL'"],
    ),
    "utf8mb3": ("VARCHAR(20) CHARACTER SET utf8mb3", ["'é€'"]),
    "latin1": ("VARCHAR(300) CHARACTER SET latin1", ["X'" + bytes(range(256)).hex() + "'"]),
    "ascii": ("VARCHAR(20) CHARACTER SET ascii", ["'plain'"]),
    "ucs2": ("VARCHAR(20) CHARACTER SET ucs2", ["'é€'"]),
    "utf16": ("VARCHAR(20) CHARACTER SET utf16", ["'é😀'"]),
    "koi8": ("VARCHAR(20) CHARACTER SET koi8r", ["'привет'"]),
    "gbk": ("VARCHAR(20) CHARACTER SET gbk", ["'中文'"]),
    "tinytext": ("TINYTEXT", ["'a'"]),
    "longtext": ("LONGTEXT", ["REPEAT('x', 100000)", "'é'"]),
    "json": ("JSON", ['\'{"b":  1, "a": [1,2.50, "\\\\u00e9"], "b": 2}\'', "'null'", "'\"\"'"]),
    "enum": ("ENUM('a','b,c','é','')", ["'b,c'", "'é'", "''"]),
    "set": ("SET('x','y','z')", ["'x,z'", "''"]),
    "binary": ("BINARY(8)", ["'ab'", "X'00FF0A0D2200'"]),
    "varbinary": ("VARBINARY(300)", ["X'" + bytes(range(256)).hex() + "'", "''", "'\"'"]),
    "blob": ("LONGBLOB", ["X'" + (bytes(range(256)) * 400).hex() + "'"]),
    "point": ("POINT", ["ST_GeomFromText('POINT(1.5 -2)', 4326)", "ST_GeomFromText('POINT(0 0)')"]),
    "geometry": ("GEOMETRY", ["ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))')"]),
    "inet6": ("INET6", ["'::1'", "'2001:db8::ff'", "'::ffff:1.2.3.4'"]),
    "inet4": ("INET4", ["'1.2.3.4'"]),
    "uuid": ("UUID", ["'6ccd780c-baba-1026-9564-5b8c656024db'"]),
}


def selection_of(dataset: Dataset) -> Selection:
    """Everything older than a day goes."""
    return select(dataset, floors=(), holds=(), now=NOW, real_now=NOW)


def dataset_of(server: MariadbServer, database: str, *, table: str = "log", **more: Any) -> Dataset:
    """A dataset with one rule."""
    rule = Rule(index=0, match=Match(), keep=parse_period("1 day"), archives=("cold",))
    address = server.socket_url(database)
    return Dataset(name="log", store=address, shown=address, table=table, time="at", rules=(rule,), **more)


def taken(dataset: Dataset, store_class: type[MysqlStore] = MysqlStore) -> list[Drained]:
    """Remove everything that lapsed."""
    store = store_class(dataset, read_only=False)
    try:
        found: list[Drained] = []
        for piece in cut(store, selection_of(dataset)):
            with store.take(piece) as take:
                drained = drain(take.parts())
                take.commit(prove(piece, drained))
                found += drained
        return found
    finally:
        store.close()


def restored(dataset: Dataset, parts: list[Part]) -> list[tuple[int, int]]:
    """Put parts back."""
    store = MysqlStore(dataset, read_only=False)
    try:
        counts = [store.restore(part) for part in parts]
    finally:
        store.close()
    return [(count.restored, count.present) for count in counts]


def through_parquet(item: Drained, folder: Path) -> Part:
    """The part as it comes out of a segment."""
    from dataclasses import replace

    path = folder / "segment.parquet"
    path.unlink(missing_ok=True)
    with open_writer("parquet", path, item.part) as writer:
        for batch in item.batches:
            writer.write(batch)
    with path.open("rb") as file:
        return replace(item.part, batches=iter(list(read_segment("parquet", file))))


def content(server: MariadbServer, database: str, table: str = "log") -> list[tuple[Any, ...]]:
    """Every row, each value to the bit."""
    columns = server.execute(
        "SELECT COLUMN_NAME, DATA_TYPE IN ('float', 'double') FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION",
        (database, table),
    )
    quoted = ["`" + name.replace("`", "``") + "`" + (" * 1e0" if floating else "") for name, floating in columns]
    exact = ", ".join(f"HEX(CAST({name} AS BINARY))" for name in quoted)
    return server.execute(f"SELECT {exact} FROM `{table}` ORDER BY CAST(id AS SIGNED)", database=database)


def make(server: MariadbServer, database: str, columns: dict[str, str], rows: list[dict[str, str]]) -> None:
    """A table ``log`` with a key and a time, and *rows* of SQL values; one of them stays."""
    named = [f"`{name.replace('`', '``')}` {kind}" for name, kind in columns.items()]
    definition = ", ".join(["id INT AUTO_INCREMENT PRIMARY KEY", "at DATETIME", *named])
    with server.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET sql_mode = '{MODE}'")
        cursor.execute(f"CREATE TABLE log ({definition}) ENGINE=InnoDB")
        cursor.execute("INSERT INTO log (at) VALUES ('2026-11-22 09:00:00')")
        for row in rows:
            names = ", ".join(["at", *(f"`{name.replace('`', '``')}`" for name in row)])
            values = ", ".join(["'2026-01-01'", *row.values()])
            cursor.execute(f"INSERT INTO log ({names}) VALUES ({values})")


@pytest.mark.parametrize("store_class", [MysqlStore, NoReturningStore])
def test_every_type_comes_back_from_parquet_as_it_was(
    mariadb: MariadbServer, mariadb_database: str, tmp_path: Path, store_class: type[MysqlStore]
) -> None:
    """All values of all types, NULL among them, through a segment into the same table: not a bit differs."""
    columns = {name: kind for name, (kind, _) in TYPES.items()}
    rows = [{name: value} for name, (_, values) in TYPES.items() for value in values]
    make(mariadb, mariadb_database, columns, rows)
    dataset = dataset_of(mariadb, mariadb_database)
    before = content(mariadb, mariadb_database)

    (drained,) = taken(dataset, store_class)
    left = content(mariadb, mariadb_database)
    counts = [restored(dataset, [through_parquet(drained, tmp_path)]) for _ in range(2)]

    assert len(left) == 1
    assert counts == [[(len(rows), 0)], [(0, len(rows))]]
    assert content(mariadb, mariadb_database) == before


def test_a_table_that_is_gone_is_made_anew_by_a_restore(
    mariadb: MariadbServer, mariadb_database: str, tmp_path: Path
) -> None:
    """Its columns have their declared types; the key is lost, and a second restore still writes nothing."""
    kinds = ("bigint unsigned", "decimal 65", "float", "datetime", "varchar", "latin1", "varbinary", "json", "time")
    columns = {name: TYPES[name][0] for name in kinds}
    make(mariadb, mariadb_database, columns, [{name: value} for name in kinds for value in TYPES[name][1]])
    dataset = dataset_of(mariadb, mariadb_database)
    mariadb.execute("DELETE FROM log WHERE at > '2026-02-01'", database=mariadb_database)
    before = content(mariadb, mariadb_database)
    (drained,) = taken(dataset)
    mariadb.execute("DROP TABLE log", database=mariadb_database)

    counts = [restored(dataset, [through_parquet(drained, tmp_path)]) for _ in range(2)]

    assert counts == [[(len(before), 0)], [(0, len(before))]]
    assert content(mariadb, mariadb_database) == before


def test_names_of_any_kind_are_names(mariadb: MariadbServer, mariadb_database: str, tmp_path: Path) -> None:
    """Quotes, backticks, capitals, blanks, percent signs and words of SQL are part of a name and nothing else."""
    names = ['a"b', "a`b", "Größe", "two words", "100%", "%s", "SELECT", "it's", "a.b", "back\\slash", "_lapse_odd"]
    make(mariadb, mariadb_database, dict.fromkeys(names, "VARCHAR(20)"), [dict.fromkeys(names, "'x'")])
    dataset = dataset_of(mariadb, mariadb_database, tenant='a"b', type="%s")
    before = content(mariadb, mariadb_database)

    (drained,) = taken(dataset)
    counts = restored(dataset, [through_parquet(drained, tmp_path)])

    assert [column.name for column in drained.part.columns] == ["id", "at", *names]
    assert counts == [(1, 0)]
    assert content(mariadb, mariadb_database) == before


def test_a_table_name_of_any_kind_is_a_name(mariadb: MariadbServer, mariadb_database: str) -> None:
    """Of the address's own database, or of another."""
    make(mariadb, mariadb_database, {"body": "TEXT"}, [{"body": "'x'"}] * 3)
    mariadb.execute('ALTER TABLE log RENAME TO `Log "100% s`', database=mariadb_database)
    mariadb.create_database(f"{mariadb_database}_other")
    dataset = dataset_of(mariadb, f"{mariadb_database}_other", table=f'{mariadb_database}.Log "100% s')

    (drained,) = taken(dataset)
    mariadb.drop_database(f"{mariadb_database}_other")

    assert (drained.part.table, len(drained.keys)) == (f'{mariadb_database}.Log "100% s', 3)


def test_generated_and_invisible_columns_are_archived_and_only_the_real_ones_written_back(
    mariadb: MariadbServer, mariadb_database: str, tmp_path: Path
) -> None:
    """The server computes the others again."""
    columns = {
        "n": "INT",
        "hidden": "VARCHAR(10) INVISIBLE",
        "virtually": "INT AS (n * 2) VIRTUAL",
        "stored": "INT AS (n * 3) STORED",
    }
    make(mariadb, mariadb_database, columns, [{"n": "7", "hidden": "'here'"}])
    dataset = dataset_of(mariadb, mariadb_database)
    before = content(mariadb, mariadb_database)

    (drained,) = taken(dataset)
    counts = restored(dataset, [through_parquet(drained, tmp_path)])

    (row,) = drained.batches[0].to_pylist()  # type: ignore[union-attr]
    assert (row["n"], row["hidden"], row["virtually"], row["stored"]) == (7, "here", 14, 21)
    assert counts == [(1, 0)]
    assert content(mariadb, mariadb_database) == before


def test_a_value_that_nobody_could_write_again_is_not_taken(mariadb: MariadbServer, mariadb_database: str) -> None:
    """The empty text of an ENUM's error: the take is rolled back, and the error names the column."""
    make(mariadb, mariadb_database, {"state": "ENUM('on','off')"}, [{"state": "'on'"}, {"state": "'neither'"}])
    before = content(mariadb, mariadb_database)

    with pytest.raises(StoreError, match="column state"):
        taken(dataset_of(mariadb, mariadb_database))

    assert content(mariadb, mariadb_database) == before
