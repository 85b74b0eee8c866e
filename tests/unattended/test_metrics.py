"""Metrics for node_exporter's textfile collector, and the alert rules on them."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from unattended_world import ROOT, World
from unattended_world import world_fixture as world_fixture

from lapse import clock
from lapse.engine.status import status
from lapse.instant import DAY, Nanos, rfc3339
from lapse.model.status import Growth, Overdue
from lapse.observe.prometheus import metrics_text

ALERTS = ROOT / "examples" / "prometheus" / "lapse-alerts.yml"
_NAME = re.compile(r"\blapse_[a-z_]+")


def families(text: str) -> dict[str, Metric]:
    """Every family of a metrics file, by name."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(text: str, name: str) -> list[float]:
    """The values of the samples of one family."""
    return [sample.value for sample in families(text)[name].samples]


def written(world: World, *arguments: str) -> str:
    """The metrics that a call wrote."""
    file = world.folder / "lapse.prom"
    world.call(*arguments, "--metrics", str(file))
    return file.read_text(encoding="utf-8")


def test_a_run_writes_what_it_did(world: World) -> None:
    """Success, its time, what went, how long it took, what is left, and the ledger."""
    before = clock.real_now() / 1e9
    text = written(world, "run")

    assert values(text, "lapse_last_run_success") == [1.0]
    assert before <= values(text, "lapse_last_success_timestamp_seconds")[0] <= clock.real_now() / 1e9
    assert values(text, "lapse_last_run_removed_records") == values(text, "lapse_removed_records") == [10.0]
    assert values(text, "lapse_last_run_removed_bytes")[0] > 0
    assert 0 < values(text, "lapse_last_run_duration_seconds")[0] < 60
    assert values(text, "lapse_records") == [5.0]
    assert values(text, "lapse_remaining_records") == values(text, "lapse_doubtful_records") == [0.0]
    assert values(text, "lapse_oldest_past_deadline_seconds") == [0.0]
    assert values(text, "lapse_ledger_entries") == values(text, "lapse_checkpoint_entries")
    assert values(text, "lapse_missed_runs") == values(text, "lapse_problems") == [0.0]


def test_a_run_that_is_refused_writes_that(world: World) -> None:
    """The exit code stays 3, and the last success is not moved."""
    first = written(world, "run")
    world.policy("guards: {rows: 1}\n")
    world.calls([rfc3339(Nanos(clock.real_now() - 200 * DAY))] * 2)
    text = written(world, "run")

    assert values(text, "lapse_last_run_exit_code") == [3.0]
    name = "lapse_last_success_timestamp_seconds"
    assert values(text, name) == values(first, name)
    shown = {sample.labels["status"]: sample.value for sample in families(text)["lapse_last_run_status"].samples}
    assert {name for name, value in shown.items() if value} == {"refused"}
    assert len(shown) == 6
    assert 100 * 86_400 < values(text, "lapse_oldest_past_deadline_seconds")[0] < 111 * 86_400


def test_every_sample_has_help_a_type_and_the_policy(world: World) -> None:
    """Counters end as Prometheus wants; several policies may write for one collector."""
    text = written(world, "run")

    assert "# TYPE lapse_removed_records_total counter" in text
    for family in families(text).values():
        assert family.documentation
        assert family.type in ("gauge", "counter")
        assert all(sample.labels["policy"] == str(world.policy_file) for sample in family.samples)


def test_labels_are_escaped(world: World) -> None:
    """A rule's text may hold quotes, backslashes and line ends; what is read back is what was meant."""
    rule = 'rule 1 (type: "a\\b"\nx: 90 days)'
    world.call("run")
    report = status(world.session())
    (calls,) = report.datasets
    assert calls.past.measured is not None
    found = replace(calls.past.measured, overdue=(Overdue(rule=rule, deadline=Nanos(0), records=1),))
    changed = replace(report, datasets=(replace(calls, past=replace(calls.past, measured=found)),))

    samples = families(metrics_text(changed).decode())["lapse_oldest_past_deadline_seconds"].samples

    assert [sample.labels["rule"] for sample in samples] == [rule]


def test_the_file_is_for_the_collector_to_read(world: World) -> None:
    """0644 whatever the mask, replaced whole, and nothing is left beside it."""
    before = os.umask(0o077)
    try:
        written(world, "status")
    finally:
        os.umask(before)

    assert (world.folder / "lapse.prom").stat().st_mode & 0o777 == 0o644
    assert not list(world.folder.glob(".lapse.prom*"))


def test_metrics_that_cannot_be_written_do_not_change_a_run(world: World) -> None:
    """A warning, and exit 0; of `status` it is an error."""
    ran = world.call("run", "--metrics", str(world.folder / "nowhere" / "x.prom"))
    asked = world.call("status", "--metrics", str(world.folder / "nowhere" / "x.prom"))

    assert ran.exit_code == 0
    assert "Warning: the metrics were not written" in ran.stderr
    assert world.rows() == 5
    assert asked.exit_code == 2


@pytest.mark.parametrize("place", ["/", ".", "pipe", "pipe/x.prom"])
def test_only_a_file_gives_way_to_metrics(world: World, place: str) -> None:
    """A folder, a pipe or a device such as /dev/null is refused: root would replace it by a file."""
    os.mkfifo("pipe")

    result = world.call("status", "--metrics", place)

    assert result.exit_code == 2
    assert "internal error" not in result.stderr
    assert Path("pipe").is_fifo()


def test_metrics_are_never_written_through_a_link(world: World) -> None:
    """Who may write to the collector's folder cannot make a run of root overwrite another file."""
    victim, link = world.folder / "victim", world.folder / f".lapse.prom.{os.getpid()}.tmp"
    victim.write_text("precious", encoding="utf-8")
    link.symlink_to(victim)

    written(world, "status")

    assert victim.read_text(encoding="utf-8") == "precious"
    assert not link.is_symlink()


def test_a_dry_run_writes_no_metrics(world: World) -> None:
    """It writes nothing at all, and says where to get them."""
    result = world.call("run", "--dry-run", "--metrics", "x.prom")

    assert result.exit_code == 2
    assert "lapse status --metrics" in result.stderr
    assert not Path("x.prom").exists()


def test_every_metric_of_the_alert_rules_is_one_that_lapse_writes(world: World) -> None:
    """Growth included, which only log files have."""
    world.call("run")
    report = status(world.session())
    grown = Growth(size=9, lines_a_day=1.0, bytes_a_day=2.0, days_to_full=3.0, warn_at=8)
    report = replace(report, datasets=tuple(replace(each, growth=grown) for each in report.datasets))
    known = {sample.name for family in families(metrics_text(report).decode()).values() for sample in family.samples}

    groups = YAML(typ="safe").load(ALERTS)["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    used = {name for rule in rules for name in _NAME.findall(rule["expr"])}

    assert used <= known
    assert {
        "lapse_last_success_timestamp_seconds",
        "lapse_oldest_past_deadline_seconds",
        "lapse_growth_warning",
    } <= used
    assert all(rule["alert"] and rule["annotations"]["summary"] for rule in rules)


@pytest.mark.parametrize("command", ["run", "status"])
def test_both_commands_write_the_same_families(world: World, command: str) -> None:
    """Whoever writes the file, the alerts have what they need."""
    world.call("run")

    assert {"lapse_problems", "lapse_last_success_timestamp_seconds"} <= set(families(written(world, command)))
