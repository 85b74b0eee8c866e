"""Whether a dataset's words lead somewhere: its archives, roles and fields, and its table.

These checks look at the tree, so that they speak up beside any other mistake in the same dataset.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from lapse.errors import Complaint
from lapse.policyfile.addresses import Address
from lapse.policyfile.fields import ROLES, bad_fields
from lapse.policyfile.guards import bad_guards
from lapse.policyfile.models import DatasetShape, RuleShape, TenantShape, keys_of
from lapse.policyfile.newest import idle_last
from lapse.policyfile.rotating import bad_logs
from lapse.policyfile.tenants import Section, bad_tenants, sections
from lapse.policyfile.tree import Entry, Listing, Mapped, Node, Scalar, children, items
from lapse.policyfile.words import CRLF, NEVER, REQUIRED, did_you_mean, nearest

WAIVER = "none"
_NO_TIME = "no time"
_WAIVER_HINT = "Add `archive: NAME`, or `archive: none` to remove them without a copy."

_READS_EMPTY_TIMES = ("postgresql://", "postgresql+")
_REQUIRES_ZONES = (*_READS_EMPTY_TIMES, "sqlite://")


@dataclass(frozen=True, slots=True)
class Known:
    """What the rest of the policy offers to a dataset.

    Attributes:
        archives: Format of every archive by its name; empty where it is not text.
        stores: Address of every dataset whose `store` can be used, by the dataset's name.
    """

    archives: Mapping[str, str]
    stores: Mapping[str, Address]


def bad_dataset(dataset: Entry, known: Known) -> Iterator[Complaint]:
    """Everything in one dataset that leads nowhere or contradicts itself."""
    node = dataset.node
    if not isinstance(node, Mapped):
        return
    address = known.stores.get(dataset.key)
    yield from _bad_archives(node, known, is_database=address is not None and address.is_database)
    yield from _unarchived(dataset, node)
    yield from _without_allowance(node)
    yield from bad_tenants(node)
    yield from _bad_rules(node)
    yield from _missing_roles(node)
    yield from bad_guards(node)
    if address is not None:
        yield from _bad_table(dataset, node, address)
        yield from _bad_crlf(node, address)
        yield from _bad_pace(node, address)
        yield from _bad_files(node, address)
        yield from bad_logs(node, address)
        yield from _bad_empty_time(node, address)
        yield from _bad_zone(node, address)


def is_word(node: Node | None, word: str) -> bool:
    """Whether a value is this word, however spaced and in whatever case."""
    return isinstance(node, Scalar) and " ".join(node.text.split()).lower() == word


def _owners(dataset: Mapped) -> Iterator[Mapped]:
    """All that may name archives: the dataset, its tenants, and the rules of each."""
    for section in sections(dataset):
        yield section.node
        yield from section.rules


def _periods(section: Section) -> Iterator[tuple[Scalar, Mapped]]:
    """Every period with what it stands in."""
    found = [(section.keep, section.node), *((rule.get("for"), rule) for rule in section.rules)]
    yield from ((node, owner) for node, owner in found if isinstance(node, Scalar) and node.value is not None)


def _bad_archives(dataset: Mapped, known: Known, *, is_database: bool) -> Iterator[Complaint]:
    for owner in _owners(dataset):
        node = owner.get("archive")
        seen: set[str] = set()
        for scalar in (node,) if isinstance(node, Scalar) else items(node):
            if not isinstance(scalar, Scalar) or scalar.value is None:
                continue
            name = str(scalar.value)
            if name == WAIVER and isinstance(node, Listing):
                yield Complaint(scalar.origin, "`none` cannot stand beside archives", "Write `archive: none` alone.")
            elif name in seen:
                yield Complaint(scalar.origin, f"archive `{scalar.shown}` is named twice", "Name it once.")
            elif name != WAIVER:
                yield from _bad_archive(scalar, name, known, is_database=is_database)
            seen.add(name)


def _bad_archive(scalar: Scalar, name: str, known: Known, *, is_database: bool) -> Iterator[Complaint]:
    if name not in known.archives:
        hint = did_you_mean(name, known.archives) if known.archives else "Add it under `archives:`."
        yield Complaint(scalar.origin, f"there is no archive `{scalar.shown}`", hint)
    elif is_database and known.archives[name] == "jsonl.zst":
        what = f"archive `{name}` writes jsonl.zst, but these records are rows, which keep their types only in Parquet"
        yield Complaint(scalar.origin, what, f"Give `{name}` the format `auto` or `parquet`.")


def _unarchived(entry: Entry, dataset: Mapped) -> Iterator[Complaint]:
    if dataset.entry("archive") or _has_slip(dataset, "archive", keys_of(DatasetShape)):
        return
    for section in sections(dataset):
        if section.entry is not None and _has_archive(section.node):
            continue
        for period, owner in _periods(section):
            if not is_word(period, "forever") and not owner.entry("archive"):
                what = f"nothing says where these records of `{entry.key}` are archived"
                yield Complaint(period.origin, what, _WAIVER_HINT)
                return


def _has_archive(tenant: Mapped) -> bool:
    return tenant.entry("archive") is not None or _has_slip(tenant, "archive", keys_of(TenantShape))


def _without_allowance(dataset: Mapped) -> Iterator[Complaint]:
    if any(is_word(word, _NO_TIME) for word in items(dataset.get("allow"))):
        return
    for period in (period for section in sections(dataset) for period, _ in _periods(section)):
        if is_word(period, _NO_TIME):
            what = "`no time` removes records of any age"
            yield Complaint(period.origin, what, "If that is meant, add `allow: [no time]` to the dataset.")


def _bad_rules(dataset: Mapped) -> Iterator[Complaint]:
    for rule in (rule for section in sections(dataset) for rule in section.rules):
        own = [entry for entry in rule.entries if entry.key not in keys_of(RuleShape)]
        yield from bad_fields(own, keys_of(RuleShape)[1:])
        yield from idle_last(rule, keeps_forever=is_word(rule.get("for"), "forever"))


def _missing_roles(dataset: Mapped) -> Iterator[Complaint]:
    for scalar in items(dataset.get("require")):
        if isinstance(scalar, Scalar) and scalar.value in ROLES and not dataset.entry(str(scalar.value)):
            what = f"`require`: the dataset does not say which field holds the {scalar.value}"
            yield Complaint(scalar.origin, what, f"Add `{scalar.value}: COLUMN` to the dataset.")


def _bad_table(entry: Entry, dataset: Mapped, address: Address) -> Iterator[Complaint]:
    table = dataset.entry("table")
    writers = dataset.entry("writers")
    if address.is_database and table is None and not _has_slip(dataset, "table", keys_of(DatasetShape)):
        what = f"`table` is missing in `{entry.key}`: {address.shown} is a database"
        yield Complaint(entry.origin, what, "Add `table:`.")
    if not address.is_database and table is not None:
        what = f"`table` means nothing here: {address.shown} is a set of log files"
        yield Complaint(table.origin, what, "Remove it, or write a database's URL, like `sqlite:///logs.db`.")
    if address.is_database and writers is not None:
        what = f"`writers` means nothing here: {address.shown} is a database"
        yield Complaint(writers.origin, what, "Remove it; it is for log files.")


def _bad_crlf(dataset: Mapped, address: Address) -> Iterator[Complaint]:
    for word in items(dataset.get("allow")) if address.is_database else ():
        if is_word(word, CRLF):
            what = f"`allow: [crlf]` means nothing here: {address.shown} is a database"
            yield Complaint(word.origin, what, "Remove it; it is for log files.")


def _has_slip(dataset: Mapped, key: str, known: Collection[str]) -> bool:
    return any(nearest(entry.key, known) == key for entry in children(dataset) if entry.key not in known)


def _bad_pace(dataset: Mapped, address: Address) -> Iterator[Complaint]:
    pace = dataset.get("pace")
    query = pace.entry("pause while") if isinstance(pace, Mapped) else None
    if query is not None and not address.is_database and not is_word(query.node, NEVER):
        yield Complaint(query.origin, "`pause while` is for databases: text logs answer no query", "Leave it out.")


def _bad_files(dataset: Mapped, address: Address) -> Iterator[Complaint]:
    files = dataset.entry("files")
    if files is not None and not address.is_database:
        what = f"`files` means nothing here: {address.shown} is a set of log files"
        yield Complaint(files.origin, what, "Remove it; it is for the files that rows of a database name.")


def _bad_empty_time(dataset: Mapped, address: Address) -> Iterator[Complaint]:
    empty = dataset.entry("empty time")
    if empty is not None and is_word(empty.node, "oldest") and not address.full.startswith(_READS_EMPTY_TIMES):
        what = f"`empty time: oldest` means nothing here: in {address.shown} an empty time is doubtful"
        yield Complaint(empty.origin, what, "Remove it; only PostgreSQL's tables can have it.")


def _bad_zone(dataset: Mapped, address: Address) -> Iterator[Complaint]:
    zone = dataset.entry("time zone")
    is_deaf = address.is_database and not address.full.startswith(_REQUIRES_ZONES)
    if zone is not None and is_deaf and is_word(zone.node, REQUIRED):
        what = f"`time zone: required` means nothing here: {address.shown} cannot tell times with a zone from others"
        yield Complaint(zone.origin, what, "Name the zone that its times are meant in, like Europe/Paris.")
