"""A new rule begins small: a canary that is checked, then slices that double; on SQLite and on text logs."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from guarded_world import Guarded, Row, fresh, old
from typer.testing import CliRunner

from lapse.cli.main import app
from lapse.engine import ramping
from lapse.engine.ledgering import verify as verify_ledger
from lapse.engine.limits import Limits
from lapse.engine.ramping import CanaryError, only
from lapse.engine.running import Wishes, run
from lapse.engine.trusting import trust
from lapse.model.ledger_entry import EntryKind
from lapse.model.match import Condition, Match
from lapse.model.period import parse_period
from lapse.model.policy import Rule
from lapse.model.ramp import RuleDigests, rule_digests
from lapse.model.report import DatasetReport, Status
from lapse.ports import Budget, Event
from lapse.stores.jsonl import JsonlStore
from lapse.stores.sqlite import SqliteStore

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CALL, MAIL = "{type: call, for: 90 days}", "{type: mail, for: 90 days}"
TEN = "guards: {ramp: 10}"


@pytest.fixture(params=["sqlite", "jsonl"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Guarded:
    """300 old records and a fresh one."""
    found = Guarded(tmp_path, request.param)
    found.fill(old(300), fresh())
    return found


@pytest.fixture
def table(tmp_path: Path) -> Guarded:
    """The same, in SQLite."""
    found = Guarded(tmp_path)
    found.fill(old(300), fresh())
    return found


def after_it(log: Guarded) -> str:
    """What is said to come after a canary: nothing doubles in text logs."""
    return "slices double from here" if log.kind == "sqlite" else "the rest follows"


def test_a_new_rule_begins_with_a_canary_and_doubles(table: Guarded) -> None:
    """Ten records, twenty, forty, until nothing is left; the ledger says which step each slice was."""
    table.policy(top=TEN)

    report = table.run()

    assert table.steps() == [(10, 1), (20, 2), (40, 3), (80, 4), (150, 5)]
    assert (report.status, report.records, table.records()) == (Status.DONE, 300, 1)
    assert verify_ledger(table.session()).ok


def test_in_text_logs_the_canary_is_taken_from_the_head_of_a_file(tmp_path: Path) -> None:
    """A file gives up ten lines, which are its oldest; then the rest goes as usual."""
    log = Guarded(tmp_path, "jsonl")
    log.fill(old(300), fresh())
    log.policy(top=TEN)
    (told,) = [note for note in log.plan().identity.notes if "canary" in note]
    assert told.endswith("from the head of its log files, and is checked before the rest follows")

    report = log.run()

    assert log.steps() == [(10, 1), (290, 2)]
    first, second = log.entries(EntryKind.DISPOSAL)
    assert first["newest"] < second["newest"]
    assert (report.status, report.records, log.records()) == (Status.DONE, 300, 1)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_log_has_a_canary_too(tmp_path: Path, suffix: str) -> None:
    """It is written anew without ten lines, and once more without all that lapsed."""
    module = gzip if suffix == "gz" else zstd
    log = Guarded(tmp_path, "jsonl")
    log.fill(old(50), fresh(3))
    data = (tmp_path / "log.jsonl").read_bytes()
    (tmp_path / f"log.jsonl.{suffix}").write_bytes(module.compress(data))
    (tmp_path / "log.jsonl").unlink()
    log.policy(top=TEN)
    policy = tmp_path / "lapse.yaml"
    policy.write_text(policy.read_text().replace("log.jsonl", f"log.jsonl.{suffix}"))

    assert log.run().records == 50

    assert log.steps() == [(10, 1), (40, 2)]
    assert module.decompress((tmp_path / f"log.jsonl.{suffix}").read_bytes()).count(b"\n") == 3


def test_the_canary_is_told_and_reported(log: Guarded) -> None:
    """As an event before the next slice, in the report, and in the plan beforehand."""
    log.policy(top=TEN)
    assert "new rule 1: a canary of 10 records goes first" in "\n".join(log.plan().identity.notes)

    report = log.run()

    text = f"canary of 10 records under new rule 1 verified; {after_it(log)}"
    assert str(report.canary) == text
    names = [event.name for event in log.told.events]
    verified, committed = names.index("canary.verified"), [n for n, x in enumerate(names) if x == "disposal.committed"]
    assert committed[0] < verified < committed[1]
    assert log.told.named("canary.verified")[0].facts["text"] == text


def test_a_rule_is_new_only_once(log: Guarded) -> None:
    """The second run has slices of the usual size, and counts the store no second time."""
    log.policy(top=TEN)
    log.run()
    log.fill(old(100))

    report = log.run()

    assert report.canary is None
    assert not log.told.named("canary.checking")
    assert log.steps()[-1] == (100, None)


def test_a_rule_all_of_whose_records_were_a_canary_is_not_new_again(log: Guarded) -> None:
    """What the canary proved is in the ledger with the end of the run."""
    log.policy(top="guards: {ramp: 1000}")
    assert str(log.run().canary) == "canary of 300 records under new rule 1 verified"
    log.fill(old(20))

    assert log.run().canary is None
    assert log.steps() == [(300, 1), (20, None)]


@pytest.mark.parametrize(
    ("after", "new"),
    [
        (["{type: call, for: 89 days}"], True),
        (["{type: call, for: 90 days, archive: none}"], True),
        (["{type: [call, mail], for: 90 days}"], True),
        (["{type: mail, for: forever}", CALL], True),
        ([CALL, "{for: forever}"], False),
        ([CALL], False),
    ],
)
def test_a_changed_rule_is_new_and_so_are_those_behind_it(tmp_path: Path, after: list[str], new: bool) -> None:
    """Records may fall to a rule that never decided about them, where one before it was changed or taken out."""
    log = Guarded(tmp_path)
    log.fill(old(30), fresh())
    log.policy(CALL, top=TEN)
    log.run()
    log.fill(old(30))
    log.policy(*after, top=TEN)

    assert (log.run().canary is not None) == new


def test_a_rule_before_it_that_was_taken_out_makes_a_rule_new(tmp_path: Path) -> None:
    """A typo that removes `for: forever` does not remove a backlog in slices of the usual size."""
    log = Guarded(tmp_path)
    log.fill(old(30), old(200, kind="keep"), fresh())
    log.policy("{type: keep, for: forever}", "{for: 90 days}", top=TEN)
    log.run()
    log.policy("{for: 90 days}", top=TEN)

    log.run()

    assert log.steps()[:4] == [(10, 1), (20, 2), (10, 1), (20, 2)]


def test_the_canary_is_of_new_rules_alone(log: Guarded) -> None:
    """Records of a rule that is known come with the usual slices, however many there are in front."""
    log.policy(CALL, top=TEN)
    log.run()
    log.fill(old(100), old(50, kind="mail"))
    log.policy(CALL, MAIL, top=TEN)

    report = log.run()

    canary = next(body for body in log.entries(EntryKind.DISPOSAL)[::-1] if body.get("ramp") == 1)
    assert list(canary["counts"].items()) == [("1", 10)]
    assert str(report.canary) == f"canary of 10 records under new rule 2 verified; {after_it(log)}"
    assert (report.records, log.records()) == (150, 1)


def test_many_new_rules_are_counted(tmp_path: Path) -> None:
    """A report names three rules, and no more."""
    log = Guarded(tmp_path)
    log.fill(*(old(3, kind=f"k{number}") for number in range(5)), fresh())
    log.policy(*(f"{{type: k{number}, for: 1 day}}" for number in range(5)), top="guards: {ramp: 100}")

    assert "canary of 15 records under 5 new rules verified" in str(log.run().canary)


def test_a_ramp_that_is_off_is_none(log: Guarded) -> None:
    """Everything goes at once, and nothing is counted again."""
    log.policy(top="guards: {ramp: off}")

    report = log.run()

    assert (report.canary, log.steps()) == (None, [(300, None)])


def test_the_default_ramp_does_not_change_what_a_small_log_does(log: Guarded) -> None:
    """Up to a thousand records the canary is all there is."""
    log.policy()

    report = log.run()

    assert (report.slices, report.records, report.status) == (1, 300, Status.DONE)
    assert report.canary is not None
    assert report.canary.last


# What a canary finds


def greedy(monkeypatch: pytest.MonkeyPatch, log: Guarded, *, kind: str) -> None:
    """Let every commit take a record besides that nobody sealed."""
    store = SqliteStore if log.kind == "sqlite" else JsonlStore
    taking = store.take

    @contextmanager
    def take(self: Any, piece: Any) -> Iterator[Any]:
        with taking(self, piece) as taken:
            yield taken
        if log.kind == "sqlite":
            log.execute(f"DELETE FROM log WHERE id = (SELECT min(id) FROM log WHERE kind = '{kind}')")
            return
        lines = (log.folder / "log.jsonl").read_text().lstrip(" ").splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if json.loads(line)["kind"] == kind)
        (log.folder / "log.jsonl").write_text("".join(lines[:at] + lines[at + 1 :]))

    monkeypatch.setattr(store, "take", take)


@pytest.mark.parametrize("kind", ["call", "kept"])
def test_a_removal_that_took_more_than_was_sealed_stops_the_dataset(
    log: Guarded, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Nothing else is taken, exit 1; whether a lapsed record is missing or one that stays."""
    log.fill(old(5, kind="kept"))
    log.policy("{type: kept, for: forever}", "{for: 90 days}", top=TEN)
    greedy(monkeypatch, log, kind=kind)

    report = log.run()

    assert (report.status, report.records, report.canary) == (Status.INCOMPLETE, 10, None)
    assert report.trouble is not None
    assert report.trouble.kind is CanaryError
    assert "295 records are left where 296 should be, so that 1 went unsealed" in report.trouble.message
    assert log.records() == 295
    assert log.steps() == [(10, 1)]


