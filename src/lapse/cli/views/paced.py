"""How gently runs work now: its view."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lapse.cli import shapes
from lapse.cli.page import BLANK, Block, Column, Line, Row, Table
from lapse.cli.view import Done
from lapse.cli.wording import count
from lapse.engine.retuning import Tuned
from lapse.model.pace import Pace
from lapse.model.span import span_text

_COLUMNS = (
    Column("dataset", folds=True),
    Column("transaction", right=True),
    Column("rows per second", right=True),
    Column("rest", right=True),
    Column("max lag", right=True),
    Column("pause while", folds=True),
)


@dataclass(frozen=True, slots=True)
class PaceView(Done):
    """The pace of each dataset, and what was said about it since the policy was written."""

    tuned: Tuned

    def result(self) -> shapes.PaceResult:
        """The same for programs."""
        tuning = self.tuned.tuning
        return shapes.PaceResult(
            paused=tuning.paused,
            changes=tuning.words,
            datasets=[
                shapes.PacedDataset(
                    dataset=name,
                    transaction=pace.transaction,
                    rows_per_second=pace.rows_per_second,
                    rest=pace.rest,
                    max_lag=pace.max_lag,
                    pause_while=pace.pause_while,
                )
                for name, pace in self.tuned.paces.items()
            ],
        )

    def page(self) -> Iterator[Block]:
        """A row for each dataset, then what was changed."""
        if self.tuned.written:
            yield Table(_COLUMNS, [_row(name, pace) for name, pace in self.tuned.paces.items()], indent=2)
            yield BLANK
        words = self.tuned.tuning.words
        if not words:
            yield Line("This is the pace that the policy says.")
            return
        yield Line(f"Changed by `lapse pace`: {', '.join(words)}.", "bold")
        yield Line("It counts for every run until: lapse pace --reset")


def _row(name: str, pace: Pace) -> Row:
    rest = "auto" if pace.rest is None else f"{100 * pace.rest:g}%" if pace.rest else "none"
    return Row(
        (
            name,
            span_text(pace.transaction),
            "none" if pace.rows_per_second is None else count(pace.rows_per_second),
            rest,
            "none" if pace.max_lag is None else span_text(pace.max_lag),
            pace.pause_while or "never",
        )
    )
