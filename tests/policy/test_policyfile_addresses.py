"""lapse.policyfile: store, archive and ledger addresses, and what may not lie in one place."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_helpers import complaints, dataset, only, place, write

from lapse.policyfile import load, patterns


def policy(folder: Path, **stores: str) -> Path:
    """A policy with one dataset for each address, whose table is `t` where it is a database."""
    lines = ["version: 1", "datasets:"]
    for name, store in stores.items():
        table = ", table: t" if ":" in store else ""
        lines.append(f"  {name}: {{store: {store!r}, time: at{table}, keep: 1 day, archive: none}}")
    return write(folder, "\n".join(lines))


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("sqlite:///log.db", "sqlite:///{folder}/log.db"),
        ("sqlite:///../a/./log.db", "sqlite:///{parent}/a/log.db"),
        ("sqlite:////var/log.db", "sqlite:////var/log.db"),
        ("sqlite://///var/log.db", "sqlite:////var/log.db"),
        ("duckdb:///log.duckdb", "duckdb:///{folder}/log.duckdb"),
        ("logs/*.jsonl", "{folder}/logs/*.jsonl"),
        ("./a.jsonl", "{folder}/a.jsonl"),
        ("/var/log/**/*.jsonl", "/var/log/**/*.jsonl"),
        ("postgresql://lapse@db/asterisk?sslmode=require", "postgresql://lapse@db/asterisk?sslmode=require"),
        ("mysql://db/x", "mysql://db/x"),
        ("postgresql://db:5432/a?user=u", "postgresql://db:5432/a?user=u"),
    ],
)
def test_relative_addresses_start_at_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, full: str
) -> None:
    """The working folder does not matter; servers' URLs pass as they are."""
    monkeypatch.chdir("/")
    found = load(policy(tmp_path, log=written)).datasets["log"]
    assert found.store == full.format(folder=tmp_path, parent=tmp_path.parent)
    assert found.shown == written


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("./archive", "{folder}/archive"),
        ("/srv/archive/", "/srv/archive"),
        ("file:///srv/archive", "/srv/archive"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
    ],
)
def test_targets_are_folders_or_urls(tmp_path: Path, written: str, full: str) -> None:
    """`file:///` and a path are one thing."""
    found = load(write(tmp_path, f"version: 1\nledger: ./state\narchives: {{a: {{to: '{written}'}}}}"))
    assert found.archives["a"].to == full.format(folder=tmp_path)
    assert found.ledger == f"{tmp_path}/state"


