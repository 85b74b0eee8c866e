"""A `Policy` as the text of a ``lapse.yaml`` that means the same, without the secrets in its addresses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from lapse.instant import rfc3339
from lapse.model.files import RowFiles
from lapse.model.masking import masked
from lapse.model.match import Condition, Range
from lapse.model.period import Kind
from lapse.model.policy import DOUBT_BEFORE_DEFAULT, Archive, Dataset, Policy, Rule, TimeFormat
from lapse.policyfile.secrets import escaped

_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n|none)$)[A-Za-z_/.][\w./-]*( [\w/+-]+)*", re.ASCII | re.I)


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy as text.

    Attributes:
        text: The text of a ``lapse.yaml``.
        variables: The environment variables that its addresses need, with what each must hold, in words.
    """

    text: str
    variables: Mapping[str, str]


def policy_text(policy: Policy, *, head: Sequence[str], variable: str) -> PolicyText:
    """Write *policy* down. What it says of floors, holds, guards and pace is left out: drop-ins have none of them.

    Arguments:
        policy: The policy.
        head: Comment lines to begin with.
        variable: How the variables begin that stand for the secrets in addresses.
    """
    variables: dict[str, str] = {}
    addresses: dict[str, str] = {}
    lines = [*(f"# {line}".rstrip() for line in head), "version: 1"]
    if policy.ledger is not None:
        lines.append(f"ledger: {_word(escaped(policy.ledger))}")
    if policy.archives:
        lines += ["archives:", *(f"  {line}" for each in policy.archives.values() for line in _archive(each))]
    lines.append("datasets:" if policy.datasets else "datasets: {}")
    for dataset in policy.datasets.values():
        if dataset.store not in addresses:
            addresses[dataset.store] = _address(dataset.store, variable, variables)
        address = addresses[dataset.store]
        lines += [f"  {dataset.name}:", *(f"    {line}" for line in _dataset(dataset, address))]
    return PolicyText("\n".join(lines) + "\n", variables)


def _archive(archive: Archive) -> Iterator[str]:
    yield f"{archive.name}: {{to: {_word(escaped(archive.to))}}}"


def _dataset(dataset: Dataset, address: str) -> Iterator[str]:
    yield f"store: {_word(address)}"
    keys = {
        "table": dataset.table,
        "time": dataset.time,
        "time format": None if dataset.time_format is TimeFormat.AUTO else dataset.time_format.value,
        "time zone": "required" if dataset.zone_required else dataset.zone,
        **dataset.roles,
        "key": dataset.key,
        "expect": dataset.expect,
        "writers": dataset.writers,
    }
    yield from (f"{key}: {_word(value)}" for key, value in keys.items() if value is not None)
    if dataset.require:
        yield f"require: [{', '.join(map(_word, dataset.require))}]"
    if dataset.doubt_before != DOUBT_BEFORE_DEFAULT:
        yield f"doubt before: {'never' if dataset.doubt_before is None else _word(rfc3339(dataset.doubt_before))}"
    if dataset.empty_is_oldest:
        yield "empty time: oldest"
    if allowed := list(_allowed(dataset)):
        yield f"allow: [{', '.join(allowed)}]"
    if dataset.files is not None:
        yield f"files: {{{', '.join(_files(dataset.files))}}}"
    yield from _keep(dataset.rules)


def _allowed(dataset: Dataset) -> Iterator[str]:
    if any(rule.keep.kind is Kind.NO_TIME for rule in dataset.rules):
        yield "no time"
    if dataset.crlf_allowed:
        yield "crlf"


def _files(files: RowFiles) -> Iterator[str]:
    yield f"column: {_quoted(files.column)}"
    yield f"under: {_quoted(escaped(files.under))}"
    if files.ending is not None:
        yield f"ending: {_quoted(files.ending)}"


def _keep(rules: Sequence[Rule]) -> Iterator[str]:
    if not rules:
        return
    yield f"archive: {_destination(rules[0])}"
    if len(rules) == 1 and not rules[0].match.conditions:
        yield f"keep: {_word(rules[0].keep.text)}"
        return
    yield "keep:"
    for rule in rules:
        conditions = [
            f"{condition.role or condition.field}: {_values(condition)}" for condition in rule.match.conditions
        ]
        yield f"  - {{{', '.join([*conditions, f'for: {_word(rule.keep.text)}'])}}}"


def _destination(rule: Rule) -> str:
    """Where all records of a dataset go: a drop-in has one place for them."""
    if rule.waived:
        return "none"
    return rule.archives[0] if len(rule.archives) == 1 else f"[{', '.join(rule.archives)}]"


def _values(condition: Condition) -> str:
    found = [_word(text) for text in (*condition.values, *map(str, condition.globs))]
    found += map(str, condition.numbers)
    found += map(_range, condition.ranges)
    wanted = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
    return f"{{not: {wanted}}}" if condition.negated else wanted


def _range(numbers: Range) -> str:
    ends = (("from", numbers.first), ("to", numbers.last))
    return f"{{{', '.join(f'{key}: {number}' for key, number in ends if number is not None)}}}"


def _address(address: str, variable: str, variables: dict[str, str]) -> str:
    """The address with its password, or all of it, replaced by a variable; secrets do not leave Lapse."""
    if masked(address) == address:
        return escaped(address)
    password = urlsplit(address).password
    user, found, rest = address.partition(f":{password}@")
    if found and masked(f"{user}@{rest}") == f"{user}@{rest}":
        name = _unused(f"{variable}_PASSWORD", variables)
        variables[name] = "the password, as it stands in the address"
        return f"{escaped(user)}:${{{name}}}@{escaped(rest)}"
    name = _unused(f"{variable}_ADDRESS", variables)
    variables[name] = "the address of the database"
    return f"${{{name}}}"


def _unused(name: str, variables: Mapping[str, str]) -> str:
    """The name, with a number where another address has it."""
    names = (name, *(f"{name}_{number}" for number in range(2, len(variables) + 2)))
    return next(each for each in names if each not in variables)


def _quoted(text: str) -> str:
    """The text as it stands in braces, where more signs have a meaning."""
    return json.dumps(text, ensure_ascii=False)


def _word(text: str) -> str:
    """The text as YAML, in quotes unless it is surely text without them; JSON is YAML."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
