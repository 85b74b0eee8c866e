"""What a purge leaves of a log file, and what it does not touch."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import NEW, OLD, content, dataset, line, opened, purge, purge_slice, selected, strays

from lapse.errors import ChangedError, StoreError, UnsupportedError
from lapse.instant import Nanos, from_datetime
from lapse.model.disposal import Method
from lapse.model.match import Condition, Glob, Match
from lapse.model.period import parse_period
from lapse.model.policy import Hold, Rule
from lapse.model.selection import Selection, select
from lapse.ports import Budget
from lapse.stages.planning import plan_dataset
from lapse.stores.jsonl import quiet, rewriting
from lapse.stores.jsonl.fields import Doubtful
from lapse.stores.jsonl.quiet import Writers
from lapse.testing.flow import cut, drain, facts_of, prove, rule
from lapse.testing.harness import NOW

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_ODD = [
    b"\n",
    b"not json\n",
    b"[1, 2]\n",
    b'{"time": null}\n',
    b"\0\0\0\0\n",
    b'{"time": "%s", "x": "\xff"}\n' % OLD.encode(),
    b'{"time": "%s", "time": "%s"}\n' % (OLD.encode(), NEW.encode()),
    b'{"time": 1577836800}\n',
    b'{"time": "%s", "x": NaN}\n' % OLD.encode(),
    line(NEW, crlf=True)[:-1] + b"\r\n",
    line(OLD, crlf=True)[:-1] + b"\r\n",
]


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def test_kept_lines_stay_byte_for_byte_and_in_order(tmp_path: Path) -> None:
    """Whatever cannot be judged lies between lapsed lines, those that end in CR LF too, and stays as it is."""
    lapsed = [line(OLD, n=n) for n in range(len(_ODD))]
    mixed = b"".join(one + other for one, other in zip(_ODD, lapsed, strict=True))
    log = _write(tmp_path / "a.jsonl", mixed + b'{"time": "%s", "torn' % OLD.encode())

    (gone,) = purge(selected(log))

    assert gone.data == b"".join(lapsed)
    assert log.read_bytes() == b"".join(_ODD) + b'{"time": "%s", "torn' % OLD.encode()
    assert (gone.disposal.records, gone.disposal.size) == (len(lapsed), len(gone.data))
    assert gone.disposal.method is Method.FILE_REWRITE
    assert gone.table == "a.jsonl"
    assert strays(tmp_path) == []


def test_a_whole_record_without_its_line_end_stays(tmp_path: Path) -> None:
    """The writer may not be done with it."""
    log = _write(tmp_path / "a.jsonl", line(OLD, n=1) + line(OLD, n=2)[:-1])

    purge(selected(log))

    assert log.read_bytes() == line(OLD, n=2)[:-1]


def test_a_survey_names_the_first_doubtful_line_of_each_kind(tmp_path: Path) -> None:
    """File and line number, from 1, and how many there are."""
    _write(tmp_path / "a.jsonl", line() + b"\n" + line() + b"oops\n\n")
    _write(tmp_path / "b.jsonl", b"oops\n" + line()[:-1] + b"\r\n" + line()[:-1])
    store = opened(selected(tmp_path / "*.jsonl"))

    records = sum(tally.records for tally in store.survey(selected(tmp_path / "*.jsonl")))

    assert records == 8
    assert [(doubt.kind, doubt.count, doubt.file.name, doubt.line) for doubt in store.doubts()] == [
        (Doubtful.TORN, 1, "b.jsonl", 3),
        (Doubtful.BLANK, 2, "a.jsonl", 2),
        (Doubtful.MALFORMED, 2, "a.jsonl", 4),
        (Doubtful.CRLF, 1, "b.jsonl", 2),
    ]


def test_a_plan_says_where_the_first_doubtful_line_of_each_kind_is(tmp_path: Path) -> None:
    """Kind, count, file and line number, so that somebody can go and look."""
    log = _write(tmp_path / "a.jsonl", line() + b"oops\n" + line() + b"oops\n" + line()[:-1])
    selection = selected(log)

    plan = plan_dataset(opened(selection), selection, budget=Budget())

    assert plan.identity.notes[-2:] == (
        f"kept in doubt: 1 × last line without a line end, first {log}:5",
        f"kept in doubt: 2 × not JSON, first {log}:2",
    )


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.jsonl"])
def test_compressed_files_of_several_members_are_rewritten_in_their_own_kind(
    tmp_path: Path, pack: Callable[[bytes], bytes], name: str
) -> None:
    """The first bytes tell the kind, not the name; content stays in order."""
    log = _write(tmp_path / name, pack(line(OLD, n=1) + line(NEW, n=2)) + pack(line(OLD, n=3)) + pack(line(NEW, n=4)))
    unpack = gzip.decompress if pack is gzip.compress else zstd.decompress
    magic = log.read_bytes()[:2]

    (gone,) = purge(selected(tmp_path / "a*"))

    assert gone.data == line(OLD, n=1) + line(OLD, n=3)
    assert log.read_bytes()[:2] == magic
    assert unpack(log.read_bytes()) == line(NEW, n=2) + line(NEW, n=4)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("harm", [lambda data: data[:-5], lambda data: data[:20] + b"\0\0\0\0" + data[24:]])
def test_a_damaged_or_cut_compressed_file_is_an_error_and_stays(
    tmp_path: Path, pack: Callable[[bytes], bytes], harm: Callable[[bytes], bytes]
) -> None:
    """Nothing is taken from what cannot be read to its end."""
    whole = b"".join(line(OLD, n=n, x=os.urandom(20).hex()) for n in range(50))
    log = _write(tmp_path / "a.jsonl.x", harm(pack(whole)))
    before = log.read_bytes()

    with pytest.raises(StoreError, match=r"a\.jsonl\.x: compressed data is damaged"):
        purge(selected(log))

    assert log.read_bytes() == before
    assert strays(tmp_path) == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress], ids=["plain", "gzip", "zstd"])
def test_a_file_named_exactly_stays_as_an_empty_one(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Its owner and mode stay; an empty compressed file can be unpacked."""
    log = _write(tmp_path / "a.jsonl", pack(line() * 3))
    log.chmod(0o640)
    os.chown(log, 1234, 4321) if os.geteuid() == 0 else None
    before = log.stat()

    (gone,) = purge(selected(log))

    after = log.stat()
    assert gone.disposal.method is Method.FILE_REWRITE
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert list(opened(selected(log)).survey(selected(log))) == []


