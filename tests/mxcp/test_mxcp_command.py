"""The command line of the drop-in: what it says, to the letter, and its exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from mxcp_world import OLD, SITE, YOUNG, Site, record, schema
from mxcp_world import site_fixture as site_fixture

from lapse.cli.links import called_as

REMOVED = """\
Applying retention policies...

Deleted records by schema:
  mxcp.endpoints:v2: 2 records

Total records deleted: 2
"""
NOTHING = """\
Applying retention policies...
No records were deleted.
"""
DRY = """\
DRY RUN: Analyzing what would be deleted...

  mxcp.endpoints (retention: 90 days): 2 records

Total records that would be deleted: 2

Run without --dry-run to actually delete these records.
"""
DRY_NOTHING = """\
DRY RUN: Analyzing what would be deleted...

No records would be deleted.
"""
COMMANDS = (
    (), ("--json",), ("--json=flat",), ("--dry-run",), ("--dry-run", "--json"), ("--dry-run", "--json=flat"),
    ("--profile", "nope"), ("--profile", "nope", "--json"), ("--bad",), ("--profile",), ("stray",), ("--json=x",),
)  # fmt: skip


def answer(status: str, message: str, counts: dict[str, int]) -> dict[str, object]:
    """What the original prints for programs, without what is around it."""
    return {"status": status, "message": message, "deleted_per_schema": counts}


@pytest.fixture(name="full")
def full_fixture(site: Site) -> Site:
    """A site with two records that go and one that stays."""
    site.write(record(OLD), record(OLD + 1), record(YOUNG))
    return site


def test_people_read_what_was_removed(full: Site) -> None:
    """Line for line as the original; the second time there is nothing to remove."""
    first, second = full.clean(), full.clean()

    assert (first.stdout, first.stderr, first.exit_code) == (REMOVED, "", 0)
    assert (second.stdout, second.stderr, second.exit_code) == (NOTHING, "", 0)


def test_people_read_what_would_be_removed(full: Site) -> None:
    """A dry run says so twice, and after the removal that nothing would go."""
    first, second = full.clean("--dry-run"), full.clean("--dry-run")
    full.clean()
    third = full.clean("--dry-run")

    assert first.stdout == second.stdout == DRY
    assert (third.stdout, third.exit_code) == (DRY_NOTHING, 0)


def test_programs_read_the_same(full: Site) -> None:
    """One object, indented by two, with the status in words; and nothing before it."""
    dry, run, none = full.clean("--dry-run", "--json"), full.clean("--json"), full.clean("--json")

    would = answer("dry_run", "Would delete 2 records", {"mxcp.endpoints:v2": 2})
    assert dry.stdout == json.dumps({"status": "ok", "result": would}, indent=2) + "\n"
    went = answer("success", "Deleted 2 records", {"mxcp.endpoints:v2": 2})
    assert json.loads(run.stdout) == {"status": "ok", "result": went}
    assert json.loads(none.stdout) == {"status": "ok", "result": answer("success", "Deleted 0 records", {})}
    assert json.loads(full.clean("--dry-run", "--json").stdout)["result"]["message"] == "Would delete 0 records"


def test_the_documented_object_can_be_had(full: Site) -> None:
    """`--json=flat` is the inner object, with names as the documentation writes them."""
    assert json.loads(full.clean("--json=flat").stdout) == answer(
        "success", "Deleted 2 records", {"mxcp.endpoints:2": 2}
    )


def test_each_version_of_each_schema_is_told(site: Site) -> None:
    """In the order in which the original meets their records: the one with the oldest comes first."""
    site.register(schema(), schema("debug", 1, 30), schema("forever", 1, None))
    site.write(record(200, name="debug", version=1), record(150), record(140), record(400, name="forever", version=1))

    assert site.clean("--dry-run").stdout.splitlines()[2:4] == [
        "  debug (retention: 30 days): 1 records",
        "  mxcp.endpoints (retention: 90 days): 2 records",
    ]
    assert list(site.deleted().items()) == [("debug:v1", 1), ("mxcp.endpoints:v2", 2)]


@pytest.mark.parametrize("command", ["log-cleanup", "log"])
def test_without_a_site_file_nothing_is_done(
    site: Site, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, on stderr for people, as an object for programs."""
    monkeypatch.chdir(tmp_path)
    more = ["--export-duckdb", "x.duckdb"] if command == "log" else []
    message = "No mxcp-site.yml found in current directory or parents"

    told = site.call(command, *more)
    assert (told.exit_code, told.stdout) == (1, "")
    assert f"Error: {message}" in told.stderr
    assert json.loads(site.call(command, *more, "--json").stdout) == {"status": "error", "error": message}


def test_an_unknown_profile_is_an_error(full: Site) -> None:
    """Exit 1, with the message of the original, and nothing before it."""
    told, programs = full.clean("--profile", "nope"), full.clean("--profile", "nope", "--json")

    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith("Error: Profile 'nope' not found in configuration\n")
    assert programs.exit_code == 1
    assert json.loads(programs.stdout) == {"status": "error", "error": "Profile 'nope' not found in configuration"}


