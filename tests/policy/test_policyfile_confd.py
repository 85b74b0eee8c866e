"""lapse.policyfile: a policy split over conf.d."""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_helpers import complaints, only, write

from lapse.errors import PolicyError
from lapse.policyfile import load

MAIN = """\
version: 1
archives: {cold: {to: ./archive}}
datasets:
  a: {store: a.jsonl, time: at, keep: 1 day, archive: far}
floors: [{match: all, at least: 1 day, because: main}]
guards: {share: 50%}
"""


def test_the_files_of_conf_d_add_up_in_name_order(tmp_path: Path) -> None:
    """Names, lists and guards of all files are one policy; each part points at its own file."""
    main = write(tmp_path, MAIN)
    second = write(
        tmp_path,
        "version: 1\ndatasets: {c: {store: c.jsonl, time: at, keep: 1 day, archive: cold}}\nguards: {rows: 5}",
        "conf.d/20.yaml",
    )
    first = write(
        tmp_path,
        """\
        archives: {far: {to: s3://far}}
        datasets: {b: {store: b.jsonl, time: at, keep: 2 days, archive: far}}
        floors: [{match: {dataset: a}, at least: 2 days, because: first}]
        holds: [{matter: M, match: {dataset: c}}]
        ledger: ./ledger
        """,
        "conf.d/10.yaml",
    )

    policy = load(main)

    assert list(policy.datasets) == ["a", "b", "c"]
    assert list(policy.archives) == ["cold", "far"]
    assert [floor.because for floor in policy.floors] == ["main", "first"]
    assert (policy.guards.share, policy.guards.rows) == (0.5, 5)
    assert policy.ledger == f"{tmp_path}/ledger"
    files = [policy.datasets["a"].origin(), policy.datasets["c"].origin(), policy.holds[0].origin]
    assert [origin.file for origin in files if origin] == [str(main), str(second), str(first)]
    assert policy.datasets["b"].store == f"{tmp_path}/b.jsonl"


@pytest.mark.parametrize(
    ("text", "name", "where"),
    [
        ("datasets: {a: {store: z.jsonl, time: at}}", "datasets.a", "4:3"),
        ("archives: {cold: {to: z}}", "archives.cold", "2:12"),
        ("guards: {share: 60%}", "guards.share", "6:10"),
    ],
)
def test_a_name_that_stands_twice_is_refused_with_both_places(tmp_path: Path, text: str, name: str, where: str) -> None:
    """Neither file wins silently."""
    main = write(tmp_path, MAIN.replace("archive: far", "archive: cold"))
    extra = write(tmp_path, text, "conf.d/x.yaml")
    complaint = only(main)
    assert f"`{name}` stands at {main}:{where} already" in complaint.message
    assert complaint.origin.file == str(extra)


def test_a_second_ledger_is_refused(tmp_path: Path) -> None:
    """A single value can stand in one file only."""
    main = write(tmp_path, "version: 1\nledger: ./a")
    write(tmp_path, "ledger: ./b", "conf.d/x.yaml")
    assert f"`ledger` stands at {main}:2:1 already" in only(main).message


def test_complaints_follow_the_order_of_the_files(tmp_path: Path) -> None:
    """The main file comes first, then conf.d by name, each with its own lines."""
    main = write(tmp_path, "version: 1\nx: 1")
    late, early = write(tmp_path, "y: 1", "conf.d/b.yaml"), write(tmp_path, "\nz: 1", "conf.d/a.yaml")
    assert [str(each.origin) for each in complaints(main)] == [f"{main}:2:1", f"{early}:2:1", f"{late}:1:1"]


def test_a_broken_file_gives_no_false_alarms_about_the_others(tmp_path: Path) -> None:
    """What a file would have defined is not called unknown, but other mistakes are still found."""
    main = write(tmp_path, MAIN + "x: 1\n")
    write(tmp_path, "archives: {far: {to: s3://far}", "conf.d/a.yaml")
    messages = [each.message for each in complaints(main)]
    assert len(messages) == 2
    assert "unknown key `x`" in messages[0]
    assert "not valid YAML" in messages[1]


@pytest.mark.parametrize("text", ["", "# all gone\n"])
def test_an_empty_file_in_conf_d_is_refused(tmp_path: Path, text: str) -> None:
    """It may be a hold that was cut off."""
    main = write(tmp_path, "version: 1")
    write(tmp_path, text, "conf.d/a.yaml")
    assert only(main).message == "this file is empty"


@pytest.mark.parametrize("name", ["holds.yml", "holds.YAML"])
def test_a_file_that_would_be_passed_over_is_refused(tmp_path: Path, name: str) -> None:
    """A hold in `x.yml` must not go unread."""
    main = write(tmp_path, "version: 1")
    write(tmp_path, "holds: []", f"conf.d/{name}")
    with pytest.raises(PolicyError, match="would not be read"):
        load(main)


def test_hidden_files_and_other_endings_are_left_alone(tmp_path: Path) -> None:
    """Editors' backups and read-me files are no policy."""
    main = write(tmp_path, "version: 1")
    for name in (".a.yaml", "a.yaml~", "README.md", "a.yaml.bak"):
        write(tmp_path, "nonsense: 1", f"conf.d/{name}")
    assert load(main).datasets == {}


def test_a_conf_d_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    """Floors and holds may stand in it, and without them more would go."""
    main = write(tmp_path, "version: 1")
    (tmp_path / "conf.d").symlink_to(tmp_path / "away")

    with pytest.raises(PolicyError, match=r"conf\.d is a link that leads nowhere"):
        load(main)


def test_a_conf_d_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A file in the place of the folder, or a folder in the place of a file, stops everything."""
    main = write(tmp_path, "version: 1")
    (tmp_path / "conf.d").write_text("x")
    with pytest.raises(PolicyError, match="cannot be read"):
        load(main)
    (tmp_path / "conf.d").unlink()
    (tmp_path / "conf.d/a.yaml").mkdir(parents=True)
    with pytest.raises(PolicyError, match="is a folder"):
        load(main)
