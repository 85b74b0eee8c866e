"""The keys `rotate`, `reopen` and `warn at`: what they may say, and what is told of the wrong ones."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from policy_helpers import complaints, dataset, only, place

from lapse.model.reopening import Reopen
from lapse.model.rotation import Every, Packing, Rotation
from lapse.policyfile import json_schema, load

_GLOB = "./logs/audit*.jsonl*"
_SCHEMA = json_schema()


def logs(folder: Path, lines: str, *, store: str = _GLOB) -> Path:
    """A policy with one dataset of log files."""
    return dataset(folder, lines, store=store)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("{at: 1 GB}", Rotation(size=10**9)),
        ("{at: 512 MiB, compress: none}", Rotation(size=512 * 2**20)),
        ("{at: daily, compress: zstd}", Rotation(every=Every.DAY, packing=Packing.ZSTD)),
        (
            "{at: [weekly, 1.5 GB], compress: gzip}",
            Rotation(size=1_500_000_000, every=Every.WEEK, packing=Packing.GZIP),
        ),
    ],
)
def test_a_rotation_is_read(tmp_path: Path, said: str, meant: Rotation) -> None:
    """A size with its unit, a time, or both, of which whichever comes first counts."""
    path = logs(tmp_path, f"rotate: {said}")

    found = load(path).datasets["log"]

    assert found.rotation == meant
    assert found.reopen is None


def test_the_ways_to_tell_a_writer_are_read(tmp_path: Path) -> None:
    """A signal to the process that a file names, or a command; the file is looked for beside the policy."""
    by_signal = load(logs(tmp_path, "reopen: {signal: HUP, pid file: run/app.pid}")).datasets["log"]
    by_command = load(logs(tmp_path, "reopen: {command: [systemctl, reload, app]}")).datasets["log"]

    assert by_signal.reopen == Reopen("HUP", tmp_path / "run/app.pid")
    assert by_command.reopen == Reopen(None, None, ("systemctl", "reload", "app"))


@pytest.mark.parametrize(
    ("short", "meant"),
    [
        ("signal: SIGUSR1, pid file: /run/app.pid", Reopen("USR1", Path("/run/app.pid"))),
        ("command: [/bin/true]", Reopen(None, None, ("/bin/true",))),
    ],
)
def test_what_stands_in_rotate_is_short_for_reopen(tmp_path: Path, short: str, meant: Reopen) -> None:
    """The same keys, in one place."""
    path = logs(tmp_path, f"rotate: {{at: daily, {short}}}")

    assert load(path).datasets["log"].reopen == meant


def test_a_size_to_warn_at_is_read(tmp_path: Path) -> None:
    """An amount of bytes with its unit; without a word nothing is warned of, nor rotated."""
    assert load(logs(tmp_path, "warn at: 20GB")).datasets["log"].warn_at == 20 * 10**9
    assert load(logs(tmp_path, "key: id")).datasets["log"].warn_at is None
    assert load(logs(tmp_path, "key: id")).datasets["log"].rotation is None


def test_none_of_these_keys_is_part_of_what_the_policy_decides(tmp_path: Path) -> None:
    """They change no hash: nothing goes sooner or later by them."""
    plain = load(logs(tmp_path, "key: id")).digest

    told = "key: id\nrotate: {at: 1 GB}\nreopen: {command: [true]}\nwarn at: 1 GB"
    assert load(logs(tmp_path, told.replace("[true]", "['true']"))).digest == plain


@pytest.mark.parametrize(
    ("lines", "column", "message", "hint"),
    [
        ("rotate: {at: 1000}", 18, "`at`: cannot be 1000", "with its unit"),
        ("rotate: {at: 0 GB}", 18, "`at`: cannot be `0 GB`", "with its unit"),
        ("rotate: {at: hourly}", 18, "`at`: cannot be `hourly`", "`daily` or `weekly`"),
        ("rotate: {at: [daily, 5]}", 26, "`at`: cannot be 5", "with its unit"),
        ("rotate: {at: []}", 18, "`at`: the list is empty", "Fill it in"),
        ("rotate: {at: [1 GB, 2 GB]}", 25, "`at`: `2 GB` is a second size", "at most"),
        ("rotate: {at: [daily, weekly]}", 26, "`at`: `weekly` is a second time", "at most"),
        ("rotate: {compress: zstd}", 5, "`at` is missing in `rotate`", "Add `at:`."),
        ("rotate: {at: daily, compres: zstd}", 25, "unknown key `compres`", "`compress`"),
        ("rotate: {at: daily, compress: xz}", 35, "`compress`: cannot be `xz`", "`zstd`, `gzip`"),
        ("rotate: daily", 13, "`rotate`: must be a mapping of keys, not `daily`", None),
        ("rotate: {at: daily, signal: HUP}", 25, "`pid file` is missing", "signal: HUP"),
        ("rotate: {at: daily, signal: HUPP, pid file: /p}", 33, "`signal`: 'HUPP' is no signal", "HUP"),
        ("reopen: {signal: KILL, pid file: /p}", 22, "`signal`: 'KILL' is no signal", "HUP"),
        ("reopen: {pid file: /p}", 14, "`signal` is missing", "signal: HUP"),
        ("reopen: {}", 5, "`reopen` does not say how", "command"),
        ("reopen: {command: []}", 23, "`command`: the list is empty", "Fill it in"),
        ("reopen: {command: systemctl reload app}", 23, "`command`: must be a list", "- "),
        ("reopen: {command: [a], signal: HUP}", 28, "`signal` cannot stand beside `command`", "Remove"),
        ("warn at: 5", 14, "`warn at`: must be an amount of bytes, not 5", "1 GB"),
        ("warn at: much", 14, "`warn at`: `much` is no amount of bytes", "20GB"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_place(
    tmp_path: Path, lines: str, column: int, message: str, hint: str | None
) -> None:
    """Line, column, the offending text, and what to write instead."""
    found = only(logs(tmp_path, lines))

    assert place(found) == (7, column)
    assert message in found.message
    assert (hint is None and found.hint is None) or str(hint) in str(found.hint)


def test_telling_a_writer_in_two_places_is_refused(tmp_path: Path) -> None:
    """Nobody could say which is meant."""
    found = only(logs(tmp_path, "reopen: {command: [a]}\nrotate: {at: daily, command: [a]}"))

    assert place(found) == (8, 25)
    assert "`reopen` says already how" in found.message


def test_databases_have_no_logs_to_rotate(tmp_path: Path) -> None:
    """Each of the keys is refused where it stands."""
    lines = "table: t\nrotate: {at: 1 GB}\nreopen: {command: [a]}\nwarn at: 1 GB"

    found = complaints(dataset(tmp_path, lines, store="sqlite:///log.db"))

    assert [place(each) for each in found] == [(8, 5), (9, 5), (10, 5)]
    assert all("means nothing here" in each.message for each in found)


@pytest.mark.parametrize(
    ("store", "rotate", "glob"),
    [
        ("./logs/audit.jsonl", "{at: 1 GB}", "./logs/audit*.jsonl*"),
        ("./logs/audit*.jsonl", "{at: 1 GB, compress: zstd}", "./logs/audit*.jsonl*"),
    ],
)
def test_rotated_files_must_belong_to_the_dataset(tmp_path: Path, store: str, rotate: str, glob: str) -> None:
    """Else their lines would never lapse: the complaint says which glob would do."""
    found = only(dataset(tmp_path, f"rotate: {rotate}", store=store))

    assert f"Write `store: {glob}`." in str(found.hint)


@pytest.mark.parametrize("store", ["./logs/audit*", "./logs/*.jsonl*", "./logs/audit*.zst"])
def test_globs_that_may_fit_are_taken(tmp_path: Path, store: str) -> None:
    """What cannot be told before there are files is told at the rotation."""
    path = dataset(tmp_path, "rotate: {at: 1 GB, compress: zstd}", store=store)

    assert load(path).datasets["log"].rotation


def test_a_log_whose_writer_begins_segments_is_not_rotated(tmp_path: Path) -> None:
    """It would go on in the newest segment, which is what the log was rotated to."""
    found = only(dataset(tmp_path, "rotate: {at: 1 GB}", store="./logs/audit{segments}.jsonl"))

    assert place(found) == (7, 5)
    assert "begins new segments itself" in found.message


@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        ("rotate", {"at": "1 GB", "compress": "zstd", "signal": "HUP", "pid file": "/run/app.pid"}, True),
        ("rotate", {"at": ["daily", "1 GB"]}, True),
        ("rotate", {"at": 1000}, False),
        ("rotate", {"at": "hourly"}, False),
        ("rotate", {"compress": "zstd"}, False),
        ("reopen", {"command": ["a", "b"]}, True),
        ("reopen", {"command": "a b"}, False),
        ("warn at", "1 GB", True),
        ("warn at", 1000, False),
    ],
)
def test_editors_know_these_keys(key: str, value: object, fits: bool) -> None:
    """The JSON Schema takes what the program takes, and refuses bare numbers."""
    policy = {"version": 1, "datasets": {"log": {"store": "a*", "time": "at", key: value}}}

    assert jsonschema.Draft202012Validator(_SCHEMA).is_valid(policy) is fits
