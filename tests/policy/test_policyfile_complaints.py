"""lapse.policyfile.load: what a wrong policy is told, where, and with which hint."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_helpers import complaints, dataset, only, place, write

from lapse.errors import Complaint, ExitCode, Origin, PolicyError
from lapse.policyfile import load


@pytest.mark.parametrize(
    ("lines", "where", "message", "hint"),
    [
        ("keep: 90\narchive: cold", (7, 11), "`keep`: 90 is not a retention period: a bare number has no", "90 days"),
        ("keep: '90'\narchive: cold", (7, 11), "`keep`: '90' is not a retention period: a bare number", "90 days"),
        ("keep: 0\narchive: cold", (7, 11), "`keep`: 0 is not a retention period", "90 days"),
        ("keep: -90\narchive: cold", (7, 11), "`keep`: -90 is not a retention period", "90 days"),
        ("keep: 0 days\narchive: cold", (7, 11), "`keep`: '0 days' is not a retention period: zero", "90 days"),
        ("keep: -1 days\narchive: cold", (7, 11), "`keep`: '-1 days' is not a retention period", "90 days"),
        ("keep: 1.5\narchive: cold", (7, 11), "`keep`: 1.5 is not a retention period", "90 days"),
        ("keep: 1e3\narchive: cold", (7, 11), "`keep`: 1e3 is not a retention period", "90 days"),
        ("keep: true\narchive: cold", (7, 11), "`keep`: true is not a retention period", "90 days"),
        ("keep: ''\narchive: cold", (7, 11), "`keep`: '' is not a retention period: it is empty", "90 days"),
        ("keep:\narchive: cold", (7, 5), "`keep`: nothing is written here, or null", "never means all"),
        ("keep: null\narchive: cold", (7, 5), "`keep`: nothing is written here, or null", "never means all"),
        ("keep: ~\narchive: cold", (7, 5), "`keep`: nothing is written here, or null", "never means all"),
        ("keep: []\narchive: cold", (7, 11), "`keep`: the list is empty", "Fill it in"),
        ("keep: {for: 1 day}\narchive: cold", (7, 11), "`keep`: must be a retention period, not a mapping", "90 days"),
        ("keep: [1 day]\narchive: cold", (7, 12), "`keep`: must be a mapping of keys, not `1 day`", None),
        ("keep: [{tennant: x, for: forever}]", (7, 13), "unknown key `tennant`", "Did you mean `tenant`?"),
        ("keep: [{tpye: x, for: forever}]", (7, 13), "unknown key `tpye`", "Did you mean `type`?"),
        ("keep: [{archives: x, for: forever}]", (7, 13), "unknown key `archives`", "Did you mean `archive`?"),
        ("keep: [{Type: x, for: forever}]", (7, 13), "unknown key `Type`", "write `$.Type`"),
        ("keep: [{a: x, fro: 1 day}]\narchive: cold", (7, 12), "`for` is missing in `keep`", "instead of `fro`"),
        ("keep: [{a: , for: forever}]", (7, 13), "`a`: nothing is written here, or null", "never means all"),
        ("keep: [{a: [x, ], b: [null], for: forever}]", (7, 27), "nothing is written here, or null", "Write a value"),
        ("keep: [{a: [], for: forever}]", (7, 16), "`a`: the list is empty", "Fill it in"),
        ("keep: [{a: 1.5, for: forever}]", (7, 16), "`a`: 1.5 is a number with a fraction", "whole number"),
        ("keep: [{a: {b: c}, for: forever}]", (7, 17), "unknown key `b`", "Known: `from`, `to`, `not`."),
        ("keep: [{a: [[b]], for: forever}]", (7, 17), "`a`: must be a value or a list of values, not a list", None),
        ("keep: [{a: 'glob:', for: forever}]", (7, 16), "`a`: `glob:` has no pattern after it", "glob:auth.*"),
        ("keep: [{a: 007, for: forever}]", (7, 16), "`007` can be read in two ways", '"007"'),
        ('keep: [{a: "b\\uD800", for: forever}]', (7, 16), "this text has half a character in it", "whole character"),
        ('keep: [{a: x, "$.\\uDC00": x, for: forever}]', (7, 19), "this text has half a character in it", "whole char"),
        ("keep: [{a: 0x1F, for: forever}]", (7, 16), "`0x1F` can be read in two ways", '"0x1F"'),
        ("keep: [{$.a..b: x, for: forever}]", (7, 13), "unknown key: `$.a..b` is not a path into JSON", "$.detail"),
        ("keep: [{for: 1 day, archive: clod}]", (7, 34), "there is no archive `clod`", "Did you mean `cold`?"),
        ("keep: 1 day\narchive: [cold, none]", (8, 21), "`none` cannot stand beside archives", "alone"),
        ("keep: 1 day\narchive: [cold, cold]", (8, 21), "archive `cold` is named twice", "once"),
        ("keep: 1 day\narchive: []", (8, 14), "`archive`: the list is empty", "Fill it in"),
        ("keep: 1 day", (7, 11), "nothing says where these records of `log` are archived", "`archive: none`"),
        ("keep: [{a: x, for: forever}, {for: 1 day}]", (7, 40), "nothing says where these records", "archive: NAME"),
        ("keep: no time\narchive: none", (7, 11), "`no time` removes records of any age", "allow: [no time]"),
        ("allow: [yes]", (7, 13), "`allow`: cannot be `yes`", "`no time`"),
        ("allow: [no time, clrf]", (7, 22), "`allow`: cannot be `clrf`", "Did you mean `crlf`?"),
        ("allow: crlf", (7, 12), "`allow`: must be a list, not `crlf`", "- "),
        ("require: [type]", (7, 15), "`require`: the dataset does not say which field holds the type", "type: COLUMN"),
        ("require: tenant", (7, 14), "`require`: must be a list, not `tenant`", "- "),
        ("time format: unix second", (7, 18), "`time format`: cannot be `unix second`", "`unix seconds`"),
        ("time zone: Paris/Europe", (7, 16), "`time zone`: `Paris/Europe` is not a time zone", "Europe/Paris"),
        ("doubt before: 1990", (7, 19), "`doubt before`: 1990 is not a date or instant", "2026-10-01"),
        ("doubt before: 2026-02-30", (7, 19), "`2026-02-30` is not a date that exists", "2026-10-01"),
        ("doubt before: 2026-02-03 10:00:00", (7, 19), "is not a date or instant", "zone"),
        ("writers: many", (7, 14), "`writers`: cannot be `many`", "`none`"),
        ("table: cel", (7, 5), "`table` means nothing here: ./logs/*.jsonl is a set of log files", "sqlite:///"),
        ("tabel: cel", (7, 5), "unknown key `tabel`", "Did you mean `table`?"),
        ("time_format: iso", (7, 5), "unknown key `time_format`", "Did you mean `time format`?"),
        ("zzz: cel", (7, 5), "unknown key `zzz`", "Known: `store`, `table`"),
        ("type: [a]", (7, 11), "`type`: must be text, not a list", None),
        ("type: $", (7, 11), "`type`: `$` is not a path into JSON", "$.detail.user"),
        ("key: ' '", (7, 10), "`key`: is empty", None),
        ("time: at2", (7, 5), "duplicate key `time`: it stands at", "one of the two"),
        ("<<: {type: x}", (7, 5), "merge keys (`<<`) are not supported", "Write the keys out."),
        ("type: !!python/name:os.system x", (7, 11), "the tag `!!python/name:os.system` is not allowed", None),
        ("type: &x [*x]", (7, 11), "this contains itself", "alias"),
        ("? [a, b]\n: c", (7, 7), "a key must be one word or name", None),
    ],
)  # fmt: skip
def test_each_mistake_in_a_dataset_has_its_place_and_hint(
    tmp_path: Path, lines: str, where: tuple[int, int], message: str, hint: str | None
) -> None:
    """One mistake gives one complaint, with file:line:column, the offending text, and what to write instead."""
    path = dataset(tmp_path, lines)
    found = complaints(path)
    assert [each for each in found if message in each.message and place(each) == where], [str(each) for each in found]
    complaint = next(each for each in found if message in each.message)
    assert str(complaint).startswith(f"{path}:{where[0]}:{where[1]}: ")
    if hint is not None:
        assert complaint.hint is not None
        assert hint in complaint.hint
    assert len(found) == (2 if "*x" in lines else 1), [str(each) for each in found]


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("datasets: {}", (1, 1), "`version` is missing", "Add `version:`."),
        ("version: 2", (1, 10), "`version`: must be 1, not 2", "version 1"),
        ("version: '1'", (1, 10), "`version`: must be 1, not `1`", "version 1"),
        ("version: true", (1, 10), "`version`: must be 1, not true", "version 1"),
        ("version: 1.0", (1, 10), "`version`: must be 1, not 1.0", "version 1"),
        ("version: 1\ndataset: {}", (2, 1), "unknown key `dataset`", "Did you mean `datasets`?"),
        ("version: 1\ndatasets: []", (2, 11), "`datasets`: must be a mapping of keys, not a list", None),
        ("version: 1\nversion: 1", (2, 1), "duplicate key `version`", "one of the two"),
        ("version: 1\ndatasets: {a b: {store: x, time: t}}", (2, 12), "`a b` cannot be a name", "ASCII"),
        ("version: 1\ndatasets: {../a: {store: x, time: t}}", (2, 12), "`../a` cannot be a name", "ASCII"),
        ("version: 1\narchives: {none: {to: x}}", (2, 12), "`none` cannot name an archive", "nothing is archived"),
        ("version: 1\narchives: {a: {}}", (2, 12), "`to` is missing in `a`", "Add `to:`."),
        ("version: 1\narchives: {a: {to: x, format: parket}}", (2, 31), "cannot be `parket`", "`parquet`"),
        ("version: 1\narchives: {a: {to: x, keep: no time}}", (2, 29), "`no time` keeps nothing", "period"),
        ("version: 1\narchives: {a: {to: x}, a: {to: y}}", (2, 24), "duplicate key `a`", "one of the two"),
        ("version: 1\ndatasets: {a: {store: x}}", (2, 12), "`time` is missing in `a`", "Add `time:`."),
        ("version: 1\ndatasets: {a: {store: x, tiem: t}}", (2, 26), "unknown key `tiem`", "`time`"),
        ("version: 1\nfloors: {}", (2, 9), "`floors`: must be a list, not a mapping", "- "),
        ("version: 1\nfloors: [{at least: 1 day, because: x}]", (2, 10), "`match` is missing", "match: all"),
        ("version: 1\nfloors: [{match: {}, at least: 1 day, because: x}]", (2, 18), "`match` says nothing", "all"),
        ("version: 1\nfloors: [{match: , at least: 1 day, because: x}]", (2, 11), "`match`: nothing is", "null"),
        ("version: 1\nfloors: [{match: every, at least: 1 day, because: x}]", (2, 18), "cannot be `every`", "`all`"),
        ("version: 1\nfloors: [{match: all, at_least: 1 day, because: x}]", (2, 23), "unknown key", "`at least`"),
        ("version: 1\nfloors: [{match: all, at least: 3, because: x}]", (2, 33), "3 is not a retention", "90 days"),
        ("version: 1\nfloors: [{match: {dataset: x}, at least: 1 day, because: x}]", (2, 28), "no dataset `x`", None),
        ("version: 1\nholds: [{matter: a}]", (2, 9), "`match` is missing", "match: all"),
        ("version: 1\nholds: [{matter: a, match: {tenant: }}]", (2, 29), "`tenant`: nothing is written", "null"),
        ("version: 1\nholds: [{matter: a, match: {tenats: x}}]", (2, 29), "unknown key `tenats`", "`tenant`"),
        ("version: 1\nholds: [{matter: , match: all}]", (2, 10), "`matter`: nothing is written", "Write a value"),
        ("version: 1\nholds: [{matter: a, match: all}, {matter: a, match: all}]", (2, 43), "already", "own matter"),
        (
            "version: 1\nholds: [{matter: a, match: all, since: 2026-02-01, until: 2026-02-01}]",
            (2, 59), "the hold covers nothing: `until` is 2026-02-01, but `since` is 2026-02-01", "Leave `until` out",
        ),
        (
            "version: 1\nholds: [{matter: a, match: all, records from: 2026-02-02, records before: 2026-02-01}]",
            (2, 75), "the hold covers nothing: `records before` is 2026-02-01", "Leave `records before` out",
        ),
        ("version: 1\nguards: {share: 0.9}", (2, 17), "`share`: must be a share, not 0.9", "90%"),
        ("version: 1\nguards: {share: 0%}", (2, 17), "`share`: must be a share, not `0%`", "more than 0%"),
        ("version: 1\nguards: {share: 101%}", (2, 17), "`share`: must be a share, not `101%`", "at most 100%"),
        ("version: 1\nguards: {share: -1%}", (2, 17), "`share`: must be a share, not `-1%`", "90%"),
        ("version: 1\nguards: {rows: 0}", (2, 16), "`rows`: must be a whole number of 1 or more, not 0", None),
        ("version: 1\nguards: {rows: true}", (2, 16), "`rows`: must be a whole number of 1 or more, not true", None),
        ("version: 1\nguards: {row: 1}", (2, 10), "unknown key `row`", "`rows`"),
        ("version: 1\nguards: 90%", (2, 9), "`guards`: must be a mapping of keys, not `90%`", None),
    ],
)  # fmt: skip
def test_each_mistake_elsewhere_has_its_place_and_hint(
    tmp_path: Path, text: str, where: tuple[int, int], message: str, hint: str | None
) -> None:
    """The same holds for versions, archives, floors, holds and guards."""
    complaint = only(write(tmp_path, text))
    assert message in complaint.message
    assert place(complaint) == where
    assert hint is None or hint in (complaint.hint or "")


@pytest.mark.parametrize(
    ("data", "where", "message"),
    [
        (b"", (1, 1), "this file is empty"),
        (b"# nothing\n", (1, 1), "this file is empty"),
        (b"---\n...\n", (1, 1), "this file is empty"),
        (b"- a\n", (1, 1), "the file must be a mapping of keys, not a list"),
        (b"text\n", (1, 1), "the file must be a mapping of keys, not a single value"),
        (b"version: 1\nx: y: z\n", (2, 5), "this is not valid YAML: mapping values are not allowed here"),
        (b"version: 1\nledger: 'x\n", (3, 1), "this is not valid YAML: found unexpected end of stream"),
        (b"version: 1\n\tledger: x\n", (2, 1), "this is not valid YAML: found character '\\t'"),
        (b"version: *v\n", (1, 10), "this is not valid YAML: found undefined alias"),
        (b"version: 1\n---\nversion: 1\n", (2, 1), "this is not valid YAML"),
        (b"version: 1\nledger: a\x00b\n", (2, 10), "character '\\x00' may not stand here"),
        (b"version: 1\nledger: \xc3\xa9\xff\n", (2, 10), "this is not UTF-8 text: byte 0xff"),
        (b"a: " + b"[" * 1500, (1, 1), "this is nested too deeply"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_policy_at_all_says_so(
    tmp_path: Path, data: bytes, where: tuple[int, int], message: str
) -> None:
    """Empty files, other YAML, broken YAML and broken text have their own words and place."""
    path = tmp_path / "lapse.yaml"
    path.write_bytes(data)
    found = complaints(path)[0]
    assert message in found.message
    assert place(found) == where


def test_aliases_cannot_swell_beyond_all_bounds(tmp_path: Path) -> None:
    """Nine lines that stand for a billion values are refused at once."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    found = complaints(write(tmp_path, "\n".join(lines)))
    assert any("grows beyond all bounds" in each.message for each in found)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    """A missing policy and a folder are policy errors that say what they are."""
    with pytest.raises(PolicyError) as caught:
        load(tmp_path / name)
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint


def test_a_policy_that_the_system_refuses_is_named(tmp_path: Path) -> None:
    """Any other trouble in opening it is one sentence, not a traceback."""
    loop = tmp_path / "lapse.yaml"
    loop.symlink_to(loop)
    with pytest.raises(PolicyError, match="cannot be read"):
        load(loop)


def test_all_complaints_come_at_once_in_file_order(tmp_path: Path) -> None:
    """Mistakes of every sort, in every part, are found in one reading."""
    path = write(
        tmp_path,
        """\
        version: 3
        archives:
          cold: {to: ./archive, formt: parquet}
        datasets:
          calls:
            store: sqlit:///a.db
            tabel: cel
            time: at
            keep: 90
            archive: clod
          audit:
            store: ./a.jsonl
            time: at
            time: at2
            keep:
              - {for: 1 day}
              - {a: x, for: 0 days}
              - {b: y, for: 2 days}
        floors:
          - {match: {dataset: audits}, at least: 1 day}
        holds:
          - {matter: 1, match: {tenant: null}}
        guards: {share: 2}
        """,
    )
    with pytest.raises(PolicyError) as caught:
        load(path)
    found = [(each.origin.line, each.origin.column) for each in caught.value.complaints]
    assert found == [
        (1, 10), (3, 25), (6, 12), (7, 5), (9, 11), (10, 14), (14, 5), (16, 15), (17, 21), (18, 9),
        (20, 5), (20, 23), (22, 25), (23, 17),
    ]  # fmt: skip
    assert str(caught.value) == "lapse.yaml has 14 problems"
    assert caught.value.exit_code is ExitCode.USAGE