def test_the_oldest_that_stays_is_looked_for_by_itself(table: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """New records that come in meanwhile hide no lost one: a cutoff that reached too far takes the oldest first."""
    table.fill([Row("2026-10-01 00:00:00")])
    table.policy(top=TEN)

    def at_check(event: Event) -> None:
        if event.name == "canary.checking":
            table.execute("DELETE FROM log WHERE at LIKE '2026-10-01%'")
            table.fill(fresh(5))

    report = table.run(on=at_check)

    assert report.trouble is not None
    assert "the oldest record was of 2026-10-01T00:00:00Z, and now it is of 2026-10-20" in report.trouble.message
    assert report.records == 10


def test_a_segment_that_does_not_read_back_stops_the_dataset(log: Guarded) -> None:
    """The archive is asked once more, when the canary is committed."""
    log.policy(top=TEN)

    def at_check(event: Event) -> None:
        if event.name == "canary.checking":
            for file in [*(log.folder / "archive").rglob("*.parquet"), *(log.folder / "archive").rglob("*.zst")]:
                file.chmod(0o600)
                file.write_bytes(file.read_bytes()[:-1])

    report = log.run(on=at_check)

    assert report.trouble is not None
    assert "is no longer what was sealed there" in report.trouble.message
    assert log.records() == 291


def test_a_canary_that_failed_comes_again(log: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disposal is in the ledger, but it proved nothing."""
    log.policy(top=TEN)
    with monkeypatch.context() as patch:
        patch.setattr(ramping, "missing", lambda *_, **__: "something is missing")
        assert log.run().status is Status.INCOMPLETE
    assert log.steps()[0] == (10, 1)

    report = log.run()

    assert (report.status, report.canary is not None) == (Status.DONE, True)
    assert [step for _, step in log.steps()].count(1) == 2
    assert log.records() == 1


def test_new_records_do_not_disturb_the_check(table: Guarded) -> None:
    """A log is written to while it is purged."""
    table.policy(top=TEN)

    def at_check(event: Event) -> None:
        if event.name == "canary.checking":
            table.fill(fresh(50), old(5))

    assert table.run(on=at_check).status is Status.DONE
    assert table.records() == 51


def test_what_another_dataset_removed_before_is_not_missing(tmp_path: Path) -> None:
    """Two datasets of one table: the second counts again before its canary, since the first has removed records."""
    log = Guarded(tmp_path)
    log.fill(old(40), old(40, kind="mail"), fresh())
    log.policy(CALL, top=TEN)
    file = tmp_path / "lapse.yaml"
    file.write_text(
        file.read_text()
        + "  mails: {store: 'sqlite:///log.db', table: log, time: at, type: kind, archive: cold,"
        + f" keep: [{MAIL}]}}\n"
    )

    report = run(log.session(), Wishes())

    assert [each.status for each in report.datasets] == [Status.DONE, Status.DONE]
    assert [each.canary is not None for each in report.datasets] == [True, True]
    assert log.records() == 1


# Where a ramp is cut short


def stopped_after(log: Guarded, slices: int) -> DatasetReport:
    """Run, asked to stop as soon as so many slices are committed."""
    return log.run(stopping=lambda: len(log.told.named("disposal.committed")) >= slices)


def test_a_canary_that_was_not_checked_comes_again(log: Guarded) -> None:
    """A run that is asked to stop right after it does not look; the next one begins anew."""
    log.policy(top=TEN)

    report = stopped_after(log, 1)
    assert (report.canary, report.status) == (None, Status.INCOMPLETE)

    log.run()
    assert [step for _, step in log.steps()][:3] == [1, 1, 2]
    assert log.records() == 1


def test_a_ramp_goes_on_where_a_run_was_stopped(table: Guarded) -> None:
    """What was proven is not done again: neither the canary nor the smaller steps."""
    table.policy(top=TEN)
    stopped_after(table, 2)

    assert "new rule 1: slices of 40 records" in "\n".join(table.plan().identity.notes)
    report = table.run()

    assert table.steps() == [(10, 1), (20, 2), (40, 3), (80, 4), (150, 5)]
    assert (report.canary, report.status) == (None, Status.DONE)


def test_a_budget_of_records_ends_a_ramp_and_the_next_run_goes_on(table: Guarded) -> None:
    """A night's budget is smaller than the backlog; the ramp takes its nights."""

    table.policy(top=TEN)
    table.run(limits=Limits(rows=10))
    assert table.steps() == [(10, 1)]

    table.run(limits=Limits(rows=30))

    assert [step for _, step in table.steps()][:2] == [1, 2]
    assert sum(records for records, _ in table.steps()) == 40


def test_the_ramp_is_over_once_slices_have_their_usual_size(table: Guarded) -> None:
    """The ledger says so even if the run has not removed everything."""

    table.policy(top=TEN)
    table.run(budget=Budget(rows=30), limits=Limits(rows=100))

    (run,) = table.entries(EntryKind.RUN)
    assert run["datasets"]["log"]["ramp"]["done"] is True
    assert [step for _, step in table.steps()][:3] == [1, 2, None]


def test_another_store_of_the_same_name_begins_anew(tmp_path: Path) -> None:
    """What was proven in one store says nothing of another one under the same dataset."""
    log = Guarded(tmp_path)
    log.fill(old(30), fresh())
    log.policy(top=TEN)
    log.run()
    (tmp_path / "log.db").rename(tmp_path / "moved.db")
    file = tmp_path / "lapse.yaml"
    file.write_text(file.read_text().replace("log.db", "moved.db"))

    trust(log.session(), "log")
    with log.connected() as connection:
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at TEXT, kind TEXT, tenant TEXT)")
    connection.close()
    log.fill(old(30), fresh())
    (tmp_path / "log.db").replace(tmp_path / "moved.db")

    assert log.run().canary is not None


# The parts


def ruled(*types: str) -> list[Rule]:
    """A rule for each type."""
    return [
        Rule(
            index=index,
            match=Match((Condition(field="kind", values=(name,), role="type"),)),
            keep=parse_period("90 days"),
            waived=True,
        )
        for index, name in enumerate(types)
    ]


def test_a_rules_hash_is_that_of_its_place() -> None:
    """It changes with the rule and with every rule before it, and with none behind it."""
    abc, abd, xbc, bc = (rule_digests(ruled(*types)) for types in ("abc", "abd", "xbc", "bc"))

    assert abc[:2] == abd[:2]
    assert abc[2] != abd[2]
    assert not set(abc) & set(xbc)
    assert not set(abc) & set(bc)


def test_rule_hashes_are_made_when_they_are_asked_for() -> None:
    """As a mapping by index, equal to the list."""
    rules = tuple(ruled("a", "b"))
    found = RuleDigests(rules)

    assert [found[key] for key in found] == list(rule_digests(rules))
    assert "2" not in found
    assert "x" not in found


def test_a_narrowed_selection_removes_less_and_nothing_else(log: Guarded) -> None:
    """Every record that it takes lapses under the full one as well, by the same rule."""
    log.policy(CALL, "{for: 30 days}")
    session = log.session()
    full = session.selection(session.policy.datasets["log"], ())
    narrow = only(full, [1])
    times: Iterable[Any] = [full.now - days * 86_400 * 10**9 for days in range(0, 400, 7)]

    for instant in times:
        for kind in ("call", "mail"):
            code, less = full.decide(instant, {"kind": kind}.get), narrow.decide(instant, {"kind": kind}.get)
            if less in narrow.lapsed_codes():
                assert less == code
                assert full.outcomes.rule_of(code) == 1


def test_the_command_line_tells_of_the_canary(log: Guarded) -> None:
    """In the report; standard error stays empty where it is no terminal."""
    log.policy(top=TEN)
    log.session()

    result = CliRunner().invoke(app, ["run", "--policy", str(log.folder / "lapse.yaml")])

    text = f"log: canary of 10 records under new rule 1 verified; {after_it(log)}"
    assert result.exit_code == 0
    assert text in " ".join(result.stdout.split())
    assert result.stderr == ""


def test_the_canary_is_in_the_json_report(log: Guarded) -> None:
    """With its numbers, its rules and its times."""
    log.policy(top=TEN)
    log.session()

    result = CliRunner().invoke(app, ["run", "--json", "--policy", str(log.folder / "lapse.yaml")])

    (dataset,) = json.loads(result.stdout)["result"]["datasets"]
    assert dataset["canary"] == {
        "records": 10, "rules": ["rule 1"], "oldest": "2020-01-01T00:00:00Z", "newest": "2020-01-01T00:00:00Z",
    }  # fmt: skip
