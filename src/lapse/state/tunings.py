"""What an operator told running runs about their pace: `lapse pace` writes it, a run reads it between slices."""

from __future__ import annotations

from pathlib import Path

from lapse.errors import PolicyError, StateError
from lapse.model.pace import Tuning, tuning_of
from lapse.state.keyed_file import KeyedFile


class Tunings:
    """The tuning of each policy, by the policy file's absolute path."""

    def __init__(self, root: Path) -> None:
        """Tunings in the state folder *root*; nothing is read or made yet."""
        self._path = root / "pace.json"
        self._file = KeyedFile(self._path, root / "state.lock")

    def load(self, policy: str) -> Tuning:
        """The tuning of *policy*; one that changes nothing where there is none.

        Raises:
            StateError: If it cannot be read.
        """
        facts = self._file.all().get(policy)
        try:
            return Tuning() if facts is None else tuning_of(facts)
        except (PolicyError, TypeError) as error:
            raise StateError(
                f"{self._path} is not readable: {error}", hint="Forget it with: lapse pace --reset"
            ) from error

    def save(self, policy: str, tuning: Tuning) -> None:
        """Keep *tuning* for *policy*, durably, until the next one.

        Raises:
            StateError: If it cannot be written.
        """
        self._file.put(policy, tuning.facts())