def test_a_policy_given_by_a_relative_path_is_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is absolute, its name is as given."""
    policy(tmp_path, log="sqlite:///log.db")
    monkeypatch.chdir(tmp_path)
    found = load("lapse.yaml")
    assert (found.file, found.folder) == ("lapse.yaml", str(tmp_path))
    assert found.datasets["log"].store == f"sqlite:///{tmp_path}/log.db"


@pytest.mark.parametrize(
    ("store", "message", "hint"),
    [
        ("", "`store`: is empty", ""),
        ("postgres://h/d", "`postgres://h/d` has an unknown scheme", "`postgresql`"),
        ("sqllite:///a.db", "has an unknown scheme", "`sqlite`"),
        ("sqlite:a.db", "`sqlite:a.db` is no address", "sqlite://"),
        ("sqlite://a.db", "has no file in it", "sqlite:///relative.db"),
        ("sqlite:///", "names no file", "sqlite:///relative.db"),
        ("sqlite:///:memory:", "names no file", "sqlite:///relative.db"),
        ("sqlite:///a.db?mode=rw", "has options or wildcards", "sqlite:///relative.db"),
        ("sqlite:///*.db", "has options or wildcards", "sqlite:///relative.db"),
        ("postgresql://u:s@cret@h/d", "`postgresql://u:***@h/d`: it cannot be told where the password ends", "`%40`"),
        ("mysql://u:s/cret@h/d", "`mysql://u:***@h/d`: it cannot be told where the password ends", "`%2F`"),
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, store: str, message: str, hint: str) -> None:
    """Slips in addresses are named, with the nearest right spelling."""
    complaint = only(policy(tmp_path, log=store))
    assert message in complaint.message
    assert hint in (complaint.hint or "")
    assert place(complaint) == (3, 16)


@pytest.mark.parametrize(
    ("to", "message"),
    [("", "`to`: is empty"), ("s4://b", "unknown scheme"), ("file://host/x", "names another machine")],
)
def test_a_target_that_is_none_is_refused(tmp_path: Path, to: str, message: str) -> None:
    """The same for archives."""
    assert message in only(write(tmp_path, f"version: 1\narchives: {{a: {{to: '{to}'}}}}")).message


def test_other_schemes_can_be_made_known(tmp_path: Path) -> None:
    """Whoever registers a store says which schemes there are."""
    path = policy(tmp_path, log="elsewhere://h/d")
    assert "unknown scheme" in only(path).message
    assert load(path, schemes=("elsewhere",)).datasets["log"].store == "elsewhere://h/d"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sqlite:///a.db", "sqlite:///./x/../a.db"),
        ("sqlite:///a.db", "sqlite:///link.db"),
        ("postgresql://u:p@h/d", "postgresql://v@H/d?sslmode=require"),
        ("logs/*.jsonl", "./logs/*.jsonl"),
        ("logs/*.jsonl", "logs/a.jsonl"),
        ("logs/*.jsonl", "link/*.jsonl"),
        ("logs/**/*.jsonl", "logs/x/y/a.jsonl"),
    ],
)
def test_two_datasets_on_the_same_records_are_refused(tmp_path: Path, first: str, second: str) -> None:
    """Whatever the spelling, user or link: two datasets never decide about one record. Both places are named."""
    (tmp_path / "link.db").symlink_to("a.db")
    (tmp_path / "link").symlink_to("logs")
    path = policy(tmp_path, one=first, two=second)
    complaint = only(path)
    assert "rule 1 of `two` and rule 1 of `one`" in complaint.message
    assert complaint.origin.line == 4
    assert f"{path}:3:" in complaint.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sqlite:///a.db", "sqlite:///b.db"),
        ("sqlite:///a.db", "duckdb:///a.db"),
        ("postgresql://h/d", "postgresql://h/e"),
        ("postgresql://h:1/d", "postgresql://h:2/d"),
        ("postgresql:///d?host=/run/a", "postgresql:///d?host=/run/b"),
        ("logs/a*.jsonl", "logs/b*.jsonl"),
        ("logs/*.jsonl", "logs/*.log"),
        ("logs/*.jsonl", "logs/x/a.jsonl"),
    ],
)
def test_two_datasets_on_different_records_are_fine(tmp_path: Path, first: str, second: str) -> None:
    """Different databases, hosts and files do not meet."""
    load(policy(tmp_path, one=first, two=second))


def assert_meet(folder: Path, one: str, two: str, *, meet: bool) -> None:
    """Two datasets that are told like this are refused where they could decide about one record."""
    datasets = (f"  {name}: {{{told}, time: at, archive: none}}\n" for name, told in (("one", one), ("two", two)))
    path = write(folder, "version: 1\ndatasets:\n" + "".join(datasets))
    if meet:
        assert "could decide about the same records" in only(path).message
    else:
        load(path)


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        ("t", "t", True),
        ("t", "T", True),
        ("t", "public.t", True),
        ("a.t", "b.t", False),
        ("t", "u", False),
    ],
)
def test_tables_are_told_apart_by_their_names(tmp_path: Path, first: str, second: str, meet: bool) -> None:
    """Case and a missing schema tell nothing apart."""
    tables = (f"store: postgresql://h/d, table: {name}, keep: 1 day" for name in (first, second))
    assert_meet(tmp_path, *tables, meet=meet)


@pytest.mark.parametrize(
    ("one", "two", "meet"),
    [
        ("{kind: a, for: 1 day}", "{kind: b, for: 1 day}", False),
        ("{kind: a, for: 1 day}", "{kind: [b, a], for: 1 day}", True),
        ("{kind: a, for: 1 day}", "{other: b, for: 1 day}", True),
        ("{kind: a, for: 1 day}", "{kind: 'glob:b*', for: 1 day}", False),
        ("{kind: 'glob:a*', for: 1 day}", "{kind: 'glob:b*', for: 1 day}", False),
        ("{kind: 'glob:a*', for: 1 day}", "{kind: 'glob:*b', for: 1 day}", True),
        ("{level: {from: 1, to: 5}, for: 1 day}", "{level: {from: 6}, for: 1 day}", False),
        ("{level: {from: 1, to: 5}, for: 1 day}", "{level: {from: 5}, for: 1 day}", True),
        ("{kind: {not: [a, b]}, for: 1 day}", "{kind: [b, a], for: 1 day}", False),
        ("{kind: {not: [a, b]}, for: 1 day}", "{kind: [b, c], for: 1 day}", True),
        ("{kind: {not: a}, for: 1 day}", "{kind: {not: b}, for: 1 day}", True),
        ("{kind: a, for: 1 day}", "{for: forever}", True),
        ("{for: forever}", "{for: forever}", False),
    ],
)
def test_one_table_can_be_shared_by_rules_that_are_provably_apart(
    tmp_path: Path, one: str, two: str, meet: bool
) -> None:
    """Different values, ranges and patterns of one field are a proof; two that are negated never are."""
    shares = (f"store: sqlite:///a.db, table: t, keep: [{rule}]" for rule in (one, two))
    assert_meet(tmp_path, *shares, meet=meet)


@pytest.mark.parametrize(
    ("store", "folder", "refused"),
    [
        ("data/logs/*.jsonl", "data/logs", True),
        ("data/logs/a.jsonl", "data/logs", True),
        ("data/logs/*.jsonl", "data/link", True),
        ("data/logs/**/*.jsonl*", "data/logs/archive", True),
        ("data/logs/**/*.jsonl*", "data/logs/a/b/c", True),
        ("data/*/a.jsonl", "data/archive", True),
        ("data/logs/*", "data/logs/archive", True),
        ("data/logs/*.jsonl", "data/logs/archive", False),
        ("data/logs/a*/*.jsonl", "data/logs/cold", False),
        ("data/logs/*.jsonl", "data/archive", False),
        ("data/logs/*.jsonl", "data", False),
        ("sqlite:///data/log.db", "data", True),
        ("duckdb:///data/log.duckdb", "data", True),
        ("sqlite:///data/log.db", "data/log.db", True),
        ("sqlite:///data/log.db", "data/archive", False),
        ("postgresql://h/d", "data", False),
    ],
)
@pytest.mark.parametrize("key", ["to", "ledger"])
def test_no_archive_and_no_ledger_lies_among_the_records(
    tmp_path: Path, store: str, folder: str, refused: bool, key: str
) -> None:
    """What Lapse writes must never be read as records, nor lie beside a database's own files."""
    (tmp_path / "data/logs").mkdir(parents=True)
    (tmp_path / "data/link").symlink_to("logs")
    place_of = {"to": f"archives: {{cold: {{to: {folder}}}}}", "ledger": f"ledger: {folder}"}[key]
    table = ", table: t" if ":" in store else ""
    path = write(tmp_path, f"version: 1\n{place_of}\ndatasets: {{log: {{store: '{store}', time: at{table}}}}}")
    if not refused:
        load(path)
        return
    complaint = only(path)
    assert folder in complaint.message
    assert "`log`" in complaint.message
    assert complaint.origin.line == 2


