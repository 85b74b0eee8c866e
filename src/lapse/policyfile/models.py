"""The shape of a policy file: every key, what it may hold, and what it means.

The texts below the keys are the descriptions in the published JSON Schema.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Tag

from lapse.instant import rfc3339
from lapse.model.policy import DOUBT_BEFORE_DEFAULT
from lapse.policyfile import words
from lapse.policyfile.guards import RAMP, DatasetGuardsShape, GuardsShape, TenantLimitShape
from lapse.policyfile.newest import KeepLast
from lapse.policyfile.rotation import Amount, ReopenShape, RotateShape
from lapse.policyfile.unattended import NotifyShape, ScheduleShape
from lapse.policyfile.wanted import RangeShape, SetValues, WantedShape, WantedValues

_STRICT = words.STRICT
_ONE_TENANT = {"pattern": r"\S", "not": {"pattern": "^(glob|set):"}}
_DOUBT_BEFORE = rfc3339(DOUBT_BEFORE_DEFAULT).removesuffix("T00:00:00Z")
_PACE = {"transaction": "1 s", "rows per second": "none", "rest": "auto", "max lag": "10 s", "pause while": words.NEVER}


class ArchiveShape(BaseModel):
    """A place where segments go before their records are removed."""

    model_config = _STRICT | ConfigDict(title="Archive")

    to: words.Address
    """Folder, `file:///…` or `s3://…`. Relative folders start at the policy. May hold `${NAME}` or be `file:PATH`."""

    format: words.SegmentFormat = "auto"
    """`parquet` for rows; text logs are always `jsonl.zst`, their lines byte for byte. `auto` says just that."""

    keep: words.PeriodText | None = None
    """How long its segments are kept, counted from their newest record. Without it, forever."""


class RuleShape(BaseModel):
    """How long some records are kept. Every other key is a field that the records must have that value in: a role
    (`type`, `subtype`, `tenant`, `actor`), a column or top-level key, or a path into JSON such as `$.detail.user`.
    """

    model_config = _STRICT | ConfigDict(title="Rule", extra="allow")
    __pydantic_extra__: dict[str, WantedValues]

    for_: words.PeriodText = Field(alias="for")
    """How long the records are kept: a period with its unit, or `forever`."""

    archive: words.ArchiveNames | None = None
    """Archives that must all hold a record before it goes, instead of the dataset's. `none` is a waiver."""

    derived: Annotated[list[words.Text], Field(min_length=1)] | None = None
    """What is made of its records, instead of what the dataset says: see there."""

    keep_last: KeepLast | None = Field(default=None, alias="keep last")
    """How many of the newest records stay whatever their age: `5 per device_id` of each device, `5` of all that the
    rule decides about. Those of the same time as the last of them stay, too."""


def _without_tenant(schema: dict[str, Any]) -> None:
    why = "Not here: the section says whose rule it is."
    schema["properties"]["tenant"] = {"title": "Tenant", "description": why, "not": {}}


class TenantRuleShape(RuleShape):
    """A rule of one tenant: as any other, but for the field `tenant`."""

    model_config = _STRICT | ConfigDict(title="Tenant rule", extra="allow", json_schema_extra=_without_tenant)


class TenantShape(BaseModel):
    """The rules of one tenant, by its exact name. They are asked before those of the dataset's own `keep`."""

    model_config = _STRICT | ConfigDict(title="Tenant")

    keep: Annotated[
        Annotated[words.PeriodText, Tag(words.ONE)]
        | Annotated[list[TenantRuleShape], Field(min_length=1), Tag(words.MANY)],
        words.ONE_OR_LIST,
    ]
    """A retention period, or rules of which the first that matches decides. What none of them matches goes by the
    dataset's own `keep`."""

    archive: words.ArchiveNames | None = None
    """Archives that must all hold a record of this tenant before it goes, instead of the dataset's."""


