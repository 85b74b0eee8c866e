"""What decides, in which order, through the program itself: what a plan says, and what a run leaves."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from decision_lines import LINES, NOW, Line, Told, kept, lapsed
from typer.testing import CliRunner, Result

from lapse.cli.main import app

_POLICY = """\
version: 1
archives: {{cold: {{to: ./archive}}}}
datasets:
  log:
    store: {store}
    time: at
    type: kind
    tenant: who
    {dataset}
    keep: {keep}
    archive: cold
{more}"""


@dataclass(frozen=True)
class Ground:
    """A folder with a policy and a log.

    Attributes:
        folder: Where they are.
        kind: ``sqlite`` or ``jsonl``.
    """

    folder: Path
    kind: str

    @property
    def log(self) -> Path:
        """The log."""
        return self.folder / ("log.db" if self.kind == "sqlite" else "log.jsonl")

    @property
    def env(self) -> dict[str, str]:
        """What the program is told through the environment."""
        policy, state = self.folder / "lapse.yaml", self.folder / "state"
        return {"LAPSE_STATE_DIR": str(state), "LAPSE_NOW": NOW, "LAPSE_POLICY": str(policy)}

    def lay(self, line: Line) -> None:
        """Write policy and log."""
        store = "sqlite:///log.db\n    table: log" if self.kind == "sqlite" else "log.jsonl"
        text = _POLICY.format(store=store, dataset=line.dataset, keep=line.keep, more=line.more)
        (self.folder / "lapse.yaml").write_text(text, encoding="utf-8")
        records = [(name, told.at, told.kind, told.level) for name, told in line.told.items()]
        if self.kind == "jsonl":
            named = [dict(zip(("who", "at", "kind", "level"), record, strict=True)) for record in records]
            self.log.write_text("".join(json.dumps(each) + "\n" for each in named), encoding="utf-8")
            return
        with closing(sqlite3.connect(self.log)) as connection, connection:
            connection.execute("CREATE TABLE log (who TEXT, at TEXT, kind TEXT, level INTEGER)")
            connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", records)

    def left(self) -> set[str]:
        """The tenants whose record is there."""
        if self.kind == "jsonl":
            return {str(json.loads(line)["who"]) for line in self.log.read_bytes().split(b"\n") if line.strip()}
        with closing(sqlite3.connect(self.log)) as connection:
            return {str(name) for (name,) in connection.execute("SELECT who FROM log")}

    def call(self, *arguments: str) -> Result:
        """Call the program; errors are told, not raised."""
        return CliRunner().invoke(app, list(arguments), env=self.env)

    def told(self) -> dict[str, tuple[str, str]]:
        """Verdict and reason that a plan has for each tenant."""
        result = self.call("plan", "--json")
        assert result.exit_code == 0, result.output
        groups = json.loads(result.stdout)["result"]["datasets"][0]["groups"]
        assert all(group["records"] == 1 for group in groups)
        return {group["tenant"]: (group["verdict"], group["reason"]) for group in groups}


@pytest.fixture(params=["sqlite", "jsonl"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """An empty folder for each kind of store."""
    return Ground(tmp_path, request.param)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.title)
def test_decisions_are_made_in_their_order(ground: Ground, line: Line) -> None:
    """A plan tells verdict and reason of each record, and a run removes those that lapsed and no neighbour."""
    ground.lay(line)

    told = ground.told()
    done = ground.call("run", "--allow-empty")

    assert told.keys() == line.told.keys()
    for name, wanted in line.told.items():
        verdict, reason = told[name]
        assert (verdict, wanted.why in reason) == (wanted.verdict, True), (name, verdict, reason)
    assert done.exit_code == 0, done.output
    assert ground.left() == {name for name, wanted in line.told.items() if wanted.verdict != "lapsed"}


_TWO: Mapping[str, Told] = {"old": lapsed(), "older": lapsed("2023-01-01T00:00:00Z"), "young": kept()}


def _refused(ground: Ground, line: Line, *arguments: str, code: int, said: str) -> None:
    """See that a run ends so, says why, and has removed nothing."""
    ground.lay(line)

    result = ground.call("run", *arguments)

    assert (result.exit_code, said in result.stderr) == (code, True), result.output
    assert ground.left() == set(line.told)


def test_what_is_to_be_archived_stays_where_the_archive_cannot_be_written(ground: Ground) -> None:
    """6: no segment, no removal."""
    (ground.folder / "archive").write_text("in the way", encoding="utf-8")

    _refused(ground, Line(title="", told=_TWO), code=1, said="archive")


def test_a_segment_is_there_for_what_went_and_none_for_a_waiver(ground: Ground) -> None:
    """6: the rule says which; the records of both go."""
    told = {"a": lapsed(kind="A"), "b": lapsed(kind="B", rule=2), "young": kept(rule=2)}
    ground.lay(Line(title="", told=told, keep="[{type: A, for: 30 days, archive: none}, {for: 30 days}]"))

    result = ground.call("run", "--json")

    assert result.exit_code == 0, result.output
    assert ground.left() == {"young"}
    (done,) = json.loads(result.stdout)["result"]["datasets"]
    assert (done["records"], done["waived"], done["segments"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("guards", "said"), [("guards: {share: 60%}", "share"), ("guards: {rows: 1}", "rows"), ("", "empty")]
)
def test_a_run_over_a_guard_is_refused_before_the_first_removal(ground: Ground, guards: str, said: str) -> None:
    """7: exit 3; one record less and it goes through."""
    told = dict(_TWO) if guards else {"old": lapsed()}

    _refused(ground, Line(title="", told=told, more=guards + "\n"), code=3, said=said)


def test_a_run_within_its_guards_goes_through(ground: Ground) -> None:
    """7: as many as are allowed."""
    ground.lay(Line(title="", told=_TWO, more="guards: {share: 67%, rows: 2}\n"))

    assert ground.call("run").exit_code == 0
    assert ground.left() == {"young"}


def test_another_store_than_the_policy_was_written_for_is_refused(ground: Ground) -> None:
    """7: exit 3 until the change is accepted."""
    line = Line(title="", told=_TWO, dataset=f"expect: {ground.kind}:000000000000:log")

    _refused(ground, line, code=3, said="another store")


def test_holds_that_cannot_be_read_stop_the_run(ground: Ground) -> None:
    """2: exit 1, and nothing goes."""
    holds = ground.folder / "holds"
    holds.mkdir()
    (holds / "broken.yaml").write_text("matter: [", encoding="utf-8")
    ground.lay(Line(title="", told=_TWO))

    result = ground.call("run")

    assert result.exit_code in (1, 2), result.output
    assert "broken.yaml" in result.stderr
    assert ground.left() == set(_TWO)


def test_a_hold_in_a_file_beside_the_policy_keeps(ground: Ground) -> None:
    """2: wherever it is written."""
    ground.lay(Line(title="", told=_TWO))
    added = ground.call(
        "hold", "add", "--matter", "M-9", "--dataset", "log", "--tenant", "older", "--reason", "litigation"
    )
    assert added.exit_code == 0, added.output

    assert ground.told()["older"] == ("held", "hold M-9")
    assert ground.call("run").exit_code == 0
    assert ground.left() == {"older", "young"}


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_the_zone_of_the_machine_decides_nothing(ground: Ground, zone: str) -> None:
    """A process of its own, far from UTC: the same records go to the microsecond, and the same cutoff is told."""
    line = next(each for each in LINES if each.title.startswith("naive times"))
    ground.lay(line)

    done = subprocess.run(
        [sys.executable, "-m", "lapse", "run", "--json"], env={**os.environ, **ground.env, "TZ": zone},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)["result"]
    assert result["datasets"][0]["plan"]["cutoffs"] == ["2025-05-02T00:00:00Z"]
    assert ground.left() == {name for name, told in line.told.items() if told.verdict != "lapsed"}
