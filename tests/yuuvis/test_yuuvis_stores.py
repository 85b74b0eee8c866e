"""Several databases at once, where they are named, and what becomes of the others if one fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from yuuvis_world import DDL, Entry, PostgresTrail, SqliteTrail, World, fill, left, make
from yuuvis_world import either_fixture as either_fixture
from yuuvis_world import world_fixture as world_fixture

from lapse.dialects.yuuvis.jdbc import address_of
from lapse.dialects.yuuvis.stores import find_trails
from lapse.errors import PolicyError, UsageError
from lapse.policyfile.secrets import AddressError


@pytest.fixture(name="second")
def second_fixture(tmp_path: Path) -> SqliteTrail:
    """A second database."""
    trail = SqliteTrail(tmp_path / "second.db")
    make(trail)
    return trail


def test_all_tenants_are_those_of_all_databases(world: World, second: SqliteTrail) -> None:
    """A tenant may have entries in more than one; they are counted together."""
    fill(world.trail, Entry(), Entry(tenant="b"))
    fill(second, Entry(), Entry(tenant="c", action=400))

    assert world.deleted("--store", second.url) == {"acme": {"300": 2}, "b": {"300": 1}, "c": {"400": 1}}
    assert (left(world.trail), left(second)) == ([], [])


def test_a_tenant_may_have_entries_in_one_database_only(world: World, second: SqliteTrail) -> None:
    """It is unknown only where no database has any."""
    fill(world.trail, Entry(tenant="b"))
    fill(second, Entry())

    assert world.deleted("--store", second.url, "-t", "acme") == {"acme": {"300": 1}}
    assert world.clean("--store", second.url, "-t", "acme").exit_code == 3


def test_a_variable_lists_databases(world: World, second: SqliteTrail) -> None:
    """Separated by commas, with blanks or without."""
    fill(world.trail, Entry())
    fill(second, Entry())

    result = world.call("audit", "cleanup", env={"LAPSE_STORE": f"{world.trail.url} , {second.url}"})

    assert result.stdout.splitlines()[0] == "2 audit entries deleted."


def test_the_command_line_counts_before_the_variable(world: World, second: SqliteTrail) -> None:
    """Who names a database means no other one."""
    fill(world.trail, Entry())
    fill(second, Entry())

    assert world.clean(env={"LAPSE_STORE": second.url}).exit_code == 0
    assert (left(world.trail), left(second)) == ([], [1])


@pytest.mark.parametrize("listed", [",", "sqlite:///a.db,", " "])
def test_an_empty_place_in_the_variable_is_refused(world: World, listed: str) -> None:
    """A list that was cut off must not be worked on as if it were whole."""
    assert world.call("audit", "cleanup", env={"LAPSE_STORE": listed}).exit_code == 2


def test_a_database_that_is_named_twice_counts_once(world: World) -> None:
    """However it is spelled."""
    fill(world.trail, Entry())

    result = world.clean("--store", f"{world.trail.url.replace('/audit.db', '/./audit.db')}")

    assert result.exit_code == 0
    assert "named more than once" in result.stderr
    assert result.stdout.startswith("1 audit entry deleted.")


def test_a_database_that_fails_leaves_the_others_done(world: World, second: SqliteTrail) -> None:
    """Exit 1; the one is named, the counts are those of the others."""
    fill(world.trail, Entry())
    fill(second, Entry())
    world.trail.query("ALTER TABLE auditentry RENAME TO elsewhere")

    result = world.clean("--store", second.url, "--json")

    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["deleted"]["total"] == 1
    assert [each["store"] for each in found["incomplete"]] == [world.trail.url]
    assert f"Error: {world.trail.url} did not complete: " in result.stderr
    assert left(second) == []


def test_a_tenant_is_not_called_unknown_where_a_database_does_not_answer(world: World) -> None:
    """It may have all its entries there."""
    fill(world.trail, Entry())

    result = world.clean("--store", "sqlite:////away.db", "-t", "nobody")

    assert result.exit_code == 1
    assert left(world.trail) == [1]


def test_a_database_that_is_not_there_is_a_matter_of_configuration(world: World) -> None:
    """If it is the only one, nothing was touched."""
    assert world.call("audit", "cleanup", "--store", "sqlite:////away.db").exit_code == 2


def test_a_server_that_does_not_answer_is_no_matter_of_configuration(world: World) -> None:
    """It may answer tomorrow."""
    assert world.call("audit", "cleanup", "--store", "postgresql://nobody@127.0.0.1:1/x").exit_code == 1


def test_a_name_in_state_and_ledger_is_the_places_alone(tmp_path: Path) -> None:
    """Neither the login nor the order changes it, nor where it is said."""
    one, two = "postgresql://a:x@db/one", "postgresql://a@db/two"
    first, second = find_trails([one, two], tmp_path, {}).found
    listed = find_trails([], tmp_path, {"LAPSE_STORE": "postgresql+psycopg2://b:y@db/two,postgres://db/one"}).found

    assert [each.name for each in listed] == [second.name, first.name]
    assert "x" not in first.shown.partition("@")[0].rpartition(":")[2]


SERVICE = """
spring: {profiles: dbs}
storage:
  datasources:
    default:
      url: %s
      username: "postgres"
      password: pa ss/w@rd
    other: {url: "jdbc:sqlite:%s", maximum-pool-size: 3}
