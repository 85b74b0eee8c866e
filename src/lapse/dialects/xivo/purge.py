"""The purge itself: configuration, plug-ins, tables one after another, foreign purgers; and what is said of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from lapse.dialects.policytext import PolicyText, policy_text
from lapse.dialects.xivo import plugins
from lapse.dialects.xivo.layers import etc
from lapse.dialects.xivo.logbook import LOGGER, Logbook, Voice, tell
from lapse.dialects.xivo.mapping import Meaning, policy_of, small_tables_of, tables_of
from lapse.dialects.xivo.pidfile import pid_file
from lapse.dialects.xivo.settings import Settings, load
from lapse.dialects.xivo.tables import ALIASES, BY_NAME
from lapse.engine.apart import dry_run_apart, run_apart
from lapse.engine.foreign import ForeignPurger, ForeignReport, database_facts, run_foreign
from lapse.engine.running import Wishes
from lapse.engine.session import Session, run_id, session_for
from lapse.engine.trusting import trust as trust_store
from lapse.errors import ExitCode, LapseError
from lapse.model.plan import DatasetPlan
from lapse.model.report import DatasetReport, RunReport, Status, Trouble
from lapse.model.selection import Verdict
from lapse.ports import Event, Hook

_KEPT_FOR_CAUSE = (Verdict.DOUBTFUL, Verdict.HELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the command line asks for.

    Attributes:
        days: Days to keep, instead of the configuration's. None leaves them to it.
        dry: Whether to look only.
        stopping: Asked between slices; True ends the purge cleanly.
    """

    days: int | None = None
    dry: bool = False
    stopping: Callable[[], bool] = field(default=lambda: False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeReport:
    """What a purge did.

    Attributes:
        run: What became of the tables; the id is that of the first one's run.
        archives: Names of the archive plug-ins that were called.
        foreign: What became of the purgers that plug-ins bring.
    """

    run: RunReport
    archives: tuple[str, ...]
    foreign: tuple[ForeignReport, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0, or 1 if a table or a foreign purger is incomplete."""
        failed = any(each.trouble is not None for each in self.foreign)
        return ExitCode.INCOMPLETE if failed else self.run.exit_code


def read_settings(order: Order) -> Settings:
    """The configuration, for this command line.

    Raises:
        PolicyError: With everything that is wrong in it.
    """
    return load(etc(), days=order.days, foreign=plugins.foreign_names())


def meaning_of(settings: Settings) -> Meaning:
    """The policy that the configuration means for its database, which is only read.

    Raises:
        PolicyError: If it cannot be followed.
        StoreError: If the database does not answer.
    """
    tables, small = tables_of(settings), small_tables_of(settings)
    return policy_of(settings, database_facts(settings.address, tables=tables, small=small))


def text_of(settings: Settings, meaning: Meaning) -> PolicyText:
    """The policy as the text of a ``lapse.yaml``."""
    head = [
        f"What {settings.file} means for {settings.shown}.",
        "`lapse run --allow-empty` with this policy does what the drop-in does, but for plug-ins.",
    ]
    return policy_text(meaning.policy, head=head, variable="LAPSE_XIVO")


def trust(purger: str) -> str:
    """Accept that the table of a purger is another one than before; returns its fingerprint.

    Raises:
        UsageError: If there is no such purger at work.
        LapseError: If the configuration cannot be followed, or the table does not answer.
    """
    settings = read_settings(Order())
    return trust_store(session_for(meaning_of(settings).policy), ALIASES.get(purger, purger))


def purge(order: Order, *, voice: Voice) -> PurgeReport:
    """Remove what has lapsed, as the configuration says; log lines go to its log file and to *voice*.

    Raises:
        LapseError: If it could not begin, or an archive plug-in failed: nothing was removed. It is logged already.
    """
    with Logbook(voice) as log, _told():
        settings = read_settings(order)
        if settings.debug:
            log.say_more()
        if order.dry:
            return _looked(settings, order)
        log.write_to(settings.log_file)
        with pid_file(settings.pid_file):
            return _purged(settings, order)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except LapseError as error:
        tell(error)
        raise


def _looked(settings: Settings, order: Order) -> PurgeReport:
    plugins.load_archives(settings)
    foreign = plugins.load_purgers(settings)
    session = _session(settings, ())
    reports = []
    for report in dry_run_apart(session, _wishes(order)):
        reports.append(_ours(report))
        _say_table(settings, reports[-1].datasets[0], dry=True)
    for each in foreign:
        LOGGER.info("%s purger: not counted: a plug-in deletes here by itself", each.name)
    merged = replace(_merged(session, reports), dry=True)
    LOGGER.info("dry run: nothing was changed; %s would be deleted", _entries(_going(merged)))
    return PurgeReport(run=merged, archives=(), foreign=())


def _purged(settings: Settings, order: Order) -> PurgeReport:
    archives, foreign = plugins.load_archives(settings), plugins.load_purgers(settings)
    session = _session(settings, (_Announcer(settings),))
    reports = []
    for each in run_apart(session, _wishes(order), before_run=lambda: plugins.call_archives(archives, settings)):
        reports.append(_ours(each))
        _say_table(settings, reports[-1].datasets[0], dry=False)
    done = tuple(_run_foreign(session, settings, purger, order) for purger in foreign)
    report = PurgeReport(
        run=_merged(session, reports), archives=tuple(plugin.name for plugin in archives), foreign=done
    )
    _say_end(report)
    return report


def _ours(report: RunReport) -> RunReport:
    """The report; a table from which nothing can be removed has failed, even if nothing was to go."""
    (table,) = report.datasets
    if table.trouble is not None:
        return replace(report, datasets=(replace(table, trouble=_in_our_words(table.trouble)),))
    refusal = None if table.plan is None else table.plan.identity.refusal
    if refusal is None:
        return report
    trouble = Trouble(message=refusal, hint="Lapse removes nothing there.")
    return replace(report, datasets=(replace(table, status=Status.INCOMPLETE, trouble=trouble),))


def _in_our_words(trouble: Trouble) -> Trouble:
    """The trouble, whose remedy is a command or a key of the drop-in."""
    if trouble.hint is None:
        return trouble
    hint = trouble.hint.replace("`files: {under: …}` in the policy", "`lapse: {recordings: …}` in the configuration")
    return replace(trouble, hint=re.sub(r"lapse trust (?=\S)", "lapse as xivo-purge-db trust ", hint))


def _session(settings: Settings, hooks: tuple[Hook, ...]) -> Session:
    meaning = meaning_of(settings)
    for text in (*settings.warnings, *meaning.warnings):
        LOGGER.warning("%s", text)
    return session_for(meaning.policy, hooks=hooks)


def _wishes(order: Order) -> Wishes:
    return Wishes(allow_empty=True, stopping=order.stopping)


def _run_foreign(session: Session, settings: Settings, purger: ForeignPurger, order: Order) -> ForeignReport:
    if order.stopping():
        trouble = Trouble(message="it was not called: the run was asked to stop", hint="Run again.")
        report = ForeignReport(name=purger.name, days=purger.days, trouble=trouble)
    else:
        LOGGER.info("%s purger: deleting entries older than %s days", purger.name, purger.days)
        report = run_foreign(session, settings.address, purger)
    if report.trouble is None:
        LOGGER.info("%s purger: done; a plug-in deleted by itself, so nothing was counted or archived", purger.name)
    else:
        _say_trouble(purger.name, report.trouble)
    return report


class _Announcer:
    """Says of each table that it begins, before its first delete."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def on(self, event: Event) -> None:
        """Log what *event* says."""
        name = str(event.facts.get("dataset", ""))
        match event.name:
            case "dataset.started":
                days = self._settings.days_for(name)
                LOGGER.info("%s purger: deleting entries older than %s days", name, days)
            case _:
                LOGGER.debug("%s %s", event.name, dict(event.facts))


def _say_table(settings: Settings, report: DatasetReport, *, dry: bool) -> None:
    if report.plan is not None:
        _say_plan(report.plan)
    if report.trouble is not None:
        _say_trouble(report.dataset, report.trouble)
    if dry:
        days = settings.days_for(report.dataset)
        LOGGER.info("%s purger: older than %s days: %s", report.dataset, days, _entries(report.remaining or 0))
    elif report.plan is not None:
        _say_removed(report)


def _say_plan(plan: DatasetPlan) -> None:
    level = logging.WARNING if BY_NAME[plan.dataset].is_referred_to else logging.INFO
    for note in plan.identity.notes:
        LOGGER.log(level, "%s purger: %s", plan.dataset, note)
    for group in plan.groups:
        if group.outcome.verdict in _KEPT_FOR_CAUSE:
            be = "is" if group.tally.records == 1 else "are"
            kept = f"{_entries(group.tally.records)} {be} kept: {group.outcome.reason}"
            LOGGER.warning("%s purger: %s", plan.dataset, kept)


def _say_removed(report: DatasetReport) -> None:
    LOGGER.info("%s purger: deleted %s in %.1f s", report.dataset, _entries(report.records), report.seconds)
    if report.ended is not None:
        left = _entries(report.remaining or 0)
        LOGGER.warning("%s purger: ended early, with %s left: %s", report.dataset, left, report.ended)
    if report.space is not None:
        unused = (report.space.dead or 0) + (report.space.free or 0)
        space = f"{report.space.allocated:,} bytes stay allocated, about {unused:,} of them for new entries"
        LOGGER.info("%s purger: %s; `lapse reclaim` says what gives them back", report.dataset, space)


def _say_trouble(name: str, trouble: Trouble) -> None:
    LOGGER.error("%s purger: failed: %s", name, trouble.message)
    if trouble.hint:
        LOGGER.error("Hint: %s", trouble.hint)


def _say_end(report: PurgeReport) -> None:
    run = report.run
    for text in run.warnings:
        LOGGER.warning("%s", text)
    failed = [each.dataset for each in run.datasets if each.status is Status.INCOMPLETE]
    failed += [each.name for each in report.foreign if each.trouble is not None]
    said = f"{_entries(run.records)} deleted in {run.seconds:.1f} s"
    said += f"; ledger entry {run.ledger_entries}, head {run.head}"
    if failed:
        LOGGER.error("purge ended, not complete (%s): %s", ", ".join(failed), said)
    else:
        LOGGER.info("purge ended: %s", said)


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def _going(report: RunReport) -> int:
    return sum(each.remaining or 0 for each in report.datasets)


def _merged(session: Session, reports: Sequence[RunReport]) -> RunReport:
    """One report of the runs of all tables."""
    head = session.ledger.head()
    return RunReport(
        run=reports[0].run if reports else run_id(session.real_now),
        now=session.now,
        dry=False,
        datasets=tuple(each for report in reports for each in report.datasets),
        warnings=tuple(dict.fromkeys(text for report in reports for text in report.warnings)),
        seconds=sum(report.seconds for report in reports),
        ledger_entries=None if head is None else head.n + 1,
        head=None if head is None else head.hash,
    )
