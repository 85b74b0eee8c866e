"""The place in a policy that a store's error is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lapse.errors import LeaseError, Origin, PolicyError, StoreError, StoreMissingError
from lapse.model.policy import Dataset
from lapse.sqlcore.fields import field_path


@contextmanager
def blaming(dataset: Dataset) -> Iterator[None]:
    """Give the block's errors about a store their place in the policy, unless they have one.

    It is that of the table or column which the store did not find, by the words in which stores say so;
    else that of the store's address.
    """
    try:
        yield
    except (StoreError, PolicyError, LeaseError) as error:
        error.at(_missing(error.message, dataset) if isinstance(error, StoreMissingError) else None)
        error.at(dataset.origin("store"))
        raise


def _missing(message: str, dataset: Dataset) -> Origin | None:
    if dataset.table is not None and f"no table {dataset.table!r}" in message:
        return dataset.origin("table")
    return next((origin for field, origin in _fields(dataset) if _lacks_column(message, field)), None)


def _lacks_column(message: str, field: str) -> bool:
    return f"no column {field_path(field).column!r}" in message


def _fields(dataset: Dataset) -> Iterator[tuple[str, Origin | None]]:
    """Every field the policy uses, with the key, rule or list that names it."""
    own = {"time": dataset.time, **dataset.roles, "key": dataset.key}
    yield from ((field, dataset.origin(key)) for key, field in own.items() if field is not None)
    yield from ((field, dataset.origin("require")) for field in dataset.require)
    yield from ((field, rule.origin) for rule in dataset.rules for field in rule.match.fields)