def test_two_archives_in_one_place_are_one_copy(tmp_path: Path) -> None:
    """A rule that asks for both would have a single copy, so it is refused."""
    (tmp_path / "link").symlink_to("archive")
    path = write(tmp_path, "version: 1\narchives: {a: {to: ./archive}, b: {to: ./link}}")
    assert "archives `a` and `b` are one place" in only(path).message


def test_a_wrong_address_hides_no_other_mistake(tmp_path: Path) -> None:
    """The rest of the dataset is still looked at."""
    path = dataset(tmp_path, "keep: 90\narchive: cold", store="sqlit:///a.db")
    assert [place(each) for each in complaints(path)] == [(5, 12), (7, 11)]


parts = st.lists(st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "?", "[ab]", "**", "a?b"]), min_size=1, max_size=3)
names = st.lists(st.sampled_from(["a", "b", "ab", "aab", "ba"]), min_size=1, max_size=4)


def fits(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """The reference: whether a path fits a pattern, folder by folder."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return fits(path, pattern[1:]) or (bool(path) and fits(path[1:], pattern))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and fits(path[1:], pattern[1:])


@given(parts, parts, names)
def test_patterns_that_share_a_file_always_meet(one: list[str], other: list[str], name: list[str]) -> None:
    """Doubt is allowed, a missed meeting is not."""
    if fits(tuple(name), tuple(one)) and fits(tuple(name), tuple(other)):
        assert patterns.meet("/" + "/".join(one), "/" + "/".join(other))
