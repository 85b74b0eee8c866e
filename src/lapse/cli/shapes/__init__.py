"""The JSON that ``--json`` prints: one envelope for every command, and what stands in its ``result``.

These classes are the documented form; docs/reference/output.schema.json is generated from them. Instants are
RFC 3339 in UTC with up to nine fraction digits, sizes are bytes, and what has no value is null.
"""

from __future__ import annotations

from collections.abc import Mapping

from lapse.cli.shapes.answers import (
    DemoCommand,
    DemoResult,
    PacedDataset,
    PaceResult,
    RefreshedResult,
    TrustResult,
    VersionResult,
)
from lapse.cli.shapes.archives import (
    ArchiveListResult,
    ArchiveQueryResult,
    ArchiveRestoreResult,
    ArchiveVerifyResult,
    RestoredSegment,
    SegmentShown,
)
from lapse.cli.shapes.dropins import ForeignPurge, XivoPolicyResult, XivoPurgeResult, XivoScheduleResult
from lapse.cli.shapes.envelope import Complaint, Envelope, Failure
from lapse.cli.shapes.holds import Condition, HoldAddResult, HoldListResult, HoldReleaseResult, HoldShown, Range
from lapse.cli.shapes.ledgers import LedgerAdoptResult, LedgerLine, LedgerProblem, LedgerShowResult, LedgerVerifyResult
from lapse.cli.shapes.plans import (
    CanaryShown,
    PlannedDataset,
    PlannedGroup,
    PlanResult,
    RefusingGuard,
    RotationStep,
    RunDataset,
    RunResult,
    Trouble,
)
from lapse.cli.shapes.policies import (
    CheckedDataset,
    CheckedRecords,
    CheckedRule,
    CheckResult,
    EffectiveResult,
    EffectiveValue,
    FloorShown,
    Found,
    GuardsShown,
    IdleSelector,
    InitResult,
    SchemaResult,
)
from lapse.cli.shapes.reclaims import ReclaimDataset, ReclaimResult
from lapse.cli.shapes.rotations import RotatedDataset, RotateResult
from lapse.cli.shapes.schedules import DaemonResult, ScheduleResult, ScheduleUnit
from lapse.cli.shapes.statuses import (
    StatusDataset,
    StatusDrift,
    StatusMeasured,
    StatusOverdue,
    StatusProblem,
    StatusResult,
    StatusRun,
)
from lapse.cli.shapes.whys import Explained, WhyCause, WhyClock, WhyDisposal, WhyListing, WhyNotResult, WhyResult

RESULTS: Mapping[str, tuple[type, ...]] = {
    "init": (InitResult,),
    "check": (CheckResult, EffectiveResult, SchemaResult),
    "plan": (PlanResult,),
    "run": (RunResult,),
    "pace": (PaceResult,),
    "reclaim": (ReclaimResult,),
    "rotate": (RotateResult,),
    "why": (WhyResult, WhyListing, WhyNotResult),
    "status": (StatusResult,),
    "schedule": (ScheduleResult,),
    "daemon": (DaemonResult,),
    "hold add": (HoldAddResult,),
    "hold release": (HoldReleaseResult,),
    "hold list": (HoldListResult,),
    "archive list": (ArchiveListResult,),
    "archive verify": (ArchiveVerifyResult,),
    "archive restore": (ArchiveRestoreResult,),
    "archive query": (ArchiveQueryResult,),
    "ledger show": (LedgerShowResult,),
    "ledger verify": (LedgerVerifyResult,),
    "ledger adopt": (LedgerAdoptResult,),
    "trust": (TrustResult,),
    "refreshed": (RefreshedResult,),
    "demo": (DemoResult,),
    "as xivo-purge-db": (XivoPurgeResult,),
    "as xivo-purge-db policy": (XivoPolicyResult,),
    "as xivo-purge-db schedule": (XivoScheduleResult,),
    "as xivo-purge-db trust": (TrustResult,),
    "": (VersionResult,),
}
"""The classes that `result` can be of, by command."""

__all__ = [
    "RESULTS",
    "ArchiveListResult",
    "ArchiveQueryResult",
    "ArchiveRestoreResult",
    "ArchiveVerifyResult",
    "CanaryShown",
    "CheckResult",
    "CheckedDataset",
    "CheckedRecords",
    "CheckedRule",
    "Complaint",
    "Condition",
    "DaemonResult",
    "DemoCommand",
    "DemoResult",
    "EffectiveResult",
    "EffectiveValue",
    "Envelope",
    "Explained",
    "Failure",
    "FloorShown",
    "ForeignPurge",
    "Found",
    "GuardsShown",
    "HoldAddResult",
    "HoldListResult",
    "HoldReleaseResult",
    "HoldShown",
    "IdleSelector",
    "InitResult",
    "LedgerAdoptResult",
    "LedgerLine",
    "LedgerProblem",
    "LedgerShowResult",
    "LedgerVerifyResult",
    "PaceResult",
    "PacedDataset",
    "PlanResult",
    "PlannedDataset",
    "PlannedGroup",
    "Range",
    "ReclaimDataset",
    "ReclaimResult",
    "RefreshedResult",
    "RefusingGuard",
    "RestoredSegment",
    "RotateResult",
    "RotatedDataset",
    "RotationStep",
    "RunDataset",
    "RunResult",
    "ScheduleResult",
    "ScheduleUnit",
    "SchemaResult",
    "SegmentShown",
    "StatusDataset",
    "StatusDrift",
    "StatusMeasured",
    "StatusOverdue",
    "StatusProblem",
    "StatusResult",
    "StatusRun",
    "Trouble",
    "TrustResult",
    "VersionResult",
    "WhyCause",
    "WhyClock",
    "WhyDisposal",
    "WhyListing",
    "WhyNotResult",
    "WhyResult",
    "XivoPolicyResult",
    "XivoPurgeResult",
    "XivoScheduleResult",
]
