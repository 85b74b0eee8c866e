"""``empty time: oldest``: an empty text counts as the oldest time that is believed, and the rules decide."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pg_rules_tools import DAY_NS, NOW, connected, dataset, instants, judge, times_table

from lapse.errors import UnsupportedError
from lapse.instant import Nanos
from lapse.model.match import Match
from lapse.model.period import parse_period
from lapse.model.policy import DOUBT_BEFORE_DEFAULT, OLDEST, Floor, Hold, Rule
from lapse.model.selection import Selection, select
from lapse.model.timetext import parse_time_text
from lapse.stores.postgresql.catalog import Table
from lapse.stores.postgresql.connection import Connection
from servers.postgres import PostgresServer

_TEXTS = ("", " ", None, "yesterday", "2014-06-09 15:13:21", "2026-11-20 00:00:00.5", "1980-01-01", "2999-01-01")


@pytest.fixture(scope="module", params=["varchar(26)", "char(26)"])
def column(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[tuple[Connection, Table]]:
    """A table of such texts; a char is padded with blanks that mean nothing."""
    name = f"pg_empty_{request.param[:4].strip('(')}"
    with connected(postgres.create_database(name)) as connection:
        yield connection, times_table(connection, request.param, _TEXTS)
    postgres.drop_database(name)


def _decided(connection: Connection, table: Table, selection: Selection) -> list[int]:
    code = judge(connection, table, selection).code
    return [int(found) for (found,) in connection.query("SELECT " + code + " FROM log AS r ORDER BY id")]


def _expected(selection: Selection, text: str | None, kind: str) -> int:
    read = (text or "").rstrip() if kind == "character" else text
    instant = selection.dataset.empty_time if read == "" and text is not None else parse_time_text(read or "", None)
    return selection.decide(instant, lambda _: None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.booleans(),
    st.none() | st.sampled_from([DOUBT_BEFORE_DEFAULT, Nanos(0), NOW]),
    st.sampled_from(["1 day", "10 years", "36 years", "400 years", "forever"]),
    st.none() | st.sampled_from(["2 days", "100 years"]),
    st.none() | st.sampled_from([Nanos(0), Nanos(NOW - 100 * DAY_NS)]),
)
def test_what_an_empty_text_is_decides_as_any_time_does(
    column: tuple[Connection, Table],
    oldest: bool,
    doubt_before: Nanos | None,
    period: str,
    at_least: str | None,
    held_before: Nanos | None,
) -> None:
    """Rules, floors and holds are those of `Selection.decide` at that instant; without the key it is doubtful."""
    connection, table = column
    rule = Rule(index=0, match=Match(), keep=parse_period(period), waived=True)
    policy = dataset(rules=(rule,), doubt_before=doubt_before, empty_is_oldest=oldest)
    floors = [Floor(at_least=parse_period(at_least), because="law")] if at_least else []
    holds = [Hold(matter="M", records_before=held_before)] if held_before is not None else []
    selection = select(policy, floors=floors, holds=holds, now=NOW, real_now=NOW)

    found = _decided(connection, table, selection)

    assert found == [_expected(selection, text, table.column("at").base) for text in _TEXTS]
    assert (found[0] == 0) is not oldest


def test_it_is_as_old_as_a_time_can_be_that_is_believed(column: tuple[Connection, Table]) -> None:
    """Exactly `doubt before`, or where nothing is too old to be believed, the oldest that is told from others."""
    assert dataset(empty_is_oldest=True).empty_time == DOUBT_BEFORE_DEFAULT
    assert dataset(empty_is_oldest=True, doubt_before=None).empty_time == OLDEST
    assert dataset().empty_time is None
    assert instants(*column)[0] is None


def test_a_column_that_holds_no_texts_has_no_empty_ones(postgres: PostgresServer) -> None:
    """The key is a mistake there, and told as one."""
    with connected(postgres.create_database("pg_empty_none")) as connection:
        table = times_table(connection, "timestamptz", [])
        selection = select(dataset(empty_is_oldest=True), floors=(), holds=(), now=NOW, real_now=NOW)
        with pytest.raises(UnsupportedError, match="never an empty text"):
            _decided(connection, table, selection)
    postgres.drop_database("pg_empty_none")
