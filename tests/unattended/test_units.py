"""`lapse schedule`: what it prints is read by the programs that it is for, and what it installs is its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from unattended_world import World, program
from unattended_world import world_fixture as world_fixture
from units_world import printed
from units_world import scheduled_fixture as scheduled_fixture

from lapse.engine.units.needs import current_user

_EXPOSED = 2.5
"""What `systemd-analyze security` may find at most: up to 5 it says OK."""


def units(world: World, *arguments: str, folder: Path) -> tuple[Path, Path]:
    """Service and timer as files in *folder*."""
    found = world.call("schedule", "--json", "systemd", *arguments, CALLS="calls.db")
    folder.mkdir(exist_ok=True)
    made = json.loads(found.stdout)["result"]["units"]
    for unit in made:
        (folder / unit["name"]).write_text(unit["text"], encoding="utf-8")
    service, timer = (folder / unit["name"] for unit in made)
    return service, timer


def verified(*files: Path) -> str:
    """What systemd itself says against these units; nothing if all is well."""
    ended = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    return ended.stderr if ended.returncode == 0 else f"exit {ended.returncode}: {ended.stderr}"


def settings(unit: Path, key: str) -> list[str]:
    """Every value of a setting."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    "arguments", [(), ("--run-as", "root"), ("--user",), ("--name", "nightly", "--", "--for", "2h")]
)
def test_systemd_finds_nothing_wrong_with_its_units(
    scheduled: World, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """`systemd-analyze verify` is silent, strange paths included."""
    assert verified(*units(scheduled, *arguments, folder=tmp_path / "units")) == ""


def test_a_unit_with_a_slip_would_be_seen(scheduled: World, tmp_path: Path) -> None:
    """The check can fail."""
    service, timer = units(scheduled, folder=tmp_path / "units")
    timer.write_text(timer.read_text(encoding="utf-8").replace("*-*", "*-oops"), encoding="utf-8")

    assert "Failed to parse calendar" in verified(service, timer)


def test_the_service_is_fenced_in(scheduled: World, tmp_path: Path) -> None:
    """systemd's own count of what it is exposed to stays low, and only what the policy needs can be written."""
    service, timer = units(scheduled, folder=tmp_path / "units")
    said = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={_EXPOSED * 10:.0f}", service],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout.splitlines()[-1]

    assert settings(service, "User") == ["lapse" if os.geteuid() == 0 else current_user()]
    assert settings(service, "CapabilityBoundingSet") == [""]
    assert settings(service, "SuccessExitStatus") == ["4"]
    assert settings(service, "ProtectSystem") == ["strict"]
    # The calls lie in the folder itself, and everything else below it.
    assert settings(service, "ReadWritePaths") == [str(scheduled.folder)]
    assert settings(timer, "Persistent") == ["true"]
    assert settings(timer, "RandomizedDelaySec") == ["600"]
    assert len(settings(timer, "OnCalendar")) == 2


@pytest.mark.parametrize("metrics", [("--metrics", "/srv/prom/lapse.prom"), ("--metrics=/srv/prom/lapse.prom",)])
def test_only_the_policys_own_folders_can_be_written(
    scheduled: World, tmp_path: Path, metrics: tuple[str, ...]
) -> None:
    """Each by itself where none lies below another; what `--metrics` names belongs to them."""
    text = scheduled.policy_file.read_text(encoding="utf-8").replace("${CALLS}", "/${CALLS}")
    scheduled.policy_file.write_text(text, encoding="utf-8")
    result = scheduled.call("schedule", "systemd", "--json", "--", *metrics, CALLS=str(tmp_path / "db" / "c.db"))
    text = json.loads(result.stdout)["result"]["units"][0]["text"]
    (tmp_path / "x.service").write_text(text, encoding="utf-8")
    strange = f"{scheduled.folder}/cold 100%% $store"  # a `$` means nothing but in a command line

    assert set(settings(tmp_path / "x.service", "ReadWritePaths")) == {
        str(scheduled.state), str(tmp_path / "db"), f"{scheduled.folder}/logs", f'"{strange}"', "/srv/prom"
    }  # fmt: skip
    assert any("/srv/prom is not there" in warning for warning in json.loads(result.stdout)["warnings"])


def test_files_that_arguments_name_are_those_that_were_meant(scheduled: World, tmp_path: Path) -> None:
    """A service begins in /, a job of cron at home: a relative path would lead elsewhere."""
    words = ("--", "--metrics", "m.prom", "--metrics=n/m.prom", "--stop-file", "../stop", "--rows", "5")
    service, _ = units(scheduled, *words, folder=tmp_path / "units")
    here = Path.cwd()
    command = shlex.split(settings(service, "ExecStart")[0])

    assert command[command.index("run") + 1 :] == [
        "--metrics", f"{here}/m.prom", f"--metrics={here}/n/m.prom", "--stop-file", f"{here}/../stop", "--rows", "5",
    ]  # fmt: skip


def test_secrets_come_from_a_file(scheduled: World, tmp_path: Path) -> None:
    """The variable is named, its value stands nowhere."""
    service, _ = units(scheduled, folder=tmp_path / "units")
    result = printed(scheduled, "systemd")

    assert settings(service, "EnvironmentFile") == ["/etc/lapse/lapse.env"]
    assert "CALLS" in result.stderr
    for form in ("systemd", "cron", "kubernetes", "compose"):
        world_policy = scheduled.policy_file.read_text(encoding="utf-8").replace("10m", "9m")
        scheduled.policy_file.write_text(world_policy, encoding="utf-8")
        assert "calls.db" not in printed(scheduled, form).stdout


def test_the_network_is_closed_where_nothing_needs_it(world: World, tmp_path: Path) -> None:
    """A notification command may need it."""
    closed, _ = units(world, folder=tmp_path / "closed")
    world.policy("schedule: {daily at: 02:00}\nnotify: {on failure: [mail, root]}\n")
    opened, _ = units(world, folder=tmp_path / "opened")

    assert settings(closed, "RestrictAddressFamilies") == ["AF_UNIX"]
    assert settings(closed, "IPAddressDeny") == ["any"]
    assert settings(opened, "RestrictAddressFamilies") == ["AF_UNIX AF_INET AF_INET6"]
    assert settings(opened, "IPAddressDeny") == []


def test_a_state_folder_that_is_not_there_is_told(world: World) -> None:
    """The fence cannot let a run through to it, so that the service would not even start."""
    elsewhere = str(world.folder / "state elsewhere")

    assert f"{elsewhere} is not there: make it" in printed(world, "systemd", LAPSE_STATE_DIR=elsewhere).stderr
    assert elsewhere not in printed(world, "systemd", "--user", LAPSE_STATE_DIR=elsewhere).stderr


def test_without_a_schedule_there_is_nothing_to_print(world: World) -> None:
    """Exit 2, with an example of one."""
    world.policy()
    result = world.call("schedule", "systemd")

    assert result.exit_code == 2
    assert "schedule: {daily at: 02:00" in result.stderr


# Installing, with programs that stand in for systemctl and crontab and note how they were called.


@pytest.fixture
def machine(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world on a machine with a systemctl and a crontab of its own, and a user's folder of units."""
    tools = world.folder / "bin"
    program(tools, "systemctl", f'echo "systemctl $*" >> {world.folder}/called')
    table = shlex.quote(str(world.folder / "crontab"))
    program(
        tools,
        "crontab",
        f'echo "crontab $*" >> {world.folder}/called\n'
        f'if [ "$1" = -l ]; then cat {table} 2>/dev/null || {{ echo "no crontab for me" >&2; exit 1; }}; '
        f"else cat > {table}; fi",
    )
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world.folder / "config"))
    return world


