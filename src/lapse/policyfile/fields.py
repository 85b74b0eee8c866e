"""The field keys of rules and scopes: what they may be called, and the `Match` they make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from pydantic_core import PydanticCustomError

from lapse.errors import Complaint
from lapse.model.match import Condition, Glob, Match
from lapse.policyfile.tree import Entry
from lapse.policyfile.wanted import RangeShape, WantedShape
from lapse.policyfile.words import nearest, record_field

ROLES = ("type", "subtype", "tenant", "actor")
_SUSPICIOUS = 0.81  # likeness from which a field's name is more likely a word of the policy, misspelt


def match_of(fields: Mapping[str, object] | None, columns: Mapping[str, str]) -> Match:
    """The conditions that the field keys of a rule or scope make.

    Arguments:
        fields: Values by key, as the shapes carry them.
        columns: What a role stands for; every other key is a field itself.
    """
    return Match(tuple(_condition(word, value, columns) for word, value in (fields or {}).items()))


def _condition(word: str, value: object, columns: Mapping[str, str]) -> Condition:
    if isinstance(value, str):  # as most are, of very many
        return Condition(field=columns.get(word) or record_field(word), values=(value,), role=word)
    inner = value.not_ if isinstance(value, WantedShape) else None
    wanted = value if inner is None else inner
    listed = wanted if isinstance(wanted, list) else [wanted]
    return Condition(
        field=columns.get(word) or record_field(word),
        values=tuple(dict.fromkeys(each for each in listed if isinstance(each, str))),
        globs=tuple(dict.fromkeys(each for each in listed if isinstance(each, Glob))),
        role=word,
        ranges=tuple(dict.fromkeys(each.checked() for each in listed if isinstance(each, RangeShape))),
        negated=inner is not None,
    )


def bad_fields(entries: Iterable[Entry], reserved: Collection[str]) -> Iterator[Complaint]:
    """Field keys that cannot be meant.

    A word of the policy with a slip in it would be a field that no record has, and so a rule or hold that matches
    nothing; it is refused, and ``$.word`` says that the field is really called so.

    Arguments:
        entries: The field keys, reserved words left out.
        reserved: The words that mean something else here.
    """
    for entry in entries:
        if entry.key in ROLES:
            continue
        near = _meant(entry.key, [*ROLES, *reserved])
        if near is not None:
            hint = f"Did you mean `{near}`? If the field is really called so, write `$.{entry.key}`."
            yield Complaint(entry.origin, f"unknown key `{entry.key}`", hint)
            continue
        try:
            record_field(entry.key)
        except PydanticCustomError as error:
            context = error.context or {}
            yield Complaint(entry.origin, f"unknown key: {context['what']}", context["hint"])


def _meant(key: str, words: list[str]) -> str | None:
    if key.startswith("$"):
        return None
    swapped = (word for word in words if sorted(word) == sorted(key.lower()))
    return nearest(key, words, _SUSPICIOUS) or next(swapped, None)
