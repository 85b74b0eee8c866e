"""What `lapse schedule` prints for cron, Kubernetes and Compose, read by the programs that it is for."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import subprocess

import kubernetes_validate
import pytest
from compose_spec import PyCompose
from cronsim import CronSim
from ruamel.yaml import YAML
from unattended_world import World
from unattended_world import world_fixture as world_fixture
from units_world import printed
from units_world import scheduled_fixture as scheduled_fixture

from lapse import clock
from lapse.instant import to_datetime


def test_the_cron_line_is_one_that_cron_and_the_shell_read(scheduled: World) -> None:
    """Five fields; the rest, per cent signs unescaped as cron does it, is a command that the shell understands."""
    state = f"{scheduled.folder}/50% full"
    text = printed(scheduled, "cron", LAPSE_STATE_DIR=state).stdout
    (line,) = [line for line in text.splitlines() if re.match(r"[0-9*]", line)]
    fields, command = " ".join(line.split(" ")[:5]), " ".join(line.split(" ")[5:])
    words = shlex.split(command.replace("\\%", "%"))

    assert next(CronSim(fields, to_datetime(clock.real_now())))
    assert "%" not in command.replace("\\%", "")
    assert f"LAPSE_STATE_DIR={state}" in words
    assert words[-3:] == ["run", "--jitter", "600s"]
    assert {"MAILTO", "PATH"} <= {line.partition("=")[0] for line in text.splitlines()}
    subprocess.run(["sh", "-n", "-c", command], check=True)


def test_cron_has_no_time_zones(world: World) -> None:
    """A line that some crons would run at another time is not printed."""
    world.policy("schedule: {daily at: 02:00, time zone: Europe/Paris}\n")
    result = world.call("schedule", "cron")

    assert result.exit_code == 2
    assert "Europe/Paris" in result.stderr


def test_kubernetes_takes_the_manifest(scheduled: World) -> None:
    """By the API's own schema, strictly; one run at a time, without rights, on a file system that it cannot write."""
    text = printed(scheduled, "kubernetes", "--image", "registry.example/lapse:1").stdout
    documents = list(YAML(typ="safe").load_all(text))
    for document in documents:
        kubernetes_validate.validate(document, "1.30", strict=True)
    by_kind = {document["kind"]: document for document in documents}
    job = by_kind["CronJob"]["spec"]
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert by_kind["ConfigMap"]["data"]["lapse.yaml"] == scheduled.policy_file.read_text(encoding="utf-8")
    assert (job["schedule"], job["concurrencyPolicy"]) == ("0,30 2 1,15 * mon-fri", "Forbid")
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["args"] == ["--jitter", "600s"]
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    (calls,) = [each for each in container["env"] if each["name"] == "CALLS"]
    assert calls["valueFrom"]["secretKeyRef"] == {"name": "lapse-env", "key": "CALLS"}


def test_every_claim_of_the_job_is_made_or_asked_for(scheduled: World) -> None:
    """Those for the state and the archives come with it; those that must hold the stores are named at the top."""
    text = printed(scheduled, "kubernetes", "--image", "x").stdout
    documents = list(YAML(typ="safe").load_all(text))
    pod = documents[-1]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    claimed = {each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each}
    made = {each["metadata"]["name"] for each in documents if each["kind"] == "PersistentVolumeClaim"}
    asked = set(re.findall("^# Claim (.*) must be the one that holds /", text, re.MULTILINE))

    assert {"lapse-state", "lapse-archive-1"} <= made
    assert asked == {"lapse-store-1", "lapse-store-2"}
    assert claimed == made | asked


def test_a_job_that_would_leave_a_file_behind_is_refused(scheduled: World) -> None:
    """Its container is gone before anybody could read the metrics."""
    words = ("schedule", "kubernetes", "--image", "x", "--", "--metrics", "lapse.prom")
    result = scheduled.call(*words, CALLS="calls.db")

    assert result.exit_code == 2
    assert "leaves no file behind" in result.stderr


def test_a_password_in_the_policy_does_not_get_into_a_manifest(world: World) -> None:
    """Refused, with the line and what to write instead."""
    text = world.policy_file.read_text(encoding="utf-8")
    url = "postgresql://lapse:sesame@db/asterisk"
    world.policy_file.write_text(text.replace("sqlite:///calls.db", url), encoding="utf-8")
    result = world.call("schedule", "kubernetes", "--image", "x")

    assert result.exit_code == 2
    assert "lapse.yaml:6" in result.stderr
    assert "sesame" not in result.output


def test_compose_takes_the_file(scheduled: World) -> None:
    """By an implementation of the Compose specification; no rights, nothing written but what is mounted."""
    text = printed(scheduled, "compose", "--image", "registry.example/lapse:1", "--", "--for", "2h").stdout
    service = PyCompose.from_yaml(text).to_dict()["services"]["lapse"]
    again = YAML(typ="safe").load(text)["services"]["lapse"]

    assert service["image"] == "registry.example/lapse:1"
    assert again["command"][-4:] == ["daemon", "--", "--for", "2h"]
    assert again["read_only"] is True
    assert again["user"] == f"{os.geteuid()}:{os.getegid()}"
    targets = {volume["target"]: volume.get("read_only", False) for volume in again["volumes"]}
    assert targets[str(scheduled.policy_file)] is True
    assert targets[f"{scheduled.folder}/cold 100% $$store"] is False
    bound = [volume for volume in again["volumes"] if volume["type"] == "bind"]
    assert [volume["source"] for volume in bound] == [volume["target"] for volume in bound]


