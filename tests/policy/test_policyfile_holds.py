"""lapse.policyfile: the folder of hold files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_helpers import write

from lapse.errors import HoldsError, PolicyError, UsageError
from lapse.instant import Nanos, parse_rfc3339
from lapse.model.match import Condition, Glob, Match, Range
from lapse.model.policy import Hold
from lapse.policyfile import load_holds, remove_hold, write_hold

TENANT = Match((Condition(field="tenant", values=("acme",), role="tenant"),))


def test_hold_files_are_read_in_name_order(tmp_path: Path) -> None:
    """Each file is one hold, with the keys that a policy has."""
    write(tmp_path, "matter: B\nmatch: {tenant: acme}", "holds/b.yaml")
    path = write(tmp_path, "matter: 7\nmatch: all\nreason: why\nsince: 2026-10-01", "holds/a.yaml")
    first, second = load_holds(tmp_path / "holds")
    assert (first.matter, first.reason, first.since) == ("7", "why", parse_rfc3339("2026-10-01T00:00:00Z"))
    assert str(first.origin) == f"{path}:1:1"
    assert (second.matter, second.match) == ("B", TENANT)


def test_no_folder_is_no_holds(tmp_path: Path) -> None:
    """Whether it should be there is for the ledger to say."""
    assert load_holds(tmp_path / "holds") == ()


def test_a_hold_that_is_written_reads_back(tmp_path: Path) -> None:
    """The file and its folder belong to their owner alone, and nothing else is left in it."""
    hold = Hold(
        matter="2026-17",
        reason="Müller ./. Acme: yes",
        dataset="log",
        match=TENANT,
        since=parse_rfc3339("2026-10-01T00:00:00Z"),
        until=parse_rfc3339("2027-10-01T00:00:00.000000001Z"),
        records_from=Nanos(0),
        records_before=Nanos(1),
    )
    folder = tmp_path / "deep/holds"

    path = write_hold(folder, hold)

    assert load_holds(folder) == (hold,)
    assert path.name == "2026-17.yaml"
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(folder.iterdir()) == [path]


def test_a_matter_is_held_once(tmp_path: Path) -> None:
    """A second hold of the same matter is refused, whatever its file is called, and the first stays."""
    path = write(tmp_path, "matter: M\nmatch: all", "holds/by-hand.yaml")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="there is a hold 'M' already"):
        write_hold(path.parent, Hold(matter="M", match=TENANT))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    """Where another matter's file has the name already, the write is refused and cleans up."""
    path = write(tmp_path, "matter: other\nmatch: all", "holds/M.yaml")
    with pytest.raises(UsageError, match="is there already"):
        write_hold(path.parent, Hold(matter="M"))
    assert load_holds(path.parent)[0].matter == "other"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("matter", ["../../etc/x", "/abs", ".hidden", "a b", "é", "x" * 300, "-rf", "..", "a/b\\c"])
