"""Limits of a run on a dataset and on each of its tenants: what refuses, and what passes them by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guarded_world import Guarded, fresh, old, refused
from typer.testing import CliRunner

from lapse.cli.main import app
from lapse.errors import GuardError, PolicyError
from lapse.model.guards import Guard, Guards, Limit
from lapse.model.ledger_entry import EntryKind
from lapse.policyfile import load


@pytest.fixture
def log(tmp_path: Path) -> Guarded:
    """60 old records of acme and 40 of beta, of which beta has 40 fresh ones, too."""
    found = Guarded(tmp_path)
    found.fill(old(60), fresh(1), old(40, tenant="beta"), fresh(40, tenant="beta"))
    return found


def test_a_tenant_over_its_share_refuses_the_run_by_name_and_figures(log: Guarded) -> None:
    """Of acme 60 of 61 would go; beta, half of which goes, is not named."""
    log.policy(top="guards: {tenants: {share: 90%}}")

    said = refused(log)

    assert "more would go of 1 tenant than the 90% that the policy allows of each: acme 60 of 61 (98.4%)" in said
    assert "beta" not in said
    assert "--allow tenants" in said


def test_a_tenant_over_its_number_refuses_the_run(log: Guarded) -> None:
    """The limit is for each tenant by itself, not for their sum."""
    log.policy(top="guards: {tenants: {rows: 50}}")
    assert "acme 60 of 61" in refused(log)

    log.policy(top="guards: {tenants: {rows: 60}}")
    assert log.run().records == 100


def test_the_worst_tenants_are_named_and_the_others_counted(tmp_path: Path) -> None:
    """Three names, most records first, in one line however many are over."""
    log = Guarded(tmp_path)
    log.fill(*(old(number, tenant=f"t{number}") for number in range(1, 8)), fresh())
    log.policy(top="guards: {tenants: {share: 50%, rows: 1000}}")

    (line, _) = refused(log).split(" / ")

    assert "of 7 tenants than the 50% and 1,000 records" in line
    assert line.endswith("t7 7 of 7 (100.0%), t6 6 of 6 (100.0%), t5 5 of 5 (100.0%), 4 more")
    assert "\n" not in line


def test_records_without_a_tenant_count_as_one(log: Guarded) -> None:
    """They are nobody's, and still limited."""
    log.fill(old(5, tenant=None))
    log.policy(top="guards: {tenants: {share: 99%}}")

    assert "records without a tenant 5 of 5" in refused(log)


def test_a_dataset_has_limits_of_its_own_over_the_policys(log: Guarded) -> None:
    """What it leaves out is as the policy says; `off` takes a limit away."""
    log.policy(top="guards: {share: 10%, rows: 5}", dataset="guards: {share: off}")
    assert "the policy allows 5" in refused(log)
    assert "10%" not in refused(log)

    log.policy(top="guards: {share: 10%, rows: 5}", dataset="guards: {share: off, rows: 100}")
    assert log.run().records == 100


def test_what_a_dataset_writes_is_merged_key_by_key(tmp_path: Path) -> None:
    """Every limit comes from the dataset if it says one, and else from the policy."""
    log = Guarded(tmp_path)
    log.policy(
        top="guards: {share: 90%, rows: 7, ramp: 50, tenants: {share: 80%, rows: 3}}",
        dataset="guards: {rows: off, ramp: off, tenants: {rows: 9}}",
    )

    policy = load(tmp_path / "lapse.yaml")

    assert policy.guards == Guards(share=0.9, rows=7, ramp=50, tenants=Limit(share=0.8, rows=3))
    assert policy.guards_of(policy.datasets["log"]) == Guards(share=0.9, tenants=Limit(share=0.8, rows=9))


def test_all_guards_that_are_over_are_said_at_once(log: Guarded) -> None:
    """Nobody raises one limit to meet the next; and all of them can be passed by together."""
    log.policy(top="guards: {share: 10%, rows: 5, tenants: {rows: 7}}")

    said = refused(log)

    for text in ("100 of 141 records would go, 70.9%", "allows 10%", "allows 5", "acme 60 of 61", "beta 40 of 80"):
        assert text in said
    assert "--allow share --allow rows --allow tenants" in said


