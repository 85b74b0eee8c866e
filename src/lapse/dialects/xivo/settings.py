"""What the configuration says, as values: command line, then files, then what is built in."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lapse.dialects.xivo.layers import read_layers
from lapse.dialects.xivo.tables import BY_NAME, DEFAULT
from lapse.dialects.yamlfile import plain
from lapse.errors import Origin, PolicyError
from lapse.model.masking import masked
from lapse.policyfile.addresses import refuse_unclear_password
from lapse.policyfile.secrets import AddressError
from lapse.policyfile.tree import Mapped

MOST_DAYS = 3_650_000
"""About 10,000 years: more days are a slip of the finger."""

_BUILT_IN: Mapping[str, Any] = {
    "db_uri": "postgresql://asterisk:proformatique@localhost/asterisk",
    "pid_file": "/run/wazo-purge-db.pid",
    "log_file": "/var/log/wazo-purge-db.log",
    "debug": False,
    "enabled_plugins": {"purgers": dict.fromkeys(DEFAULT, True), "archives": []},
    "days_to_keep": 365,
    "days_to_keep_per_plugin": {},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the configuration says.

    Attributes:
        file: ``config.yml``, whether it is there or not.
        address: The database. May hold a secret; `shown` never does.
        shown: The same for messages.
        days: Days to keep.
        days_of: Days to keep by purger, where they differ.
        purgers: Names of the enabled purgers: those of Lapse in their order, then others as configured.
        archives: Names of the enabled archive plug-ins, in their order.
        pid_file: Where the process number goes.
        log_file: Where log lines go.
        debug: Whether to log more.
        archive: Address of Lapse's own archive. None has none.
        ledger: Folder of the ledger. None keeps it in the state folder.
        recordings: The only folder below which files of recordings are removed. None removes sounds wherever entries
            say that they lie.
        purges_empty_times: Whether queue entries with an empty text as time go, as they did.
        merged: The whole mapping that plug-ins get copies of.
        warnings: What someone should look at.
        origins: Where each key is written, by its path with dots.
    """

    file: Path
    address: str = field(repr=False)
    shown: str
    days: int
    days_of: Mapping[str, int]
    purgers: tuple[str, ...]
    archives: tuple[str, ...]
    pid_file: Path
    log_file: Path
    debug: bool
    archive: str | None
    ledger: str | None
    recordings: str | None
    purges_empty_times: bool
    merged: Mapping[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False)

    def days_for(self, purger: str) -> int:
        """Days that *purger* keeps."""
        return self.days_of.get(purger, self.days)

    def copy_for_plugin(self) -> dict[str, Any]:
        """The whole mapping, to do with as one likes."""
        return copy.deepcopy(dict(self.merged))


def load(root: Path, *, days: int | None, foreign: Collection[str]) -> Settings:
    """Read the configuration below *root*.

    Arguments:
        root: The folder to read as ``/etc``.
        days: ``days_to_keep`` of the command line. None if it was not given.
        foreign: Names of the purgers that plug-ins add.

    Raises:
        PolicyError: With everything that is wrong, each with file and line.
    """
    layers = read_layers(root, [*BY_NAME, *foreign])
    merged = _over(plain(layers.tree), _BUILT_IN)
    origins = dict(_origins(layers.tree))
    if days is not None:
        merged["days_to_keep"] = days
        origins.pop("days_to_keep", None)
    _refuse_absurd(merged, origins)
    own = merged.get("lapse", {})
    address = _address(merged["db_uri"], origins.get("db_uri"))
    folder = layers.file.parent
    return Settings(
        file=layers.file,
        address=address,
        shown=masked(address),
        days=merged["days_to_keep"],
        days_of=merged["days_to_keep_per_plugin"],
        purgers=_enabled(merged["enabled_plugins"]["purgers"]),
        archives=tuple(merged["enabled_plugins"]["archives"]),
        pid_file=folder / merged["pid_file"],
        log_file=folder / merged["log_file"],
        debug=merged["debug"],
        archive=own.get("archive"),
        ledger=own.get("ledger"),
        recordings=own.get("recordings"),
        purges_empty_times=own.get("empty_times") == "purge",
        merged=merged,
        warnings=layers.warnings,
        origins=origins,
    )


def _enabled(switches: Mapping[str, bool]) -> tuple[str, ...]:
    order = [*BY_NAME, *(name for name in switches if name not in BY_NAME)]
    return tuple(name for name in order if switches.get(name, False))


def _over(high: Mapping[str, Any], low: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(low))
    for key, value in high.items():
        below = merged.get(key)
        merged[key] = _over(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _origins(tree: Mapped, path: str = "") -> Iterator[tuple[str, Origin]]:
    for entry in tree.entries:
        here = f"{path}{entry.key}"
        yield here, entry.origin
        if isinstance(entry.node, Mapped):
            yield from _origins(entry.node, f"{here}.")


def _address(text: str, origin: Origin | None) -> str:
    """The address as Lapse writes it: without SQLAlchemy's name of a driver."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        raise PolicyError(
            "`db_uri` is not the address of a database",
            hint="Write it like postgresql://user@host/database, with `:` and a password after the user's name.",
            origin=origin,
        )
    try:
        refuse_unclear_password(text, masked(text))
    except AddressError as error:
        raise PolicyError(f"`db_uri`: {error}", hint=error.hint, origin=origin) from error
    name = scheme.partition("+")[0].lower()
    return f"{'postgresql' if name == 'postgres' else name}://{rest}"


def _refuse_absurd(merged: Mapping[str, Any], origins: Mapping[str, Origin]) -> None:
    numbers = {"days_to_keep": merged["days_to_keep"]}
    numbers |= {f"days_to_keep_per_plugin.{name}": days for name, days in merged["days_to_keep_per_plugin"].items()}
    for path, days in numbers.items():
        if days > MOST_DAYS:
            raise PolicyError(
                f"`{path}`: {as_days(days)} are longer than the calendar",
                hint="To keep everything, switch the purger off under `enabled_plugins.purgers`.",
                origin=origins.get(path),
            )


def as_days(days: int) -> str:
    """A number of days for people; huge ones are not written out."""
    return f"{days:,} days" if days < 10**18 else "so many days"
