"""Rules of single tenants in a policy: their order, their labels, their places, and what is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jsonschema
import pytest
from policy_helpers import complaints, dataset, only, place, write

from lapse.instant import Nanos
from lapse.model.policy import Dataset
from lapse.model.selection import select
from lapse.policyfile import effective, json_schema, load

NOW = Nanos(1_780_000_000 * 1_000_000_000)

LINES = """\
tenant: site
type: kind
archive: cold
tenants:
  acme: {keep: [{type: LOGIN, for: 1 day}, {for: 10 days}], archive: none}
  beta: {keep: forever}
  "2026": {keep: [{type: LOGIN, for: 2 days}]}
keep:
  - {type: LOGIN, for: 30 days}
  - {for: 90 days}
"""


def log(path: Path) -> Dataset:
    """The dataset of a policy."""
    return load(path).datasets["log"]


def decided(found: Dataset, tenant: str | None, kind: str) -> str:
    """The rule that decides about a record, in words."""
    selection = select(found, floors=(), holds=(), now=NOW, real_now=NOW)
    code = selection.decide(Nanos(NOW - 1), {"site": tenant, "kind": kind}.get)
    return selection.outcomes[code].reason


@pytest.mark.parametrize(
    ("tenant", "kind", "reason"),
    [
        ("acme", "LOGIN", "kept by tenant acme, rule 1 (type LOGIN: 1 day)"),
        ("acme", "OTHER", "kept by tenant acme, rule 2 (everything: 10 days)"),
        ("beta", "LOGIN", "kept by tenant beta, rule 1 (everything: forever)"),
        ("2026", "LOGIN", "kept by tenant 2026, rule 1 (type LOGIN: 2 days)"),
        ("2026", "OTHER", "kept by rule 2 (everything: 90 days)"),
        ("gamma", "LOGIN", "kept by rule 1 (type LOGIN: 30 days)"),
        ("ACME", "LOGIN", "kept by rule 1 (type LOGIN: 30 days)"),
        ("acme ", "LOGIN", "kept by rule 1 (type LOGIN: 30 days)"),
        (None, "OTHER", "kept by rule 2 (everything: 90 days)"),
    ],
)
def test_the_rules_of_a_tenant_come_before_those_of_all(
    tmp_path: Path, tenant: str | None, kind: str, reason: str
) -> None:
    """By its exact name; what its rules leave goes by the common ones; reasons say whose rule it was."""
    assert decided(log(dataset(tmp_path, LINES)), tenant, kind) == reason


def test_each_rule_knows_its_place_its_archive_and_its_line(tmp_path: Path) -> None:
    """Tenants in file order, then the common rules; a rule's archive before the tenant's before the dataset's."""
    lines = LINES.replace("{type: LOGIN, for: 1 day}", "{type: LOGIN, for: 1 day, archive: cold}")
    rules = log(dataset(tmp_path, lines)).rules
    assert [rule.index for rule in rules] == list(range(6))
    assert [rule.name for rule in rules] == [
        "tenant acme, rule 1", "tenant acme, rule 2", "tenant beta, rule 1", "tenant 2026, rule 1", "rule 1", "rule 2",
    ]  # fmt: skip
    assert [(rule.archives, rule.waived) for rule in rules] == [
        (("cold",), False), ((), True), (("cold",), False), (("cold",), False), (("cold",), False), (("cold",), False),
    ]  # fmt: skip
    assert [(rule.origin.line, rule.origin.column) for rule in rules if rule.origin] == [
        (11, 21), (11, 63), (12, 20), (13, 23), (15, 9), (16, 9),
    ]  # fmt: skip


def test_a_dataset_without_tenants_is_what_it_always_was(tmp_path: Path) -> None:
    """Its rules are named and hashed as before; an empty mapping of tenants changes nothing."""
    lines = "tenant: site\narchive: cold\nkeep: [{for: 1 day}]"
    plain = load(dataset(tmp_path, lines))
    empty = load(dataset(tmp_path, f"{lines}\ntenants: {{}}"))
    assert str(plain.datasets["log"].rules[0]) == "rule 1 (everything: 1 day)"
    assert plain.datasets["log"].rules == empty.datasets["log"].rules
    assert plain.digest == empty.digest


