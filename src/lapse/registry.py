"""From an address to the adapter that understands it: built-in ones, then installed plug-ins."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, cast

from lapse.errors import MissingDriverError, PolicyError
from lapse.model.policy import Archive, Dataset
from lapse.ports import ArchiveTarget, Store

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

STORES = {
    "sqlite": "lapse.stores.sqlite",
    "duckdb": "lapse.stores.duckdb",
    "jsonl": "lapse.stores.jsonl",
    "mysql": "lapse.stores.mysql",
    "mariadb": "lapse.stores.mysql",
    "postgresql": "lapse.stores.postgresql",
}
TARGETS = {"file": "lapse.targets.file"}
_STORE_PLUG_INS = "lapse.stores"
_TARGET_PLUG_INS = "lapse.targets"


def _plug_ins(group: str) -> EntryPoints:
    from importlib.metadata import entry_points  # slow to import, and rarely asked

    return entry_points(group=group)


def scheme_of(address: str, *, default: str) -> str:
    """The scheme of *address*; *default* where it has none. A driver suffix (``mysql+x``) is cut."""
    scheme, separator, _ = address.partition("://")
    return scheme.partition("+")[0] if separator else default


def database_schemes() -> tuple[str, ...]:
    """Schemes that the address of a database may have; text logs have a path instead."""
    plug_ins = (point.name for point in _plug_ins(_STORE_PLUG_INS))
    return tuple(dict.fromkeys([*(scheme for scheme in STORES if scheme != "jsonl"), *plug_ins]))


def target_schemes() -> tuple[str, ...]:
    """Schemes that the address of an archive may have."""
    return tuple(dict.fromkeys([*TARGETS, *(point.name for point in _plug_ins(_TARGET_PLUG_INS))]))


def store_class(address: str) -> type[Store]:
    """The store that reads *address*; a path without a scheme is text logs.

    Raises:
        PolicyError: If there is none.
        MissingDriverError: If its library is not installed.
    """
    return cast("type[Store]", _load(STORES, _STORE_PLUG_INS, scheme_of(address, default="jsonl"), "STORE"))


def open_store(dataset: Dataset, *, read_only: bool) -> Store:
    """Open the store of *dataset*.

    Raises:
        PolicyError: If no adapter understands its address.
        StoreError: If it cannot be opened.
    """
    return store_class(dataset.store)(dataset, read_only=read_only)


def open_target(archive: Archive) -> ArchiveTarget:
    """Open the target of *archive*.

    Raises:
        PolicyError: If no adapter understands its address.
    """
    adapter = _load(TARGETS, _TARGET_PLUG_INS, scheme_of(archive.to, default="file"), "TARGET")
    return cast("type[ArchiveTarget]", adapter)(archive.to)


def _imported(module: str) -> ModuleType:
    """One of Lapse's own adapters, which are named after the extra that brings their libraries.

    Raises:
        MissingDriverError: If a library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library, extra = (error.name or "").partition(".")[0], module.rpartition(".")[2]
        if library == "lapse":
            raise
        raise MissingDriverError(library or f"a library for {extra}", extra=extra) from error


def _load(builtin: dict[str, str], group: str, scheme: str, name: str) -> object:
    if scheme in builtin:
        return getattr(_imported(builtin[scheme]), name)
    for point in _plug_ins(group).select(name=scheme):
        return point.load()
    raise PolicyError(
        f"nothing here understands {scheme}:// addresses",
        hint=f"Known: {', '.join(sorted(builtin))}. Plug-ins register under the entry point group {group}.",
    )
