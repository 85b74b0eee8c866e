"""Looking at database files to propose a policy."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from lapse.engine.inspecting import propose, write_proposal
from lapse.engine.planning import plan
from lapse.engine.session import open_session
from lapse.errors import StoreMissingError, UsageError
from lapse.model.selection import Verdict
from lapse.policyfile import load
from lapse.ports import Sketch

NOW = datetime.now(UTC)
# As Django 5.2 creates the table of django-auditlog 3.4.
AUDITLOG = """
CREATE TABLE "auditlog_logentry" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "object_pk" varchar(255) NOT NULL, "object_id" bigint NULL, "object_repr" text NOT NULL,
    "action" smallint unsigned NOT NULL CHECK ("action" >= 0), "timestamp" datetime NOT NULL,
    "actor_id" integer NULL, "content_type_id" integer NOT NULL, "remote_addr" char(39) NULL,
    "additional_data" text NULL, "cid" varchar(255) NULL, "changes_text" text NOT NULL, "changes" text NULL,
    "remote_port" integer unsigned NULL, "actor_email" varchar(254) NULL)
"""
USERS = 'CREATE TABLE "auth_user" ("id" integer PRIMARY KEY, "username" varchar(150), "date_joined" datetime NOT NULL)'


def make(path: Path, *scripts: tuple[str, Sequence[Sequence[object]]]) -> Path:
    """A SQLite file: each script, then its rows into the table that it makes."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for script, rows in scripts:
            connection.execute(script)
            table = script.split("(")[0].split()[-1]
            for row in rows:
                connection.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    return path


def ago(days: int) -> str:
    """A time as Django writes it into SQLite: naive, UTC."""
    return (NOW - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep away from what the machine's own Lapse remembers."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """An application's database: an audit trail, its users, and settings without a time."""
    entries = [
        (n, str(n), n, f"Customer {n}", n % 3, ago(n), n % 4 + 1, 7, None, None, None, "", "{}", None, None)
        for n in range(1, 301)
    ]
    return make(
        tmp_path / "app.db",
        (AUDITLOG, entries),
        (USERS, [(n, f"user{n}", ago(900)) for n in range(1, 5)]),
        ("CREATE TABLE setting (name TEXT, value TEXT)", [("theme", "dark")]),
    )


def first(path: Path) -> Sketch:
    """What is proposed first."""
    return propose(str(path)).datasets[0].sketch


def test_an_audit_trail_of_django_gives_time_type_and_actor(trail: Path) -> None:
    """The trail is proposed, with its types by frequency; users are mentioned and left out, as is what has no time."""
    proposal = propose(str(trail), folder=trail.parent)

    (dataset,) = proposal.datasets
    sketch = dataset.sketch
    assert dataset.name == "auditlog_logentry"
    assert (sketch.time, sketch.type, sketch.actor) == ("timestamp", "action", "actor_id")
    assert {kind for kind, _ in sketch.types} == {"0", "1", "2"}
    assert "auth_user" in proposal.text
    assert "read as UTC" in proposal.text


def test_a_proposed_policy_plans_at_once_and_removes_nothing(trail: Path) -> None:
    """The file as written passes check and plan; every record is kept."""
    policy = trail.parent / "lapse.yaml"
    write_proposal(policy, propose(str(trail), folder=trail.parent))

    planned = plan(open_session(str(policy)))

    assert planned.datasets[0].records() == 300
    assert planned.datasets[0].records(Verdict.KEPT) == 300


def test_a_rule_on_another_column_needs_no_new_fingerprint(trail: Path) -> None:
    """The `expect:` that is proposed names store and table; the columns in use may change with the rules."""
    policy = trail.parent / "lapse.yaml"
    write_proposal(policy, propose(str(trail), folder=trail.parent))
    rules = 'keep: [{actor_id: "1", for: 6 years}, {for: 100 days}]'
    policy.write_text(policy.read_text().replace("    keep: forever", f"    {rules}"))

    assert plan(open_session(str(policy))).datasets[0].records(Verdict.LAPSED) > 100


def test_addresses_below_the_policy_are_written_relative_to_it(trail: Path, tmp_path: Path) -> None:
    """So that the folder can be moved; an address elsewhere stays absolute."""
    near = propose(f"sqlite:///{trail}", folder=trail.parent).datasets[0].sketch.store
    far = propose(str(trail), folder=tmp_path / "elsewhere").datasets[0].sketch.store

    assert near == "sqlite:///app.db"
    assert far == f"sqlite:///{trail}"
    for address, folder in ((near, trail.parent), (far, tmp_path)):
        file = folder / "some.yaml"
        file.write_text(
            f"version: 1\ndatasets:\n  log: {{store: '{address}', table: auditlog_logentry, time: timestamp}}\n"
        )
        assert load(file).datasets["log"].store == f"sqlite:///{trail}"


@pytest.mark.parametrize(
    ("column", "epoch", "unit", "form"),
    [
        ("visit_date", 1970, 1_000_000, "unix microseconds"),
        ("visit_time", 1601, 1_000_000, "webkit microseconds"),
        ("at_ms", 1970, 1000, "unix milliseconds"),
        ("created", 1970, 1, "unix seconds"),
    ],
)
def test_integer_times_explain_themselves(tmp_path: Path, column: str, epoch: int, unit: int, form: str) -> None:
    """The unit and the epoch are found from the values, and the policy says them."""
    begin = datetime(epoch, 1, 1, tzinfo=UTC)
    rows = [(n, int((NOW - timedelta(days=n) - begin).total_seconds() * unit), "page") for n in range(1, 200)]
    path = make(
        tmp_path / "history.db", (f"CREATE TABLE visits (id INTEGER PRIMARY KEY, {column} INTEGER, what TEXT)", rows)
    )

    proposal = propose(str(path), folder=tmp_path)

    assert proposal.datasets[0].sketch.time == column
    assert proposal.datasets[0].sketch.time_format.value == form
    assert f'time format: "{form}"' in proposal.text


def test_a_duckdb_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    """Whatever its name: a plain path is enough."""
    path = tmp_path / "events.data"
    connection = duckdb.connect(str(path))
    connection.execute(
        "CREATE TABLE event_log (id INTEGER PRIMARY KEY, moment TIMESTAMPTZ, kind VARCHAR, user_name VARCHAR)"
    )
    connection.execute(
        "INSERT INTO event_log SELECT i, now() - INTERVAL (i) DAY, 'k' || (i % 3), 'u' FROM range(1, 100) r(i)"
    )
    connection.close()

    sketch = first(path)

    assert sketch.store == f"duckdb:///{path}"
    assert (sketch.table, sketch.time, sketch.type) == ("event_log", "moment", "kind")


def test_one_table_can_be_named(trail: Path) -> None:
    """Also one that looks like no log; an unknown one is answered with those that are there."""
    assert [each.name for each in propose(str(trail), table="auth_user").datasets] == ["auth_user"]
    with pytest.raises(StoreMissingError, match="no table 'nope'") as caught:
        propose(str(trail), table="nope")
    assert "auditlog_logentry" in str(caught.value.hint)


def test_a_table_without_a_time_is_refused(trail: Path) -> None:
    """What has no time cannot be kept for a time."""
    with pytest.raises(UsageError, match="holds a time"):
        propose(str(trail), table="setting")


def test_looking_changes_nothing(trail: Path) -> None:
    """The database is the same byte for byte, and no file is left beside it."""
    before = trail.read_bytes()

    propose(str(trail))

    assert trail.read_bytes() == before
    assert [path.name for path in trail.parent.iterdir()] == ["app.db"]
