"""Looking at log files to propose a policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lapse.demo import build_world
from lapse.engine.inspecting import propose, write_proposal
from lapse.engine.planning import plan
from lapse.engine.session import open_session
from lapse.errors import StoreMissingError, UsageError
from lapse.policyfile import load


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep away from what the machine's own Lapse remembers."""
    monkeypatch.setenv("LAPSE_STATE_DIR", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with audit files in MXCP's shape, plain and compressed, and a registry of schemas beside them."""
    folder = (
        build_world(tmp_path_factory.mktemp("init") / "world", calls=20, audit_records=600).folder / "data" / "audit"
    )
    registry = {
        "schema_name": "mxcp.endpoints",
        "version": 1,
        "retention_days": 90,
        "created_at": "2026-01-01T00:00:00Z",
    }
    (folder / "logs-default_schemas.jsonl").write_text(json.dumps(registry) + "\n")
    return folder


def test_lines_that_end_in_crlf_are_named_with_the_word_that_lets_them_be_judged(tmp_path: Path) -> None:
    """In the first lines or the last ones; of a log without such lines nothing is said."""
    line = b'{"time": "2026-01-01T00:00:00Z", "n": 1}'
    found = {}
    for name, ends in (("plain", [b"\n"] * 900), ("last", [*[b"\n"] * 899, b"\r\n"]), ("all", [b"\r\n"] * 900)):
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join(line + end for end in [*ends, ends[-1]]))
        (proposed,) = propose(str(tmp_path / f"{name}.jsonl"), folder=tmp_path).datasets
        found[name] = [note for note in proposed.sketch.notes if "allow: [crlf]" in note]

    said = ["lines end in CR LF: they are kept in doubt; say `allow: [crlf]` to have them judged"]
    assert found == {"plain": [], "last": said, "all": said}


def test_a_registry_beside_the_logs_is_no_log(audit: Path) -> None:
    """It has a time and a type, but removing from it would break the application; it is mentioned only."""
    proposal = propose(str(audit), folder=audit.parent)

    assert not [each.name for each in proposal.datasets if "schemas" in each.name]
    assert [Path(other.store).name for other in proposal.others] == ["logs-default_schemas.jsonl"]


@pytest.mark.parametrize("what", ["logs-default.jsonl", "", "logs-default*.jsonl*"])
def test_audit_files_give_time_type_and_actor(audit: Path, what: str) -> None:
    """A file, a folder and a glob are understood alike."""
    proposal = propose(str(audit / what), folder=audit.parent)

    sketch = proposal.datasets[0].sketch
    assert (sketch.time, sketch.type, sketch.actor) == ("timestamp", "schema_name", "user_id")
    assert sketch.types[0][0] == "mxcp.endpoints"


def test_the_proposed_policy_of_log_files_loads(audit: Path) -> None:
    """Written beside the folder, it names the files relative to itself, and the archive lies outside of them."""
    target = audit.parent / "lapse.yaml"
    write_proposal(target, propose(str(audit), folder=audit.parent))

    policy = load(target)

    (dataset, *_) = policy.datasets.values()
    assert dataset.shown.startswith("./audit/")
    assert not Path(policy.archives["cold"].to).is_relative_to(audit)


def test_the_proposed_policy_expects_the_store_it_was_made_from(audit: Path, tmp_path: Path) -> None:
    """A plan of the file as it was written passes the guard on fingerprints, and so does one with another column."""
    target = tmp_path / "lapse.yaml"
    write_proposal(target, propose(str(audit), folder=tmp_path))
    for edited in ("keep: forever", "keep: [{caller_type: http, for: 6 years}]"):
        target.write_text(target.read_text().replace("keep: forever", edited, 1))

        planned = plan(open_session(str(target)))

        assert sum(dataset.records() for dataset in planned.datasets) == 600


def test_a_policy_among_the_logs_puts_the_archive_outside_of_them(audit: Path) -> None:
    """Where the policy lies in the logs' own folder, the archive is proposed where no glob can meet it."""
    write_proposal(audit / "lapse.yaml", propose(str(audit), folder=audit))

    policy = load(audit / "lapse.yaml")

    assert policy.datasets
    (audit / "lapse.yaml").unlink()


def test_an_existing_policy_is_never_overwritten(audit: Path, tmp_path: Path) -> None:
    """The file that is there stays byte for byte, and nothing else is left behind."""
    target = tmp_path / "lapse.yaml"
    target.write_text("mine")

    with pytest.raises(UsageError, match="is there already"):
        write_proposal(target, propose(str(audit)))

    assert target.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["lapse.yaml"]
    write_proposal(target, propose(str(audit)), force=True)
    assert load(target).datasets


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """A path that leads nowhere is a usage error with the forms that an address may have."""
    with pytest.raises(StoreMissingError, match="there is no") as caught:
        propose(str(tmp_path / "nope.db"))

    assert caught.value.hint is not None


def test_files_without_a_time_are_no_logs(tmp_path: Path) -> None:
    """JSON lines in which nothing is a time cannot be kept for a time."""
    (tmp_path / "things.jsonl").write_text('{"name": "a"}\n{"name": "b"}\n')

    with pytest.raises(UsageError, match="holds a time"):
        propose(str(tmp_path / "things.jsonl"))