def test_a_file_of_a_glob_that_has_wholly_lapsed_is_removed_unless_it_is_the_newest(tmp_path: Path) -> None:
    """The newest one may be what a writer appends to, and a dataset without files would be an error."""
    for number, name in enumerate(["a.jsonl", "b.jsonl", "c.jsonl"]):
        os.utime(_write(tmp_path / name, line()), ns=(0, number * 10**9))

    gone = purge(selected(tmp_path / "*.jsonl"))

    assert [(item.table, item.disposal.method) for item in gone] == [
        ("a.jsonl", Method.FILE_REMOVAL),
        ("b.jsonl", Method.FILE_REMOVAL),
        ("c.jsonl", Method.FILE_REWRITE),
    ]
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["c.jsonl"]
    assert (tmp_path / "c.jsonl").read_bytes() == b""
    assert strays(tmp_path) == []


def test_a_file_without_lapsed_lines_is_not_touched(tmp_path: Path) -> None:
    """Not its content, inode or time stamps, nor its folder."""
    log = _write(tmp_path / "a.jsonl", line(NEW) + b"oops\n")
    before = log.stat(), tmp_path.stat().st_mtime_ns

    store = opened(selected(log))

    assert cut(store, selected(log)) == []
    after = log.stat(), tmp_path.stat().st_mtime_ns
    assert (after[0].st_ino, after[0].st_ctime_ns, after[1]) == (before[0].st_ino, before[0].st_ctime_ns, before[1])


def test_mode_owner_attributes_and_modification_time_stay(tmp_path: Path) -> None:
    """The new file is dressed like the old one."""
    log = _write(tmp_path / "a.jsonl", line() + line(NEW))
    log.chmod(0o2644)
    os.utime(log, ns=(5, 1_600_000_000_123_456_789))
    with contextlib.suppress(OSError):  # not every file system has extended attributes
        os.setxattr(log, "user.origin", b"web-3")
    attributes = {name: os.getxattr(log, name) for name in os.listxattr(log)}

    purge(selected(log))

    assert stat.S_IMODE(log.stat().st_mode) == 0o2644
    assert log.stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert {name: os.getxattr(log, name) for name in os.listxattr(log)} == attributes


