"""What the original lets pass, and Lapse does not: exit 1, nothing touched, file and line named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from xivo_world import FULL, XivoWorld
from xivo_world import world_fixture as world_fixture

_HEAD = 3
"""Lines that the world's own config.yml begins with."""


def refused(world: XivoWorld, where: str, *words: str) -> None:
    """The drop-in ends with 1, names *where* and *words* on stderr, and has touched nothing."""
    result = world.call()

    assert result.exit_code == 1, result.output
    assert where in result.stderr
    for word in words:
        assert word in result.stderr
    assert "(ERROR) (wazo_purge_db.cli): " in result.stderr
    assert "deleting" not in result.output
    assert world.counts() == FULL
    assert not (world.folder / "state").exists()


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("days_to_keep: [", 1, "YAML"),
        ("a: b: c", 1, "YAML"),
        ("x: 1\n\tdays_to_keep: 3", 2, "YAML"),
        ("- days_to_keep", 1, "a mapping of keys, not a list"),
        ("just text", 1, "a mapping of keys, not a single value"),
        ("a: 1\n---\nb: 2\n", 2, "document"),
        ("days_to_keep: 1\ndays_to_keep: 2", 2, "duplicate key `days_to_keep`"),
        ("mine: {a: 1, a: 2}", 1, "duplicate key `a`"),
        ("mine: !exec {command: touch /tmp/pwned}", 1, "the tag `!exec` is refused"),
        ("days_to_keep: !exec {command: echo 3}", 1, "the tag `!exec` is refused"),
        ("mine: !!python/object/apply:os.system [id]", 1, "is refused"),
        ("a: &a {b: *a}", 1, "alias"),
        ("x: &x {days_to_keep: 3}\n<<: *x", 2, "merge keys (`<<`) are not supported"),
        ("mine: 2026-13-45", 1, "cannot be read"),
        ("a: \x01", 1, "YAML"),
    ],
)
def test_a_file_that_is_not_right_stops_the_purge(world: XivoWorld, text: str, line: int, word: str) -> None:
    """In conf.d as in config.yml: an override that is not followed could remove too much."""
    file = world.extra("50-mine.yml", text)
    refused(world, f"{file}:{line}:", word)

    file.unlink()
    file = world.conf / "config.yml"
    file.write_text(text, encoding="utf-8")
    refused(world, f"{file}:{line}:", word)


def test_a_file_that_cannot_be_read_stops_the_purge(world: XivoWorld) -> None:
    """A folder, a dead link and bytes that are no text; permissions do not stop root, so they are not tried."""
    file = world.extra("a.yml", "")
    file.write_bytes(b"a: 1\nb: \xff\n")
    refused(world, f"{file}:2:1", "not UTF-8")

    file.unlink()
    file.mkdir()
    refused(world, f"{file}:1:1", "cannot be read")

    file.rmdir()
    file.symlink_to(world.folder / "nowhere")
    refused(world, f"{file}:1:1", "cannot be read")

    file.unlink()
    os.mkfifo(file)
    refused(world, f"{file}:1:1", "a pipe")  # and the purge does not wait for a writer


def test_a_dead_link_in_the_place_of_the_configuration_is_not_no_configuration(world: XivoWorld) -> None:
    """What is built in would purge what the file keeps."""
    file = world.conf / "config.yml"
    file.unlink()
    file.symlink_to(world.folder / "nowhere")

    refused(world, f"{file}:1:1", "cannot be read")


