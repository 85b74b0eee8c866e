"""Plug-ins of both groups: which are called, with what, in which order, and what their failure does."""

from __future__ import annotations

import json

import pytest
from plugin_tools import install
from xivo_world import FULL, PURGED, XivoWorld
from xivo_world import world_fixture as world_fixture

from lapse.dialects.xivo.purge import Order, purge
from other_runs import another_run

ARCHIVES, OLD_ARCHIVES, PURGERS = "wazo_purge_db.archives", "xivo_purge_db.archives", "wazo_purge_db.purgers"

_NOTING = """
    import json
    import sys

    def note(name):
        def archive(config):
            with open(config["notes"], "a") as notes:
                notes.write(json.dumps([name, config["days_to_keep"], config["mine"]]) + "\\n")
            config["mine"].append(name)
            config["days_to_keep"] = 0
            config["enabled_plugins"]["purgers"].clear()
        return archive

    first, second, third = note("first"), note("second"), note("third")
"""


def notes(world: XivoWorld) -> list[object]:
    """What the noting plug-ins wrote down."""
    file = world.folder / "notes"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def enable(world: XivoWorld, archives: str, more: str = "") -> None:
    """Enable archive plug-ins, and tell them where to write."""
    world.config(f"enabled_plugins: {{archives: [{archives}]}}\nnotes: {world.folder}/notes\nmine: [1]\n{more}")