def test_a_tenants_rule_means_the_same_as_one_with_its_name(tmp_path: Path) -> None:
    """The policy's hash is of what is decided, not of where it is written."""
    section = dataset(tmp_path, "tenant: site\narchive: cold\ntenants: {a: {keep: 1 day}}\nkeep: 2 days")
    first = load(section).digest
    rule = dataset(tmp_path, "tenant: site\narchive: cold\nkeep: [{tenant: a, for: 1 day}, {for: 2 days}]")
    assert load(rule).digest == first


def test_a_dataset_may_have_rules_for_tenants_only(tmp_path: Path) -> None:
    """All other records match no rule, and are kept."""
    found = log(dataset(tmp_path, "tenant: site\narchive: cold\ntenants: {a: {keep: 1 day}}"))
    assert decided(found, "b", "x") == "no rule matches"


NAMES = ["a.b", "a b", "ä", "%", "_", "a' OR '1'='1", "null!", "*", "?x", "GLOB:x", "xglob:x", "true", "$${x}"]


@pytest.mark.parametrize("name", NAMES)
def test_a_tenant_is_a_name_and_nothing_else(tmp_path: Path, name: str) -> None:
    """Wildcards, quotes and words of YAML in a name stand for themselves."""
    lines = f"tenant: site\narchive: cold\ntenants:\n  {json.dumps(name)}: {{keep: 1 day}}\nkeep: 2 days"
    found = log(dataset(tmp_path, lines))
    meant = name.replace("$${", "${")
    assert decided(found, meant, "x") == f"kept by tenant {meant}, rule 1 (everything: 1 day)"
    assert decided(found, f"{meant}x", "x") == "kept by rule 1 (everything: 2 days)"