"""


def test_the_services_own_databases_are_found(either: World, second_path: Path) -> None:
    """With JDBC URLs, username and password."""
    trail, second = either.trail, SqliteTrail(second_path)
    make(second)
    fill(trail, Entry())
    fill(second, Entry(tenant="b"))
    url = (
        f"jdbc:sqlite:{trail.path}" if isinstance(trail, SqliteTrail) else f"jdbc:{trail.url.replace('postgres@', '')}"
    )
    (either.folder / "config" / "application-dbs.yml").write_text(SERVICE % (url, second.path))

    result = either.call("audit", "cleanup", "--json")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["deleted"]["by_tenant_and_action"] == {"acme": {"300": 1}, "b": {"300": 1}}


@pytest.fixture(name="second_path")
def second_path_fixture(tmp_path: Path) -> Path:
    """Where a second database may be made."""
    return tmp_path / "second.db"


def test_a_schema_of_a_jdbc_url_is_followed(either: World) -> None:
    """The table in another schema is left alone, and two schemas are two audit trails."""
    if not isinstance(either.trail, PostgresTrail):
        return
    either.trail.query("CREATE SCHEMA eins")
    either.trail.query(DDL.format(time="timestamptz").replace("auditentry", "eins.auditentry"))
    fill(either.trail, Entry())
    either.trail.query("INSERT INTO eins.auditentry SELECT * FROM auditentry")
    url = f"jdbc:{either.trail.url.replace('postgres@', '')}?user=postgres&currentSchema="

    result = either.call("audit", "cleanup", "--store", f"{url}eins")

    assert result.exit_code == 0, result.output
    assert left(either.trail) == [1]
    assert either.trail.query("SELECT count(*) FROM eins.auditentry") == [(0,)]
    assert either.call("audit", "cleanup", "--store", f"{url}eins", "--store", f"{url}public").exit_code == 0
    assert left(either.trail) == []


def found(folder: Path, text: str, **environment: str) -> list[str]:
    """The addresses that the service's file *text* means."""
    (folder / "application-dbs.yml").write_text(text)
    return [trail.address for trail in find_trails([], folder, environment).found]


def test_keys_with_dots_and_variables_are_read_as_the_service_does(tmp_path: Path) -> None:
    """`${NAME:default}` stands for a variable."""
    text = (
        "storage.datasources.a.url: jdbc:postgresql://${HOST:db}/a\nstorage.datasources:\n"
        "  a: {username: u, password: '${SECRET}'}\n  '[b.c]': {url: 'jdbc:postgresql://${HOST:db}/b'}\n"
    )

    assert found(tmp_path, text, SECRET="p:w") == ["postgresql://u:p%3Aw@db/a", "postgresql://db/b"]
    assert found(tmp_path, text, SECRET="x", HOST="h")[1] == "postgresql://h/b"


@pytest.mark.parametrize(
    "text",
    [
        "storage: {datasources: [{url: 'jdbc:postgresql://db/a', username: u, x: 1}, {url: 'jdbc:postgresql://u@db/b'}]}",
        "'storage.datasources[0].url': jdbc:postgresql://u@db/a\n'storage.datasources[1]': {url: 'jdbc:postgresql://u@db/b'}",
    ],
)
def test_a_list_of_databases_is_read_as_the_service_does(tmp_path: Path, text: str) -> None:
    """Its parts have numbers in the place of names."""
    assert found(tmp_path, text) == ["postgresql://u@db/a", "postgresql://u@db/b"]


def test_a_single_database_needs_no_name(tmp_path: Path) -> None:
    """What stands beside its address is a setting of it."""
    text = "storage: {datasources: {url: 'jdbc:postgresql://db/a', username: u, driver: x, pool: {size: 3}}}"

    assert found(tmp_path, text) == ["postgresql://u@db/a"]


