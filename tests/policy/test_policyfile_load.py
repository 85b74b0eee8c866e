"""lapse.policyfile.load: what a right policy means."""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_helpers import dataset, write

from lapse.instant import parse_rfc3339
from lapse.model.match import Condition, Glob
from lapse.model.policy import DOUBT_BEFORE_DEFAULT, Dataset, TimeFormat
from lapse.policyfile import effective, load

DESIGN = """\
    version: 1
    ledger: /var/lib/lapse/ledger
    archives:
      cold: {to: s3://acme-audit/lapse, format: parquet, keep: 6 years}
    datasets:
      call-events:
        store: postgresql://lapse@db/asterisk
        table: cel
        time: eventtime
        type: eventtype
        tenant: tenant_uuid
        keep: 365 days
        archive: cold
        expect: postgresql:7301:asterisk.cel
      tool-audit:
        store: /var/log/mxcp/audit*.jsonl*
        time: timestamp
        type: schema_name
        tenant: org
        keep:
          - {type: mxcp.auth, for: 1 year}
          - {type: OBJECT_CREATED, for: forever}
          - {type: DOCUMENT_ACCESSED, tenant: acme, for: 1 day}
          - {for: 90 days}
        archive: cold
    floors:
      - {match: {dataset: tool-audit}, at least: 12 months, because: PCI DSS 4.0.1 10.5.1}
    holds:
      - {matter: 2026-17, match: {tenant: acme}, reason: litigation, since: 2026-10-01}
    guards: {share: 90%}
"""


def read(folder: Path, lines: str, *, store: str = "./logs/*.jsonl") -> Dataset:
    return load(dataset(folder, lines, store=store)).datasets["log"]


def test_a_whole_policy_becomes_values(tmp_path: Path) -> None:
    """The example of the documentation is read, every part of it."""
    policy = load(write(tmp_path, DESIGN))

    calls, tools = policy.datasets.values()
    assert (calls.name, calls.store, calls.table) == ("call-events", "postgresql://lapse@db/asterisk", "cel")
    assert (calls.time, calls.type, calls.tenant) == ("eventtime", "eventtype", "tenant_uuid")
    assert calls.expect == "postgresql:7301:asterisk.cel"
    assert [(str(rule.match), rule.keep.text, rule.archives) for rule in calls.rules] == [
        ("everything", "365 days", ("cold",))
    ]
    assert [str(rule) for rule in tools.rules] == [
        "rule 1 (type mxcp.auth: 1 year)",
        "rule 2 (type OBJECT_CREATED: forever)",
        "rule 3 (type DOCUMENT_ACCESSED and tenant acme: 1 day)",
        "rule 4 (everything: 90 days)",
    ]
    assert tools.rules[2].match.fields == ("schema_name", "org")
    assert policy.archives["cold"].to == "s3://acme-audit/lapse"
    assert policy.archives["cold"].keep is not None
    assert policy.archives["cold"].keep.months == 72
    assert (policy.floors[0].dataset, policy.floors[0].at_least.months) == ("tool-audit", 12)
    assert policy.guards.share == 0.9
    assert policy.ledger == "/var/lib/lapse/ledger"


def test_every_part_knows_where_it_is_written(tmp_path: Path) -> None:
    """Datasets point at their keys, rules, floors and holds at themselves."""
    policy = load(write(tmp_path, DESIGN))
    tools = policy.datasets["tool-audit"]

    file = str(tmp_path / "lapse.yaml")
    assert str(tools.origin()) == f"{file}:15:3"
    assert str(tools.origin("time")) == f"{file}:17:5"
    assert tools.origin("table") == tools.origin()
    assert [str(rule.origin) for rule in tools.rules][1:3] == [f"{file}:22:9", f"{file}:23:9"]
    assert str(policy.archives["cold"].origin) == f"{file}:4:3"
    assert str(policy.floors[0].origin) == f"{file}:27:5"
    assert str(policy.holds[0].origin) == f"{file}:29:5"


