"""Addresses of stores, archive targets and the ledger: as written in, absolute and without references out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from lapse.errors import Origin
from lapse.model.masking import masked
from lapse.model.policy import Dataset
from lapse.policyfile import patterns
from lapse.policyfile.secrets import AddressError, reveal
from lapse.policyfile.words import did_you_mean

STORE_SCHEMES = ("sqlite", "duckdb", "postgresql", "mysql")
TARGET_SCHEMES = ("file", "s3")
FILE_SCHEMES = ("sqlite", "duckdb")
_HOST = re.compile(r"\[[^\]]*\](:[0-9]*)?|[^:]*(:[0-9]*)?")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<rest>.*)", re.DOTALL)
_WHERE = ("host", "hostaddr", "port", "unix_socket", "service", "dbname", "database")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address that was written in a policy.

    Attributes:
        full: Absolute, references replaced. May hold a secret.
        shown: As written, secrets masked.
        local: The file, folder or glob on this machine. None where it is a server's.
        is_database: Whether it needs a table.
        origin: Where it is written. None if it was not read from a policy.
    """

    full: str = field(repr=False)
    shown: str
    local: str | None = field(repr=False)
    is_database: bool = False
    origin: Origin | None = field(default=None, compare=False)


def store_address(text: str, folder: Path, schemes: Iterable[str] = STORE_SCHEMES) -> Address:
    """The address of a store: a database's URL, or the path or glob of text logs.

    Arguments:
        text: As written.
        folder: Where relative paths start; absolute.
        schemes: Schemes that are known.

    Raises:
        AddressError: If it can be no store's address.
    """
    full, shown = _revealed(text, folder), masked(text)
    found = _SCHEME.fullmatch(full)
    if found is None:
        _refuse_slips(full, shown, schemes)
        local = _absolute(full, folder)
        return Address(full=local, shown=shown, local=local)
    scheme = _known(found["scheme"], shown, schemes)
    if scheme not in FILE_SCHEMES:
        refuse_unclear_password(full, shown)
        return Address(full=full, shown=shown, local=None, is_database=True)
    path = _database_file(found["rest"], scheme, shown)
    local = _absolute(path, folder)
    return Address(full=f"{scheme}:///{local}", shown=shown, local=local, is_database=True)


def target_address(text: str, folder: Path, schemes: Iterable[str] = TARGET_SCHEMES) -> Address:
    """The address of an archive target: a folder, or a URL.

    Raises:
        AddressError: If it can be no target's address.
    """
    full, shown = _revealed(text, folder), masked(text)
    found = _SCHEME.fullmatch(full)
    if found is None:
        local = _absolute(full, folder)
        return Address(full=local, shown=shown, local=local)
    if _known(found["scheme"], shown, schemes) != "file":
        return Address(full=full, shown=shown, local=None)
    if not found["rest"].startswith("/"):
        raise AddressError(f"`{shown}` names another machine", "Write `file:///` and the folder's path.")
    local = _absolute(found["rest"], folder)
    return Address(full=local, shown=shown, local=local)


def folder_address(text: str, folder: Path) -> Address:
    """The address of a folder on this machine.

    Raises:
        AddressError: If it is a URL.
    """
    full, shown = _revealed(text, folder), masked(text)
    if _SCHEME.fullmatch(full):
        raise AddressError(f"`{shown}` is not the path of a folder")
    local = _absolute(full, folder)
    return Address(full=local, shown=shown, local=local)


def refuse_unclear_password(full: str, shown: str) -> None:
    """See that it can be told where a password ends and the host begins.

    A driver takes the first ``@`` or ``/`` for the end. What follows of the password would be a part of a name, which
    every message about the connection tells.

    Raises:
        AddressError: If it cannot be told.
    """
    rest = full.partition("://")[2].partition("?")[0]
    authority, _, path = rest.partition("/")
    is_cut = "@" in path and "@" not in authority and not _HOST.fullmatch(authority)
    if is_cut or authority.count("@") > 1:
        raise AddressError(
            f"`{shown}`: it cannot be told where the password ends", "Write `%40` for an `@` in it, `%2F` for a `/`."
        )


def place_of(dataset: Dataset) -> tuple[str, ...]:
    """What tells a database from another, whoever logs in to it. Empty for text logs."""
    found = _SCHEME.fullmatch(dataset.store)
    if found is None:
        return ()
    if found["scheme"] in FILE_SCHEMES:
        return (found["scheme"], os.path.realpath(found["rest"][1:]))
    url = urlsplit(dataset.store)
    options = dict(parse_qsl(url.query))
    host = url.netloc.rpartition("@")[2].lower()
    return (found["scheme"], host, url.path, *(options.get(name, "") for name in _WHERE))


def _revealed(text: str, folder: Path) -> str:
    full = reveal(text, folder)
    if not full.strip() or "\0" in full:
        raise AddressError("the address is empty or has a NUL character in it")
    return full


def _absolute(path: str, folder: Path) -> str:
    return re.sub(r"^/+", "/", os.path.normpath(folder / path))


def _known(scheme: str, shown: str, schemes: Iterable[str]) -> str:
    known = tuple(schemes)
    if scheme not in known:
        raise AddressError(f"`{shown}` has an unknown scheme", did_you_mean(scheme, known))
    return scheme


def _refuse_slips(full: str, shown: str, schemes: Iterable[str]) -> None:
    scheme = full.partition(":")[0]
    if ":" in full and scheme in tuple(schemes):
        raise AddressError(
            f"`{shown}` is no address", f"Write `{scheme}://` and so on; a relative file has three slashes."
        )


def _database_file(rest: str, scheme: str, shown: str) -> str:
    form = f"Write `{scheme}:///relative.db` or `{scheme}:////absolute.db`."
    if not rest.startswith("/"):
        raise AddressError(f"`{shown}` has no file in it", form)
    path = rest[1:]
    if not path.strip("/") or path == ":memory:":
        raise AddressError(f"`{shown}` names no file", form)
    if "?" in path or patterns.is_pattern(path):
        raise AddressError(f"`{shown}` has options or wildcards, which a database file cannot have", form)
    return path
