"""A look around for ``lapse init``: which files form a log, and which of their keys are time, type, tenant, actor."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lapse.canonical import digest_of, sha256
from lapse.errors import LapseError
from lapse.instant import Nanos
from lapse.model.match import text_of
from lapse.model.policy import TimeFormat
from lapse.model.timetext import is_naive, number_instant, parse_time_text
from lapse.ports import Sketch
from lapse.stores.jsonl.codec import Encoding, encoding_of
from lapse.stores.jsonl.files import LogSet
from lapse.stores.jsonl.lines import Shape
from lapse.stores.jsonl.listed import LogFile
from lapse.stores.jsonl.noting import format_of_number, unzoned
from lapse.stores.jsonl.scanning import Extent, opened, reading

_SAMPLE = 200
_FILES_SAMPLED = 5
_MOST_TYPES = 50
_CERTAIN = 0.9
_TIMES = (
    "timestamp", "@timestamp", "time", "ts", "datetime", "eventtime", "event_time", "created_at", "logged_at",
    "occurred_at", "created", "date", "at", "when",
)  # fmt: skip
_TYPES = ("schema_name", "type", "event_type", "eventtype", "event", "action", "kind", "category", "level", "severity")
_TENANTS = (
    "tenant", "tenant_id", "tenant_uuid", "tenant_name", "org", "org_id", "organization", "organization_id",
    "account", "account_id", "customer", "customer_id", "workspace",
)  # fmt: skip
_ACTORS = ("user_id", "user", "actor", "username", "user_name", "actor_id", "principal", "subject", "email", "caller")
_LOGLIKE = re.compile(r".+\.(?:jsonl|ndjson|json|log)(?:[.\-_].*)?(?:\.(?:gz|zst))?", re.DOTALL)
_ROTATION = re.compile(r"(?:[-._]?[0-9][0-9T:Z_.\-]*)?(?:\.(?:gz|zst))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Time:
    """A key that holds times.

    Attributes:
        key: The key.
        format: How they are written.
        instants: Those of the sample, in order.
        naive: Whether some say no zone.
    """

    key: str
    format: TimeFormat
    instants: tuple[Nanos, ...]
    naive: bool


def sketches(address: str) -> Iterator[Sketch]:
    """Describe every log in a folder, of a glob, or in one file, the largest first. Files without times are none.

    Raises:
        StoreError: If the address names nothing.
    """
    pattern = Path(os.path.normpath(Path.cwd() / address))
    groups = _groups_in(pattern) if pattern.is_dir() else {str(pattern): LogSet(str(pattern)).files()}
    found = [sketch for glob, files in groups.items() if (sketch := _sketch(glob, files)) is not None]
    yield from sorted(found, key=lambda sketch: (-sketch.size, sketch.store))


def _groups_in(folder: Path) -> Mapping[str, list[LogFile]]:
    """The log files of a folder by the tightest glob that means just them."""
    files: list[LogFile] = []
    for path in map(Path, sorted(LogSet(f"{_escaped(str(folder))}/*").names())):
        if _LOGLIKE.fullmatch(path.name) and not path.is_symlink():
            try:
                files += _files_at(path)
            except LapseError:
                continue  # hard links, or a special file: no log that could be proposed
    stems = defaultdict(list)
    for file in files:
        stems[_stem(file.path.name)].append(file)
    return {glob: members for group in stems.values() for glob, members in _globs(folder, group)}


def _files_at(path: Path) -> Sequence[LogFile]:
    return LogSet(_escaped(str(path))).files()


def _common(texts: Sequence[str]) -> str:
    """The longest beginning that all have."""
    least, most = min(texts), max(texts)
    return next((least[:n] for n, (one, other) in enumerate(zip(least, most, strict=False)) if one != other), least)


def _escaped(path: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", path)


def _stem(name: str) -> str:
    """What rotated files of one log have in common: ``audit.jsonl.2.gz`` and ``audit-20260101.jsonl`` are audit."""
    bare = _ROTATION.sub("", name)
    for suffix in (".jsonl", ".ndjson", ".json", ".log"):
        bare = bare.removesuffix(suffix)
    return _ROTATION.sub("", bare) or name


def _globs(folder: Path, files: Sequence[LogFile]) -> Iterator[tuple[str, list[LogFile]]]:
    """One glob for all of them if there is one that means no other file; else one for each name."""
    paths = [file.path for file in files]
    if len(paths) == 1:
        yield _escaped(str(paths[0])), list(files)
        return
    start = _escaped(_common([path.name for path in paths]))
    end = _common([path.name[::-1] for path in paths])[::-1]
    end = end if end.startswith(".") else ""
    for last in (f"{start}*{end}", f"{start}[0-9]*{end}"):
        pattern = f"{_escaped(str(folder))}/{last}"
        if set(LogSet(pattern).names()) == set(map(str, paths)):
            yield pattern, list(files)
            return
    for file in files:
        yield _escaped(str(file.path)), [file]


def _sketch(pattern: str, files: Sequence[LogFile]) -> Sketch | None:
    sample = _sample(files)
    rows = _objects(sample)
    time = _time(rows)
    if time is None:
        return None
    types = _pick(rows, _TYPES, most=_MOST_TYPES)
    size = sum(file.size for file in files)
    return Sketch(
        store=pattern,
        table=None,
        records=_estimate(files, size),
        size=size,
        time=time.key,
        time_format=time.format,
        type=types,
        tenant=_pick(rows, _TENANTS, most=None),
        actor=_pick(rows, _ACTORS, most=None),
        oldest=min(time.instants),
        newest=max(time.instants),
        types=_shares(rows, types),
        notes=tuple(_remarks(time, files, sample)),
        fingerprint=_fingerprint(pattern, [time.key, types]),
    )


def _fingerprint(pattern: str, fields: Iterable[str | None]) -> str:
    used = digest_of(sorted(field for field in fields if field is not None))
    return f"jsonl:{sha256(pattern.encode())[:12]}:{Path(pattern).name}:{used[:12]}"


def _remarks(time: _Time, files: Sequence[LogFile], sample: Sequence[bytes]) -> Iterator[str]:
    if time.naive:
        yield unzoned(time.key)
    if time.format.unit is not None:
        yield f"{time.key} is a number: it looks like {time.format.value}"
    if any(line.rstrip(b"\n").endswith(b"\r") for line in sample):
        yield "lines end in CR LF: they are kept in doubt; say `allow: [crlf]` to have them judged"
    if len(files) > 1:
        yield f"{len(files)} files"


def _sample(files: Sequence[LogFile]) -> list[bytes]:
    """The first lines of some files, and from the end of the newest."""
    ordered = sorted(files, key=lambda file: file.mtime_ns)
    step = max(1, len(ordered) // _FILES_SAMPLED)
    chosen = dict.fromkeys([*ordered[::step], ordered[-1]])
    return [line for file in chosen for line in _first_lines(file)] + _last_lines(ordered[-1])


def _objects(found: Iterable[bytes]) -> list[Mapping[str, object]]:
    rows: list[Mapping[str, object]] = []
    for data in found:
        try:
            value = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(value, dict):
            rows.append(value)
    return rows


def _first_lines(file: LogFile) -> list[bytes]:
    extent = Extent(path=file.path, inode=file.inode, size=file.size)
    with opened(extent) as descriptor, reading(descriptor, extent) as (_, found):
        return [line.data for line in itertools.islice(found, _SAMPLE) if line.shape is Shape.WHOLE]


def _last_lines(file: LogFile) -> list[bytes]:
    extent = Extent(path=file.path, inode=file.inode, size=file.size)
    with opened(extent) as descriptor:
        if encoding_of(descriptor) is not Encoding.PLAIN:
            return []
        start = max(0, file.size - 65_536)
        return os.pread(descriptor, 65_536, start).split(b"\n")[1:-1]


def _estimate(files: Sequence[LogFile], size: int) -> int:
    """About how many lines there are, from the length of the first ones; compressed bytes count as they are."""
    sample = _first_lines(max(files, key=lambda file: file.size))
    length = sum(map(len, sample)) / len(sample) if sample else 0
    return round(size / length) if length else 0


def _time(rows: Sequence[Mapping[str, object]]) -> _Time | None:
    """The likeliest time key: a usual name first, then any key that always holds times."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    usual = [key for name in _TIMES for key in keys if key.lower() == name]
    for key in dict.fromkeys([*usual, *keys]):
        found = _times_of(key, [row[key] for row in rows if key in row], total=len(rows))
        if found is not None and (key in usual or found.format.unit is None):
            return found
    return None


