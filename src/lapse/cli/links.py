"""Names by which the program is called through a link, each of which stands for a drop-in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lapse.dialects import mxcp, xivo, yuuvis

LINKS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(xivo.NAMES, ("as", xivo.NAMES[0])),
    mxcp.NAME: ("as", mxcp.NAME),
    yuuvis.LINK: ("as", yuuvis.NAME),
}
"""What stands before the arguments when the program is called by one of these names, through a link."""


def called_as(arguments: Sequence[str]) -> list[str]:
    """The arguments of a process without its name; a link's name stands for the drop-in of that name."""
    program, *rest = arguments
    return [*LINKS.get(Path(program).name, ()), *rest]