def test_an_audit_trail_that_is_off_is_skipped(full: Site) -> None:
    """Exit 0, and the records stay."""
    full.configure(SITE.replace("true", "false"))
    message = "Audit logging is not enabled for profile 'default'"

    assert full.clean().stdout == f"{message}\n"
    assert json.loads(full.clean("--json").stdout)["result"] == answer("skipped", message, {})
    assert json.loads(full.clean("--json=flat").stdout) == answer("skipped", message, {})
    assert len(full.lines()) == 3


@pytest.mark.parametrize("arguments", [["--bad"], ["--profile"], ["stray"], ["--json=x"], ["--dry"], ["-d", "5"]])
def test_a_command_that_means_nothing_is_answered_with_the_usage(full: Site, arguments: list[str]) -> None:
    """Exit 2, the usage on stderr as the original writes it, nothing on stdout, nothing touched."""
    result = full.clean(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(
        "Usage: mxcp log-cleanup [OPTIONS]\nTry 'mxcp log-cleanup --help' for help.\n\nError: "
    )
    assert len(full.lines()) == 3


@pytest.mark.parametrize("arguments", [["serve"], ["lo"], ["log"], ["log", "--tool", "x"], ["log", "--since", "5y"]])
def test_other_commands_of_the_original_are_not_its_business(full: Site, arguments: list[str]) -> None:
    """Exit 2 with the usage: for these there is the original itself."""
    more = ["--export-duckdb", "x.duckdb"] if "--since" in arguments else []
    result = full.call(*arguments, *more)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: mxcp ")


def test_it_works_from_a_folder_of_the_site(full: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The site file is looked for upwards, and its paths begin where it lies."""
    (full.folder / "tools" / "deep").mkdir(parents=True)
    monkeypatch.chdir(full.folder / "tools" / "deep")

    assert full.clean().stdout == REMOVED
    assert not (full.folder / "tools" / "deep" / "audit").exists()


def test_where_there_is_no_log_nothing_is_made(site: Site) -> None:
    """Exit 0 and no file, neither beside the log nor in the state folder; also without its folder."""
    before = site.tree()
    assert (site.clean().stdout, site.clean("--dry-run").stdout) == (NOTHING, DRY_NOTHING)
    assert site.tree() == before

    site.registry.unlink()
    site.log.parent.rmdir()
    assert (site.clean().stdout, site.clean().exit_code) == (NOTHING, 0)
    assert not site.log.parent.exists()
    assert not site.state.exists()


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_short_way_answers_as_the_usual_one(site: Site, arguments: tuple[str, ...]) -> None:
    """What is spelled plainly does not go through the parser of options; nobody can tell."""
    usual = (sys.executable, "-c", "from lapse.cli.main import main; main()", "as", "mxcp")
    answers = []
    for program in ((sys.executable, "-m", "lapse", "as", "mxcp"), usual):
        site.write(record(OLD), record(OLD + 1), record(YOUNG))
        done = site.process("log-cleanup", *arguments, program=program)
        answers.append((done.returncode, done.stdout, done.stderr))

    assert answers[0] == answers[1]


def test_a_link_named_mxcp_calls_it(full: Site, tmp_path: Path) -> None:
    """The name by which the program is called stands for the drop-in."""
    link = tmp_path / "bin" / "mxcp"
    link.parent.mkdir()
    link.symlink_to(Path(sys.executable).with_name("lapse"))

    assert called_as([str(link), "log-cleanup"]) == ["as", "mxcp", "log-cleanup"]
    assert full.process("log-cleanup", program=(str(link),)).stdout == REMOVED


def test_the_short_way_imports_little(full: Site) -> None:
    """Neither the parser of options, nor what reads policies, nor Arrow: it begins within 0.3 s."""
    code = (
        "import sys\nfrom lapse.cli.quick import quick\n"
        "assert quick(['as', 'mxcp', 'log-cleanup']) == 0\n"
        "print(sorted({'typer', 'pydantic', 'rich', 'pyarrow', 'duckdb', 'numpy', 'asyncio'} & {*sys.modules}))"
    )
    done = full.process(program=(sys.executable, "-c", code))

    assert done.stdout == f"{REMOVED}[]\n", done.stderr


def test_debug_shows_where_an_error_came_from(full: Site) -> None:
    """A traceback on stderr, beside the same answer."""
    result = full.clean("--profile", "nope", "--debug")

    assert "Traceback" in result.stderr
    assert "Error: Profile 'nope' not found in configuration" in result.stderr


def test_what_is_doubtful_is_told_on_stderr(site: Site) -> None:
    """Kept and counted; stdout stays as it is."""
    site.write(record(OLD), record(OLD), '{"torn', "[]")
    result = site.clean()

    assert result.stdout == REMOVED
    assert result.stderr == "Warning: 2 lines are kept: no readable time\n"
    assert site.lines() == ['{"torn', "[]"]


def test_lapse_log_variables_take_the_usual_way(full: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way knows no log lines, and leaves them to the usual one."""
    from lapse.cli.quick import quick

    monkeypatch.setenv("LAPSE_LOG_FORMAT", "json")

    assert quick(["as", "mxcp", "log-cleanup"]) is None
    assert len(full.lines()) == 3
