"""What to do in a demo world, in order: each step is a command line and what its output shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lapse.demo.calls import oldest_of
from lapse.demo.world import open_world

ENDING = (
    "Where to look next:",
    "  lapse.yaml in the demo's folder: change a rule, then `lapse check` and `lapse plan`.",
    "  lapse init PATH: a policy for logs of your own, which keeps everything until you edit it.",
    "  docs/tutorial.md: the same, step by step. docs/safety.md: what Lapse never does.",
)
"""The last lines of the demo."""


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One command of the demo.

    Attributes:
        argv: Its arguments, without the program's name; run it in the world's folder, with LAPSE_STATE_DIR
            set to the world's state folder. Every step ends with exit code 0.
        shows: One sentence on what its output shows.
    """

    argv: tuple[str, ...]
    shows: str


def steps(folder: Path) -> tuple[DemoStep, ...]:
    """The steps for the world in *folder*, in order.

    Raises:
        UsageError: If there is no demo world.
    """
    held = str(oldest_of(open_world(folder).calls, "globex"))
    return (
        DemoStep(("check",), "The policy can be followed. A wrong one is answered with file, line and column."),
        DemoStep(("plan",), "What a run would do and why, record by record counted. Nothing was written."),
        DemoStep(("why", "calls", held), "Why one record stays or goes: every layer that was asked, in order."),
        DemoStep(("run",), "Each slice was sealed, read back and compared before its records left their store."),
        DemoStep(("status",), "What is known between runs: the last run, what it left, the ledger's head."),
        DemoStep(("ledger", "verify"), "The ledger is whole: chain, signatures, and the checkpoint in the archive."),
        DemoStep(
            ("archive", "query", "SELECT tenant, event_type, count(*) AS records FROM calls GROUP BY ALL ORDER BY ALL"),
            "What left the store can still be asked with SQL, here by tenant and type.",
        ),
        DemoStep(("run",), "A second run finds nothing to do, and says so in the ledger."),
    )