def test_a_hold_keeps_its_roles_for_each_dataset_to_resolve(tmp_path: Path) -> None:
    """In holds and floors `tenant` stays the role: only a dataset knows its column."""
    hold = load(write(tmp_path, DESIGN)).holds[0]
    assert hold.match.conditions == (Condition(field="tenant", values=("acme",), role="tenant"),)
    assert (hold.matter, hold.dataset) == ("2026-17", None)
    assert hold.since == parse_rfc3339("2026-10-01T00:00:00Z")


def test_what_nobody_wrote_keeps_everything(tmp_path: Path) -> None:
    """Without `keep:` there is no rule; the other defaults are the cautious ones."""
    plain = load(write(tmp_path, "version: 1\ndatasets: {log: {store: a.jsonl, time: at}}")).datasets["log"]
    assert plain.rules == ()
    assert (plain.time_format, plain.zone, plain.writers) == (TimeFormat.AUTO, None, None)
    assert plain.doubt_before == DOUBT_BEFORE_DEFAULT


def test_values_become_the_text_that_records_are_compared_by(tmp_path: Path) -> None:
    """Whole numbers and booleans are compared as text, patterns are explicit, also in lists."""
    rule = read(
        tmp_path,
        """
        type: kind
        keep:
          - {type: [a, "glob:b.*", 7, a], level: 30, ok: true, $.detail.user: "glob:x?", $.type: "1", for: 1 day}
        archive: cold
        """,
    ).rules[0]
    assert rule.match.conditions == (
        Condition(field="kind", values=("a", "7"), globs=(Glob("b.*"),), role="type"),
        Condition(field="level", values=("30",), role="level"),
        Condition(field="ok", values=("true",), role="ok"),
        Condition(field="$.detail.user", values=(), globs=(Glob("x?"),), role="$.detail.user"),
        Condition(field="type", values=("1",), role="$.type"),
    )


def test_quotes_make_a_text_of_anything(tmp_path: Path) -> None:
    """A quoted number with zeros in front, a quoted `null` and a date are just text."""
    keep = """
        keep: [{a: "007", b: "null", c: 2026-10-01, d: yes, e: "true", for: 1 day}]
        archive: cold
    """
    values = [condition.values for condition in read(tmp_path, keep).rules[0].match.conditions]
    assert values == [("007",), ("null",), ("2026-10-01",), ("yes",), ("true",)]


@pytest.mark.parametrize(
    ("archive", "archives", "waived"),
    [("cold", ("cold",), False), ("[cold, far]", ("cold", "far"), False), ("none", (), True)],
)
def test_archives_are_one_several_or_waived(
    tmp_path: Path, archive: str, archives: tuple[str, ...], waived: bool
) -> None:
    """A list means all of them; `none` is a waiver and nothing else is."""
    path = dataset(tmp_path, f"keep: 1 day\narchive: {archive}", head="")
    path.write_text(path.read_text().replace("./archive}", "./archive}, far: {to: ./far}"))
    rule = load(path).datasets["log"].rules[0]
    assert (rule.archives, rule.waived) == (archives, waived)


def test_a_rule_may_have_its_own_archive(tmp_path: Path) -> None:
    """The rule's `archive` stands instead of the dataset's, also as a waiver."""
    rules = read(
        tmp_path,
        """
        keep: [{a: x, for: 1 day, archive: none}, {a: y, for: 2 days}]
        archive: cold
        """,
    ).rules
    assert [(rule.archives, rule.waived) for rule in rules] == [((), True), (("cold",), False)]


def test_only_forever_needs_no_archive(tmp_path: Path) -> None:
    """What never lapses goes nowhere."""
    rule = read(tmp_path, "keep: forever").rules[0]
    assert (rule.archives, rule.waived) == ((), False)


