"""The configuration file: what is missing, what is broken, where, and that nothing is touched then."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from yuuvis_world import EXAMPLE, Entry, World, fill, left
from yuuvis_world import world_fixture as world_fixture

from lapse.dialects.yuuvis.configuration import read_configuration
from lapse.errors import PolicyError


def refused(world: World, *, env: dict[str, str] | None = None) -> str:
    """Call a cleanup that is to be refused with 2 and to touch nothing; what it says on stderr."""
    fill(world.trail, Entry())
    before = world.tree()
    result = world.clean(env=env)
    assert result.exit_code == 2, result.output
    assert world.tree() == before
    assert left(world.trail) == [1]
    return result.stderr


def test_a_missing_file_deletes_nothing(world: World) -> None:
    """Exit 0; a notice names the path."""
    world.file.unlink()
    fill(world.trail, Entry())

    result = world.clean("--json")

    assert result.exit_code == 0
    assert f"there is no {world.file}" in result.stderr
    assert json.loads(result.stdout)["config_sha256"] is None
    assert left(world.trail) == [1]


def test_missing_folders_are_a_missing_file(world: World) -> None:
    """Neither is there any on the way to it."""
    world.file.unlink()
    world.file.parent.rmdir()
    world.file.parent.parent.rmdir()

    assert world.clean().exit_code == 0


@pytest.mark.parametrize("content", [{}, {"audit": {}}, {"history": {"defaultCleanupAfterDays": 0}, "audits": 1}])
def test_a_missing_or_empty_section_deletes_nothing(world: World, content: object) -> None:
    """Other sections are no error."""
    world.configure(content)
    fill(world.trail, Entry())

    result = world.clean()

    assert result.exit_code == 0
    assert left(world.trail) == [1]


BROKEN = {
    "empty": (b"", "1:1"),
    "white space": (b" \n ", "2:2"),
    "cut off": (b'{"audit": {', "1:12"),
    "no JSON": (b"audit: {}", "1:1"),
    "a comma too many": (b'{"audit": {},\n}', "2:1"),
    "a comment": (b'{"audit": {}} // off', "1:15"),
    "single quotes": (b"{'audit': {}}", "1:2"),
    "something after it": (b'{"audit": {}}\n{}', "2:1"),
    "NaN": (b'{"audit": {"defaultCleanupAfterDays": NaN}}', "1:39"),
    "Infinity": (b'{"audit": {"defaultCleanupAfterDays": -Infinity}}', "1:39"),
    "a leading zero": (b'{"audit": {"defaultCleanupAfterDays": 010}}', "1:40"),
    "a plus sign": (b'{"audit": {"defaultCleanupAfterDays": +10}}', "1:39"),
    "zero bytes": (b'{"audit": {}}\0\0', "1:14"),
    "only zero bytes": (b"\0" * 512, "1:1"),
    "Latin-1": ('{"audit": {},\n "ü": 1}'.encode("latin-1"), "2:3"),
    "UTF-16": ('{"audit": {}}'.encode("utf-16"), "1:1"),
    "a line break in text": (b'{"audit": {"actions": [{"comment": "a\nb"}]}}', "1:38"),
    "too deep": (b"[" * 5000, "1:102"),
    "a duplicate section": (b'{"audit": {},\n"audit": {"defaultCleanupAfterDays": 1}}', "2:1"),
    "a duplicate default": (
        b'{"audit": {"defaultCleanupAfterDays": -1, "defaultCleanupAfterDays": 1}}', "1:43",
    ),
    "a duplicate in a mapping": (b'{"audit": {"actions": [{"action": 1, "action": 2}]}}', "1:38"),
    "an escaped duplicate": (b'{"audit": {}, "\\u0061udit": {"defaultCleanupAfterDays": 0}}', "1:15"),
    "a duplicate in another section": (b'{"x": {"a": 1, "a": 1}}', "1:16"),
    "a list": (b"[]", "1:1"),
    "null": (b"null", "1:1"),
    "a section that is null": (b'{"audit": null}', "1:11"),
    "a section that is a list": (b'{"audit": []}', "1:11"),
    "actions that are null": (b'{"audit": {"actions": null}}', "1:23"),
    "actions that are an object": (b'{"audit": {"actions": {"400": 1}}}', "1:23"),
    "a mapping that is a number": (b'{"audit": {"actions": [400]}}', "1:24"),
    "a mapping without days": (b'{"audit": {"actions": [{"action": 400}]}}', "1:24"),
    "a mapping without an action": (b'{"audit": {"actions": [{"cleanupAfterDays": 1}]}}', "1:24"),
    "minus zero": (b'{"audit": {"defaultCleanupAfterDays": -0}}', "1:39"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "place"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_is_not_missing(world: World, content: bytes, place: str) -> None:
    """Exit 2 with file, line and column; nothing is touched."""
    world.configure(content)

    assert f"Error: {world.file}:{place}: " in refused(world)


VALUES: list[Any] = [True, False, 1.5, 1.0, 1e3, "1", "", None, [], {}]


@pytest.mark.parametrize("value", VALUES, ids=json.dumps)
@pytest.mark.parametrize(
    "form",
    [
        '{{"audit": {{\n"defaultCleanupAfterDays": {}}}}}',
        '{{"audit": {{"actions": [{{"action": 400,\n"cleanupAfterDays": {}}}]}}}}',
        '{{"audit": {{"actions": [{{"cleanupAfterDays": 1,\n"action": {}}}]}}}}',
    ],
)
def test_what_is_no_whole_number_is_refused(world: World, form: str, value: object) -> None:
    """The whole run, even if the rest of the configuration is right."""
    world.configure(form.format(json.dumps(value)))

    assert f"Error: {world.file}:2:" in refused(world)


def test_every_problem_is_told_at_once(world: World) -> None:
    """Not one a night."""
    world.configure(
        '{"audit": {"defaultCleanupAfterDays": "1", "actions": [{"action": 1}, {"cleanupAfterDays": null}]}}'
    )

    assert "has 4 problems" in refused(world)


def test_a_byte_order_mark_is_passed_over(world: World) -> None:
    """Some editors write one."""
    world.configure(b"\xef\xbb\xbf" + json.dumps(EXAMPLE).encode())

    assert world.clean().exit_code == 0


def test_a_folder_is_not_missing(world: World) -> None:
    """Somebody wanted something there."""
    world.file.unlink()
    world.file.mkdir()

    assert "this is a folder" in refused(world)


def test_a_dangling_link_is_not_missing(world: World) -> None:
    """The name is there."""
    world.file.unlink()
    world.file.symlink_to("away.json")

    assert "a link that leads nowhere" in refused(world)


def test_a_folder_that_is_a_dangling_link_is_not_missing(world: World) -> None:
    """A volume that is not mounted must not look like a configuration that nobody wrote."""
    world.file.parent.rename(world.folder / "elsewhere")
    world.file.parent.symlink_to(world.folder / "away")

    assert "a link that leads nowhere" in refused(world)


def test_a_file_in_the_place_of_a_folder_is_not_missing(world: World) -> None:
    """Nothing can be below it."""
    world.file.unlink()
    world.file.parent.rmdir()
    world.file.parent.write_text("")

    assert "this cannot be read" in refused(world)


def test_a_pipe_is_refused_and_not_waited_for(world: World) -> None:
    """Nobody may ever write to it."""
    world.file.unlink()
    os.mkfifo(world.file)
    fill(world.trail, Entry())

    assert world.clean().exit_code == 2


def test_a_link_to_a_file_is_followed(world: World) -> None:
    """Container platforms mount configurations that way."""
    world.file.rename(world.folder / "real.json")
    world.file.symlink_to(world.folder / "real.json")
    fill(world.trail, Entry())

    assert world.deleted() == {"acme": {"300": 1}}


def test_a_file_that_may_not_be_read_is_not_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may read everything, perhaps; so the system call itself refuses."""
    reading = Path.read_bytes

    def refusing(path: Path) -> bytes:
        if path == world.file:
            raise PermissionError(13, "Permission denied")
        return reading(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)

    with pytest.raises(PolicyError) as caught:
        read_configuration(world.folder)

    assert "Permission denied" in caught.value.complaints[0].message