class PaceShape(BaseModel):
    """How gently runs treat the stores. It never decides what goes, only when."""

    model_config = _STRICT | ConfigDict(title="Pace")

    transaction: words.Transaction | None = None
    """How long one transaction should last at most. Without it, `1 s`."""

    rows_per_second: words.Rate | None = Field(default=None, alias="rows per second")
    """Records removed a second at most, on average. Without it, `none`: as fast as it goes."""

    rest: words.Rest | None = None
    """Share of the time in which a run rests. Without it, `auto`: nine tenths of it while others are busy."""

    max_lag: words.Lag | None = Field(default=None, alias="max lag")
    """The run waits while a replica is further behind, or does not answer. Without it, `10 s`; `none` asks none."""

    pause_while: words.Query | None = Field(default=None, alias="pause while")
    """Query in the store's own language: the run waits while its first value is true or not zero. Without it,
    `never`."""


class DatasetPaceShape(PaceShape):
    """How gently runs treat one dataset. What is left out is as the policy's own `pace` says."""

    model_config = _STRICT | ConfigDict(title="Dataset pace")


class FilesShape(BaseModel):
    """Files that go after the rows that name them, once these are committed. They are removed without a copy."""

    model_config = _STRICT | ConfigDict(title="Files")

    column: words.Text
    """Column that holds the path, absolute or relative to `under`; `table.column` for a table whose rows go along."""

    under: words.Address
    """The only folder below which a file is ever removed. Relative folders start at the policy. May hold `${NAME}`."""

    ending: words.Ending | None = None
    """What the name of a file must end in to be removed, like `.wav`. With it, `under` may be `/`."""


class DatasetShape(BaseModel):
    """One body of records: a table, or a set of log files."""

    model_config = _STRICT | ConfigDict(title="Dataset")

    store: words.Address
    """Where it is: `sqlite:///relative.db`, `sqlite:////absolute.db`, `duckdb:///…`, another database's URL, or the
    path or glob of text logs. Relative paths start at the policy. May hold `${NAME}` or be `file:PATH`."""

    table: words.Text | None = None
    """The table, for databases only."""

    time: words.RecordField
    """Column or key of the record's time."""

    time_format: words.FormatWord = Field(default="auto", alias="time format")
    """How the time is written, where its type does not say."""

    type: words.RecordField | None = None
    """Column or key of the record's type: its action, event or schema."""

    subtype: words.RecordField | None = None
    """Column or key of what the type is divided into."""

    tenant: words.RecordField | None = None
    """Column or key of the record's tenant."""

    actor: words.RecordField | None = None
    """Column or key of who caused the record: a user or a service."""

    key: words.RecordField | None = None
    """Column or key that names a record, for `lapse why`. Without it, the store's own."""

    time_zone: words.ZoneOrRequired | None = Field(default=None, alias="time zone")
    """Time zone of times that carry none. Without it those of databases are read as UTC, and reported; those of log
    files are doubtful, so that they are kept. `required` takes them for doubtful in SQLite and PostgreSQL, too."""

    keep: (
        Annotated[
            Annotated[words.PeriodText, Tag(words.ONE)]
            | Annotated[list[RuleShape], Field(min_length=1), Tag(words.MANY)],
            words.ONE_OR_LIST,
        ]
        | None
    ) = None
    """A retention period, or rules of which the first that matches decides. Without it, everything is kept."""

    tenants: Annotated[dict[str, TenantShape], Field(json_schema_extra={"propertyNames": _ONE_TENANT})] = Field(
        default_factory=dict
    )
    """Rules of single tenants, by the tenant's exact name; they come before those of `keep`. Needs `tenant`."""

    archive: words.ArchiveNames | None = None
    """Archives that must all hold a record before it goes. `none` removes without a copy."""

    derived: Annotated[list[words.Text], Field(min_length=1)] | None = None
    """Names of what is made of its records elsewhere, such as daily totals. A run is refused as long as
    `lapse refreshed` has not said that they hold everything that may go."""

    expect: words.Text | None = None
    """Fingerprint of the store this policy was written for. Without it the first one seen is pinned."""

    require: Annotated[list[words.RecordField], Field(min_length=1)] | None = None
    """Fields, or roles such as `type` and `tenant`, without which a record is doubtful, and kept."""

    allow: list[words.Allowed] | None = None
    """What is meant, though it could be a slip: `no time` lets a rule remove records of any age, `crlf` lets lines of
    log files that end in CR LF be judged as others are. Without that such a line is doubtful, and kept."""

    doubt_before: words.DoubtText = Field(
        default=words.DoubtBefore(DOUBT_BEFORE_DEFAULT),
        alias="doubt before",
        json_schema_extra={"default": _DOUBT_BEFORE},
    )
    """Earlier record times are taken for errors, and kept. `never` believes them all."""

    empty_time: words.EmptyTime | None = Field(default=None, alias="empty time")
    """What an empty text as time is, for PostgreSQL: `oldest` is the oldest time that is believed, so that the rules
    decide. Without it, `doubtful`: it is kept."""

    writers: words.Writers | None = None
    """A promise where Lapse cannot see who writes to these log files: `none` that nothing does, `append-only` that
    whoever does opens them with `O_APPEND`, so that lines may go from under it."""

    reopen: ReopenShape | None = None
    """How a writer of these log files is told to open them anew, once a file has taken the place of the old one."""

    rotate: RotateShape | None = None
    """When the log that a writer appends to is set aside under another name, and a new one begun. Without it, that is
    left to others."""

    warn_at: Amount | None = Field(default=None, alias="warn at")
    """Size of all these log files from which `lapse status` and runs warn, like `1 GB`."""

    pace: DatasetPaceShape = Field(default_factory=DatasetPaceShape)
    """How gently runs treat it, where that differs from the policy's own `pace`."""

    guards: DatasetGuardsShape | None = None
    """Limits of a run on it, where they differ from the policy's own `guards`."""

    files: FilesShape | None = None
    """Files that belong to the rows, for PostgreSQL: removed after the commit that removes their rows."""