def test_one_problem_is_no_problems(tmp_path: Path) -> None:
    """The summary counts in English."""
    with pytest.raises(PolicyError, match=r"^lapse\.yaml has 1 problem$"):
        load(write(tmp_path, "version: 2"))


@pytest.mark.parametrize(
    ("rules", "line"),
    [
        ("[{for: 1 day}, {a: x, for: 2 days}]", "rule 2 never decides: rule 1"),
        ("[{a: x, for: 1 day}, {a: x, b: y, for: 2 days}]", "rule 2 never decides: rule 1"),
        ("[{a: [x, y], for: 1 day}, {b: z, for: 1 day}, {a: y, for: 2 days}]", "rule 3 never decides: rule 1"),
        ("[{a: 'glob:x*', for: 1 day}, {a: [xy, 'glob:x*'], for: 2 days}]", "rule 2 never decides: rule 1"),
    ],
)
def test_a_rule_that_never_decides_is_a_mistake(tmp_path: Path, rules: str, line: str) -> None:
    """A rule behind a wider one would be dead, and its author believes otherwise; both places are named."""
    path = dataset(tmp_path, f"keep: {rules}\narchive: cold")
    complaint = only(path)
    assert line in complaint.message
    assert f"{path}:7:12" in complaint.message


@pytest.mark.parametrize(
    "rules",
    [
        "[{a: x, for: 1 day}, {a: [x, y], for: 2 days}, {for: 3 days}]",
        "[{a: x, b: y, for: 1 day}, {a: x, for: 2 days}]",
        "[{a: 'glob:x?', for: 1 day}, {a: 'glob:x*', for: 2 days}]",
    ],
)
def test_a_narrower_rule_first_is_right(tmp_path: Path, rules: str) -> None:
    """The usual order, from narrow to wide, has nothing to complain about."""
    load(dataset(tmp_path, f"keep: {rules}\narchive: cold"))