@pytest.mark.parametrize(
    ("lines", "where", "message", "hint"),
    [
        ("tenants: {a: {keep: 1 day}}\narchive: cold", (7, 5), "does not say which field holds the tenant", "COLUMN"),
        ("tenant: t\narchive: cold\ntenants: {'glob:a*': {keep: 1 day}}", (9, 15), "`glob:a*` cannot name a tenant",
         'under `keep`: {tenant: "glob:a*", for: …}'),
        ("tenant: t\narchive: cold\ntenants: {'set:vip': {keep: 1 day}}", (9, 15), "`set:vip` cannot name a tenant",
         'under `keep`: {tenant: "set:vip", for: …}'),
        ("tenant: t\narchive: cold\ntenants: {'': {keep: 1 day}}", (9, 15), "the name of a tenant is empty", "exact"),
        ("tenant: t\narchive: cold\ntenants: {' ': {keep: 1 day}}", (9, 15), "the name of a tenant is empty", None),
        ("tenant: t\narchive: cold\ntenants: {'${A}': {keep: 1 day}}", (9, 15), "is replaced in `store`", "$${"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: [{tenant: a, for: 1 day}]}}", (9, 27),
         "`tenant` means nothing here: these are the rules of the tenant `a`", "move the rule to `keep`"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: [{tenant: b, for: 1 day}]}}", (9, 27),
         "`tenant` means nothing here: these are the rules of the tenant `a`", "move the rule to `keep`"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: [{tennant: a, for: 1 day}]}}", (9, 27),
         "unknown key `tennant`", "`tenant`"),
        ("tenant: t\narchive: cold\ntenants: {a: {}}", (9, 15), "`keep` is missing in `a`", "Add `keep:`."),
        ("tenant: t\narchive: cold\ntenants: {a: 1 day}", (9, 18), "`a`: must be a mapping of keys", None),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: 1}}", (9, 25), "1 is not a retention period", "90 days"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: []}}", (9, 25), "the list is empty", None),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: 1 day, for: 1 day}}", (9, 32), "unknown key `for`", "Known"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: 1 day, archve: x}}", (9, 32), "unknown key", "`archive`"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: 1 day, archive: clod}}", (9, 41), "no archive `clod`", "cold"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: 1 day}, a: {keep: 1 day}}", (9, 33), "duplicate key `a`", None),
        ("tenant: t\narchive: cold\ntenants: [a]", (9, 14), "`tenants`: must be a mapping of keys, not a list", None),
        ("tenant: t\narchive: cold\ntenants:", (9, 5), "`tenants`: nothing is written here", "null never means all"),
        ("tenant: t\ntenants: {a: {keep: 1 day}}", (8, 25), "nothing says where these records", "archive"),
        ("tenant: t\ntenants: {a: {keep: 1 day, archive: none}}\nkeep: 1 day", (9, 11), "nothing says where", None),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: no time}}", (9, 25), "`no time` removes records", "allow"),
        ("tenant: t\narchive: cold\ntenents: {a: {keep: 1 day}}", (9, 5), "unknown key `tenents`", "`tenants`"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: 1 day}, b: {keep: 1 day}}\nkeep: [{t: [a, b], for: 1 day}]",
         (10, 12), "rule 1 never decides: tenant a, rule 1 at", "narrower"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: [{for: 1 day}, {x: y, for: 2 days}]}}", (9, 40),
         "tenant a, rule 2 never decides: tenant a, rule 1 at", "narrower"),
        ("tenant: t\narchive: cold\ntenants: {a: {keep: [{t: b, for: 1 day}]}}", (9, 26),
         "tenant a, rule 1 never decides: no record can match", "two of them"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_place_and_hint(
    tmp_path: Path, lines: str, where: tuple[int, int], message: str, hint: str | None
) -> None:
    """One mistake, one complaint, at its line and column."""
    complaint = only(dataset(tmp_path, lines))
    assert message in complaint.message, str(complaint)
    assert place(complaint) == where, str(complaint)
    assert hint is None or hint in (complaint.hint or "")


MAIN = """\
    version: 1
    datasets:
      log: {store: ./*.jsonl, time: at, tenant: site, archive: none, keep: 9 days, tenants: {a: {keep: 1 day}}}
    """


def test_a_file_of_conf_d_may_add_tenants_to_a_dataset(tmp_path: Path) -> None:
    """A dataset with nothing but tenants adds them to the one of that name, whichever file comes first."""
    main = write(tmp_path, "version: 1\n")
    write(tmp_path / "conf.d", "datasets: {log: {tenants: {b: {keep: 2 days}}}}", "10-b.yaml")
    write(tmp_path / "conf.d", MAIN.replace("version: 1", "guards: {rows: 5}"), "20-log.yaml")
    write(tmp_path / "conf.d", "datasets: {log: {tenants: {c: {keep: 3 days}}}}", "30-c.yaml")
    rules = load(main).datasets["log"].rules
    assert [(rule.tenant, rule.keep.text) for rule in rules] == [
        ("a", "1 day"), ("b", "2 days"), ("c", "3 days"), (None, "9 days"),
    ]  # fmt: skip
    assert [Path(rule.origin.file).name for rule in rules if rule.origin] == [
        "20-log.yaml", "10-b.yaml", "30-c.yaml", "20-log.yaml",
    ]  # fmt: skip


def test_added_tenants_need_none_before_them(tmp_path: Path) -> None:
    """A dataset without any gets those of another file; what it says of itself is checked as one."""
    main = write(tmp_path, MAIN.replace(", tenants: {a: {keep: 1 day}}", ""))
    write(tmp_path / "conf.d", "datasets: {log: {tenants: {b: {keep: 2 days}}}}", "b.yaml")
    assert [rule.tenant for rule in load(main).datasets["log"].rules] == ["b", None]


@pytest.mark.parametrize(
    ("added", "where", "message"),
    [
        ("datasets: {log: {tenants: {a: {keep: 2 days}}}}", (1, 28), "`datasets.log.tenants.a` stands at"),
        ("datasets: {log: {tenants: {b: {keep: 2 days}}, keep: 1 day}}", (1, 12), "`time` is missing"),
        ("datasets: {lgo: {tenants: {b: {keep: 2 days}}}}", (1, 12), "there is no dataset `lgo` to which"),
        ("datasets: {log: {tenants: {b: {kepe: 2 days}}}}", (1, 32), "unknown key `kepe`"),
        ("datasets: {log: {tenants: {b: {keep: 2 weaks}}}}", (1, 38), "is not a retention period"),
        ("datasets: {log: {tenants: []}}", (1, 27), "must be a mapping"),
    ],
)
def test_a_mistake_in_added_tenants_is_told_at_its_place(
    tmp_path: Path, added: str, where: tuple[int, int], message: str
) -> None:
    """A tenant stands once, in all files; a dataset that is nowhere else is named."""
    main = write(tmp_path, MAIN)
    write(tmp_path / "conf.d", added, "b.yaml")
    found = [each for each in complaints(main) if message in each.message]
    assert [place(each) for each in found] == [where], [str(each) for each in complaints(main)]
    assert Path(found[0].origin.file).name == "b.yaml"


def test_a_dataset_that_only_adds_tenants_needs_a_home_in_one_file_too(tmp_path: Path) -> None:
    """In the policy itself as well: without a store it is no dataset."""
    complaint = only(write(tmp_path, "version: 1\ndatasets: {log: {tenants: {b: {keep: 2 days}}}}"))
    assert "there is no dataset `log`" in complaint.message
    assert "`store`" in (complaint.hint or "")


def test_the_effective_policy_shows_each_value_with_its_file(tmp_path: Path) -> None:
    """Added tenants stand among the others, each with the place where it is written."""
    main = write(tmp_path, MAIN)
    added = "datasets: {log: {tenants: {b: {keep: [{kind: x, for: 2 days}]}, c.d: {keep: 1 day}}}}"
    write(tmp_path / "conf.d", added, "b.yaml")
    values = {each.path: (each.value, Path(each.origin.file).name) for each in effective(main) if each.origin}
    assert values["datasets.log.tenants.a.keep"] == ("1 day", "lapse.yaml")
    assert values["datasets.log.tenants.b.keep[0].for"] == ("2 days", "b.yaml")
    assert values['datasets.log.tenants."c.d".keep'] == ("1 day", "b.yaml")


def policy(tenants: object, **more: object) -> dict[str, object]:
    """A policy as JSON."""
    own = {"store": "x", "time": "t", "tenant": "s", "archive": "none", "tenants": tenants, **more}
    return {"version": 1, "datasets": {"log": own}}


@pytest.mark.parametrize(
    ("tenants", "fits"),
    [
        ({"a": {"keep": "1 day"}}, True),
        ({"a": {"keep": [{"for": "1 day"}], "archive": "none"}}, True),
        ({}, True),
        ({"glob:a": {"keep": "1 day"}}, False),
        ({"set:a": {"keep": "1 day"}}, False),
        ({" ": {"keep": "1 day"}}, False),
        ({"a": {}}, False),
        ({"a": {"keep": []}}, False),
        ({"a": {"keep": [{"tenant": "a", "for": "1 day"}]}}, False),
        ({"a": {"keep": "1 day", "for": "1 day"}}, False),
        ({"a": None}, False),
        (None, False),
    ],
)
def test_the_json_schema_knows_tenants(tenants: object, fits: bool) -> None:
    """Editors are told what the program would say."""
    checker = jsonschema.Draft202012Validator(json_schema())
    assert checker.is_valid(policy(tenants)) is fits


SHARED = """\
    version: 1
    datasets:
      one: {{store: "sqlite:///a.db", table: log, time: at, tenant: site, archive: none, tenants: {one}}}
      two: {{store: "sqlite:///a.db", table: log, time: at, tenant: site, archive: none, tenants: {two}}}
    """


def test_two_datasets_may_share_a_table_by_tenants(tmp_path: Path) -> None:
    """As long as none has rules in both; the complaint names both rules with their lines."""
    path = write(tmp_path, SHARED.format(one="{a: {keep: 1 day}, b: {keep: 1 day}}", two="{c: {keep: 1 day}}"))
    assert len(load(path).datasets) == 2
    path = write(tmp_path, SHARED.format(one="{a: {keep: 1 day}, b: {keep: 1 day}}", two="{b: {keep: 2 days}}"))
    complaint = only(path)
    assert "tenant b, rule 1 of `two` and tenant b, rule 1 of `one` at" in complaint.message
    assert place(complaint)[0] == 4


def test_ten_thousand_tenants_cost_little_more_than_their_rules(tmp_path: Path) -> None:
    """What is made of them grows as they do: ten times the tenants take about ten times as long."""

    def spent(count: int) -> float:
        lines = [f"  t{n}: {{keep: [{{type: a, for: 1 day}}, {{for: 2 days}}]}}" for n in range(count)]
        path = dataset(tmp_path, "\n".join(["tenant: site", "type: kind", "archive: cold", "tenants:", *lines]))
        began = time.process_time()
        assert len(log(path).rules) == 2 * count
        return time.process_time() - began

    spent(100)
    assert spent(2_000) < 25 * max(spent(200), 0.05)
