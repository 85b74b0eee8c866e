"""The work of a drop-in's command, whichever way it was called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lapse.cli.output import print_log_line
from lapse.cli.stopping import stopping
from lapse.cli.views.mxcp import MxcpView
from lapse.dialects.mxcp.cleanup import Order, cleanup
from lapse.dialects.mxcp.wording import BEGINNING, cleanup_lines, cleanup_object

if TYPE_CHECKING:
    from lapse.ports import Hook


def clean(
    *,
    silent: bool,
    dry: bool,
    profile: str | None,
    archive: str | None,
    ledger: str | None,
    hooks: Sequence[Hook] = (),
) -> MxcpView:
    """Clean an audit trail up.

    Arguments:
        silent: Whether nothing is said before the answer.
        dry: Whether to look only.
        profile: The profile. None leaves it to the environment and the site file.
        archive: Address of the archive where records go first. None removes them without a copy.
        ledger: Folder of the ledger. None keeps it in the state folder.
        hooks: Who watches.

    Raises:
        LapseError: If it could not begin: nothing was removed.
    """

    def begin() -> None:
        if not silent:
            print_log_line(BEGINNING[dry], on_stderr=False)

    with stopping() as asked:
        order = Order(
            profile=profile, dry=dry, archive=archive, ledger=ledger, hooks=hooks, stopping=asked, beginning=begin
        )
        done = cleanup(order)
    return MxcpView(
        lines=tuple(cleanup_lines(done)),
        document=lambda form: cleanup_object(done, form),
        warnings=done.warnings,
        trouble=done.trouble,
    )