def _times_of(key: str, values: Sequence[object], *, total: int) -> _Time | None:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    texts = [v for v in values if isinstance(v, str)]
    if len(numbers) > len(texts):
        named = format_of_number(numbers[0])
        form = TimeFormat.AUTO if named is None else TimeFormat(named)
        instants = [number_instant(number, form) for number in numbers]
    else:
        form = TimeFormat.AUTO
        instants = [parse_time_text(text, None) for text in texts]
    certain = tuple(instant for instant in instants if instant is not None)
    if not certain or len(certain) < _CERTAIN * total:
        return None
    naive = form is TimeFormat.AUTO and any(map(is_naive, texts))
    return _Time(key=key, format=form, instants=certain, naive=naive)


def _pick(rows: Sequence[Mapping[str, object]], names: Sequence[str], *, most: int | None) -> str | None:
    """The first usual name that the rows have texts under; with *most*, only if there are few different ones."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    for key in (key for name in names for key in keys if key.lower() == name):
        texts = {text for row in rows if (text := text_of(row.get(key))) is not None}
        if texts and (most is None or len(texts) <= most):
            return key
    return None


def _shares(rows: Sequence[Mapping[str, object]], key: str | None) -> tuple[tuple[str, float], ...]:
    if key is None:
        return ()
    counts = Counter(text for row in rows if (text := text_of(row.get(key))) is not None)
    return tuple((text, count / counts.total()) for text, count in counts.most_common(10))