class ScopeShape(BaseModel):
    """Which records. Every key but `dataset` is a field, as in a rule."""

    model_config = _STRICT | ConfigDict(title="Scope", extra="allow", json_schema_extra={"minProperties": 1})
    __pydantic_extra__: dict[str, WantedValues]

    dataset: words.Text | None = None
    """Only records of this dataset."""


Scope = Annotated[
    Annotated[words.Everything, Tag(words.ONE)] | Annotated[ScopeShape, Tag(words.MANY)], words.ONE_OR_PARTS
]


class FloorShape(BaseModel):
    """A minimum period from a law or contract. It only lengthens."""

    model_config = _STRICT | ConfigDict(title="Floor")

    match: Scope
    """Which records; `all` for all."""

    at_least: words.PeriodText = Field(alias="at least")
    """The shortest time they are kept."""

    because: words.Text
    """The law, standard or contract, shown in every reason."""


class HoldShape(BaseModel):
    """An order to keep records, whatever a rule says."""

    model_config = _STRICT | ConfigDict(title="Hold")

    matter: words.Text
    """Case reference; names the hold in every report."""

    match: Scope
    """Which records; `all` for all."""

    keys: Annotated[list[words.Text], Field(min_length=1)] | None = None
    """Holds only the records of these keys, as `lapse why` takes them. Then `match` names the dataset."""

    reason: words.Text | None = None
    """Why, for people."""

    since: words.Moment | None = None
    """First instant at which the order applies. A date is its first instant in UTC."""

    until: words.Moment | None = None
    """First instant at which it no longer applies. Leave it out while the hold is open."""

    records_from: words.Moment | None = Field(default=None, alias="records from")
    """Holds only records of this time or later."""

    records_before: words.Moment | None = Field(default=None, alias="records before")
    """Holds only records earlier than this."""