def test_a_folder_of_overrides_that_is_not_there_stops_the_purge(world: XivoWorld) -> None:
    """Where it is named, it is meant."""
    world.config("extra_config_files: /nowhere/conf.d\n")

    refused(world, f"config.yml:{_HEAD + 1}:21", "there is no folder /nowhere/conf.d")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("enabled_plugins: {purgers: [cel]}", "must be a mapping of purgers, not a list"),
        ("enabled_plugins: {purgers: }", "not nothing, or null"),
        ("enabled_plugins: {purgers: null}", "not nothing, or null"),
        ("enabled_plugins: {purgers: cel}", "not text"),
        ("enabled_plugins: null", "not nothing, or null"),
        ("enabled_plugins: []", "not a list"),
        ("enabled_plugins: {purger: {cel: false}}", "Did you mean `purgers`?"),
        ("enabled_plugins: {purgers: {cel: 'no'}}", "must be true or false, not text"),
        ("enabled_plugins: {purgers: {cel: 0}}", "must be true or false, not a number"),
        ("enabled_plugins: {purgers: {cel: null}}", "not nothing, or null"),
        ("enabled_plugins: {purgers: {cell: false}}", "there is no purger `cell`"),
        ("enabled_plugins: {purgers: {queue_log: true}}", "Did you mean `queue-log`?"),
        ("enabled_plugins: {purgers: {stat-call: true, stat-call-on: false}}", "stands at"),
        ("enabled_plugins: {archives: {sample: true}}", "must be a list of plug-ins"),
        ("enabled_plugins: {archives: sample}", "must be a list of plug-ins"),
        ("enabled_plugins: {archives: null}", "must be a list of plug-ins"),
        ("enabled_plugins: {archives: [1]}", "must be the name of a plug-in"),
        ("enabled_plugins: {archives: [a, a]}", "`a` is named twice"),
        ("days_to_keep: '30'", "must be a number of days, not text"),
        ("days_to_keep: null", "not nothing, or null"),
        ("days_to_keep:", "not nothing, or null"),
        ("days_to_keep: true", "not true or false"),
        ("days_to_keep: 1.5", "not a number"),
        ("days_to_keep: -1", "-1 cannot be negative"),
        ("days_to_keep: 0365", "0365 can be read in two ways"),
        ("days_to_keep: 1:30", "1:30 can be read in two ways"),
        ("days_to_keep: 0x10", "0x10 can be read in two ways"),
        ("days_to_keep: 30 days", "not text"),
        ("days_to_keep: [30]", "not a list"),
        ("days_to_keep: 2026-01-01", "not a date"),
        ("days_to_keep: 99999999999", "longer than the calendar"),
        ("days_to_keep_per_plugin: 30", "must be a mapping of purgers"),
        ("days_to_keep_per_plugin: null", "must be a mapping of purgers"),
        ("days_to_keep_per_plugin: {cel: '30'}", "must be a number of days"),
        ("days_to_keep_per_plugin: {cel: null}", "must be a number of days"),
        ("days_to_keep_per_plugin: {cel: 99999999999}", "longer than the calendar"),
        ("days_to_keep_per_plugin: {cell: 30}", "there is no purger `cell`"),
        ("day_to_keep: 730", "Did you mean `days_to_keep`?"),
        ("days_to_keep_per_plugins: {cel: 730}", "Did you mean `days_to_keep_per_plugin`?"),
        ("enabled_plugin: {purgers: {cel: false}}", "Did you mean `enabled_plugins`?"),
        ("debug: 'yes'", "must be true or false"),
        ("log_file: null", "must be text"),
        ("pid_file: 3", "must be text, not a number"),
        ("db_uri: ''", "not empty text"),
        ("db_uri: null", "must be text"),
        ("lapse: {archives: /srv}", "Did you mean `archive`?"),
        ("lapse: {empty_times: yes}", "`lapse.empty_times` must be `keep` or `purge`, not true or false"),
        ("lapse: {empty_times: delete}", "`lapse.empty_times` must be `keep` or `purge`, not text"),
        ("lapse: {recordings: ''}", "`lapse.recordings` must be text"),
        ("lapse: /srv", "must be a mapping with `archive`, `ledger`, `recordings` and `empty_times`"),
        ("lapse: {ledger: 's3://b/c'}", "is not the path of a folder"),
        ("lapse: {archive: 'ftp://h/c'}", "unknown scheme"),
    ],
)
def test_a_value_that_is_not_what_it_must_be_stops_the_purge(world: XivoWorld, text: str, word: str) -> None:
    """A value of the wrong kind, a misspelt name: none is passed over."""
    file = world.extra("50-mine.yml", f"# mine\n{text}\n")

    refused(world, f"{file}:2:", word)


def test_a_wrong_value_is_found_under_a_right_one(world: XivoWorld) -> None:
    """Each file is looked at by itself: a list does not vanish under a mapping that counts before it."""
    world.config("enabled_plugins: {purgers: [cel]}\n")
    world.extra("a.yml", "enabled_plugins: {purgers: {cel: true}}")

    refused(world, f"config.yml:{_HEAD + 1}:19", "not a list")


def test_everything_that_is_wrong_is_told_at_once(world: XivoWorld) -> None:
    """One look, one repair."""
    world.extra("a.yml", "days_to_keep: soon\n")
    world.extra("b.yml", "debug: maybe\n")

    refused(world, "a.yml:1:1", "b.yml:1:1", "has 2 problems")


def test_a_key_of_a_plug_in_s_own_may_be_anything(world: XivoWorld) -> None:
    """Whatever its type, and null too."""
    world.extra("a.yml", "sample: {a: null, b: [1, {c: 2.5}]}\nsample_days: 12\nother:\n")

    assert world.call("--dry-run").exit_code == 0


@pytest.mark.parametrize("kind", ["archives", "purgers"])
def test_a_plug_in_that_is_enabled_but_not_installed_stops_the_purge(world: XivoWorld, kind: str) -> None:
    """In the original the purge went on without the archive."""
    value = "[sample]" if kind == "archives" else "{sample: true}"
    world.config(f"enabled_plugins: {{{kind}: {value}}}\n")

    refused(world, f"config.yml:{_HEAD + 1}:", "sample")


def test_a_secret_is_not_told(world: XivoWorld) -> None:
    """An address stands in messages without its password."""
    world.extra("a.yml", "db_uri: [postgresql://asterisk:hunter2@localhost/asterisk]")
    assert "hunter2" not in world.call().output

    world.extra("a.yml", "db_uri: postgresql://asterisk:hunter2@localhost:1/asterisk")
    result = world.call()
    assert result.exit_code == 1
    assert "hunter2" not in result.output + world.log.read_text()

    # Drivers take the first `@` or `/` for the end of the password, and tell the rest as a name.
    for password in ("hunter@2", "hunter/2", "hunter2%zz"):
        world.extra("a.yml", f"db_uri: postgresql://asterisk:{password}@localhost:1/asterisk")
        result = world.call()
        assert (result.exit_code, "hunter" in result.output, "2@localhost" in result.output) == (1, False, False)


def test_a_log_or_pid_file_that_cannot_be_written_stops_the_purge(world: XivoWorld, tmp_path: Path) -> None:
    """The key to change is named."""
    world.extra("a.yml", f"log_file: {tmp_path}/none/purge.log")
    refused(world, f"the log file {tmp_path}/none/purge.log", "`log_file`")

    world.extra("a.yml", f"pid_file: {tmp_path}/none/purge.pid")
    refused(world, f"the pid file {tmp_path}/none/purge.pid", "`pid_file`")


def test_an_address_that_nothing_understands_stops_the_purge(world: XivoWorld) -> None:
    """Text logs and unknown databases are none."""
    world.extra("a.yml", "db_uri: oracle://h/d")
    refused(world, "nothing here understands oracle://")

    world.extra("a.yml", f"db_uri: duckdb:///{world.folder}/x.duckdb")
    refused(world, "does not say what tables it has")