@pytest.mark.parametrize("key", ["sqlite:///a.db", "postgresql://h/d"])
def test_a_database_needs_a_table_and_has_no_writers(tmp_path: Path, key: str) -> None:
    """`table` belongs to databases, `writers` to log files."""
    first, second = complaints(dataset(tmp_path, "writers: none", store=key))
    assert "`table` is missing in `log`" in first.message
    assert "`writers` means nothing here" in second.message


def test_a_field_that_is_called_like_a_word_is_written_as_a_path(tmp_path: Path) -> None:
    """`$.tenant`, `$.tennant` and `$.archive` are fields, whatever the bare words mean."""
    load(dataset(tmp_path, "keep: [{$.tenant: a, $.tennant: b, $.archive: c, $.for: d, for: forever}]"))


def test_rows_are_never_written_as_lines(tmp_path: Path) -> None:
    """An archive in jsonl.zst would lose the types of a table's columns."""
    path = dataset(tmp_path, "table: t\nkeep: 1 day\narchive: cold", store="sqlite:///a.db")
    path.write_text(path.read_text().replace("./archive}", "./archive, format: jsonl.zst}"))
    assert "keep their types only in Parquet" in only(path).message


def test_text_logs_may_name_any_format(tmp_path: Path) -> None:
    """For them `parquet` says nothing: lines are always jsonl.zst."""
    path = dataset(tmp_path, "keep: 1 day\narchive: cold")
    path.write_text(path.read_text().replace("./archive}", "./archive, format: parquet}"))
    load(path)


_TOKENS = """
version datasets archives holds floors guards ledger log store time keep for type tenant match all archive none cold 1
90 x ~ - ? : { } [ ] , & * ! | > ' " % @ ` # << ${A} file: $.a glob: 007 1.5 true sqlite:///a.db
"""
_words = st.sampled_from([*_TOKENS.split(), "\n", "\n  "])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_words, max_size=25).map(" ".join))
def test_any_text_is_a_policy_or_a_policy_error(tmp_path: Path, text: str) -> None:
    """No text makes the reader fail in another way, and every complaint has a place in the file."""
    path = tmp_path / "lapse.yaml"
    path.write_text(text, encoding="utf-8")
    lines = text.count("\n") + 2
    for each in _complaints_if_any(path):
        assert 1 <= each.origin.line <= lines
        assert each.origin.column >= 1
        assert "Input should" not in each.message


def _complaints_if_any(path: Path) -> tuple[Complaint, ...]:
    try:
        load(path)
    except PolicyError as error:
        return error.complaints or (Complaint(Origin(str(path), 0, 0), "no complaint at all"),)
    return ()
