"""lapse.engine.looking: what in a policy selects no record now, found read-only in the stores themselves."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from lapse.engine.checking import check
from lapse.engine.looking import Idle, Looks, Selector, look
from lapse.engine.session import open_session
from lapse.errors import GuardError, StoreMissingError

NOW = "2026-11-01T00:00:00Z"

RECORDS: list[tuple[str | None, str | None, str | None, int | str | None]] = [
    ("2026-01-01T00:00:00Z", "LOGIN", "acme", 200),
    ("2026-01-02T00:00:00Z", "LOGIN", "beta", 404),
    ("2026-10-01T00:00:00Z", "LOGOUT", "acme", None),
    ("1970-01-01T00:00:00Z", "OLD", "old-corp", None),  # doubtful for a run, and yet there
    ("2030-01-01T00:00:00Z", "FUTURE", "beta", None),
    (None, "UNDATED", "nobody", None),
]


@pytest.fixture(params=["sqlite", "jsonl"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with `RECORDS`, and the first lines of its policy in `head`."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LAPSE_NOW", NOW)
    make(tmp_path, str(request.param), RECORDS)
    return tmp_path


def make(folder: Path, kind: str, records: list[tuple[str | None, str | None, str | None, int | str | None]]) -> None:
    """Write a store and the head of its policy."""
    store = "sqlite:///log.db\n    table: log" if kind == "sqlite" else "./log.jsonl"
    if kind == "sqlite":
        connection = sqlite3.connect(folder / "log.db")
        with connection:
            connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, at TEXT, kind TEXT, site TEXT, code INTEGER)")
            connection.executemany("INSERT INTO log (at, kind, site, code) VALUES (?, ?, ?, ?)", records)
        connection.close()
    else:
        lines = [dict(zip(("at", "kind", "site", "code"), record, strict=True)) for record in records]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    head = f"version: 1\ndatasets:\n  log:\n    store: {store}\n    time: at\n    type: kind\n    tenant: site\n"
    (folder / "head").write_text(f"{head}    archive: none\n", encoding="utf-8")


def looked(folder: Path, body: str, tail: str = "") -> Looks:
    """Look with a policy whose dataset has the lines *body*."""
    own = "".join(f"    {line}\n" for line in body.splitlines())
    text = (folder / "head").read_text(encoding="utf-8") + own + tail
    (folder / "lapse.yaml").write_text(text, encoding="utf-8")
    session = open_session(str(folder / "lapse.yaml"))
    return look(session, check(session).holds)


def told(idle: tuple[Idle, ...]) -> list[tuple[str, str, bool, str | None]]:
    """What is idle, in short."""
    return [(each.selector.value, each.name, each.keeps, each.meant) for each in idle]


RULES = """\
keep:
  - {type: LOGIN, for: 1 day}
  - {type: [LOGOUT, LOGUOT], for: 1 day}
  - {type: OLD, for: 1 day}
  - {type: FUTURE, for: 1 day}
  - {type: UNDATED, for: 1 day}
  - {type: login, for: 1 day}
  - {type: SIGNED, for: forever}
  - {for: forever}
"""


def test_a_rule_that_decides_about_no_record_is_named(folder: Path) -> None:
    """One that keeps for ever is there to keep; a default asks for nothing, so it has no slip; doubt is no absence."""
    found = looked(folder, RULES)
    assert told(found.idle) == [
        ("rule", "rule 5 (type UNDATED: 1 day)", False, None),
        ("rule", "rule 6 (type login: 1 day)", False, None),
        ("rule", "rule 7 (type SIGNED: forever)", True, None),
    ]
    (only,) = found.datasets
    assert (only.records, only.undated) == (6, 1)
    lines = (folder / "lapse.yaml").read_text(encoding="utf-8").splitlines()
    place = f"{folder}/lapse.yaml:{lines.index('      - {type: SIGNED, for: forever}') + 1}:9"
    assert str(found.idle[2]).startswith(f"{place}: log: rule 7 (type SIGNED: forever): ")


def test_what_earlier_rules_take_is_not_decided_by_a_later_one(folder: Path) -> None:
    """The rule matches records, but each has gone to another before: that is named, too."""
    body = "keep:\n  - {type: LOGIN, for: 1 day}\n  - {tenant: beta, code: {from: 400}, for: 2 days}\n  - {for: 9 days}"
    (idle,) = looked(folder, body).idle
    assert idle.name == "rule 2 (tenant beta and code 400 or more: 2 days)"


TENANTS = """\
tenants:
  acme: {keep: [{type: LOGIN, for: 1 day}, {type: LOGN, for: 2 days}, {for: 10 days}]}
  acmee: {keep: 1 day}
  betta: {keep: [{type: LOGIN, for: forever}, {for: 1 day}]}
  nobody: {keep: 1 day}
  BETA: {keep: 1 day}