def called(world: World) -> list[str]:
    """How the programs were called."""
    file = world.folder / "called"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def installed(world: World) -> dict[str, str]:
    """The user's units, text by name."""
    folder = world.folder / "config" / "systemd" / "user"
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def test_units_are_installed_started_and_taken_away(machine: World) -> None:
    """Every file that was written is named; systemd is told; afterwards nothing is left."""
    result = machine.call("schedule", "systemd", "--user", "--install")
    files = installed(machine)

    assert result.exit_code == 0, result.stderr
    assert list(files) == ["lapse.service", "lapse.timer"]
    assert all(f"user/{name}" in result.stdout for name in files)
    assert called(machine) == ["systemctl --user daemon-reload", "systemctl --user enable --now lapse.timer"]

    gone = machine.call("schedule", "systemd", "--user", "--uninstall")
    assert gone.exit_code == 0, gone.stderr
    assert installed(machine) == {}
    assert called(machine)[2:] == ["systemctl --user disable --now lapse.timer", "systemctl --user daemon-reload"]
    assert "Nothing was installed" in machine.call("schedule", "systemd", "--user", "--uninstall").stdout


def test_what_is_installed_can_be_read_by_everybody(machine: World) -> None:
    """As every unit; the umask of who installs it does not count."""
    before = os.umask(0o077)
    try:
        machine.call("schedule", "systemd", "--user", "--install")
    finally:
        os.umask(before)

    folder = machine.folder / "config" / "systemd" / "user"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_installing_again_follows_the_policy(machine: World) -> None:
    """Its own files are replaced, without a trace beside them."""
    machine.call("schedule", "systemd", "--user", "--install")
    machine.policy("schedule: {daily at: 05:17}\n")
    result = machine.call("schedule", "systemd", "--user", "--install")

    assert result.exit_code == 0, result.stderr
    assert "05:17:00" in installed(machine)["lapse.timer"]
    assert len(installed(machine)) == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: "[Unit]\nDescription=mine\n", "not written by Lapse"),
        (lambda text: f"{text}# mine\n", "changed since Lapse wrote it"),
        (lambda text: text.replace("lapse.yaml;", "other.yaml;"), "written by Lapse for another policy"),
    ],
)
@pytest.mark.parametrize("option", ["--install", "--uninstall"])
def test_what_is_not_its_own_is_left_alone(machine: World, option: str, change: Any, why: str) -> None:
    """Refused with exit 3 before anything is written or removed."""
    machine.call("schedule", "systemd", "--user", "--install")
    file = machine.folder / "config" / "systemd" / "user" / "lapse.timer"
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    before, calls = installed(machine), called(machine)
    machine.policy("schedule: {daily at: 05:17}\n")
    result = machine.call("schedule", "systemd", "--user", option)

    assert result.exit_code == 3
    assert why in result.stderr
    assert (installed(machine), called(machine)) == (before, calls)