def test_a_link_that_was_named_stays_a_link(tmp_path: Path) -> None:
    """The file behind it is rewritten."""
    real = _write(tmp_path / "data" / "real.log", line() + line(NEW))
    link = tmp_path / "a.jsonl"
    link.symlink_to(real)

    purge(selected(link))

    assert link.is_symlink()
    assert real.read_bytes() == line(NEW)


def test_lines_that_arrive_while_a_slice_is_sealed_stay_behind_the_others(tmp_path: Path) -> None:
    """Even lapsed ones: nobody has sealed them."""
    log = _write(tmp_path / "a.jsonl", line(OLD, n=1) + line(NEW, n=2))
    selection = selected(log)
    store = opened(selection)
    (piece,) = cut(store, selection)

    with store.take(piece) as taken:
        drained = drain(taken.parts())
        with log.open("ab") as writer:
            writer.write(line(OLD, n=3) + b'{"torn')
        taken.commit(prove(piece, drained))

    assert content(drained) == line(OLD, n=1)
    assert log.read_bytes() == line(NEW, n=2) + line(OLD, n=3) + b'{"torn'


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(lambda log: log.write_bytes(line(OLD, n=9) + line(NEW, n=2)), id="edited-in-place"),
        pytest.param(lambda log: log.write_bytes(b""), id="cut"),
        pytest.param(lambda log: (log.rename(log.with_name("b")), log.write_bytes(line())), id="rotated"),
        pytest.param(lambda log: log.unlink(), id="removed"),
    ],
)
def test_a_file_that_changed_under_a_slice_is_not_rewritten(tmp_path: Path, disturb: Callable[[Path], object]) -> None:
    """The slice is rolled back, and the file is what the other one made of it."""
    log = _write(tmp_path / "a.jsonl", line(OLD, n=1) + line(NEW, n=2))
    selection = selected(log)
    store = opened(selection)
    (piece,) = cut(store, selection)

    with store.take(piece) as taken:
        drained = drain(taken.parts())
        disturb(log)
        there = log.read_bytes() if log.exists() else None
        with pytest.raises(ChangedError):
            taken.commit(prove(piece, drained))

    assert (log.read_bytes() if log.exists() else None) == there
    assert strays(tmp_path) == []
    assert list(store.recover(lambda _: True)) == []


def test_a_file_that_was_replaced_since_it_was_cut_is_not_taken(tmp_path: Path) -> None:
    """A slice is about one file; the run starts over with what is there."""
    log = _write(tmp_path / "a.jsonl", line())
    selection = selected(log)
    store = opened(selection)
    (piece,) = cut(store, selection)
    log.rename(tmp_path / "b")
    _write(log, line() * 2)

    with pytest.raises(ChangedError), store.take(piece):
        pass


def test_a_file_that_somebody_writes_to_without_appending_is_refused_by_its_writers_pid(tmp_path: Path) -> None:
    """Before anything is sealed; the hint says what to do; once it is closed the purge works."""
    log = _write(tmp_path / "a.jsonl", line())

    with log.open("r+b"), pytest.raises(StoreError, match=f"pid {os.getpid()}") as caught:
        purge(selected(log))

    assert "rotate the file, or stop the writer" in (caught.value.hint or "")
    assert log.read_bytes() == line()
    purge(selected(log))
    assert log.read_bytes() == b""


def test_a_writer_that_comes_while_a_slice_is_sealed_is_noticed_at_the_commit(tmp_path: Path) -> None:
    """Nothing is removed from a file that is open at that moment for writing anywhere."""
    log = _write(tmp_path / "a.jsonl", line())
    selection = selected(log)
    store = opened(selection)
    (piece,) = cut(store, selection)

    with store.take(piece) as taken:
        drained = drain(taken.parts())
        with log.open("r+b"), pytest.raises(StoreError, match="open for writing"):
            taken.commit(prove(piece, drained))

    assert log.read_bytes() == line()
    assert strays(tmp_path) == []


