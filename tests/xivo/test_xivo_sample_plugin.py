"""The sample archive plug-in, installed as people install it and called by the real program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from xivo_world import FULL, PROGRAM, PURGED, ROOT, XivoWorld
from xivo_world import world_fixture as world_fixture

SAMPLE = ROOT / "examples" / "xivo-archive-plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the sample was installed into with pip, without any network."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
    quiet = ["--disable-pip-version-check", "--quiet", "--target", str(folder), str(SAMPLE)]
    subprocess.run([*command, *quiet], check=True)
    return folder


def purge(world: XivoWorld, site: Path) -> subprocess.CompletedProcess[str]:
    """Call the drop-in where the sample is installed."""
    environment = {**os.environ, **world.env(), "PYTHONPATH": str(site)}
    return subprocess.run(PROGRAM, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("group", ["xivo_purge_db.archives", "wazo_purge_db.archives"])
def test_the_sample_is_registered_for_both_eras(site: Path, group: str) -> None:
    """The original finds it, too, whichever it is."""
    (points,) = site.glob("*.dist-info/entry_points.txt")

    assert f"[{group}]\nsample = purge_archive_sample:archive" in points.read_text()


def test_the_sample_notes_what_is_about_to_go(world: XivoWorld, site: Path) -> None:
    """One line, with the days of each purger; what it prints is in the log."""
    world.config(
        f"enabled_plugins: {{archives: [sample], purgers: {{cel: false}}}}\nsample: {{folder: {world.folder}}}\n"
        "days_to_keep_per_plugin: {stat-agent: 90}\n"
    )

    ended = purge(world, site)

    assert ended.returncode == 0, ended.stderr
    days = json.loads((world.folder / "purges.jsonl").read_text())["days"]
    assert days == {"queue-log": 365, "stat-agent": 90, "stat-call-on": 365, "stat-queue": 365, "stat-switchboard": 365}
    assert f"(INFO) (sample): noted in {world.folder}/purges.jsonl" in ended.stdout
    assert world.counts() == {**PURGED, "cel": 5}


def test_the_sample_stops_the_purge_with_its_own_code(world: XivoWorld, site: Path) -> None:
    """Where it has nowhere to write, the program ends with 7 and nothing is removed."""
    world.config("enabled_plugins: {archives: [sample]}\nsample: {folder: /nowhere}\n")

    ended = purge(world, site)

    assert ended.returncode == 7
    assert "(ERROR) (sample): sample.folder is no folder: /nowhere" in ended.stderr
    assert "archive plug-in sample ended the program with 7" in ended.stderr
    assert world.counts() == FULL
