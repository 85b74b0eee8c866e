"""What a field of a record must be: a value, a range, a list of these, or anything but that."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema, model_validator
from pydantic.config import JsonDict

from lapse.errors import PolicyError
from lapse.model.match import Glob, Range, text_of
from lapse.model.ranges import MOST
from lapse.policyfile.words import GLOB, MANY, ONE, PARTS, SET, STRICT, kind_of, wrong

NOT = "not"
_RANGE_HINT = "A range is of whole numbers, like `{from: 400, to: 499}`."


def wanted(value: Any) -> str | Glob:
    """One thing a field may equal: a text, or a pattern after ``glob:``.

    What begins with ``set:`` stands for the values of a set, and is replaced by them before it gets here; a name that
    is none has a complaint of its own.
    """
    if isinstance(value, float):
        raise wrong(
            f"{kind_of(value)} is a number with a fraction, which is never compared", "Compare a whole number or text."
        )
    found = text_of(value)
    if found is None:
        raise wrong(f"must be a value or a list of values, not {kind_of(value)}")
    for prefix, what, example in ((GLOB, "pattern", "glob:auth.*"), (SET, "name", "set:vip")):
        if found == prefix:
            raise wrong(f"`{prefix}` has no {what} after it", f"Write one, like `{example}`.")
    return Glob(found.removeprefix(GLOB)) if found.startswith(GLOB) else found


def end(value: Any) -> int:
    """One end of a range."""
    if isinstance(value, bool) or not isinstance(value, int):
        quoted = isinstance(value, str) and value.removeprefix("-").isdigit()
        hint = "Write it without quotes." if quoted else _RANGE_HINT
        raise wrong(f"must be a whole number, not {kind_of(value)}", hint)
    return value


_End = Annotated[int, PlainValidator(end), WithJsonSchema({"type": "integer", "minimum": -MOST, "maximum": MOST})]
_Value = Annotated[str | Glob, PlainValidator(wanted), WithJsonSchema({"type": ["string", "integer", "boolean"]})]


class RangeShape(BaseModel):
    """A range of whole numbers, both ends included."""

    model_config = STRICT | ConfigDict(title="Range", json_schema_extra={"minProperties": 1})

    from_: _End | None = Field(default=None, alias="from")
    """The least number. Without it, there is no least."""

    to: _End | None = None
    """The largest number. Without it, there is no largest."""

    @model_validator(mode="before")
    @classmethod
    def _no_not(cls, value: Any) -> Any:
        if isinstance(value, dict) and NOT in value and "not_" not in cls.model_fields:
            raise wrong("`not` cannot stand in a list or in another `not`", "Write it once, around the whole list.")
        return value

    @model_validator(mode="after")
    def _sound(self) -> RangeShape:
        self.checked()
        return self

    def checked(self) -> Range:
        """The range that it is."""
        try:
            return Range(self.from_, self.to)
        except PolicyError as error:
            raise wrong(error.message, error.hint) from error


def _form(value: Any) -> str:
    if isinstance(value, list):
        return MANY
    return PARTS if isinstance(value, (dict, BaseModel)) else ONE


def _item_form(value: Any) -> str:
    return PARTS if isinstance(value, (dict, BaseModel)) else ONE


_Item: TypeAlias = Annotated[Annotated[_Value, Tag(ONE)] | Annotated[RangeShape, Tag(PARTS)], Discriminator(_item_form)]
SetValues: TypeAlias = Annotated[list[_Item], Field(min_length=1)]
"""The values of a set."""

_Listed = Annotated[SetValues, Tag(MANY)]
_Plain: TypeAlias = Annotated[
    Annotated[_Value, Tag(ONE)] | _Listed | Annotated[RangeShape, Tag(PARTS)], Discriminator(_form)
]


_ONE_OF_TWO: JsonDict = {
    "minProperties": 1,
    "oneOf": [{"required": [NOT], "maxProperties": 1}, {"not": {"required": [NOT]}}],
}


class WantedShape(RangeShape):
    """A range of whole numbers, or anything but some values."""

    model_config = STRICT | ConfigDict(title="Wanted", json_schema_extra=_ONE_OF_TWO)

    not_: _Plain | None = Field(default=None, alias="not")
    """A value, a range or a list of these that the record must not have. One without the field has none of them."""

    @model_validator(mode="after")
    def _sound(self) -> WantedShape:
        if self.not_ is None:
            self.checked()
        elif self.from_ is not None or self.to is not None:
            raise wrong("`not` and a range say two things", "Put the range inside: `{not: {from: 400, to: 499}}`.")
        return self


WantedValues: TypeAlias = Annotated[
    Annotated[_Value, Tag(ONE)] | _Listed | Annotated[WantedShape, Tag(PARTS)], Discriminator(_form)
]
