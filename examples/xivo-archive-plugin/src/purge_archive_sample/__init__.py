"""A sample archive plug-in: notes what a purge is about to remove, one JSON line a purge."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def archive(config: Mapping[str, Any]) -> None:
    """Note the purge that *config* is about, before it begins.

    Its own part of the configuration is ``sample: {folder: …}``. Without a folder to write into the program ends
    with 7, and nothing is removed.
    """
    folder = config.get("sample", {}).get("folder")
    if folder is None or not Path(folder).is_dir():
        print(f"sample.folder is no folder: {folder}", file=sys.stderr)
        sys.exit(7)
    line = json.dumps(_facts(config), sort_keys=True)
    with Path(folder, "purges.jsonl").open("a", encoding="utf-8") as notes:
        notes.write(f"{line}\n")
    print(f"noted in {notes.name}")


def _facts(config: Mapping[str, Any]) -> dict[str, Any]:
    enabled = config["enabled_plugins"]["purgers"]
    days = config["days_to_keep"]
    own = config.get("days_to_keep_per_plugin", {})
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "days": {name: own.get(name, days) for name, is_on in enabled.items() if is_on},
    }
