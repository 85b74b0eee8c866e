"""Accepting a changed store: pin its new fingerprint, and say so in the ledger."""

from __future__ import annotations

from lapse.engine.blaming import blaming
from lapse.engine.checkpointing import check_anchor
from lapse.engine.session import Session
from lapse.errors import UsageError
from lapse.model.ledger_entry import EntryKind
from lapse.state.pins import Pins


def trust(session: Session, name: str) -> str:
    """Pin the present fingerprint of a dataset's store.

    Returns:
        The fingerprint.

    Raises:
        UsageError: If the policy pins one itself with ``expect:``.
    """
    (dataset,) = session.datasets([name])
    check_anchor(session)
    with blaming(dataset), session.reading(dataset) as store:
        found = store.identity().fingerprint.text
    if dataset.expect is not None and dataset.expect != found:
        raise UsageError(
            f"{name}: the policy itself expects {dataset.expect}, but the store is {found}",
            hint="Put the new fingerprint into `expect:`, or take `expect:` out.",
            origin=dataset.origin("expect"),
        )
    pins = Pins(session.folders.root)
    body = {"dataset": name, "before": pins.pinned(session.state_name(name)), "after": found}
    session.writable_ledger.append(EntryKind.TRUST, body, at=session.real_now)
    pins.pin(session.state_name(name), found)
    return found
