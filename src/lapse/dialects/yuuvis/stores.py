"""Where the audit trails are: addresses from the command line, the environment, or the service's own configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lapse.dialects.yuuvis.datasources import Datasource, datasources_file, read_datasources
from lapse.dialects.yuuvis.jdbc import address_of, is_jdbc
from lapse.errors import Complaint, Origin, PolicyError, UsageError
from lapse.model.policy import Dataset
from lapse.policyfile.addresses import Address, place_of, store_address
from lapse.policyfile.secrets import AddressError

VARIABLE = "LAPSE_STORE"
"""Environment variable with the addresses of the stores, separated by commas."""

_SCHEMES = ("postgresql", "sqlite")
_FORM = "Write it like postgresql://user@host/database, sqlite:////folder/audit.db, or as a JDBC URL."


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """A database with an audit trail.

    Attributes:
        name: What the ledger, the archive and the state folder call it: the same for the same database.
        address: Where it is. May hold a secret; `shown` never does.
        shown: The same for messages.
        origin: Where it is written. None if it was said on the command line or in the environment.
    """

    name: str
    address: str = field(repr=False)
    shown: str
    origin: Origin | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Trails:
    """The databases, each once, and what someone should look at."""

    found: tuple[Trail, ...]
    warnings: tuple[str, ...]


def find_trails(given: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ) -> Trails:
    """The databases of one call: those *given*, else those of ``LAPSE_STORE``, else those of the service.

    Arguments:
        given: Addresses from the command line.
        folder: The working folder.
        environment: The environment variables.

    Raises:
        UsageError: If there is none, or an address makes no sense.
        PolicyError: If the service's configuration cannot be followed.
    """
    listed = environment.get(VARIABLE, "")
    warnings: list[str] = []
    if given or listed:
        source = "--store" if given else VARIABLE
        written = list(given) if given else listed.split(",")
        trails = [_told(text, source, folder, warnings) for text in written]
        file = datasources_file(folder)
        if file is not None:
            warnings.append(f"{file} is not read: {source} says where the audit trails are")
    else:
        trails = list(_configured(folder, environment, warnings))
    return _each_once(trails, warnings)


def _told(text: str, source: str, folder: Path, warnings: list[str]) -> Trail:
    try:
        return _trail(text.strip(), folder, warnings)
    except AddressError as error:
        raise UsageError(f"{source}: {error}", hint=error.hint or _FORM) from error


def _configured(folder: Path, environment: Mapping[str, str], warnings: list[str]) -> Iterator[Trail]:
    file = datasources_file(folder)
    if file is None:
        raise UsageError(
            "nothing says where the audit trail is",
            hint=f"Say --store URL, set {VARIABLE}, or call it from the folder with the service's configuration.",
        )
    complaints: list[Complaint] = []
    for source in read_datasources(file, environment, complaints):
        try:
            yield _trail(_with_login(source, warnings), folder, warnings, origin=source.origin)
        except AddressError as error:
            which = f"datasource `{source.name}`: " if source.name else ""
            complaints.append(Complaint(source.origin, f"{which}{error}", error.hint or _FORM))
    if complaints:
        raise PolicyError(f"{file} cannot be followed: nothing is removed", complaints=complaints)


def _with_login(source: Datasource, warnings: list[str]) -> str:
    return address_of(source.url, warnings, user=source.username, password=source.password)


def _trail(text: str, folder: Path, warnings: list[str], *, origin: Origin | None = None) -> Trail:
    if is_jdbc(text):
        text = address_of(text, warnings)
    scheme, separator, rest = text.partition("://")
    name = scheme.partition("+")[0].lower()
    text = f"{'postgresql' if name == 'postgres' else name}{separator}{rest}" if separator else text
    address = store_address(text, folder, _SCHEMES)
    if not address.is_database:
        raise AddressError(f"`{address.shown}` is not the address of a database", _FORM)
    return Trail(name=_name(address), address=address.full, shown=address.shown, origin=origin)


def _name(address: Address) -> str:
    """A name made of the place alone: neither the user nor the order of the command line changes it."""
    place = place_of(Dataset(name="", store=address.full, shown=address.shown, time=""))
    options = "" if address.local else "".join(parse_qs(urlsplit(address.full).query).get("options", ()))
    digest = sha256("\0".join((*place, options)).encode(errors="surrogateescape")).hexdigest()
    return f"audit-{digest[:12]}"


def _each_once(trails: Sequence[Trail], warnings: list[str]) -> Trails:
    found: dict[str, Trail] = {}
    for trail in trails:
        if trail.name in found:
            warnings.append(f"{trail.shown} is named more than once; it counts once")
        found.setdefault(trail.name, trail)
    return Trails(tuple(found.values()), tuple(dict.fromkeys(warnings)))
