"""The command line of the drop-in: the options of the original, its abbreviations, its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from xivo_world import FULL, PURGED, XivoWorld
from xivo_world import world_fixture as world_fixture

from lapse.cli.links import called_as
from lapse.dialects.xivo.schedule import Form, schedule


@pytest.mark.parametrize(
    "arguments",
    [
        ["-d", "abc"], ["-d", "1.5"], ["-d", ""], ["-d"], ["-d", "-5"], ["-d", "٣"], ["-d", "1_0"],
        ["--days_to_keep=x"], ["stray"], ["-d", "5", "stray"], ["--unknown"], ["-x"],
        ["--days_to_keep_"], ["--dry"], ["-d", "0x10"],
    ],
)  # fmt: skip
def test_a_command_that_means_nothing_is_answered_with_the_usage(world: XivoWorld, arguments: list[str]) -> None:
    """Exit 2, the usage on stderr, nothing on stdout; neither database nor log is touched."""
    result = world.call(*arguments)

    assert result.exit_code == 2
    assert "Usage: xivo-purge-db [-h] [-d DAYS_TO_KEEP]" in result.stderr
    assert result.stdout == ""
    assert world.counts() == FULL
    assert not world.log.exists()


def test_a_usage_error_comes_before_the_configuration_is_read(world: XivoWorld) -> None:
    """A broken configuration changes nothing about it."""
    world.config("days_to_keep: [")

    assert world.call("-d", "abc").exit_code == 2


@pytest.mark.parametrize(
    "arguments", [["-d", "30"], ["-d30"], ["-d=30"], ["--days_to_keep", "30"], ["--days_to_keep=30"], ["--days", "30"],
                  ["--d", "30"], ["--days=30"], ["-d", " +30 "], ["--day", "030"]],
)  # fmt: skip
def test_days_are_understood_as_the_original_does(world: XivoWorld, arguments: list[str]) -> None:
    """Long, short, glued and abbreviated forms say the same."""
    result = world.call("--dry-run", *arguments)

    assert result.exit_code == 0
    assert "cel purger: older than 30 days: 3 entries" in result.stdout


@pytest.mark.parametrize("help_option", ["-h", "--help", "--h", "--he"])
def test_help_is_shown(world: XivoWorld, help_option: str) -> None:
    """Exit 0, and nothing else happens."""
    result = world.call(help_option)

    assert result.exit_code == 0
    assert "--days_to_keep" in result.stdout
    assert world.counts() == FULL


@pytest.mark.parametrize("days", ["3650001", "99999999999", "9" * 5000])
def test_an_absurd_number_of_days_fails_and_touches_nothing(world: XivoWorld, days: str) -> None:
    """Exit 1 with one clear line; the number itself may be too long to print."""
    result = world.call("-d", days)

    assert result.exit_code == 1
    assert "days are longer than the calendar" in result.stderr
    assert len(result.stderr) < 1000
    assert world.counts() == FULL


def test_more_days_than_there_is_history_keep_everything(world: XivoWorld) -> None:
    """A large number that the calendar has is no error."""
    assert world.call("-d", "3650000").exit_code == 0
    assert world.counts() == FULL


def test_zero_days_remove_what_is_past_and_keep_the_future(world: XivoWorld) -> None:
    """The cutoff is now: rows of the future, without a time and infinite ones stay. There is no guard against it."""
    world.execute("INSERT INTO cel (eventtime) VALUES ('2999-01-01T00:00:00Z'), (NULL), ('infinity'), ('-infinity')")

    result = world.call("-d", "0")

    assert result.exit_code == 0
    assert world.counts() == {**dict.fromkeys(FULL, 0), "cel": 4}
    assert "cel purger: deleting entries older than 0 days" in result.stdout


def test_an_empty_table_afterwards_is_no_reason_to_refuse(world: XivoWorld) -> None:
    """The guard against emptying a dataset is off."""
    world.execute("DELETE FROM cel WHERE id > 3")

    assert world.call().exit_code == 0
    assert world.counts() == {**PURGED, "cel": 0}


@pytest.mark.parametrize("name", ["xivo-purge-db", "wazo-purge-db"])
def test_a_link_to_the_program_calls_the_drop_in(world: XivoWorld, name: str) -> None:
    """The name that the process is started by decides."""
    link = world.folder / name
    link.symlink_to(Path(sys.executable).with_name("lapse"))

    ended = subprocess.run(
        [str(link), "-d", "abc"], capture_output=True, text=True, check=False, env={**os.environ, **world.env()}
    )

    assert ended.returncode == 2
    assert "Usage: xivo-purge-db" in ended.stderr


def test_other_names_call_the_program_itself() -> None:
    """Only the two names of the original are special."""
    assert called_as(["/usr/bin/lapse", "plan"]) == ["plan"]
    assert called_as(["/opt/xivo-purge-db", "-d", "3"]) == ["as", "xivo-purge-db", "-d", "3"]


@pytest.mark.parametrize("days", [[], ["-d", "30"]])
def test_the_line_for_cron_says_when_and_what(world: XivoWorld, days: list[str]) -> None:
    """03:25 with jitter; cron reads no `%`, and the output is not sent away."""
    result = world.call("schedule", "cron", *days)

    *_, line = result.stdout.splitlines()
    assert line.startswith('25 3 * * *  root  sleep "$(shuf -i 0-1800 -n 1)" && /')
    assert line.endswith(" ".join(["as xivo-purge-db", *days]))
    assert "%" not in line
    assert "/dev/null" not in line
    assert result.exit_code == 0


def test_the_timer_for_systemd_says_when_and_what(world: XivoWorld) -> None:
    """A service that starts an absolute path, and a timer that makes up for a missed night."""
    text = world.call("-d", "30", "schedule", "systemd").stdout

    assert "ExecStart=/" in text
    assert "as xivo-purge-db -d 30\n" in text
    assert "OnCalendar=*-*-* 03:25:00\nRandomizedDelaySec=1800\nPersistent=true\n" in text


def test_cron_and_systemd_find_a_program_with_odd_signs_in_its_path(world: XivoWorld) -> None:
    """`%` ends a command for the one, and begins a specifier for the other, where `$` begins a variable, too."""
    assert schedule(Form.CRON, command="/opt/100%/x", days=3).endswith("&& /opt/100\\%/x -d 3\n")
    assert "ExecStart=/opt/100%%/$$x\n" in schedule(Form.SYSTEMD, command="/opt/100%/$x", days=None)


def test_json_says_what_the_log_says(world: XivoWorld) -> None:
    """One object on stdout; the log lines go to stderr and the log file."""
    found = world.json()

    assert found["result"]["run"]["records"] == 18
    assert [each["records"] for each in found["result"]["run"]["datasets"]] == [3] * 6
    assert found["result"]["archives"] == []
    assert world.counts() == PURGED


def test_json_has_the_error_with_the_codes_of_the_original(world: XivoWorld) -> None:
    """A broken configuration is 1 here, not 2."""
    world.config("days_to_keep: soon")

    found = world.json()

    assert found["exit"] == 1
    assert found["error"]["kind"] == "PolicyError"
    assert found["error"]["complaints"][0]["where"] == f"{world.conf}/config.yml:4:1"
