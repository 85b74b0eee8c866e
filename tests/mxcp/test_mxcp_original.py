"""The drop-in beside MXCP itself: its recorded answers, and, in `make soak`, the real package."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from mxcp_world import OLD, YOUNG, Site
from mxcp_world import site_fixture as site_fixture
from originals import CASES, SEGMENTED, SINGLE, VERSIONS, Answer, Case, answer, answer_of, ask, full_record, recorded

SAFER = {"no-log": Answer("Applying retention policies...\nNo records were deleted.\n", 0, None)}
"""Where the drop-in answers otherwise, and why: the original makes an empty log where there is none."""


def ours(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """What the drop-in answers."""

    def call(site: Site) -> tuple[str, int]:
        monkeypatch.chdir(site.folder)
        result = site.clean(*case.arguments)
        return result.stdout, result.exit_code

    return answer(case, folder, call)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_answers_as_the_original_did(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stdout to the letter, the exit code, and the records that are left."""
    assert ours(case, tmp_path, monkeypatch) == SAFER.get(case.name, recorded()[case.name])


@pytest.mark.soak
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_original_still_answers_as_recorded(case: Case, tmp_path: Path) -> None:
    """The real package, installed from PyPI."""
    assert answer_of(SINGLE, case, tmp_path) == recorded()[case.name]


@pytest.mark.soak
@pytest.mark.parametrize("version", VERSIONS)
def test_the_original_reads_what_is_left(site: Site, version: str) -> None:
    """`mxcp log` counts the records that stay, and its next cleanup finds nothing to do."""
    site.write(*(_whole(age, number) for number, age in enumerate((OLD, YOUNG, OLD, 1, 2))))
    if version == SEGMENTED:
        site.write(
            *(_whole(age, number + 5) for number, age in enumerate((OLD, 9))), to="logs-default-20260101T000000.jsonl"
        )
    stays = 3 + (version == SEGMENTED)

    assert sum(site.deleted().values()) == 2 + (version == SEGMENTED)
    assert f'"count": {stays}' in ask(version, site, "log", "--json", "--limit", "1000").stdout
    assert "No records were deleted." in ask(version, site, "log-cleanup").stdout


@pytest.mark.soak
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("since", [(), ("--since", "30d")], ids=["all", "30d"])
def test_the_export_is_the_table_of_the_original(site: Site, version: str, since: tuple[str, ...]) -> None:
    """Same columns, same types, same rows, same order."""
    site.write(*(_whole(age, number) for number, age in enumerate((200, OLD, 60.5, 20.25, YOUNG))))
    theirs = ask(version, site, "log", "--export-duckdb", "theirs.duckdb", *since)
    mine = site.call("log", "--export-duckdb", "mine.duckdb", *since)

    assert mine.stdout == theirs.stdout.replace("theirs", "mine")
    tables = []
    for name in ("theirs", "mine"):
        with duckdb.connect(str(site.folder / f"{name}.duckdb"), read_only=True) as database:
            described = database.execute("DESCRIBE audit_logs").fetchall()
            tables.append((described, database.execute("SELECT * FROM audit_logs").fetchall()))
    assert tables[0] == tables[1]


def _whole(age: float, number: int) -> str:
    """A record with every field of the original's."""
    return full_record(age, str(number), output_data={"n": number}, error="é\n" if number % 2 else None)
