"""What the original says, to the letter: lines for people, objects for programs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING

from lapse.canonical import Json
from lapse.dialects.mxcp.cleanup import Cleanup, Removed

if TYPE_CHECKING:
    from lapse.dialects.mxcp.exporting import Export
    from lapse.dialects.policytext import PolicyText

BEGINNING = {False: "Applying retention policies...", True: "DRY RUN: Analyzing what would be deleted..."}
"""What is said before anything is done, by whether it is a dry run."""


class Form(Enum):
    """The form of an answer."""

    TEXT = "text"
    JSON = "json"
    FLAT = "flat"


def cleanup_lines(done: Cleanup) -> Iterator[str]:
    """What a cleanup did, for people, after the beginning."""
    if not done.enabled:
        yield _off(done)
    elif done.dry:
        yield from _dry_lines(done)
    elif not done.removed:
        yield "No records were deleted."
    else:
        yield from ("", "Deleted records by schema:")
        yield from (f"  {_id(each)}: {each.records} records" for each in done.removed)
        yield from ("", f"Total records deleted: {done.records}")


def _dry_lines(done: Cleanup) -> Iterator[str]:
    yield ""
    for each in done.removed:
        yield f"  {each.schema.name} (retention: {each.schema.days} days): {each.records} records"
    if not done.removed:
        yield "No records would be deleted."
        return
    yield from ("", f"Total records that would be deleted: {done.records}")
    yield from ("", "Run without --dry-run to actually delete these records.")


def _off(done: Cleanup) -> str:
    return f"Audit logging is not enabled for profile '{done.profile}'"


def cleanup_object(done: Cleanup, form: Form) -> Json:
    """What a cleanup did, for programs: as the original prints it, or flat, as its documentation shows it."""
    if not done.enabled:
        status, message = "skipped", _off(done)
    elif done.dry:
        status, message = "dry_run", f"Would delete {done.records} records"
    else:
        status, message = "success", f"Deleted {done.records} records"
    counts: dict[str, Json] = {_id(each, form): each.records for each in done.removed}
    if done.trouble is None:
        return _answer({"status": status, "message": message, "deleted_per_schema": counts}, form)
    return {**failure_object(done.trouble.message), "message": message, "deleted_per_schema": counts}


def _id(each: Removed, form: Form = Form.JSON) -> str:
    return f"{each.schema.name}:{'' if form is Form.FLAT else 'v'}{each.schema.version}"


def export_line(done: Export) -> str:
    """What an export did, for people."""
    return f"Exported {done.records} records to {done.path}"


def export_object(done: Export, form: Form) -> Json:
    """What an export did, for programs."""
    return _answer({"exported": done.records, "format": "duckdb", "path": done.path}, form)


def policy_object(made: PolicyText, form: Form) -> Json:
    """A policy, for programs."""
    return _answer({"policy": made.text}, form)


def trust_line(fingerprint: str) -> str:
    """That a log is trusted, for people."""
    return f"The log is trusted as {fingerprint}, and the ledger says so."


def trust_object(fingerprint: str, form: Form) -> Json:
    """That a log is trusted, for programs."""
    return _answer({"fingerprint": fingerprint}, form)


def failure_object(message: str) -> dict[str, Json]:
    """Why there is no answer, for programs."""
    return {"status": "error", "error": message}


def _answer(result: dict[str, Json], form: Form) -> Json:
    return result if form is Form.FLAT else {"status": "ok", "result": result}
