"""What MXCP itself answers: the cases, how to ask it, and its recorded answers.

    python tests/mxcp/originals.py

asks MXCP again, in environments that it makes once (about two minutes each), and writes ``recorded/`` anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mxcp_world import OLD, SITE, YOUNG, Site, build, record, schema

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "real"))
from environments import environment

RECORDED = Path(__file__).parent / "recorded"
CACHE = Path.home() / ".cache" / "lapse-real-data"
SINGLE, SEGMENTED = "0.12.0", "0.12.3"
VERSIONS = {SINGLE: "mxcp", SEGMENTED: "mxcp-0.12.3"}
"""The versions that are asked, with the folder of the environment of each."""


@dataclass(frozen=True)
class Case:
    """A situation, and a command line in it.

    Attributes:
        name: The name of the recording.
        arguments: What is called.
        prepare: Makes the situation.
    """

    name: str
    arguments: tuple[str, ...]
    prepare: Callable[[Site], object]


@dataclass(frozen=True)
class Answer:
    """What a call answered.

    Attributes:
        stdout: What it printed.
        code: Its exit code.
        log: The records that are left in the log. None if there is no log.
    """

    stdout: str
    code: int
    log: list[str] | None


def _some(site: Site) -> None:
    site.write(full_record(OLD, "1"), full_record(OLD + 1, "2"), full_record(YOUNG, "3"))


def _several(site: Site) -> None:
    site.register(schema(), schema("debug", 1, 30), schema("forever", 1, None), schema(version=1, days=365))
    site.write(
        full_record(400, "1", name="forever", version=1),
        full_record(200, "2", name="debug", version=1),
        full_record(150, "3"),
        full_record(140, "4"),
        full_record(130, "5", version=1),
        full_record(100, "6", name="other", version=1),
        full_record(60, "7"),
        full_record(40, "8", name="debug", version=1),
        full_record(1, "9"),
    )


def _unregistered(site: Site) -> None:
    _some(site)
    site.registry.unlink()


def full_record(age: float, record_id: str, **more: object) -> str:
    """A record with everything that the original asks for."""
    rest = {
        "record_id": record_id, "operation_name": "get", "operation_status": "success", "duration_ms": 5,
        "caller_type": "http", "user_id": "u", "session_id": None, "trace_id": None, "output_data": [1],
        "error": None, "policies_evaluated": [], "policy_decision": None, "policy_reason": None,
        "business_context": {}, "execution_events": [], "prev_hash": None, "record_hash": None, "signature": None,
    }  # fmt: skip
    return record(age, **{**rest, **more})  # type: ignore[arg-type]


CASES = (
    Case("removed", (), _some),
    Case("removed-json", ("--json",), _some),
    Case("several", (), _several),
    Case("several-json", ("--json",), _several),
    Case("dry", ("--dry-run",), _some),
    Case("dry-json", ("--dry-run", "--json"), _some),
    Case("nothing", (), lambda site: site.write(full_record(YOUNG, "1"))),
    Case("nothing-json", ("--json",), lambda site: site.write(full_record(YOUNG, "1"))),
    Case("dry-nothing", ("--dry-run",), lambda site: site.write(full_record(YOUNG, "1"))),
    Case("dry-nothing-json", ("--dry-run", "--json"), lambda site: site.write(full_record(YOUNG, "1"))),
    Case("no-log", (), lambda _: None),
    Case("no-registry", (), _unregistered),
    Case("everything", (), lambda site: site.write(full_record(OLD, "1"))),
    Case("off", (), lambda site: site.configure(SITE.replace("true", "false"))),
    Case("off-json", ("--json",), lambda site: site.configure(SITE.replace("true", "false"))),
    Case("unknown-profile", ("--profile", "nope"), _some),
    Case("unknown-profile-json", ("--profile", "nope", "--json"), _some),
    Case("unknown-option", ("--nope",), _some),
    Case("stray-word", ("stray",), _some),
)


def program(version: str, name: str) -> Path:
    """A program of the environment of a version, which is made and filled where it is missing."""
    return environment(CACHE / VERSIONS[version], [f"mxcp=={version}", "dbt-core<1.11"]).with_name(name)


def ask(version: str, site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call MXCP itself in a site."""
    home = site.folder.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [program(version, "mxcp"), *arguments], cwd=site.folder, capture_output=True, text=True, check=False,
        timeout=300, env={"PATH": os.environ["PATH"], "HOME": str(home), "MXCP_TELEMETRY_ENABLED": "false"},
    )  # fmt: skip


def answer(case: Case, folder: Path, call: Callable[[Site], tuple[str, int]]) -> Answer:
    """What *call* answers in a new site in *folder*, and the ids of the records that are left."""
    site = build(folder)
    case.prepare(site)
    stdout, code = call(site)
    left = [json.loads(line)["record_id"] for line in site.lines()] if site.log.exists() else None
    return Answer(stdout, code, left)


def answer_of(version: str, case: Case, folder: Path) -> Answer:
    """What MXCP itself answers."""

    def call(site: Site) -> tuple[str, int]:
        done = ask(version, site, "log-cleanup", *case.arguments)
        return done.stdout, done.returncode

    return answer(case, folder, call)


def recorded() -> dict[str, Answer]:
    """The recorded answers, by case."""
    found = json.loads((RECORDED / f"{SINGLE}.json").read_text(encoding="utf-8"))
    return {name: Answer(**each) for name, each in found.items()}


def main() -> None:
    """Ask again and record."""
    RECORDED.mkdir(exist_ok=True)
    found = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            found[case.name] = vars(answer_of(SINGLE, case, Path(folder)))
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    (RECORDED / f"{SINGLE}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