@pytest.mark.parametrize("form", ["kubernetes", "compose"])
def test_what_lies_elsewhere_is_printed_only(scheduled: World, form: str) -> None:
    """There is nothing to install here."""
    result = scheduled.call("schedule", form, "--install", CALLS="calls.db")

    assert result.exit_code == 2
    assert f"lapse schedule {form} > FILE" in result.stderr


def test_odd_names_of_policy_files_are_keys_of_their_own(world: World) -> None:
    """A ConfigMap takes few characters in its keys; no file may hide another one, and each is mounted where it lies."""
    (world.folder / "conf.d").mkdir()
    odd = ["a b.yaml", "a+b.yaml", "a-b.yaml"]
    for number, name in enumerate(odd):
        dataset = f"{{store: 'sqlite:///c.db', table: t{number}, time: at, keep: 9 days, archive: none}}"
        text = f"datasets:\n  d{number}: {dataset}\n"
        (world.folder / "conf.d" / name).write_text(text, encoding="utf-8")

    documents = list(YAML(typ="safe").load_all(printed(world, "kubernetes", "--image", "x").stdout))
    kubernetes_validate.validate(documents[0], "1.30", strict=True)
    texts = documents[0]["data"]
    (container,) = documents[-1]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    mounted = {each["mountPath"]: each["subPath"] for each in container["volumeMounts"] if each["name"] == "policy"}

    assert all(re.fullmatch("[-._a-zA-Z0-9]+", key) for key in texts)
    for file in (world.policy_file, *(world.folder / "conf.d" / name for name in odd)):
        assert texts[mounted[str(file)]] == file.read_text(encoding="utf-8")


def test_kubernetes_takes_no_path_for_a_variable(world: World) -> None:
    """It replaces $(NAME) in commands; two dollar signs are one."""
    folder = world.folder / "$(HOME) $$"
    folder.mkdir()
    world.policy_file.rename(folder / "lapse.yaml")
    text = printed(world, "--policy", str(folder / "lapse.yaml"), "kubernetes", "--image", "x").stdout
    job = list(YAML(typ="safe").load_all(text))[-1]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]

    assert container["command"][2] == f"{world.folder}/$$(HOME) $$$$/lapse.yaml"


def test_a_hold_that_comes_later_is_seen_in_the_container(world: World) -> None:
    """The folder of holds is bound, not the files that were in it: else a new hold would not be kept."""
    mounted = YAML(typ="safe").load(printed(world, "compose", "--image", "x").stdout)["services"]["lapse"]["volumes"]
    read_only = {each["source"] for each in mounted if each.get("read_only")}

    assert read_only == {str(world.policy_file), str(world.folder / "holds")}


@pytest.mark.parametrize("words", [("cron",), ("kubernetes",), ("systemd", "--user")])
def test_a_user_that_it_would_not_run_as_is_refused(world: World, words: tuple[str, ...]) -> None:
    """Better than runs as somebody else."""
    result = world.call("schedule", *words, "--run-as", "daemon")

    assert result.exit_code == 2
    assert "--run-as has no effect here" in result.stderr


def test_compose_runs_as_the_user_that_is_named(world: World) -> None:
    """By number, which means the same in every image."""
    text = printed(world, "compose", "--image", "x", "--run-as", "daemon").stdout
    found = pwd.getpwnam("daemon")

    assert YAML(typ="safe").load(text)["services"]["lapse"]["user"] == f"{found.pw_uid}:{found.pw_gid}"


@pytest.mark.parametrize("form", ["systemd", "cron", "kubernetes", "compose"])
def test_a_path_of_two_lines_is_refused(world: World, form: str) -> None:
    """It would begin a line of its own, which cron or systemd would follow."""
    folder = world.folder / "x\nExecStartPre=true"
    folder.mkdir()
    world.policy_file.rename(folder / "lapse.yaml")
    result = world.call("schedule", "--policy", str(folder / "lapse.yaml"), form)

    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize("form", ["systemd", "cron", "compose"])
def test_a_schedule_of_two_lines_becomes_one(world: World, form: str) -> None:
    """YAML lets a text end with a line end; a comment must not."""
    world.policy('schedule: {cron: "0 2 * *\\n *\\n"}\n')

    assert "cron 0 2 * * *" in printed(world, form).stdout


def test_it_is_told_that_a_containers_clock_is_utc(world: World) -> None:
    """Unless the schedule says which clock it means, or this machine's is UTC as well."""
    far = world.call("schedule", "compose", "--image", "x", TZ="Europe/Paris")
    here = world.call("schedule", "compose", "--image", "x", TZ="UTC")

    assert "add the `time zone` that you mean" in far.stderr
    assert here.stderr == ""


def test_a_file_with_an_address_is_to_be_mounted(world: World) -> None:
    """No manifest carries it; without a word the container could not read its policy."""
    (world.folder / "dsn").write_text("sqlite:///calls.db", encoding="utf-8")
    text = world.policy_file.read_text(encoding="utf-8")
    world.policy_file.write_text(text.replace("sqlite:///calls.db", "file:dsn"), encoding="utf-8")

    for form in ("kubernetes", "compose"):
        assert "the policy reads dsn: mount that" in printed(world, form, "--image", "x").stderr
