"""docs/format.md is enough: a reader written from that page alone agrees with Lapse, and so do its shell commands."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from archive_world import ArchiveWorld, lines
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lapse.targets.file import FileTarget

PAGE = Path(__file__).parents[2] / "docs" / "format.md"


@pytest.fixture
def world(tmp_path: Path) -> ArchiveWorld:
    """An archive without any segment."""
    return ArchiveWorld(FileTarget(str(tmp_path / "archive")))


def canonical(value: Any) -> bytes:
    """Canonical JSON, for whole numbers and ASCII keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def merkle_root(leaves: list[bytes]) -> bytes:
    """ "Merkle root", as RFC 9162 defines it."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while left * 2 < len(leaves):
        left *= 2
    return hashlib.sha256(b"\x01" + merkle_root(leaves[:left]) + merkle_root(leaves[left:])).digest()


def cell(scalar: Any) -> Any:
    """A cell as "Records" says it."""
    if not scalar.is_valid:
        return None
    if pa.types.is_decimal(scalar.type):
        return str(scalar.as_py())
    return scalar.value if pa.types.is_temporal(scalar.type) else scalar.as_py()


def fixed_and_variable(scalar: Any) -> tuple[bytes, bytes]:
    """A cell as "Content digest" says it."""
    kind, value = scalar.type, cell(scalar)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        data = b"" if value is None else value.encode() if isinstance(value, str) else value
        return struct.pack("<Q", len(data)), data
    width = 1 if pa.types.is_boolean(kind) else kind.bit_width // 8
    if value is None:
        return bytes(width), b""
    if isinstance(value, float):
        return struct.pack("<d", value), b""
    number = int(Decimal(value).scaleb(kind.scale)) if isinstance(value, str) else int(value)
    return number.to_bytes(width, "little", signed=number < 0), b""


def content_digest(table: Any) -> str:
    """ "Content digest" of rows."""
    whole = hashlib.sha256(canonical([[field.name, str(field.type)] for field in table.schema]))
    for column in table.columns:
        halves = [fixed_and_variable(scalar) for scalar in column]
        for data in (
            bytes(scalar.is_valid for scalar in column),
            b"".join(fixed for fixed, _ in halves),
            b"".join(variable for _, variable in halves),
        ):
            whole.update(hashlib.sha256(data).digest())
    return whole.hexdigest()


def leaf(manifest: dict[str, Any], record: bytes) -> bytes:
    """The Merkle leaf of a record."""
    return hashlib.sha256(b"\x00" + bytes.fromhex(manifest["salt"]) + record).digest()


def only_segment(world: ArchiveWorld) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The one segment of an archive with its manifest and its entry, found as "Paths" says."""
    (manifest_file,) = world.root.glob("*/*/*/*/*/*.manifest.json")
    segment = Path(str(manifest_file).removesuffix(".manifest.json"))
    return segment, json.loads(manifest_file.read_bytes()), json.loads(Path(f"{segment}.entry.json").read_bytes())


def test_rows_can_be_checked_from_the_page_alone(world: ArchiveWorld) -> None:
    """File digest, content digest and Merkle root of every kind of column, by pyarrow, hashlib and MessagePack."""
    moments = [1_700_000_000_000_000, None, -1]
    world.add(
        pa.record_batch(
            [
                pa.array([1, -300, None]),
                pa.array([0.5, None, float("-inf")]),
                pa.array(["é", "", None]),
                pa.array([b"\xff", None, b""]),
                pa.array([True, False, None]),
                pa.array(moments, pa.int64()).cast(pa.timestamp("us", "UTC")),
                pa.array([Decimal("-1.50"), None, Decimal("0.00")], pa.decimal128(38, 2)),
                pa.array([None, msgspec.msgpack.encode({"c0": "odd"}), None], pa.binary()),
            ],
            [*(f"c{number}" for number in range(7)), "_lapse_odd"],
        ),
        odd_column="_lapse_odd",
    )
    segment, manifest, _ = only_segment(world)
    table = pq.read_table(segment)

    records = [msgspec.msgpack.encode([cell(value) for value in row]) for row in zip(*table.columns, strict=True)]
    assert hashlib.sha256(segment.read_bytes()).hexdigest() == manifest["digest"]
    assert (segment.stat().st_size, len(records)) == (manifest["size"], manifest["records"])
    assert content_digest(table) == manifest["content"]
    assert merkle_root([leaf(manifest, record) for record in records]).hex() == manifest["merkle_root"]


def test_other_readers_see_the_same_rows(world: ArchiveWorld) -> None:
    """The file is plain Parquet: DuckDB counts and adds what was written."""
    world.add(pa.record_batch([pa.array(range(1000)), pa.array(["x"] * 1000)], ["n", "t"]))
    segment, manifest, _ = only_segment(world)

    (answer,) = duckdb.sql(f"SELECT count(*), sum(n), min(t) FROM '{segment}'").fetchall()

    assert answer == (manifest["records"], pc.sum(pa.array(range(1000))).as_py(), "x")


def test_an_entry_can_be_checked_from_the_page_alone(world: ArchiveWorld) -> None:
    """Hash, signature and what it says of the segment."""
    world.add(lines("a"))
    _, manifest, entry = only_segment(world)
    hashed = {key: value for key, value in entry.items() if key not in ("hash", "signature")}
    public = world.keys[entry["key"]]

    Ed25519PublicKey.from_public_bytes(public).verify(bytes.fromhex(entry["signature"]), bytes.fromhex(entry["hash"]))
    assert hashlib.sha256(canonical(hashed)).hexdigest() == entry["hash"]
    assert hashlib.sha256(public).hexdigest()[:16] == entry["key"]
    assert [segment["digest"] for segment in entry["body"]["segments"]] == [manifest["digest"]]
    assert entry["body"]["segments"][0]["path"] == manifest["path"]


ZSTD = f"""#!{sys.executable}
import sys
try:
    from compression import zstd
except ImportError:
    from backports import zstd
sys.stdout.buffer.write(zstd.decompress(open(sys.argv[-1], "rb").read()))
"""


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with a zstd to decompress, for machines without one, and this Python as python3."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(sys.executable)
    if shutil.which("zstd") is None:
        (folder / "zstd").write_text(ZSTD)
        (folder / "zstd").chmod(0o755)
    return folder


def test_the_commands_of_the_page_print_what_they_say(world: ArchiveWorld, commands: Path) -> None:
    """Whoever follows the page with sha256sum finds the digests of manifest and entry."""
    world.add(lines('{"a": 1}', "no JSON, é"))
    _, manifest, entry = only_segment(world)
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script = "\n".join(re.sub(r"^[$>] ", "", line) for block in blocks for line in block.splitlines())

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("/srv/archive", str(world.root))],
        env={**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    printed = re.findall(r"^[0-9a-f]{64}", done.stdout, re.MULTILINE)
    assert printed == [manifest["digest"], manifest["content"], entry["hash"], manifest["merkle_root"]]


def test_the_page_names_every_key_of_a_manifest(world: ArchiveWorld) -> None:
    """A key that is added must be explained."""
    world.add(lines("a"))
    _, manifest, entry = only_segment(world)
    named = set(re.findall(r"`(\w+)`", PAGE.read_text()))

    assert set(manifest) | set(entry) | set(entry["body"]) <= named
