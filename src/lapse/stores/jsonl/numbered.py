"""Sequences whose values are made when they are asked for: there may be very many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

ValueT = TypeVar("ValueT")


class Numbered(Sequence[ValueT], ABC):
    """Values by number; what is left to say is how many there are, and how one is made."""

    @abstractmethod
    def value(self, number: int) -> ValueT:
        """The value of a number from 0 to before the length."""

    @overload
    def __getitem__(self, index: int) -> ValueT: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ValueT]: ...
    def __getitem__(self, index: int | slice) -> ValueT | Sequence[ValueT]:
        if isinstance(index, slice):
            return [self.value(number) for number in range(len(self))[index]]
        return self.value(range(len(self))[index])
