"""What the last runs did, dataset by dataset, for `lapse status`: one small private file, replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lapse.errors import StateError
from lapse.model.status import Past, PastRun
from lapse.state.files import make_private, read_private, translated, write_durably
from lapse.state.locks import locked


class LastRuns:
    """The last run and the last success of each dataset, by the name that the state folder knows it by."""

    def __init__(self, root: Path) -> None:
        """What the state folder *root* remembers; nothing is read or made yet."""
        self._path = root / "runs" / "last.json"
        self._lock = root / "state.lock"

    def all(self) -> Mapping[str, Past]:
        """What is remembered of every dataset that ever ran.

        Raises:
            StateError: If it cannot be read.
        """
        import msgspec  # only here: not every command asks

        data = read_private(self._path)
        if data is None:
            return {}
        try:
            return msgspec.json.decode(data, type=dict[str, Past])
        except msgspec.MsgspecError as error:
            hint = "Remove this file, the next run writes it anew: nothing but `lapse status` needs it."
            raise StateError(f"{self._path} is not what Lapse wrote: {error}", hint=hint) from error

    def add(self, runs: Mapping[str, PastRun]) -> None:
        """Remember that these runs were the last ones, durably.

        Raises:
            StateError: If it cannot be read or written.
        """
        import msgspec

        make_private(self._path.parent)
        with translated("lock", self._lock), locked(self._lock):
            past = self.all()
            now = {name: past.get(name, Past()).then(run) for name, run in runs.items()}
            write_durably(self._path, msgspec.json.encode({**past, **now}) + b"\n")