def test_a_matter_cannot_lead_out_of_the_folder(tmp_path: Path, matter: str) -> None:
    """File names are made safe, stay inside, stay visible, and differ where matters differ."""
    folder = tmp_path / "holds"
    paths = {write_hold(folder, Hold(matter=each)) for each in (matter, matter + "_")}
    assert len(paths) == 2
    assert all(
        path.parent == folder and len(path.name) < 120 and not path.name.startswith((".", "-")) for path in paths
    )
    assert {hold.matter for hold in load_holds(folder)} == {matter, matter + "_"}


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
plain_texts = texts.filter(lambda text: not text.startswith(("glob:", "set:")))
instants = st.integers(min_value=-(10**18), max_value=4 * 10**18).map(Nanos)
held = st.builds(
    Hold,
    matter=texts,
    reason=st.one_of(st.just(""), texts),
    dataset=st.one_of(st.none(), texts),
    match=st.lists(
        st.builds(
            lambda field, values, globs, ranges, negated: Condition(
                field=field,
                values=tuple(values),
                globs=tuple(globs),
                role=field,
                ranges=tuple(ranges),
                negated=negated,
            ),
            st.sampled_from(["type", "subtype", "actor", "tenant", "user_id", "$.a.b", "key: x"]),
            st.lists(plain_texts, min_size=1, max_size=3, unique=True),
            st.lists(st.builds(Glob, texts), max_size=2, unique=True),
            st.lists(st.sampled_from([Range(1, 5), Range(-5), Range(last=10**18 - 1)]), max_size=2, unique=True),
            st.booleans(),
        ),
        max_size=3,
        unique_by=lambda condition: condition.field,
    ).map(lambda conditions: Match(tuple(conditions))),
    since=st.one_of(st.none(), instants),
    records_from=st.one_of(st.none(), instants),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(held)
def test_any_hold_reads_back_or_is_refused(tmp_path: Path, hold: Hold) -> None:
    """Quotes, `${`, colons, numbers, dates and controls in a hold survive, or are refused before the file is there."""
    folder = tmp_path / "holds"
    try:
        write_hold(folder, hold)
    except UsageError:
        assert load_holds(folder) == ()
        return
    assert load_holds(folder) == (hold,)
    assert remove_hold(folder, hold.matter) == hold
    assert load_holds(folder) == ()


@pytest.mark.parametrize(
    "match",
    [
        Match((Condition(field="a", values=("glob:x",), role="a"),)),
        Match((Condition(field="a", values=("x",)), Condition(field="a", values=("y",)))),
        Match((Condition(field="tenant_uuid", values=("x",), role="tenant"),)),
        Match((Condition(field="tenats", values=("x",)),)),
        Match((Condition(field="a", values=()),)),
        Match((Condition(field="a", values=("set:x",), role="a"),)),
        Match((Condition(field="a", values=("x",)), Condition(field="a", values=("y",), negated=True))),
        Match((Condition(field="a", values=(), numbers=(1,), role="a"),)),
    ],
)
def test_what_a_file_cannot_say_is_refused(tmp_path: Path, match: Match) -> None:
    """A hold that would read back as another is never written."""
    with pytest.raises(UsageError, match="cannot be said in a file"):
        write_hold(tmp_path / "holds", Hold(matter="M", match=match))
    assert not (tmp_path / "holds").exists()


def test_ranges_and_negations_are_written_as_a_policy_has_them(tmp_path: Path) -> None:
    """Whoever reads the file sees the forms that the page about policies shows."""
    match = Match(
        (
            Condition("actor", ("root",), (Glob("svc-*"),), role="actor", negated=True),
            Condition("status", (), role="status", ranges=(Range(400, 499),)),
            Condition("level", ("7",), role="level", ranges=(Range(10),), negated=True),
        )
    )
    path = write_hold(tmp_path / "holds", Hold(matter="M", match=match))

    assert load_holds(path.parent)[0].match == match
    lines = ["actor:", "not:", "- root", "- glob:svc-*", "status:", "from: 400", "to: 499", "level:", "not:", "- '7'"]
    assert [line.strip() for line in path.read_text().splitlines()[2:]] == [*lines, "- from: 10"]


def test_a_field_that_is_called_like_a_word_is_written_as_a_path(tmp_path: Path) -> None:
    """A condition on the column `dataset` or `type` itself is no scope and no role."""
    match = Match((Condition(field="dataset", values=("x",)), Condition(field="type", values=("y",))))
    write_hold(tmp_path / "holds", Hold(matter="M", match=match))
    (hold,) = load_holds(tmp_path / "holds")
    assert hold.dataset is None
    assert [(each.field, each.role) for each in hold.match.conditions] == [("dataset", "$.dataset"), ("type", "$.type")]


def test_a_release_removes_one_file(tmp_path: Path) -> None:
    """What it held comes back, the others stay; a wrong matter gets the nearest right one."""
    folder = tmp_path / "holds"
    for matter in ("2026-17", "2026-18"):
        write_hold(folder, Hold(matter=matter, match=TENANT))
    assert remove_hold(folder, "2026-17").match == TENANT
    assert [hold.matter for hold in load_holds(folder)] == ["2026-18"]
    with pytest.raises(UsageError) as caught:
        remove_hold(folder, "2026-81")
    assert caught.value.hint == "Did you mean `2026-18`?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this file is empty"),
        ("matter: M", "`match` is missing"),
        ("matter: M\nmatch: {tenat: x}", "unknown key `tenat`"),
        ("matter: M\nmatch: {tenant: }", "`tenant`: nothing is written here"),
        ("matter: M\nmatch: all\nunitl: 2026-01-01", "unknown key `unitl`"),
        ("matter: M\nmatch: all\nsince: yesterday", "`since`: `yesterday` is not a date"),
        ("matter: M\nmatch: {tenant: set:vip}", "`set:vip`: a hold file names no set"),
        ("matter: M\nmatch: {tenant: {not: [x, set:vip]}}", "`set:vip`: a hold file names no set"),
        ("matter: M\nmatch: {status: {from: 5, to: 4}}", "`status`: no number is from 5 to 4"),
        ("matter: M\nmatch: {status: {form: 5}}", "unknown key `form`"),
        ("matter: M\nmatch: {tenant: '${X}'}", "is replaced in `store`, `to`, `under` and `ledger` only"),
        ("- matter: M", "must be a mapping"),
        ("matter: [", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_hold_stops_everything(tmp_path: Path, text: str, message: str) -> None:
    """Reading, adding and releasing all refuse, with the place; no hold is passed over."""
    path = write(tmp_path, text, "holds/x.yaml")
    for act in (
        lambda: load_holds(path.parent),
        lambda: write_hold(path.parent, Hold(matter="N")),
        lambda: remove_hold(path.parent, "M"),
    ):
        with pytest.raises(PolicyError) as caught:
            act()
        (complaint,) = caught.value.complaints
        assert message in complaint.message
        assert complaint.origin.file == str(path)


def test_two_files_with_one_matter_are_refused(tmp_path: Path) -> None:
    """Releasing the one would silently leave, or lift, the other."""
    first = write(tmp_path, "matter: M\nmatch: all", "holds/a.yaml")
    write(tmp_path, "matter: M\nmatch: all", "holds/b.yaml")
    with pytest.raises(PolicyError) as caught:
        load_holds(first.parent)
    assert f"has a hold at {first}:1:9 already" in caught.value.complaints[0].message


def test_a_hold_may_be_checked_against_the_datasets(tmp_path: Path) -> None:
    """A hold on a dataset that is not there holds nothing, so it is a mistake."""
    write(tmp_path, "matter: M\nmatch: {dataset: calls}", "holds/a.yaml")
    assert load_holds(tmp_path / "holds", datasets=["calls"])
    with pytest.raises(PolicyError) as caught:
        load_holds(tmp_path / "holds", datasets=["call"])
    assert caught.value.complaints[0].hint == "Did you mean `call`?"


@pytest.mark.parametrize("name", ["x.yml", "x.yaml"])
def test_holds_that_cannot_be_read_are_an_error_of_their_own(tmp_path: Path, name: str) -> None:
    """A dangling link, or a name that would be passed over, is not "no holds"."""
    (tmp_path / "holds").mkdir()
    (tmp_path / "holds" / name).symlink_to("nowhere")
    with pytest.raises(HoldsError):
        load_holds(tmp_path / "holds")


@pytest.mark.parametrize("name", ["holds", "holds/a.yaml"])
def test_a_link_that_leads_nowhere_is_no_lack_of_holds(tmp_path: Path, name: str) -> None:
    """The volume with the holds is not mounted: that must not look as if nobody held anything."""
    if name != "holds":
        (tmp_path / "holds").mkdir()
    (tmp_path / name).symlink_to(tmp_path / "away")

    with pytest.raises(HoldsError, match="is a link that leads nowhere") as caught:
        load_holds(tmp_path / "holds")

    assert "Bring back what it leads to" in (caught.value.hint or "")


def test_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    """A file in the place of the folder cannot be read as holds, nor written into."""
    (tmp_path / "holds").write_text("x")
    for act in (lambda: load_holds(tmp_path / "holds"), lambda: write_hold(tmp_path / "holds", Hold(matter="M"))):
        with pytest.raises(HoldsError):
            act()
