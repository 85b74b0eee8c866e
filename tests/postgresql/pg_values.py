"""Values of every PostgreSQL type, and a database with types of its own to put them into."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pg_columns import Columns

from servers.postgres import PostgresServer

_ADDED = (
    "CREATE SCHEMA \"Other 100%\"",
    "CREATE TYPE \"Other 100%\".\"Mood\" AS ENUM ('a', 'it''s', '', 'ü,\"')",
    "CREATE TYPE pair AS (a integer, \"B c\" text)",
    "CREATE DOMAIN short AS character varying(3) CHECK (value <> 'no')",
    "CREATE DOMAIN cents AS numeric(10,2)",
    "CREATE DOMAIN many AS integer[]",
    "CREATE DOMAIN shorter AS short",
    "CREATE TYPE textrange AS RANGE (subtype = text)",
    "CREATE EXTENSION hstore",
    "CREATE EXTENSION citext",
)  # fmt: skip
_INFINITIES = ["infinity", "-infinity"]
_NINES = "9" * 38
VALUES: dict[str, list[str]] = {
    "boolean": ["t", "f"],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "2147483647", "0"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["NaN", *_INFINITIES, "-0", "0", "1.17549435e-38", "1e-45", "0.1", "3.4028235e38", "16777217"],
    "double precision": ["NaN", *_INFINITIES, "-0", "5e-324", "0.1", "1.7976931348623157e308", "0.30000000000000004"],
    "numeric": ["NaN", "0", "0.000", "-1.50", "1e-40", _NINES * 4 + ".000", "1e1000", "100"],
    "numeric(10,2)": ["NaN", "0", "-1.5", "99999999.99", "0.01"],
    "numeric(38,0)": [_NINES, f"-{_NINES}"],
    "numeric(38,38)": [f"-0.{_NINES}", "0", f"0.{'0' * 37}1"],
    "numeric(39,2)": ["1.5", "NaN"],
    "numeric(1000,500)": ["1.5"],
    "text": [
        "", "\\N", "NULL", "\\.", "it's \"so\"", "a\r\nb\tc\rd\n", ",", " x ", "🙂 zoe\u0308", "\\x41", "\x01\x7f",
        "NaN",
    ],
    "character varying(26)": ["", "x", "ü" * 26, " "],
    "character(5)": ["ab", "", "ab  ", "abcde"],
    "bpchar": ["ab  ", "", "ab"],
    'text COLLATE "C"': ["é", "e\u0301"],
    "name": ["x", "Ü y"],
    '"char"': ["a", ""],
    "citext": ["Abc", ""],
    "bytea": ["", "\\x00ffc3", "\\x5c78", "\\x" + "00" * 3000],
    "date": [*_INFINITIES, "2020-02-29", "0001-01-01", "9999-12-31", "10000-01-01", "4714-11-24 BC", "5874897-12-31"],
    "time": ["00:00:00", "23:59:59.999999", "24:00:00", "12:00:00.5"],
    "time(0)": ["23:59:59", "24:00:00"],
    "timetz": ["12:00:00.5+02:30:15", "24:00:00-15:59:59", "00:00:00+00"],
    "timestamp": [
        *_INFINITIES, "2020-01-01 00:00:00.123456", "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00",
        "9999-12-31 23:59:59.999999", "10000-01-01", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999",
    ],
    "timestamp(3)": ["2020-01-01 00:00:00.123", "infinity"],
    "timestamptz": [
        *_INFINITIES, "2020-01-01 00:00:00.123456+05:45", "1969-12-31 23:59:59.9Z", "0044-03-15 00:00:00+00 BC",
        "294276-12-31 23:59:59.999999+00", "2020-03-29 02:30:00 Europe/Paris",
    ],
    "interval": [
        "1 month", "30 days", "-1 year -2 mons +3 days -04:05:06.000001", "1 year -1 day", "-00:00:00.000001", "0",
        "178956970 years 7 mons", "-178956970 years -8 mons", "2147483647 days", "-2147483648 days",
        "2562047788:00:54.775807", "-2562047788:00:54.775807", "1 mon -1 day 00:00:01",
    ],
    "interval day to second(3)": ["1 day 00:00:01.123"],
    "uuid": ["ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000"],
    "json": ['{"b": [1, 2.50, null, {"a": "\\u00e9"}], "a":1, "a":2}', "null", " 1\n", '"\\u0000"'],
    "jsonb": ['{"b": [1, 2.50, null, {"a": "\\u00e9"}], "a":1}', "null", "1.000", '""'],
    "jsonpath": ['$."a"[*] ? (@ > 1)'],
    "inet": ["1.2.3.4", "1.2.3.4/24", "::1", "2001:db8::/32", "0.0.0.0/0"],
    "cidr": ["1.2.3.0/24", "::/0", "1.2.3.4/32"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(3)": ["101"],
    "bit varying": ["", "0", "000000001"],
    "money": ["$1,000.05", "-$0.01", "-92233720368547758.08"],
    "oid": ["0", "4294967295"],
    "xid": ["4294967295"],
    "xid8": ["18446744073709551615"],
    "pg_lsn": ["FFFFFFFF/FFFFFFFF", "0/0"],
    "pg_snapshot": ["10:20:10,14,15"],
    "txid_snapshot": ["10:20:10,14,15"],
    "tid": ["(4294967295,65535)"],
    "regclass": ["pg_class", "4294967"],
    "regtype": ["integer", '"Other 100%"."Mood"'],
    "regprocedure": ["sum(integer)"],
    "tsvector": ["'a':1A 'it''s':2,3B 'b c' 'd\\\\e'", ""],
    "tsquery": ["'a' & !('b c':*AB | 'it''s') <2> 'd'", ""],
    "point": ["(0.1,-0)", "(NaN,infinity)", "(5e-324,1.7976931348623157e308)"],
    "line": ["{1,-1,0.1}"],
    "lseg": ["[(0.1,0.2),(0.30000000000000004,4)]"],
    "box": ["(3,4),(0.1,0.2)"],
    "path": ["[(0.1,0.2),(3,4)]", "((0.1,0.2),(3,4))"],
    "polygon": ["((0.1,0.2),(3,4),(5,6))"],
    "circle": ["<(0.1,0.2),0.3>"],
    "integer[]": ["{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[0:1]={5,6}", "[-2:-1][5:6]={{1,2},{3,NULL}}"],
    "text[]": ['{"a,b","c}","NULL",NULL,"","\\"","\\\\"," x ","{",nul,"a\nb\rc"}'],
    "bytea[]": ['{"\\\\x00ff",""}'],
    "double precision[]": ["{NaN,0.1,1e300,-0,Infinity}"],
    "timestamp with time zone[]": ['{infinity,"2020-01-01 00:00:00+00","0044-03-15 00:00:00+00 BC"}'],
    "numeric(4,1)[]": ["{1.0,NaN}"],
    "pair": ['(1,"x, (y) ""z""")', "(,)", '(,"")', '(2147483647," \n")'],
    "pair[]": ['{"(1,\\"a,b\\")","(,)"}'],
    '"Other 100%"."Mood"': ["it's", "", 'ü,"'],
    '"Other 100%"."Mood"[]': ['{it\'s,"","ü,\\""}'],
    "short": ["", "ab"],
    "shorter": ["", "ab"],
    "cents": ["1.5", "NaN"],
    "many": ["{1,2}", "[0:1]={5,6}"],
    "int4range": ["empty", "[1,5)", "(,)", "[1,)"],
    "tstzrange": ['["2020-01-01 00:00:00.5+00",infinity)', "(,)"],
    "textrange": ['["a,""b","c)"]', '("",)'],
    "int4multirange": ["{}", "{[1,3),[5,)}"],
    "datemultirange": ["{[2020-01-01,2020-02-01)}"],
    "numeric(3,-2)": ["1200", "NaN"],
    "numeric(3,5)": ["0.00123"],
    "hstore": ['"a=>"=>"b, c", "n"=>NULL, "q\\""=>""', ""],
}  # fmt: skip


@pytest.fixture(scope="module")
def typed(postgres: PostgresServer) -> Iterator[Columns]:
    """A database with types of its own."""
    url = postgres.create_database("types")
    columns = Columns(url)
    columns.run(*_ADDED)
    yield columns
    columns.close()
    postgres.drop_database("types")


def keep(columns: Columns) -> None:
    columns.run("CREATE TABLE kept AS SELECT * FROM log")


def differing(columns: Columns, table: str = "log") -> list[int]:
    """Rows that are not there to the bit as they were: ``*=`` compares what is stored."""
    query = (
        f"SELECT k.id FROM kept k LEFT JOIN {table} l ON l.id = k.id WHERE NOT coalesce(l::record *= k::record, false)"
    )
    return [number for (number,) in columns.rows(query)]
