"""What is decided of each row, sent behind its columns: no more than cannot be told from these."""

from __future__ import annotations

from dataclasses import dataclass

from lapse.sqlcore.fragments import Fragment
from lapse.stores.postgresql.encoding import Decided, Shape
from lapse.stores.postgresql.judging import Judge


@dataclass(frozen=True, slots=True)
class Decision:
    """How to ask for what is decided, and how to read it.

    Attributes:
        select: What follows a shape's select list.
        sent: What comes.
    """

    select: Fragment
    sent: Decided


def decision(judge: Judge, shape: Shape) -> Decision:
    """What to ask for besides the columns of *shape*.

    To compute nanoseconds costs the server as much as eight columns; timestamps are converted here.
    """
    name = judge.timestamp
    sent = Decided(
        tenant=judge.selection.dataset.tenant is not None,
        timestamp=name if name is not None and shape.is_timestamp(name) else None,
    )
    select = ", " + judge.code + " AS lapse_code"
    if sent.tenant:
        select += ", " + judge.tenant + " AS lapse_tenant"
    if sent.timestamp is None:
        select += f", {judge.instant} AS lapse_instant"
    return Decision(select, sent)