def test_guards_of_all_datasets_are_settled_before_the_first_removal(tmp_path: Path) -> None:
    """The second dataset is refused, so nothing goes of the first."""
    first, second = Guarded(tmp_path), Guarded(tmp_path / "second")
    second.folder.mkdir()
    first.fill(old(10), fresh())
    second.fill(old(10), fresh())
    first.policy()
    more = (
        "  other: {store: 'sqlite:///second/log.db', table: log, time: at, keep: 90 days, archive: none,"
        " guards: {rows: 5}}\n"
    )
    file = tmp_path / "lapse.yaml"
    file.write_text(file.read_text() + more)

    with pytest.raises(GuardError, match="other: 10 records would go; the policy allows 5"):
        first.run()

    assert (first.records(), second.records()) == (11, 11)


@pytest.mark.parametrize("going", range(1, 100))
def test_a_share_that_is_met_exactly_is_allowed(going: int) -> None:
    """No rounding of a percentage refuses what the policy allows."""
    assert Limit(share=going / 100).allows_share(going, 100)
    assert not Limit(share=going / 100).allows_share(going + 1, 100)


def test_a_guard_that_is_passed_by_is_recorded_without_names(log: Guarded) -> None:
    """The ledger says which guard, in which run, with its figures; never a tenant."""
    log.policy(top="guards: {share: 10%, tenants: {rows: 7}}")
    assert "tenants" in refused(log, allowed=frozenset({Guard.SHARE}))

    log.run(allowed=frozenset({Guard.SHARE, Guard.TENANTS, Guard.ROWS}))

    first, second = log.entries(EntryKind.NOTE)
    assert (first["guard"], first["going"], first["records"], first["limit"]) == ("share", 100, 141, "10%")
    assert (second["guard"], second["tenants"], second["limit"]) == ("tenants", 2, "7 records")
    assert first["run"] == log.entries(EntryKind.RUN)[0]["run"]
    assert first["dataset"] == "log"
    assert "acme" not in json.dumps([first, second])


def test_the_word_is_for_one_run_only(log: Guarded) -> None:
    """The next run is refused again."""
    log.policy(top="guards: {rows: 5}")
    log.run(allowed=frozenset({Guard.ROWS}))
    log.fill(old(10))

    assert "10 records would go" in refused(log)


def test_a_plan_names_the_guards_that_would_refuse(log: Guarded) -> None:
    """With the same words as the refusal."""
    log.policy(top="guards: {rows: 5, tenants: {rows: 50}}")

    rows, tenants = log.plan().over

    assert (rows.guard, rows.finding) == (Guard.ROWS, "100 records would go; the policy allows 5")
    assert (tenants.guard, "acme 60 of 61" in tenants.finding) == (Guard.TENANTS, True)


def lapse(log: Guarded, *arguments: str) -> tuple[int, str]:
    """Call the program; its exit code and what it printed."""
    log.session()
    result = CliRunner().invoke(app, [*arguments, "--policy", str(log.folder / "lapse.yaml")])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_line_passes_guards_by(log: Guarded) -> None:
    """`lapse plan` warns, `lapse run` refuses with 3, and `--allow` lets it through."""
    log.policy(top="guards: {share: 10%, rows: 5}")

    assert "A run would be refused: 100 records would go; the policy allows 5" in lapse(log, "plan")[1]
    assert lapse(log, "run", "--allow", "share")[0] == 3
    assert lapse(log, "run", "--allow", "shares")[0] == 2
    assert lapse(log, "run", "--allow", "share", "--allow", "rows")[0] == 0
    assert log.records() == 41


def test_a_dataset_of_one_record_is_said_to_be_that(log: Guarded) -> None:
    """Of a single record nobody says "all 1 records"."""
    log.policy()
    log.execute("DELETE FROM log WHERE rowid > (SELECT min(rowid) FROM log)")

    code, said = lapse(log, "run")

    assert code == 3
    assert "its only record has lapsed, the dataset would be empty" in said


def test_limits_are_raised_in_one_sentence(log: Guarded) -> None:
    """A refusal by several guards names what the policy may raise, each once."""
    log.policy(top="guards: {share: 1%, rows: 1, tenants: {rows: 1}}")

    code, said = lapse(log, "run")

    assert code == 3
    assert "--allow share --allow rows --allow tenants, or raise `guards: share` and `guards: rows`" in said


def test_allowing_an_emptied_dataset_is_recorded(log: Guarded) -> None:
    """`--allow-empty` is short for `--allow empty`, and both are noted."""
    log.policy()
    log.execute("DELETE FROM log WHERE at > '2026'")
    assert lapse(log, "run")[0] == 3

    assert lapse(log, "run", "--allow-empty")[0] == 0

    (note,) = log.entries(EntryKind.NOTE)
    assert (note["guard"], note["going"]) == ("empty", 100)
    assert "passed by, empty, log" in lapse(log, "ledger", "show")[1]