def test_a_machine_without_systemd_gets_the_files_and_is_told(machine: World) -> None:
    """The message of systemctl where something else is the first process."""
    program(machine.folder / "bin", "systemctl", "echo 'System has not been booted with systemd.' >&2; exit 1")
    result = machine.call("schedule", "systemd", "--user", "--install")

    assert result.exit_code == 0
    assert "nothing was started: systemctl --user enable --now lapse.timer" in result.stderr


def test_a_systemd_that_says_no_is_an_error(machine: World) -> None:
    """With what it said."""
    program(machine.folder / "bin", "systemctl", "echo 'Unit is masked.' >&2; exit 1")
    result = machine.call("schedule", "systemd", "--user", "--install")

    assert result.exit_code == 1
    assert "Unit is masked." in result.stderr


def test_a_user_that_is_not_there_is_told_before_anything_is_written(machine: World) -> None:
    """With the command that makes it."""
    result = machine.call("schedule", "systemd", "--install", "--run-as", "nobody-of-that-name")

    assert result.exit_code == 2
    assert "useradd --system" in result.stderr
    assert called(machine) == []


@pytest.mark.parametrize("words", [("--name", "../x"), ("--name", ""), ("--name", "A b"), ("--run-as", "root\nUser=x")])
def test_a_name_leads_nowhere_else(machine: World, words: tuple[str, ...]) -> None:
    """It names files and objects, and stands in a unit."""
    assert machine.call("schedule", "systemd", "--user", "--install", *words).exit_code == 2
    assert called(machine) == []


def test_a_crontab_gets_one_block_and_keeps_the_rest(machine: World) -> None:
    """Twice installed it stands once; taken away, the crontab is what it was."""
    mine = "# mine\n5 5 * * * backup\n"
    (machine.folder / "crontab").write_text(mine, encoding="utf-8")
    machine.call("schedule", "cron", "--install")
    once = (machine.folder / "crontab").read_text(encoding="utf-8")
    machine.call("schedule", "cron", "--install")
    twice = (machine.folder / "crontab").read_text(encoding="utf-8")
    machine.call("schedule", "cron", "--uninstall")

    assert once == twice
    assert once.startswith(mine)
    assert once.count("lapse --policy") + once.count("-m lapse") == 1
    assert (machine.folder / "crontab").read_text(encoding="utf-8") == mine


def test_one_name_may_begin_like_another_in_a_crontab(machine: World) -> None:
    """Lines for lapse-2 are none for lapse."""
    for name in ("lapse-2", "lapse"):
        result = machine.call("schedule", "cron", "--install", "--name", name)
        assert result.exit_code == 0, result.stderr

    assert machine.call("schedule", "cron", "--uninstall").exit_code == 0
    table = (machine.folder / "crontab").read_text(encoding="utf-8")
    assert re.findall("^# BEGIN.*", table, re.MULTILINE) == ["# BEGIN lapse schedule lapse-2"]


def test_a_shell_takes_the_line_for_cron(world: World) -> None:
    """A state folder with blanks and quotes in its name reaches the run as it is."""
    world.policy("schedule: {daily at: 02:00}\n")
    state = f"{world.folder}/it's a state $x ü"
    line = world.call("schedule", "cron", LAPSE_STATE_DIR=state).stdout.splitlines()[-1]
    before, _, _ = line.removeprefix("0 2 * * * ").partition(" /")

    said = subprocess.run(["sh", "-c", f"{before} printenv LAPSE_STATE_DIR"], stdout=subprocess.PIPE, check=True)

    assert said.stdout.decode() == f"{state}\n"


@pytest.mark.parametrize("words", [["--bogus"], ["--for", "2x"], ["--rows", "many"], ["--until", "25:00"]])
def test_what_no_run_would_take_is_refused_at_once(world: World, words: list[str]) -> None:
    """Else every night's run would fail; the daemon does the same."""
    world.policy("schedule: {daily at: 02:00}\n")

    for command in (["schedule", "systemd"], ["daemon"]):
        result = world.call(*command, "--", *words)
        assert (result.exit_code, result.stdout) == (2, "")


def test_crontab_lines_that_somebody_changed_are_left_alone(machine: World) -> None:
    """Exit 3; so for lines without an end."""
    machine.call("schedule", "cron", "--install")
    table = machine.folder / "crontab"
    changed = table.read_text(encoding="utf-8").replace("0 2 * * *", "0 3 * * *")
    for text in (changed, changed.replace("# END", "# end")):
        table.write_text(text, encoding="utf-8")

        assert machine.call("schedule", "cron", "--install").exit_code == 3
        assert table.read_text(encoding="utf-8") == text