def test_files_that_somebody_writes_to_come_last(tmp_path: Path) -> None:
    """They hold up no other file."""
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        _write(tmp_path / name, line())
    selection = selected(tmp_path / "*.jsonl")

    with (tmp_path / "a.jsonl").open("ab"):
        order = [Path(str(piece.bounds[0])).name for piece in cut(opened(selection), selection)]

    assert order == ["b.jsonl", "c.jsonl", "a.jsonl"]


@pytest.mark.parametrize("promise", [None, "none"])
def test_where_writers_cannot_be_seen_the_dataset_must_promise_that_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promise: str | None
) -> None:
    """A file system without leases is refused, unless the policy says `writers: none`."""
    monkeypatch.setattr(quiet, "_acquire", lambda *_: Writers.UNKNOWN)
    log = _write(tmp_path / "a.jsonl", line())
    selection = selected(log, writers=promise)

    if promise is None:
        with pytest.raises(UnsupportedError, match="cannot tell") as caught:
            purge(selection)
        assert "`writers: none`" in (caught.value.hint or "")
    else:
        purge(selection)

    assert log.read_bytes() == (line() if promise is None else b"")


def test_two_destinations_of_one_file_are_two_slices_with_two_markers(tmp_path: Path) -> None:
    """The second slice finds the file that the first one made, and both leave their marker."""
    log = _write(tmp_path / "a.jsonl", b"".join(line(OLD, n=n, tenant=f"t{n % 3}") for n in range(9)) + line(NEW))
    matches = [Match((Condition("tenant", (f"t{n}",)),)) for n in range(2)]
    rules = [
        Rule(index=n, match=match, keep=parse_period("30 days"), archives=(f"cold{n}",))
        for n, match in enumerate(matches)
    ]
    selection = selected(log, *rules, tenant="tenant")

    gone = purge(selection)

    assert [item.data for item in gone] == [
        b"".join(line(OLD, n=n, tenant=f"t{n % 3}") for n in range(9) if n % 3 == which) for which in range(2)
    ]
    assert log.read_bytes() == b"".join(line(OLD, n=n, tenant="t2") for n in (2, 5, 8)) + line(NEW)
    assert list(opened(selection).recover(lambda _: True)) == [item.disposal for item in gone]


def test_a_mark_leaves_out_files_that_it_does_not_have_or_that_were_replaced(tmp_path: Path) -> None:
    """Neither is counted, so that the drift is seen."""
    for name in ("a.jsonl", "b.jsonl"):
        _write(tmp_path / name, line())
    selection = selected(tmp_path / "*.jsonl")
    mark = opened(selection).identity().mark
    assert mark is not None
    (tmp_path / "b.jsonl").rename(tmp_path / "b")
    _write(tmp_path / "b.jsonl", line())
    _write(tmp_path / "c.jsonl", line())

    store = opened(selection)

    assert [tally.records for tally in store.survey(selection, mark.values)] == [1]
    assert [Path(str(piece.bounds[0])).name for piece in cut(store, selection, mark=mark.values)] == ["a.jsonl"]


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("eager", [False, True])
def test_slices_of_one_file_follow_it_through_every_commit(tmp_path: Path, marked: bool, eager: bool) -> None:
    """Inodes come back into use, and slices may be cut before the first commit: each finds its lines, and no others."""
    names = "abcde"
    log = _write(tmp_path / "a.jsonl", b"".join(line(OLD, tenant=name) for name in names) + line(NEW))
    selection = selected(log, *(rule("30 days", (f"cold-{name}",), tenant=name) for name in names), tenant="tenant")
    store = opened(selection)
    mark = store.identity().mark if marked else None
    late = line(OLD, tenant="e", late=True)
    if marked:
        with log.open("ab") as writer:
            writer.write(late)

    pieces = store.slices(selection, facts_of(selection), Budget(), None if mark is None else mark.values)
    gone = [purge_slice(store, piece) for piece in (list(pieces) if eager else pieces)]

    assert [item.data for item in gone if item] == [line(OLD, tenant=name) for name in names]
    assert log.read_bytes() == line(NEW) + (late if marked else b"")


