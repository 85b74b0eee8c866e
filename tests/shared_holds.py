"""What holds that lie in a database promise, whichever database it is; each of them subclasses `SharedHolds`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from types import ModuleType
from typing import Any, ClassVar, Protocol

import pytest

from hosts import Host
from lapse.engine.planning import plan
from lapse.engine.status import status
from lapse.errors import HoldsError
from lapse.model.match import Condition, Match, Range
from lapse.model.policy import Dataset, Hold
from lapse.model.posted import PostedHold
from lapse.model.report import Status
from lapse.model.selection import Verdict
from lapse.registry import store_class
from servers.processes import await_condition

HELD = set(range(3, 31, 3))
Step = Callable[..., object]


class Database(Protocol):
    """The database that hosts share, as somebody beside Lapse sees it."""

    def execute(self, *statements: str) -> list[Any]:
        """Run statements, each committed by itself; the rows of the last one."""
        ...

    def ids(self, table: str = "log") -> set[int]:
        """The keys that a table has."""
        ...


class SharedHolds:
    """Added on one host, respected by the runs of every other.

    A subclass stands beside these fixtures: `database`; two hosts, `here` and `there`, of which the other calls the
    dataset ``calls``; `log`, which makes thirty lapsed rows, every third of a tenant called ``held``; `parted`, the
    host here with four partitions of ten lapsed rows each, row 205 of the tenant ``held``, and row 1 that is kept;
    `family`, which gives each row of `log` a child in ``part`` with a key larger by 100, that of row 5 of the tenant
    ``held``; `meddled`, the steps that happen right before commits, one each.

    Attributes:
        holding: The module that reads holds.
        taking: The module that has holds checked in a commit.
        waiting: A query whose first value says how many wait for a lock.
    """

    holding: ClassVar[ModuleType]
    taking: ClassVar[ModuleType]
    waiting: ClassVar[str]

    @pytest.mark.parametrize("archive", ["cold", "none"])
    @pytest.mark.usefixtures("log")
    def test_a_hold_is_respected_by_a_host_that_has_no_file_of_it(
        self, here: Host, there: Host, database: Database, archive: str
    ) -> None:
        """Its run plans and removes what is left, under whatever name its policy knows the table."""
        there.policy(archive=archive)
        here.hold()

        planned = plan(there.session()).datasets[0]
        report = there.run()

        assert planned.records(Verdict.HELD) == len(HELD)
        assert (report.status, report.records) == (Status.DONE, 20)
        assert database.ids() == HELD

    @pytest.mark.parametrize("archive", ["cold", "none"])
    @pytest.mark.usefixtures("log")
    def test_a_hold_that_was_added_elsewhere_while_a_slice_was_sealed_is_respected(
        self, here: Host, there: Host, database: Database, meddled: list[Step], archive: str
    ) -> None:
        """The slice is put back and taken again under the hold, also where the table of holds is made only now."""
        there.policy(archive=archive)
        meddled.append(lambda *_: here.hold())

        report = there.run()

        assert meddled == []
        assert (report.status, report.records) == (Status.DONE, 20)
        assert database.ids() == HELD

    @pytest.mark.parametrize("archive", ["cold", "none"])
    @pytest.mark.usefixtures("log")
    def test_adding_a_hold_waits_for_a_commit_that_has_not_seen_it(
        self, here: Host, there: Host, database: Database, monkeypatch: pytest.MonkeyPatch, archive: str
    ) -> None:
        """What is removed after all went before the command returned."""
        there.policy(archive=archive)
        looked, returned = threading.Event(), threading.Event()
        gone_before: list[set[int]] = []
        check_holds = self.holding.check_holds

        def add() -> None:
            looked.wait(30)
            here.hold()
            gone_before.append(database.ids())
            returned.set()

        def check(*arguments: Any) -> None:
            check_holds(*arguments)
            looked.set()
            await_condition(lambda: database.execute(self.waiting)[0][0] > 0, "hold add waits")
            assert not returned.is_set()

        monkeypatch.setattr(self.taking, "check_holds", check)
        adding = threading.Thread(target=add)
        adding.start()

        there.run()
        adding.join(30)

        assert returned.is_set()
        assert database.ids() == gone_before[0] == set()

    @pytest.mark.usefixtures("log")
    def test_a_hold_by_keys_and_ranges_means_the_same_elsewhere(
        self, here: Host, there: Host, database: Database
    ) -> None:
        """What lies in the table says it all: keys, fields by their columns, ranges, negation, times."""
        here.hold("keys", dataset="log", keys=("1", "2"))
        here.hold("range", match=Match((Condition("level", (), ranges=(Range(10, 11),)),)))
        many = Condition("tenant", ("held",), role="tenant", negated=True)
        here.hold("not", match=Match((many,)), records_from=1_737_936_000_000_000_000)  # 2025-01-27

        there.run()

        assert database.ids() == {1, 2, 10, 11, 26, 28, 29}

    @pytest.mark.usefixtures("log")
    def test_a_released_hold_is_gone_everywhere(self, here: Host, there: Host) -> None:
        """The table has it no more, and the other host's run takes what it kept."""
        here.hold()
        assert there.listed() == [("M-1", ("calls",), False)]
        here.release()

        assert there.listed() == []
        assert there.run().records == 30

    @pytest.mark.usefixtures("log")
    def test_the_next_run_puts_a_hold_there_that_was_written_by_hand(
        self, here: Host, there: Host, database: Database
    ) -> None:
        """Then other hosts see it, too."""
        (here.folder / "holds").mkdir()
        (here.folder / "holds" / "m.yaml").write_text("matter: by-hand\nmatch: {tenant: held}\n", encoding="utf-8")

        here.run(rows=7)
        database.execute("INSERT INTO log VALUES (99, '2025-01-01', 'held', 1)")
        there.run()

        assert database.ids() == {*HELD, 99}
        assert status(there.session()).holds == ()
        assert status(there.session(), survey=True).holds == ("by-hand",)
        assert there.listed() == [("by-hand", ("calls",), False)]

    @pytest.mark.usefixtures("log")
    @pytest.mark.parametrize("text", ["", "{}", "no json", '{"lapse_hold": 2}', '{"lapse_hold": 1, "matter": "M-1"}'])
    def test_a_hold_that_cannot_be_read_stops_the_run(
        self, here: Host, there: Host, database: Database, text: str
    ) -> None:
        """It may be of a later version; nothing is removed while it is there."""
        here.hold()
        database.execute(f"UPDATE lapse_holds SET hold = '{text}'")

        with pytest.raises(HoldsError, match="hold M-1 in lapse_holds cannot be read"):
            there.run()

        assert database.ids() == set(range(1, 31))

    @pytest.mark.parametrize("archive", ["cold", "none"])
    def test_a_partition_with_a_held_row_is_not_dropped(
        self, parted: Host, there: Host, database: Database, archive: str
    ) -> None:
        """Its other rows go one by one; the others go whole."""
        there.policy(archive=archive)
        parted.hold()

        there.run()

        assert database.ids() == {1, 205}

    @pytest.mark.parametrize("archive", ["cold", "none"])
    def test_a_hold_that_came_after_a_partition_was_sealed_keeps_it(
        self, parted: Host, there: Host, database: Database, meddled: list[Step], archive: str
    ) -> None:
        """Of the partition that was to be dropped, and of those that follow; what is aside by then is put back."""
        there.policy(archive=archive)
        meddled += [lambda *_: None, lambda *_: parted.hold()]

        there.run()

        assert meddled == []
        assert database.ids() == {1, 205}

    @pytest.mark.usefixtures("log", "family")
    @pytest.mark.parametrize("archive", ["cold", "none"])
    def test_a_held_child_keeps_its_parent(self, here: Host, there: Host, database: Database, archive: str) -> None:
        """Its parent would take it along, so it stays, with all of its children."""
        there.policy(archive=archive)
        here.hold()

        there.run()

        assert database.ids() == {*HELD, 5}
        assert database.ids("part") == {100 + key for key in (*HELD, 5)}

    @pytest.mark.usefixtures("log", "family")
    @pytest.mark.parametrize("archive", ["cold", "none"])
    def test_a_hold_by_key_keeps_the_children_of_that_record(
        self, here: Host, there: Host, database: Database, archive: str
    ) -> None:
        """And no others: keys are those of the dataset's own records."""
        there.policy(archive=archive)
        here.hold(dataset="log", keys=("5", "107"))

        there.run()

        assert database.ids() == {5}
        assert database.ids("part") == {105}

    @pytest.mark.usefixtures("log", "family")
    @pytest.mark.parametrize("archive", ["cold", "none"])
    def test_rows_are_not_taken_along_from_a_table_that_others_hold(
        self, here: Host, there: Host, database: Database, archive: str
    ) -> None:
        """Another policy has the child as a dataset, and a hold on it; this one would remove its rows, too."""
        here.policy(table="part")
        there.policy(archive=archive)
        here.hold(dataset="log", keys=("105",))

        report = there.run()

        assert report.status is Status.INCOMPLETE
        assert report.trouble is not None
        told = "rows of part would go along with those of log, but hold M-1 keeps some of them"
        assert told in report.trouble.message
        assert database.ids() == set(range(1, 31))

    @pytest.mark.usefixtures("log")
    def test_two_hosts_add_at_once_and_both_are_there(self, here: Host, there: Host, database: Database) -> None:
        """Also where each would make the table."""
        hosts = (here, there, here, there)
        threads = [threading.Thread(target=host.hold, args=(f"M-{number}",)) for number, host in enumerate(hosts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        rows = database.execute("SELECT matter FROM lapse_holds ORDER BY 1")
        assert [matter for (matter,) in rows] == ["M-0", "M-1", "M-2", "M-3"]

    @pytest.mark.usefixtures("log")
    def test_what_is_stored_is_read_back_equal(self, here: Host) -> None:
        """Through the table and back."""
        hold = Hold(
            matter="Ünïcode 100% 'quoted'",
            reason="because",
            dataset="log",
            match=Match((Condition("tenant", ("a%b", "日本"), negated=True, ranges=(Range(None, 10**18 - 1),)),)),
            keys=("%s", "a,b"),
            since=1,  # type: ignore[arg-type]
        )
        dataset = Dataset(name="log", store=here.url, shown="x", table="log", time="at", tenant="tenant")
        store: Any = store_class(here.url)(dataset, read_only=False)
        with closing(store):
            store.post_hold(PostedHold(hold))
            store.post_hold(PostedHold(hold))

            (found,) = store.posted_holds()

        assert found == PostedHold(hold)
