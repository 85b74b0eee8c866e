"""The guards of a policy and of its datasets: their shapes, and the limits that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema

from lapse.errors import Complaint
from lapse.model.guards import Guards, Limit
from lapse.policyfile import words
from lapse.policyfile.tree import Mapped

OFF = "off"
RAMP = 1_000
"""Records of the first slice of a new rule, where nobody writes `ramp`."""

ValueT = TypeVar("ValueT", float, int)


@dataclass(frozen=True, slots=True)
class Setting(Generic[ValueT]):
    """A limit that somebody wrote.

    Attributes:
        value: The limit. None for `off`.
    """

    value: ValueT | None


def _or_off(read: Callable[[Any], ValueT]) -> PlainValidator:
    """A reader of a limit, or of the word that takes it away."""
    return PlainValidator(lambda value: Setting(None if value == OFF else read(value)))


_COUNT = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": OFF}]}
_SHARE = {"anyOf": [{"type": "string", "pattern": words.SHARE_PATTERN}, {"const": OFF}]}
ShareLimit = Annotated[Setting[float], _or_off(words.share), WithJsonSchema({**_SHARE, "examples": ["90%", OFF]})]
RowsLimit = Annotated[Setting[int], _or_off(words.count), WithJsonSchema({**_COUNT, "examples": [1_000_000, OFF]})]
RampWord = Annotated[Setting[int], _or_off(words.count), WithJsonSchema({**_COUNT, "examples": [RAMP, OFF]})]


class TenantLimitShape(BaseModel):
    """What may go of any one tenant; over it nothing is removed at all."""

    model_config = words.STRICT | ConfigDict(title="Limits of one tenant")

    share: ShareLimit | None = None
    """Largest share of a tenant's records that may go, like `90%`."""

    rows: RowsLimit | None = None
    """Most records of a tenant that may go."""


class GuardsShape(BaseModel):
    """Limits of a run on each dataset; over one of them nothing is removed."""

    model_config = words.STRICT | ConfigDict(title="Guards")

    share: ShareLimit | None = None
    """Largest share of a dataset that may go, like `90%`. Without it, or with `off`, all but everything."""

    rows: RowsLimit | None = None
    """Most records of a dataset that may go. Without it, or with `off`, any number."""

    tenants: TenantLimitShape | None = None
    """Limits on what may go of any one tenant, in datasets that have tenants."""

    ramp: RampWord | None = None
    """Records of the first slice that a new or changed rule removes; it is checked before the next one, which may be
    twice as large, and so on. Without it, `1000`; `off` begins with slices of the usual size."""


class DatasetGuardsShape(GuardsShape):
    """Limits of a run on one dataset. What is left out is as the policy's own `guards` says."""

    model_config = words.STRICT | ConfigDict(title="Dataset guards")


def guards_of(shape: GuardsShape) -> Guards:
    """The limits that a policy sets for its datasets."""
    return _with(Guards(ramp=RAMP), shape)


def own_guards(general: GuardsShape, own: GuardsShape | None) -> Guards | None:
    """The limits of one dataset. None if it sets none, so that the policy's own hold."""
    return None if own is None else _with(guards_of(general), own)


def _with(guards: Guards, shape: GuardsShape) -> Guards:
    limited = _limited(guards, shape)
    tenants = guards.tenants if shape.tenants is None else _limited(guards.tenants, shape.tenants)
    return replace(limited, tenants=tenants, ramp=guards.ramp if shape.ramp is None else shape.ramp.value)


LimitT = TypeVar("LimitT", bound=Limit)


def _limited(limit: LimitT, shape: GuardsShape | TenantLimitShape) -> LimitT:
    share = limit.share if shape.share is None else shape.share.value
    rows = limit.rows if shape.rows is None else shape.rows.value
    return replace(limit, share=share, rows=rows)


def bad_guards(dataset: Mapped) -> Iterator[Complaint]:
    """Limits of a dataset on tenants that it does not have."""
    guards = dataset.get("guards")
    tenants = guards.entry("tenants") if isinstance(guards, Mapped) else None
    if tenants is not None and dataset.get("tenant") is None:
        what = "`tenants` limits what may go of a tenant, but this dataset names no tenant"
        yield Complaint(tenants.origin, what, "Name the column or key under `tenant:`, or take `tenants` out.")
