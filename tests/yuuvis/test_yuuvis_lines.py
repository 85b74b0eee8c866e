"""Lines of the system's description that the other tests leave out: catalogue, borders, one clock, roles."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner
from yuuvis_world import NOW, Entry, PostgresTrail, SqliteTrail, World, days, fill, left, make
from yuuvis_world import either_fixture as either_fixture
from yuuvis_world import world_fixture as world_fixture

from lapse.cli.main import app
from lapse.model.ledger_entry import EntryKind

CATALOGUE = {
    100: "OBJECT_CREATED", 101: "OBJECT_CREATED_WITH_CONTENT", 110: "OBJECT_TAG_CREATED", 200: "OBJECT_DELETED",
    201: "OBJECT_CONTENT_DELETED", 202: "OBJECT_FLAGGED_FOR_DELETE", 210: "OBJECT_TAG_DELETED",
    220: "VERSION_DELETED", 300: "OBJECT_METADATA_CHANGED", 301: "OBJECT_DOCUMENT_CHANGED", 302: "",
    303: "OBJECT_UPDATE_CONTENT_MOVED", 310: "OBJECT_TAG_UPDATED", 325: "OBJECT_RESTORED_FROM_VERSION", 340: "",
    400: "DOCUMENT_ACCESSED", 401: "METADATA_ACCESSED", 402: "RENDITION_TEXT_ACCESSED",
    403: "RENDITION_PDF_ACCESSED", 404: "", 10000: "",
}  # fmt: skip
"""Codes and names as the system's documentation has them; it names some of them in words only."""


def test_every_code_of_the_catalogue_can_be_mapped_and_is_named(world: World) -> None:
    """A mapping of each counts, and the lines for people name it; the codes between them are unknown."""
    actions = [{"action": action, "cleanupAfterDays": 1} for action in CATALOGUE]
    world.configure({"audit": {"actions": [*actions, {"action": 405, "cleanupAfterDays": 1}]}})
    fill(world.trail, *(Entry(action=action) for action in (*CATALOGUE, 405, 102)))

    result = world.clean()

    assert left(world.trail) == [len(CATALOGUE) + 1, len(CATALOGUE) + 2]
    assert "action 405 is not in the catalogue" in result.stderr
    for action, name in CATALOGUE.items():
        assert re.search(rf"\b{action} {name}.*?: 1\b", result.stdout), action


MOMENTS = [
    "2024-03-01T00:00:00+00:00",  # a leap day has just passed
    "2025-10-26T00:30:00+00:00",  # an hour that Berlin has twice
    "2025-11-02T06:30:00+00:00",  # an hour that New York has twice
    "2025-12-31T10:00:00+00:00",  # the year begins in Kiritimati
]
ZONES = ["Pacific/Kiritimati", "America/New_York", "Europe/Berlin", "UTC"]


@pytest.mark.parametrize(("moment", "zone"), list(zip(MOMENTS, ZONES, strict=True)))
def test_an_age_is_exact_wherever_and_whenever_it_is_asked(
    either: World, monkeypatch: pytest.MonkeyPatch, moment: str, zone: str
) -> None:
    """N times 86,400 s stay, one step more goes: zones of machine and server set, at awkward moments."""
    now = datetime.fromisoformat(moment)
    either.configure({"audit": {"defaultCleanupAfterDays": 1, "actions": [{"action": 400, "cleanupAfterDays": 365}]}})
    step = either.trail.step
    if isinstance(either.trail, PostgresTrail):
        name = either.trail.url.rpartition("/")[2].partition("?")[0]
        either.trail.query(f"ALTER DATABASE {name} SET timezone = '{zone}'")
    for action, number in ((300, 1), (400, 365)):
        for shift in (-step, timedelta(0), step):
            fill(either.trail, Entry(age=NOW - now + days(number) + shift, action=action))

    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        result = either.clean(env={"LAPSE_NOW": moment})
    time.tzset()

    assert result.exit_code == 0, result.output
    assert left(either.trail) == [1, 2, 4, 5]


def test_an_age_of_zero_may_be_that_of_one_action_alone(either: World) -> None:
    """All of its past goes; what has no mapping has no default, and stays."""
    either.configure({"audit": {"actions": [{"action": 400, "cleanupAfterDays": 0}]}})
    step = either.trail.step
    fill(either.trail, Entry(step, 400), Entry(timedelta(0), 400), Entry(-step, 400), Entry(days(900), 300))

    assert either.deleted() == {"acme": {"400": 1}}
    assert left(either.trail) == [2, 3, 4]


def test_a_date_that_is_past_by_now_is_no_doubt_in_a_replay(either: World) -> None:
    """What is later than `LAPSE_NOW` stays; only what is later than the clock itself is doubtful, and counted."""
    either.configure({"audit": {"defaultCleanupAfterDays": 0}})
    later = NOW + timedelta(days=1)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    fill(either.trail, Entry(NOW - later), Entry(NOW - tomorrow), Entry(days(1)))

    assert either.answer()["kept_doubtful"] == 1
    assert left(either.trail) == [1, 2]


def test_the_clock_is_read_once_for_all_databases(world: World, tmp_path: Path) -> None:
    """Without `LAPSE_NOW`, too: every disposal and the answer name one moment."""
    second = SqliteTrail(tmp_path / "second.db")
    make(second)
    for trail in (world.trail, second):
        fill(trail, Entry(), Entry(tenant="beta"))

    stores = ["--store", world.trail.url, "--store", second.url]
    result = CliRunner().invoke(
        app, ["as", "yuuvis", "audit", "cleanup", *stores, "--json"], env={"LAPSE_STATE_DIR": str(world.state)}
    )

    assert result.exit_code == 0, result.output
    entries = [entry for entry in world.ledger.entries() if entry.kind is EntryKind.DISPOSAL]
    assert len(entries) >= 2
    assert len({str(entry.body["now"]) for entry in entries}) == 1


_NATIVE = """\
version: 1
datasets:
  trail:
    store: {store}
    table: auditentry
    time: creationdate
    type: action
    subtype: subaction
    tenant: tenant
    actor: createdby
    keep:
      - {{type: 10000, subtype: [7, 8], actor: {{not: ["glob:svc-*"]}}, for: 30 days, archive: none}}
      - {{type: {{from: 400, to: 404}}, for: 1 day, archive: none}}
      - {{for: forever}}
holds:
  - {{matter: M-1, match: {{dataset: trail, actor: held}}, reason: litigation}}
"""


def test_a_native_policy_does_what_the_original_cannot(either: World) -> None:
    """By subaction, by actor, by a range of actions, with a hold: all custom entries are action 10000."""
    rows = [
        (10000, 7, "root"), (10000, 9, "root"), (10000, None, "root"), (10000, 8, "svc-backup"), (10000, 8, "held"),
        (404, None, "root"), (405, 7, "root"), (10000, 8, "Svc-backup"),
    ]  # fmt: skip
    for number, (action, subaction, actor) in enumerate(rows, 1):
        fill(either.trail, Entry(action=action))
        changed = "UPDATE auditentry SET subaction = ?, createdby = ? WHERE objectid = ?"
        either.trail.query(changed, (subaction, actor, number))
    policy = either.folder / "lapse.yaml"
    policy.write_text(_NATIVE.format(store=either.trail.url), encoding="utf-8")
    env = {"LAPSE_STATE_DIR": str(either.state), "LAPSE_NOW": NOW.isoformat(), "LAPSE_POLICY": str(policy)}

    result = CliRunner().invoke(app, ["run"], env=env)

    assert result.exit_code == 0, result.output
    assert left(either.trail) == [2, 3, 4, 5, 7]