def test_every_key_of_a_dataset_has_its_place(tmp_path: Path) -> None:
    """Formats, zones, doubt, requirements and promises arrive in the model."""
    found = read(
        tmp_path,
        """
        type: kind
        tenant: $.who.org
        key: id
        time format: unix milliseconds
        time zone: Europe/Paris
        require: [tenant, type, id, kind]
        allow: [no time]
        doubt before: 2001-02-03T04:05:06.5+01:00
        writers: none
        keep: no time
        archive: none
        """,
    )
    assert (found.type, found.tenant, found.key) == ("kind", "$.who.org", "id")
    assert (found.time_format, found.zone) == (TimeFormat.MILLISECONDS, "Europe/Paris")
    assert found.require == ("$.who.org", "kind", "id")
    assert found.doubt_before == parse_rfc3339("2001-02-03T03:05:06.5Z")
    assert found.writers == "none"


def test_a_policy_can_promise_that_writers_append(tmp_path: Path) -> None:
    """Where Lapse cannot see them."""
    assert read(tmp_path, "writers: append-only").writers == "append-only"


def test_doubt_can_be_given_up(tmp_path: Path) -> None:
    """`doubt before: never` believes every age."""
    assert read(tmp_path, "doubt before: never").doubt_before is None


def test_a_hold_can_be_bounded_in_four_ways(tmp_path: Path) -> None:
    """When the order applies, and which records it holds; a date is its first instant in UTC."""
    hold = load(
        write(
            tmp_path,
            """\
            version: 1
            holds:
              - matter: 2026
                match: all
                since: 2026-01-01
                until: 2026-01-02T00:00:00+02:00
                records from: 2025-01-01
                records before: 2025-01-02T00:00:00.000000001Z
            """,
        )
    ).holds[0]
    assert (hold.matter, hold.reason, hold.match.conditions) == ("2026", "", ())
    assert hold.since == parse_rfc3339("2026-01-01T00:00:00Z")
    assert hold.until == parse_rfc3339("2026-01-01T22:00:00Z")
    assert hold.records_from == parse_rfc3339("2025-01-01T00:00:00Z")
    assert hold.records_before == parse_rfc3339("2025-01-02T00:00:00.000000001Z")


@pytest.mark.parametrize(("text", "share"), [("90%", 0.9), ("100%", 1.0), ("0.5 %", 0.005), ("12.5%", 0.125)])
def test_a_share_is_a_percentage(tmp_path: Path, text: str, share: float) -> None:
    """Percent become a fraction of one."""
    guards = load(write(tmp_path, f"version: 1\nguards: {{share: {text}, rows: 1000}}")).guards
    assert (guards.share, guards.rows) == (share, 1000)


def test_anchors_repeat_what_they_name(tmp_path: Path) -> None:
    """An alias is as good as writing the value out."""
    found = read(tmp_path, "keep: [{a: &who [x, y], for: &long 1 year}, {b: *who, for: *long}]\narchive: cold")
    assert found.rules[1].match.conditions[0].values == ("x", "y")
    assert found.rules[1].keep.months == 12


def test_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    """Files from Windows editors read the same."""
    path = write(tmp_path, "version: 1\n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(path).datasets == {}


def test_effective_shows_every_value_with_its_place(tmp_path: Path) -> None:
    """Written values have a place, defaults have none, and conf.d shows its own files."""
    main = dataset(tmp_path, "keep: [{a: [x, 2], for: forever}]\ntime format: iso")
    extra = write(tmp_path, "guards: {share: 50%}", "conf.d/limits.yaml")

    values = effective(main)
    shown = {each.path: each for each in values}

    assert len(shown) == len(values), "a value that is written has no default beside it"
    assert shown["datasets.log.time format"].value == "iso"
    assert (shown["version"].value, str(shown["version"].origin)) == ("1", f"{main}:1:10")
    assert shown["datasets.log.keep[0].a[1]"].value == "2"
    assert str(shown["guards.share"].origin) == f"{extra}:1:17"
    assert (shown["datasets.log.doubt before"].value, shown["datasets.log.doubt before"].is_default) == (
        "1990-01-01",
        True,
    )
    assert not shown["datasets.log.time"].is_default