class PolicyShape(BaseModel):
    """How long each kind of record is kept, and where it goes then."""

    model_config = _STRICT | ConfigDict(title="Lapse policy")

    version: words.Version
    """Version of this form of policy: 1."""

    ledger: words.Address | None = None
    """Folder of the ledger. Without it, it lies in the state folder."""

    archives: dict[str, ArchiveShape] = Field(default_factory=dict)
    """Places where segments go, by name."""

    datasets: dict[str, DatasetShape] = Field(default_factory=dict)
    """Bodies of records, by name."""

    sets: dict[str, SetValues] = Field(default_factory=dict)
    """Named lists of values: `set:NAME` stands for them wherever a field's value may stand."""

    floors: list[FloorShape] = Field(default_factory=list)
    """Minimum periods from laws and contracts."""

    holds: list[HoldShape] = Field(default_factory=list)
    """Legal holds. More of them may lie in `holds/` beside the policy."""

    guards: GuardsShape = Field(default_factory=GuardsShape)
    """Limits of a run."""

    pace: PaceShape = Field(default_factory=PaceShape)
    """How gently runs treat the stores."""

    schedule: ScheduleShape | None = None
    """When runs are to happen, for `lapse schedule`, `lapse daemon` and `lapse status`. Without it, nobody says."""

    notify: NotifyShape = Field(default_factory=NotifyShape)
    """Programs that are told how a run ended."""


_SHAPES: dict[tuple[str, ...], type[BaseModel]] = {
    (): PolicyShape,
    ("guards",): GuardsShape,
    ("guards", "tenants"): TenantLimitShape,
    ("pace",): PaceShape,
    ("schedule",): ScheduleShape,
    ("notify",): NotifyShape,
    ("archives", "*"): ArchiveShape,
    ("datasets", "*"): DatasetShape,
    ("datasets", "*", "pace"): DatasetPaceShape,
    ("datasets", "*", "guards"): DatasetGuardsShape,
    ("datasets", "*", "guards", "tenants"): TenantLimitShape,
    ("datasets", "*", "files"): FilesShape,
    ("datasets", "*", "rotate"): RotateShape,
    ("datasets", "*", "reopen"): ReopenShape,
    ("datasets", "*", "keep", "#"): RuleShape,
    ("datasets", "*", "tenants", "*"): TenantShape,
    ("datasets", "*", "tenants", "*", "keep", "#"): RuleShape,
    ("floors", "#"): FloorShape,
    ("holds", "#"): HoldShape,
    ("floors", "#", "match"): ScopeShape,
    ("holds", "#", "match"): ScopeShape,
}
"""The model of every mapping, by its path; ``*`` is any name, ``#`` any position."""


def shape_at(path: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The model that describes the mapping at *path* of a policy. None where any name may stand."""
    steps = ["#" if isinstance(step, int) else step for step in path]
    if len(steps) > 1 and steps[0] in ("archives", "datasets"):
        steps[1] = "*"
    if len(steps) > 3 and steps[2] == "tenants":
        steps[3] = "*"
    return _SHAPES.get(tuple(steps)) or _wanted_at(steps)


def _wanted_at(steps: list[str]) -> type[BaseModel] | None:
    """The model of a mapping that says what a field must be, or of one inside it."""
    if len(steps) == 3 and steps[0] == "sets":
        return RangeShape
    for length in range(len(steps)):
        if _SHAPES.get(tuple(steps[:length])) in (RuleShape, ScopeShape):
            return WantedShape if length == len(steps) - 1 else RangeShape
    return None


@cache
def keys_of(shape: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a model as a policy spells them."""
    return tuple(info.alias or name for name, info in shape.model_fields.items())


def default_texts(shape: type[BaseModel]) -> dict[str, str]:
    """The defaults that mean something when nobody writes the key, as a policy would spell them."""
    if shape is PaceShape:
        return dict(_PACE)
    if shape is GuardsShape:
        return {"ramp": str(RAMP)}
    fields = {info.alias or name: info for name, info in shape.model_fields.items()}
    texts = {key: info.default for key, info in fields.items() if isinstance(info.default, str)}
    return texts | ({"doubt before": _DOUBT_BEFORE} if shape is DatasetShape else {})