@pytest.mark.parametrize(
    "text",
    [
        "storage: {datasources: [{username: u}]}", "storage: {datasources: [{url: 'jdbc:sqlite:a.db'}, {x: 1}]}",
        "storage: {datasources: {username: u}}",
        "storage: {datasources: {url: 'jdbc:sqlite:a.db', b: {username: u}}}",
        "", "storage: {}", "storage: {datasources: {}}", "storage: {datasources: {a: {username: x}}}",
        "storage: {datasources: {a: {url: }}}", "storage: {datasources: {a: {url: [1]}}}", "a: b: c",
        "storage: {datasources: {a: {url: 'jdbc:oracle:thin:@db'}}}", "storage: {datasources: {a: {url: '${AWAY}'}}}",
        "storage: {datasources: {a: {url: 'jdbc:sqlite:a.db'}, a: {url: 'jdbc:sqlite:b.db'}}}",
        "storage: {datasources: {a: {url: 'jdbc:sqlite:a.db'}, b: {}}}",
    ],
)  # fmt: skip
def test_a_file_of_the_service_that_cannot_be_followed_is_refused(tmp_path: Path, text: str) -> None:
    """Half of the databases would be taken for all of them."""
    with pytest.raises(PolicyError) as caught:
        found(tmp_path, text)

    assert all("application-dbs.yml:" in str(complaint) for complaint in caught.value.complaints)
    assert caught.value.complaints


def test_the_services_file_is_not_read_where_the_command_line_says_more(tmp_path: Path) -> None:
    """Who tries something out on a copy does not mean the service's own database; a warning says so."""
    (tmp_path / "application-dbs.yml").write_text("broken: [")

    trails = find_trails(["sqlite:///a.db"], tmp_path, {})

    assert len(trails.found) == 1
    assert "is not read" in trails.warnings[0]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("jdbc:postgresql://h:5433/d", "postgresql://h:5433/d"),
        ("jdbc:postgresql:d", "postgresql://localhost/d"),
        ("jdbc:postgresql://h1:1,h2:2/d", "postgresql://h1:1,h2:2/d"),
        ("jdbc:postgresql://h/d?user=u&password=p%40", "postgresql://u:p%40@h/d"),
        ("jdbc:postgresql://h/?user=u", "postgresql://u@h/u"),
        ("jdbc:postgresql://h/d?ssl=true", "postgresql://h/d?sslmode=verify-full"),
        ("jdbc:postgresql://h/d?ssl=false", "postgresql://h/d"),
        (
            "jdbc:postgresql://h/d?sslmode=require&sslrootcert=/c a",
            "postgresql://h/d?sslmode=require&sslrootcert=%2Fc%20a",
        ),
        ("jdbc:postgresql://h/d?currentSchema=a b", "postgresql://h/d?options=-csearch_path%3Da%5C%20b"),
        ("jdbc:postgresql://h/d?targetServerType=primary", "postgresql://h/d?target_session_attrs=read-write"),
        ("jdbc:sqlite:/a/b.db?cache=shared", "sqlite:////a/b.db"),
        ("jdbc:sqlite:b.db", "sqlite:///b.db"),
    ],
)
def test_a_jdbc_url_means_an_address(url: str, address: str) -> None:
    """In the words of each driver."""
    warnings: list[str] = []

    assert address_of(url, warnings) == address
    assert warnings == []


def test_options_that_mean_nothing_here_are_named(tmp_path: Path) -> None:
    """Without their values, which may be secret."""
    (trail,) = (
        made := find_trails(["jdbc:postgresql://h/d?prepareThreshold=0&password=geheim&user=u"], tmp_path, {})
    ).found

    assert made.warnings == ("options of a JDBC URL that mean nothing here are passed over: prepareThreshold",)
    assert "geheim" not in repr(trail) + trail.shown


@pytest.mark.parametrize("url", ["jdbc:oracle:thin:@db:1521", "jdbc:", "jdbc:mysql://h/d"])
def test_other_databases_are_refused(url: str) -> None:
    """The drop-in knows those in which the table exists."""
    with pytest.raises(AddressError):
        address_of(url, [])


@pytest.mark.parametrize(
    "text", ["/var/log/audit.jsonl", "audit.db", "duckdb:///a.duckdb", "sqlite://a.db", "sqlite:a"]
)
def test_what_is_no_database_with_an_audit_trail_is_refused(tmp_path: Path, text: str) -> None:
    """On the command line that is a mistake of usage."""
    with pytest.raises(UsageError):
        find_trails([text], tmp_path, {})


def test_no_secret_is_said(world: World) -> None:
    """Not where a server refuses, and not in the policy."""
    url = "postgresql://u:geheim@127.0.0.1:1/x"

    for result in (world.call("audit", "cleanup", "--store", url), world.call("policy", "--store", url)):
        assert "geheim" not in result.output + result.stderr
