"""The site's retention as a policy of Lapse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mxcp_world import OLD, YOUNG, Site, record, schema
from mxcp_world import site_fixture as site_fixture
from typer.testing import CliRunner

from lapse.cli.main import app
from lapse.dialects.mxcp.cleanup import Order, audit_of, meaning_of
from lapse.model.policy import Dataset, Policy
from lapse.policyfile import load

LINES = (schema(), schema(version=1, days=365), schema("a: b#c", 7, 30), schema("forever", 1, None))


def printed(site: Site, folder: Path, *arguments: str) -> Policy:
    """The policy that is printed, read back."""
    result = site.call("policy", *arguments)
    assert result.exit_code == 0, result.output
    file = folder / "lapse.yaml"
    file.write_text(result.stdout, encoding="utf-8")
    return load(str(file))


def plainly(dataset: Dataset) -> object:
    """What a dataset decides; a policy has no way to say that a value must be a number."""
    rules = []
    for rule in dataset.rules:
        conditions = [(each.field, (*each.values, *map(str, each.numbers))) for each in rule.match.conditions]
        rules.append((conditions, rule.keep, rule.archives, rule.waived))
    return (replace(dataset, shown="", rules=(), origins={}), rules)


@pytest.mark.parametrize("arguments", [(), ("--archive", "cold"), ("--ledger", "proof")])
def test_the_printed_policy_means_what_the_drop_in_does(site: Site, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Read back, it is the same dataset with the same rules, archive and ledger."""
    site.register(*LINES)
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    order = Order(archive=options.get("--archive"), ledger=options.get("--ledger"))
    meant, _ = meaning_of(order, audit_of(order))
    found = printed(site, tmp_path, *arguments)

    assert [plainly(each) for each in found.datasets.values()] == [plainly(each) for each in meant.datasets.values()]
    assert {a.name: a.to for a in found.archives.values()} == {a.name: a.to for a in meant.archives.values()}
    assert found.ledger == meant.ledger


def test_a_run_with_the_printed_policy_removes_the_same(site: Site, tmp_path: Path) -> None:
    """`lapse run --allow-empty` decides as the drop-in."""
    site.register(*LINES)
    site.write(record(OLD), record(OLD, version=1), record(40, name="a: b#c", version=7), record(YOUNG))
    counted = json.loads(site.clean("--dry-run", "--json").stdout)["result"]["deleted_per_schema"]
    printed(site, tmp_path)
    done = CliRunner().invoke(app, ["run", "-p", str(tmp_path / "lapse.yaml"), "--json"], env=site.env())

    assert done.exit_code == 0, done.stdout
    assert json.loads(done.stdout)["result"]["records"] == sum(counted.values()) == 2
    assert len(site.lines()) == 2


def test_a_schema_that_keeps_no_day_is_said_as_nearly_as_a_policy_can(site: Site, tmp_path: Path) -> None:
    """`0 whole days` is no period of a policy; `1 day` keeps a nanosecond longer."""
    site.register(schema(days=0))

    (dataset,) = printed(site, tmp_path).datasets.values()
    assert dataset.rules[0].keep.text == "1 day"


@pytest.mark.parametrize("name", ["glob:x", "set:x", "a${B}c"])
def test_a_name_that_no_policy_can_have_is_refused(site: Site, name: str) -> None:
    """The drop-in itself works with it."""
    site.register(schema(name))
    site.write(record(OLD, name=name))

    assert site.call("policy").exit_code == 1
    assert site.deleted() == {f"{name}:v2": 1}


def test_programs_get_the_text(site: Site) -> None:
    """In the object of the original, or flat."""
    text = site.call("policy").stdout

    assert json.loads(site.call("policy", "--json").stdout) == {"status": "ok", "result": {"policy": text}}
    assert json.loads(site.call("policy", "--json=flat").stdout) == {"policy": text}


def test_datasets_of_odd_profiles_have_names_of_their_own(site: Site, tmp_path: Path) -> None:
    """Two profiles whose names differ in signs that no folder can have are two datasets."""
    names: set[str] = set()
    for profile in ("prod eu", "prod/eu", "prod-eu"):
        site.configure(f"mxcp: 1\nproject: shop\nprofile: {profile}\nprofiles: {{}}\n")
        names.update(printed(site, tmp_path).datasets)

    assert len(names) == 3