def test_a_check_says_the_limits_in_words(log: Guarded) -> None:
    """Those of the policy and those of each dataset, for people and for programs."""
    log.policy(top="guards: {share: 90%, tenants: {share: 50%, rows: 1000}}", dataset="guards: {rows: 20, ramp: off}")

    _, text = lapse(log, "check")
    code, answer = lapse(log, "check", "--json")

    assert "Guard: no run takes more than 50% and 1,000 records of one tenant of a dataset" in text
    assert "Guard: a new rule begins with 1,000 records of a dataset" in text
    assert "Guard of log: no run takes more than 20 records of log" in text
    assert code == 0
    assert json.loads(answer)["result"]["datasets"][0]["guards"] == {
        "share": 0.9, "rows": 20, "tenant_share": 0.5, "tenant_rows": 1000, "ramp": None,
    }  # fmt: skip


def test_effective_values_name_the_ramp_that_nobody_wrote(log: Guarded) -> None:
    """A default that acts is shown, as one."""
    log.policy()

    assert "guards.ramp 1000 default" in lapse(log, "check", "--effective")[1]


@pytest.mark.parametrize(
    ("guards", "place", "message"),
    [
        ("{tenants: {share: 0.5}}", "tenants: {share: ", "`share`: must be a share, not 0.5"),
        ("{tenants: {rows: 0}}", "tenants: {rows: ", "`rows`: must be a whole number of 1 or more, not 0"),
        ("{tenants: {row: 5}}", "tenants: {", "unknown key `row`"),
        ("{tenants: 50%}", "tenants: ", "`tenants`: must be a mapping of keys"),
        ("{ramp: 0}", "ramp: ", "`ramp`: must be a whole number of 1 or more, not 0"),
        ("{ramp: 10%}", "ramp: ", "`ramp`: must be a whole number of 1 or more, not `10%`"),
        ("{ramp: no}", "ramp: ", "`ramp`: must be a whole number of 1 or more"),
        ("{ramps: off}", "{", "unknown key `ramps`"),
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_a_wrong_guard_is_a_complaint_at_its_place(
    tmp_path: Path, guards: str, place: str, message: str, *, own: bool
) -> None:
    """In the policy's guards and in a dataset's."""
    log = Guarded(tmp_path)
    log.policy(top="" if own else f"guards: {guards}", dataset=f"guards: {guards}" if own else "")
    text = (tmp_path / "lapse.yaml").read_text().splitlines()

    with pytest.raises(PolicyError) as caught:
        load(tmp_path / "lapse.yaml")

    (complaint,) = caught.value.complaints
    assert message in complaint.message
    line = text[complaint.origin.line - 1]
    assert line[: complaint.origin.column - 1].endswith(place)


def test_limits_on_tenants_need_a_tenant(tmp_path: Path) -> None:
    """A dataset that asks for them by itself must have one; the policy's own are for those that do."""
    file = tmp_path / "lapse.yaml"
    text = (
        "version: 1\nguards: {tenants: {share: 50%}}\n"
        "datasets: {a: {store: a.jsonl, time: at, keep: 1 day, archive: none"
    )
    file.write_text(f"{text}}}}}")
    assert load(file).guards.tenants.share == 0.5

    file.write_text(f"{text}, guards: {{tenants: {{rows: 5}}}}}}}}")
    with pytest.raises(PolicyError) as caught:
        load(file)
    assert "this dataset names no tenant" in caught.value.complaints[0].message


def test_what_nobody_says_leaves_the_policys_hash_as_it_was(tmp_path: Path) -> None:
    """Limits are part of it; a ramp, which only says how, is not."""
    log = Guarded(tmp_path)

    def digest(top: str = "", dataset: str = "") -> str:
        log.policy(top=top, dataset=dataset)
        return load(tmp_path / "lapse.yaml").digest

    assert digest() == digest(top="guards: {ramp: off}") == digest(dataset="guards: {ramp: 5}")
    assert digest(top="guards: {share: 90%}") == digest(top="guards: {share: 90%}", dataset="guards: {share: 90%}")
    assert len({digest(), digest("guards: {rows: 1}"), digest("guards: {tenants: {rows: 1}}")}) == 3
    assert digest(dataset="guards: {rows: 1}") not in (digest(), digest("guards: {rows: 1}"))
