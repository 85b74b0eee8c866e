"""Files that rows name may lie anywhere if they end in a way of their own: nothing that Lapse writes ends so."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapse.errors import PolicyError
from lapse.model.files import parse_ending
from worlds import make


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_no_row_can_name_what_a_run_leaves_behind(tmp_path: Path, kind: str) -> None:
    """Stores, segments, ledger, keys, index and notes: whatever has an ending has one that is refused."""
    make(tmp_path / "world", kind, 60).run(20)

    endings = {file.suffix for file in tmp_path.rglob("*") if file.is_file()} - {""}

    assert {".pub", ".pem", ".jsonl", ".json", ".lock"} <= endings
    for ending in (*endings, *map(str.upper, endings)):
        with pytest.raises(PolicyError, match="may be Lapse's own"):
            parse_ending(ending)
