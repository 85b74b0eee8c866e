"""The key `files`: what it may say, where it may stand, and what is told of the wrong ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from policy_helpers import complaints, dataset, only, place

from lapse.dialects.policytext import policy_text
from lapse.errors import PolicyError
from lapse.model.files import RowFiles
from lapse.policyfile import effective, load

_DATABASE = "postgresql://db/calls"


def filed(folder: Path, files: str, *, head: str = "") -> Path:
    """A policy with a table whose rows have these files, in flow style."""
    return dataset(folder, f"table: t\nkeep: 1 day\narchive: none\nfiles: {{{files}}}", store=_DATABASE, head=head)


def test_both_keys_are_read(tmp_path: Path) -> None:
    """The folder starts at the policy, unless it is absolute."""
    relative = load(filed(tmp_path, "column: path, under: spool/a")).datasets["log"].files
    absolute = load(filed(tmp_path, "column: rec.path, under: /var/spool/")).datasets["log"].files

    assert relative == RowFiles(column="path", under=f"{tmp_path}/spool/a")
    assert absolute == RowFiles(column="rec.path", under="/var/spool")


def test_the_folder_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As other addresses may."""
    monkeypatch.setenv("SPOOL", "/var/spool")

    found = load(filed(tmp_path, "column: path, under: '${SPOOL}/rec'")).datasets["log"].files

    assert found == RowFiles(column="path", under="/var/spool/rec")


def test_files_are_part_of_what_a_policy_decides(tmp_path: Path) -> None:
    """Another folder is another policy; without the key the hash is what it always was."""

    one = load(filed(tmp_path, "column: path, under: /a")).digest
    other = load(filed(tmp_path, "column: path, under: /b")).digest
    without = load(dataset(tmp_path, "table: t\nkeep: 1 day\narchive: none", store=_DATABASE))

    assert len({without.digest, one, other}) == 3
    assert "files" not in str(without.datasets["log"].facts())


def test_the_effective_policy_shows_where_they_are_written(tmp_path: Path) -> None:
    """Like every value."""
    found = {each.path: each.value for each in effective(filed(tmp_path, "column: path, under: spool"))}

    assert found["datasets.log.files.column"] == "path"
    assert found["datasets.log.files.under"] == "spool"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("column: path", "`under`"),
        ("under: /var/spool", "`column`"),
        ("column: path, under: /var/spool, where: x", "`where`"),
        ("column: [path], under: /var/spool", "must be text, not a list"),
        ("column: '', under: /var/spool", "is empty"),
        ("column: path, under: 's3://bucket/x'", "is not the path of a folder"),
        ("column: path, under: '/'", "`under`: / is every file there is"),
        ("column: path, under: '/', ending: wav", "'wav' is no ending of a file's name"),
        ("column: path, under: '/', ending: '.'", "'.' is no ending of a file's name"),
        ("column: path, under: '/', ending: .Parquet", "files that end in .Parquet may be Lapse's own"),
        ("column: path, under: '/', ending: [.wav]", "must be a single value, not a list"),
        ("column: path, under: '/var/..'", "is every file there is"),
        ("column: path, under: archive/cold", "`under`: archive/cold and archive `cold` at ./archive overlap"),
        ("column: path, under: ., ending: .wav", "and archive `cold` at ./archive overlap"),
        ("column: path, under: .", "and archive `cold` at ./archive overlap"),
    ],
)
def test_what_leads_nowhere_is_told(tmp_path: Path, files: str, message: str) -> None:
    """With its line."""
    complaint = only(filed(tmp_path, files))

    assert message in complaint.message
    assert place(complaint)[0] == 10


def test_the_ledger_lies_elsewhere(tmp_path: Path) -> None:
    """A row could name it."""
    found = complaints(filed(tmp_path, "column: path, under: /srv/x", head="ledger: /srv/x/ledger\n"))

    assert "and the ledger at /srv/x/ledger overlap" in found[0].message


def test_log_files_have_no_files(tmp_path: Path) -> None:
    """Their lines name none that Lapse would know."""
    complaint = only(dataset(tmp_path, "keep: 1 day\narchive: none\nfiles: {column: path, under: /a}"))

    assert "`files` means nothing here" in complaint.message


@pytest.mark.parametrize("under", ["", "relative", "/", "//", "/a/../b", "/a/"])
def test_a_folder_is_absolute_and_plain(under: str) -> None:
    """Also for those who make a policy without a file."""
    with pytest.raises(PolicyError, match="files are never removed below"):
        RowFiles(column="path", under=under)


def test_a_policy_written_down_has_its_files(tmp_path: Path) -> None:
    """What a drop-in prints means the same; signs that YAML or an address would read are kept."""
    wanted = RowFiles(column="rec, path", under="/var/spool/a: {b} ${C}")
    policy = load(filed(tmp_path, "column: path, under: /x"))
    log = replace(policy.datasets["log"], files=wanted)
    text = policy_text(replace(policy, datasets={"log": log}), head=(), variable="X").text
    path = tmp_path / "again.yaml"
    path.write_text(text, encoding="utf-8")

    assert load(path).datasets["log"].files == wanted


def test_files_with_an_ending_of_their_own_may_lie_anywhere(tmp_path: Path) -> None:
    """Below the root, where archives lie as well: nothing of Lapse's own ends so. The digest knows the ending."""
    found = load(filed(tmp_path, "column: path, under: '/', ending: .wav"))

    assert found.datasets["log"].files == RowFiles(column="path", under="/", ending=".wav")
    assert found.digest != load(filed(tmp_path, "column: path, under: '/', ending: .ogg")).digest