@pytest.mark.parametrize(
    ("code", "hint"),
    [(errno.EACCES, "its folder must be writable"), (errno.ENOSPC, "room"), (errno.EROFS, "read-only")],
)
def test_a_folder_that_takes_no_new_file_leaves_the_log_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, hint: str
) -> None:
    """The error comes while lines are sealed, names the file, and says what it takes."""

    def refuse(path: Path) -> int:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(rewriting, "create", refuse)
    log = _write(tmp_path / "a.jsonl", line())

    with pytest.raises(StoreError, match=os.strerror(code)) as caught:
        purge(selected(log))

    assert hint in (caught.value.hint or "").replace("Its", "its")
    assert log.read_bytes() == line()


_TIMES = st.sampled_from(
    [OLD, NEW, None, "2020-01-01", "2020-01-01T00:00:00", "garbage", "1989-12-31T23:59:59Z", 5, ""]
)
_NAMES = st.sampled_from(["a", "b", "a*", "ü", "", None, 7, True, 1.5])
_RECORDS = st.fixed_dictionaries({}, optional={"time": _TIMES, "type": _NAMES, "tenant": _NAMES})
_LINES = st.one_of(
    _RECORDS.map(lambda fields: json.dumps(fields).encode()),
    _RECORDS.map(lambda fields: json.dumps(fields, ensure_ascii=False).encode() + b"\r"),
    st.binary(max_size=20).filter(lambda data: b"\n" not in data),
)
_CONDITIONS = st.builds(
    Condition,
    field=st.sampled_from(["type", "tenant"]),
    values=st.lists(st.sampled_from(["a", "b", "ü", "7", "true"]), max_size=2).map(tuple),
    globs=st.lists(st.sampled_from([Glob("a*"), Glob("*")]), max_size=1).map(tuple),
)
_RULES = st.lists(
    st.builds(
        Rule,
        index=st.just(0),
        match=st.lists(_CONDITIONS, max_size=2).map(lambda found: Match(tuple(found))),
        keep=st.sampled_from(["30 days", "2 years", "forever"]).map(parse_period),
        archives=st.sampled_from([("cold",), ("warm",)]),
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(_LINES, max_size=12), rules=_RULES, held=st.booleans(), ended=st.booleans(), crlf=st.booleans())
def test_what_goes_and_what_stays_is_what_the_definition_says(
    tmp_path: Path, written: list[bytes], rules: list[Rule], held: bool, ended: bool, crlf: bool
) -> None:
    """For any bytes and rules: kept and removed lines are the original, and an independent reading agrees."""
    for path in tmp_path.iterdir():
        path.unlink()
    found = [data + b"\n" for data in written]
    if found and not ended:
        found[-1] = found[-1][:-1]
    log = _write(tmp_path / "a.jsonl", b"".join(found))
    numbered = (replace(item, index=n) for n, item in enumerate(rules))
    chosen = dataset(log, *numbered, type="type", tenant="tenant", crlf_allowed=crlf)
    chosen = chosen if rules else replace(chosen, rules=())
    holds = [Hold(matter="m", match=Match((Condition("tenant", ("b",)),)))] if held else []
    selection = select(chosen, floors=(), holds=holds, now=NOW, real_now=NOW)
    expected = [_lapses(data, selection) for data in found]
    if any(expected):
        found[0] = found[0].lstrip(b" ")  # blanks that a file begins with are no part of a line, and go as well

    gone = b"".join(item.data for item in purge(selection))

    assert log.read_bytes() == b"".join(data for data, goes in zip(found, expected, strict=True) if not goes)
    going = [data for data, goes in zip(found, expected, strict=True) if goes]
    assert sorted(gone.splitlines()) == sorted(b"".join(going).splitlines())


def _lapses(data: bytes, selection: Selection) -> bool:
    """The decision about a line, read with nothing of the code under test."""
    if not data.endswith(b"\n") or (data.endswith(b"\r\n") and not selection.dataset.crlf_allowed):
        return False
    try:
        fields = json.loads(data.decode("utf-8"))
    except ValueError:
        return False
    if not isinstance(fields, dict):
        return False
    code = selection.decide(_instant(fields.get("time")), fields.get)
    return code in selection.lapsed_codes()


def _instant(value: object) -> Nanos | None:
    if not isinstance(value, str) or len(value) < 10:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return from_datetime(found if found.tzinfo else found.replace(tzinfo=UTC))