def test_the_enabled_are_called_once_in_their_order_before_anything_goes(
    world: XivoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list's order counts, in either group; what is installed but not enabled stays alone. Each gets a mapping
    of its own, with its own keys and the command line's days, and cannot change the purge with it.
    """
    points = {ARCHIVES: {"a": "first", "z": "third"}, OLD_ARCHIVES: {"b": "second"}}
    install(world.folder, monkeypatch, code=_NOTING, points=points)
    enable(world, "b, a")

    result = world.call("-d", "300")

    assert result.exit_code == 0, result.output
    assert notes(world) == [["second", 300, [1]], ["first", 300, [1]]]
    assert world.counts() == PURGED


def test_an_archive_sees_the_rows_that_are_about_to_go(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called before the first delete; a class is called as a function is."""
    code = """
        import sqlite3

        class Archive:
            def __init__(self, config):
                connection = sqlite3.connect(config["db_uri"].removeprefix("sqlite:///"))
                print(*connection.execute("SELECT count(*) FROM cel").fetchone(), "rows")
                connection.close()
    """
    install(world.folder, monkeypatch, code=code, points={ARCHIVES: {"mine": "Archive"}})
    enable(world, "mine")

    assert "(INFO) (mine): 5 rows" in world.call().stdout


def test_what_a_plug_in_prints_becomes_log_records(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of stdout and of stderr, also one without its end, and what it logs by itself."""
    code = """
        import logging, sys

        def archive(config):
            print("one\\ntwo")
            print("three", end="")
            print("ouch", file=sys.stderr)
            logging.getLogger("my.plugin").warning("four")
    """
    install(world.folder, monkeypatch, code=code, points={ARCHIVES: {"mine": "archive"}})
    enable(world, "mine")

    result = world.call()

    assert result.exit_code == 0
    for line in ("(INFO) (mine): one", "(INFO) (mine): two", "(INFO) (mine): three", "(WARNING) (my.plugin): four"):
        assert line in result.stdout
        assert line in world.log.read_text()
    assert "(ERROR) (mine): ouch" in result.stderr


def test_the_password_that_a_plug_in_prints_or_fails_with_is_not_told(
    world: XivoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets the address of the database with it; neither the log nor the answer has it."""
    code = """
        import logging

        def archive(config):
            print("copying", config["other"])
            logging.getLogger("mine").warning("from %s", config["other"])
            raise RuntimeError("no answer: " + config["other"])
    """
    install(world.folder, monkeypatch, code=code, points={ARCHIVES: {"mine": "archive"}})
    world.config("other: postgresql://asterisk:hunter2@db/asterisk\nenabled_plugins: {archives: [mine]}\n")

    told = world.call("--json")

    assert told.output.count("postgresql://asterisk:***@db/asterisk") == 4  # printed, logged, failed, and in the answer
    assert "hunter2" not in told.output + world.log.read_text()


def test_json_stays_one_object_whatever_a_plug_in_prints(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log lines go to stderr then."""
    code = "def archive(config): print('{not json')"
    install(world.folder, monkeypatch, code=code, points={ARCHIVES: {"mine": "archive"}})
    enable(world, "mine")

    assert world.json()["result"]["archives"] == ["mine"]


@pytest.mark.parametrize(
    ("body", "code", "cause"),
    [
        ("raise RuntimeError('disk full')", 1, "archive plug-in bad failed: RuntimeError: disk full"),
        ("raise BaseExceptionGroup('x', [ValueError('y')])", 1, "archive plug-in bad failed: ExceptionGroup"),
        ("sys.exit(7)", 7, "ended the program with 7"),
        ("sys.exit(0)", 1, "ended the program with 1"),
        ("sys.exit()", 1, "ended the program with 1"),
        ("sys.exit('no room')", 1, "ended the program with 1: no room"),
        ("sys.exit(256)", 1, "ended the program with 1"),
        ("sys.exit(-1)", 1, "ended the program with 1"),
        ("return config['missing']", 1, "KeyError: 'missing'"),
    ],
)
def test_an_archive_that_fails_stops_the_purge(
    world: XivoWorld, monkeypatch: pytest.MonkeyPatch, body: str, code: int, cause: str
) -> None:
    """Nothing is deleted, those after it are not called, the cause is named, and the exit code is not 0."""
    text = f"import sys\ndef bad(config):\n    {body}\n"
    install(world.folder, monkeypatch, code=text, points={ARCHIVES: {"bad": "bad"}})
    install(world.folder, monkeypatch, code=_NOTING, points={ARCHIVES: {"good": "first"}})
    enable(world, "bad, good")

    result = world.call()

    assert result.exit_code == code
    assert cause in result.stderr
    assert cause in world.log.read_text()
    assert world.counts() == FULL
    assert notes(world) == []
    assert not world.pid_file.exists()


@pytest.mark.parametrize("code", ["raise RuntimeError('broken')", "import no_such_module", "sample = 3", "other = 3"])
def test_an_archive_that_cannot_be_loaded_stops_the_purge(
    world: XivoWorld, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """A module that breaks, a name that is not in it, and something that cannot be called."""
    install(world.folder, monkeypatch, code=code, points={ARCHIVES: {"sample": "sample"}})
    enable(world, "sample")

    result = world.call()

    assert result.exit_code == 1
    assert "plug-in sample failed" in result.stderr
    assert world.counts() == FULL


def test_a_name_that_two_distributions_have_stops_the_purge(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody said which is meant; but one that is in both groups is one."""
    install(world.folder, monkeypatch, code=_NOTING, points={ARCHIVES: {"a": "first"}, OLD_ARCHIVES: {"a": "first"}})
    enable(world, "a")
    assert world.call("--dry-run").exit_code == 0

    install(world.folder, monkeypatch, code=_NOTING, points={ARCHIVES: {"a": "first"}})
    result = world.call()
    assert result.exit_code == 1
    assert "`a` is installed more than once" in result.stderr
    assert world.counts() == FULL


def test_a_dry_run_calls_no_plug_in(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """But one that is missing is told."""
    install(world.folder, monkeypatch, code=_NOTING, points={ARCHIVES: {"a": "first"}})
    enable(world, "a")

    assert world.call("--dry-run").exit_code == 0
    assert notes(world) == []


def test_another_run_is_found_before_a_plug_in_is_called(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two archives at once could write into one file."""
    install(world.folder, monkeypatch, code=_NOTING, points={ARCHIVES: {"a": "first"}})
    enable(world, "a")
    with another_run(world.store, table="cel", time="eventtime"):
        result = world.call()

    assert result.exit_code == 1
    assert "another run" in result.stderr
    assert notes(world) == []
    assert world.counts() == FULL


_PURGER = """
    class Purger:
        def purge(self, days_to_keep, session):
            session.execute("DELETE FROM cdr WHERE age > ?", (days_to_keep,))
            print("purged")

    class Failing(Purger):
        def purge(self, days_to_keep, session):
            super().purge(days_to_keep, session)
            raise RuntimeError("half-way")

    class NeedsMore(Purger):
        def __init__(self, more):
            pass
"""


def with_purger(world: XivoWorld, monkeypatch: pytest.MonkeyPatch, kind: str, more: str = "") -> None:
    """A table of somebody else's, and a purger for it that is enabled."""
    world.execute("CREATE TABLE cdr (age INTEGER)", "INSERT INTO cdr VALUES (10), (200), (400)")
    install(world.folder, monkeypatch, code=_PURGER, points={PURGERS: {"cdr": kind}})
    world.config(f"enabled_plugins: {{purgers: {{cdr: true}}}}\n{more}")


def test_a_foreign_purger_deletes_in_a_transaction_of_its_own(
    world: XivoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes last, and the ledger says that nobody counted, archived or proved what it did."""
    with_purger(world, monkeypatch, "Purger")

    result = world.call()

    assert result.exit_code == 0, result.output
    assert world.counts() == {**PURGED, "cdr": 2}
    assert "(INFO) (wazo_purge_db.cli): cdr purger: deleting entries older than 365 days" in result.stdout
    assert "(INFO) (cdr): purged" in result.stdout
    begins, ends = world.entries("note")
    assert "not counted, not archived and not proven" in begins["note"]
    assert (begins["purger"], begins["days"], begins["outcome"]) == ("cdr", 365, "begins")
    assert ends["outcome"] == "committed"


def test_a_foreign_purger_gets_its_own_days(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The per-plug-in value, else that of the command line or the configuration."""
    with_purger(world, monkeypatch, "Purger", "days_to_keep_per_plugin: {cdr: 100}\n")

    world.call("-d", "5")

    assert world.counts()["cdr"] == 1


@pytest.mark.parametrize("kind", ["Failing", "NeedsMore"])
def test_a_foreign_purger_that_fails_is_rolled_back_and_named(
    world: XivoWorld, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The tables before it are purged all the same; exit 1."""
    with_purger(world, monkeypatch, kind)

    result = world.call()

    assert result.exit_code == 1
    assert "cdr purger: failed" in result.stderr
    assert world.counts() == {**PURGED, "cdr": 3}
    assert world.entries("note")[-1]["outcome"] == "rolled back"


def test_a_foreign_purger_is_told_in_json(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its days and its trouble."""
    with_purger(world, monkeypatch, "Failing")

    (found,) = world.json()["result"]["foreign"]

    assert (found["name"], found["days"]) == ("cdr", 365)
    assert "half-way" in found["trouble"]["message"]


def test_a_foreign_purger_that_is_not_enabled_does_not_run(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed is not enabled; its name is known all the same."""
    with_purger(world, monkeypatch, "Failing")
    world.config("enabled_plugins: {purgers: {cdr: false}}\n")

    assert world.call().exit_code == 0
    assert world.counts()["cdr"] == 3


def test_a_foreign_purger_of_one_of_our_names_does_not_run(world: XivoWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the original is installed beside Lapse, its own purgers are left alone."""
    code = "class Purger:\n    def purge(self, days, session):\n        raise RuntimeError('not me')\n"
    install(world.folder, monkeypatch, code=code, points={PURGERS: {"cel": "Purger"}})

    assert world.call().exit_code == 0
    assert world.counts() == PURGED


def test_a_foreign_purger_is_not_called_once_the_purge_was_asked_to_stop(
    world: XivoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that is told: what was not done is not done."""
    with_purger(world, monkeypatch, "Purger")
    for name, value in world.env().items():
        monkeypatch.setenv(name, value)

    report = purge(Order(stopping=lambda: True), voice=lambda line, *, is_error: None)

    assert report.exit_code == 1
    (foreign,) = report.foreign
    assert foreign.trouble is not None
    assert "asked to stop" in foreign.trouble.message
    assert world.counts() == {**FULL, "cdr": 3}
