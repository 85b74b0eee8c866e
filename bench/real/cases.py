"""The cases: which application writes what, how it reads it back, and what `lapse init` should make of it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browsers import write_chrome, write_firefox
from environments import environment, version

_APPS = Path(__file__).parent / "apps"
_SITE = """\
mxcp: 1
project: shop
profile: default
profiles:
  default:
    audit: {enabled: true, path: audit/logs-default.jsonl}
"""
_USER = """\
mxcp: 1
projects:
  shop:
    profiles:
      default: {}
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One application's data.

    Attributes:
        title: Heading of the report.
        origin: What wrote the data, with versions.
        address: What `lapse init` is pointed at, in the case's folder.
        dataset: The dataset it should propose first.
        columns: The time, type, actor and time format it should find; absent ones are not compared.
        keep: The period that is then written into the policy.
        make: Lets the application write into a folder.
        look: What the application itself reads from it.
        count: How many records that is.
        dump: Every record, as comparable text, read without the application.
    """

    title: str
    origin: str
    address: str
    dataset: str
    columns: Mapping[str, str]
    keep: str
    make: Callable[[Path], None]
    look: Callable[[Path], Any]
    count: Callable[[Any], int]
    dump: Callable[[Path], list[str]]


def django_case(cache: Path) -> Case:
    """An audit trail that django-auditlog keeps in SQLite."""
    python = environment(cache / "django", ["django==5.2.*", "django-auditlog==3.4.1", "time-machine==3.6.0"])

    def manage(folder: Path, script: str, *arguments: str) -> str:
        settings = {**os.environ, "SHOP_DATABASE": str(folder / "shop.db"), "PYTHONDONTWRITEBYTECODE": "1"}
        return _answer((python, script, *arguments), cwd=_APPS / "djangoshop", env=settings)

    return Case(
        title="django-auditlog in SQLite",
        origin=f"Django {version(python, 'django')}, django-auditlog {version(python, 'django-auditlog')}",
        address="shop.db",
        dataset="auditlog_logentry",
        columns={"time": "timestamp", "type": "action", "actor": "actor_id"},
        keep="180 days",
        make=lambda folder: _nothing(manage(folder, "work.py", "365")),
        look=lambda folder: json.loads(manage(folder, "look.py")),
        count=lambda seen: int(seen["entries"]),
        dump=lambda folder: _rows(folder / "shop.db", "auditlog_logentry"),
    )


def mxcp_case(cache: Path) -> Case:
    """Audit files of mxcp."""
    python = environment(cache / "mxcp", ["mxcp==0.12.0", "dbt-core<1.11"])

    def make(folder: Path) -> None:
        (folder / "mxcp-site.yml").write_text(_SITE, encoding="utf-8")
        (folder / "config.yml").write_text(_USER, encoding="utf-8")
        _answer([python, str(_APPS / "mxcp_writing.py"), "audit/logs-default.jsonl", "3000"], cwd=folder)

    def look(folder: Path) -> Any:
        settings = {**os.environ, "MXCP_CONFIG": str(folder / "config.yml"), "HOME": str(folder)}
        command: list[Path | str] = [python.with_name("mxcp"), "log", "--json", "--limit", "100000"]
        found = json.loads(_answer(command, cwd=folder, env=settings))["result"]
        return {"records": found["count"], "ids": sorted(record["record_id"] for record in found["records"])}

    def lines(folder: Path) -> list[str]:
        return sorted((folder / "audit" / "logs-default.jsonl").read_text(encoding="utf-8").splitlines())

    return Case(
        title="mxcp's audit file",
        origin=f"mxcp {version(python, 'mxcp')}",
        address="audit",
        dataset="logs-default",
        columns={"time": "timestamp", "type": "schema_name", "actor": "user_id"},
        keep="90 days",
        make=make,
        look=look,
        count=lambda seen: int(seen["records"]),
        dump=lines,
    )


def firefox_case() -> Case:
    """A history as Firefox keeps it."""
    return _history(
        "Firefox's history", "places.sqlite", "moz_historyvisits", ("visit_date", "unix microseconds"), write_firefox
    )


def chrome_case() -> Case:
    """A history as Chrome keeps it."""
    return _history("Chrome's history", "History", "visits", ("visit_time", "webkit microseconds"), write_chrome)


def _history(title: str, file: str, table: str, time: tuple[str, str], write: Callable[[Path], None]) -> Case:
    column, form = time
    query = f"SELECT count(*), min({column}), max({column}) FROM {table}"
    return Case(
        title=title,
        origin=f"a file in the schema of the browser, made here; times are {form}",
        address=file,
        dataset=table,
        columns={"time": column, "time_format": form},
        keep="90 days",
        make=lambda folder: write(folder / file),
        look=lambda folder: _query(folder / file, query)[0],
        count=lambda seen: int(seen[0]),
        dump=lambda folder: _rows(folder / file, table),
    )


def _rows(path: Path, table: str) -> list[str]:
    return sorted(map(repr, _query(path, f"SELECT * FROM {table}")))


def _query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def _answer(command: Sequence[Path | str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def _nothing(_: str) -> None:
    return