def test_unknown_keys_warn(world: World) -> None:
    """And are no error; a comment is known."""
    mapping = {"comment": "x", "action": 400, "cleanupAfterDays": 1, "until": 3}
    world.configure({"audit": {"defaultCleanupAfterDays": 1, "actions": [mapping], "dryRun": True}, "Audit": {}})

    result = world.clean()

    assert result.exit_code == 0
    unknown = [line for line in result.stderr.splitlines() if "is unknown" in line]
    assert ["`Audit`" in unknown[0], "`audit.dryRun`" in unknown[1], "`audit.actions[0].until`" in unknown[2]] == [
        True
    ] * 3


def test_the_digest_is_of_the_bytes(world: World) -> None:
    """As they lie there; and the file is never changed."""
    world.configure(json.dumps(EXAMPLE, indent=3))
    before = world.file.stat().st_mtime_ns, world.file.read_bytes()

    digest = world.answer()["config_sha256"]

    assert digest == hashlib.sha256(before[1]).hexdigest()
    assert (world.file.stat().st_mtime_ns, world.file.read_bytes()) == before


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", '{"version": "1"}', '{"version": 1, "actions": {}}', '{"version": "1", "actions": {"x": "Y"}}',
        '{"version": "1", "actions": {"5": 1}}', '{"version": "1", "actions": {"5": "A", "5": "B"}}',
        '{"version": "1", "actions": {}, "more": 1}', "[]",
    ],
)  # fmt: skip
def test_a_catalogue_of_the_operator_that_is_broken_stops_everything(world: World, text: str) -> None:
    """Without it, mappings that are meant would be ignored, or the other way round."""
    (world.file.parent / "auditActionCatalogue.json").write_text(text)

    assert "auditActionCatalogue.json" in refused(world)