keep: 1 day
"""


def test_a_tenant_without_any_record_is_named_once_with_the_one_that_was_meant(folder: Path) -> None:
    """Not rule by rule; names are compared exactly; a record without a time still shows that the tenant is there."""
    assert told(looked(folder, TENANTS).idle) == [
        ("tenant", "tenant acmee", False, "acme"),
        ("tenant", "tenant betta", True, "beta"),
        ("tenant", "tenant BETA", False, "beta"),
        ("rule", "tenant acme, rule 2 (type LOGN: 2 days)", False, None),
    ]


TAIL = """\
floors:
  - {match: {tenant: acme}, at least: 1 year, because: A}
  - {match: {tenant: acme, type: LOGIN}, at least: 2 years, because: B}
  - {match: {tenant: amce}, at least: 2 years, because: C}
  - {match: all, at least: 3 days, because: D}
  - {match: {dataset: log, code: {from: 500, to: 599}}, at least: 3 days, because: E}
holds:
  - {matter: H1, match: {type: LOGIN}}
  - {matter: H2, match: {tenant: beta, type: LOGIN}}
  - {matter: H3, match: {type: LOGIN}, records from: 2026-06-01}
  - {matter: H4, match: {tenant: bta}, until: 2026-01-01}
  - {matter: H5, match: {actor: root, tenant: acme}}
  - {matter: H6, match: {tenant: nobody}}
"""


def test_floors_and_holds_that_cover_nothing_are_there_to_keep(folder: Path) -> None:
    """Behind others as well: each is counted for itself. What is not in force is not judged."""
    assert told(looked(folder, "keep: 1 day", TAIL).idle) == [
        ("floor", "floor 'C' (tenant amce)", True, "acme"),
        ("floor", "floor 'E' (code 500 to 599)", True, None),
        ("hold", "hold H3 (type LOGIN)", True, None),
        ("hold", "hold H6 (tenant nobody)", True, None),
    ]


def test_a_hold_of_all_datasets_needs_a_record_in_one_of_them(folder: Path) -> None:
    """Where it has none in the second dataset, it has some in the first."""
    (folder / "other.jsonl").write_text('{"at": "2026-01-01T00:00:00Z", "site": "gamma"}\n', encoding="utf-8")
    other = "  other: {store: ./other.jsonl, time: at, tenant: site, archive: none, keep: 1 day}\n"
    holds = "".join(f"  - {{matter: {name}, match: {{tenant: {name}}}}}\n" for name in ("acme", "gamma", "delta"))
    found = looked(folder, "keep: 1 day", f"{other}holds:\n{holds}")
    assert [(each.name, each.dataset) for each in found.idle] == [("hold delta (tenant delta)", None)]


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
@pytest.mark.parametrize("records", [[], RECORDS[-1:]], ids=["empty", "undated"])
def test_a_dataset_that_has_nothing_says_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    records: list[tuple[str | None, str | None, str | None, int | str | None]],
) -> None:
    """A new store has no record yet, and one without any time nothing that a rule could select."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LAPSE_NOW", NOW)
    make(tmp_path, kind, records)
    found = looked(tmp_path, TENANTS, TAIL)
    assert found.idle == ()
    assert found.datasets[0].records == len(records)


def test_looking_changes_nothing(folder: Path) -> None:
    """Neither the store nor the state folder: every file is what it was."""
    looked(folder, RULES, TAIL)
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    looked(folder, RULES, TAIL)
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before
    assert not (folder / "state").exists()


def test_a_store_that_is_not_there_is_an_error_with_its_place(folder: Path) -> None:
    """Nothing is said of selectors whose store was not seen."""
    for path in (*folder.glob("log.*"),):
        path.unlink()
    with pytest.raises(StoreMissingError) as caught:
        looked(folder, RULES)
    assert caught.value.origin is not None


def test_every_selector_has_a_word() -> None:
    """The four that a policy has."""
    assert [each.value for each in Selector] == ["rule", "tenant", "floor", "hold"]


def test_another_store_than_the_policy_was_written_for_is_refused(folder: Path) -> None:
    """What it lacks says nothing about the policy."""
    with pytest.raises(GuardError, match="the policy expects"):
        looked(folder, "expect: sqlite:other\nkeep: 1 day")
