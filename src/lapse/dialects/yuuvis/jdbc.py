"""JDBC URLs of PostgreSQL and SQLite, as the addresses that Lapse writes."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode

from lapse.policyfile.secrets import AddressError

_PREFIX = "jdbc:"
_SAME = {"sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey"}
_SERVERS = {"primary": "read-write", "master": "read-write"}
_LOGIN = ("user", "password")


def is_jdbc(text: str) -> bool:
    """Whether *text* is a JDBC URL."""
    return text.startswith(_PREFIX)


def address_of(url: str, warnings: list[str], *, user: str | None = None, password: str | None = None) -> str:
    """The same place as an address of Lapse, with the login in it.

    Arguments:
        url: A JDBC URL, or an address of Lapse already.
        warnings: Gets a line about options that are passed over.
        user: Who logs in, where the URL does not say.
        password: With what password.

    Raises:
        AddressError: If it is for another database, or cannot be read.
    """
    kind, _, rest = url.removeprefix(_PREFIX).partition(":")
    kind = kind.partition("+")[0]
    if kind == "sqlite":
        return f"sqlite:///{rest.partition('?')[0]}" if is_jdbc(url) else url
    if kind not in ("postgresql", "postgres"):
        raise AddressError(f"`{kind or 'nothing'}` is no database that the drop-in knows", "PostgreSQL and SQLite are.")
    place, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    login = _login(place, options, user=user, password=password)
    servers, database = _place(place)
    settings = _settings(options, warnings) if is_jdbc(url) else {k: v for k, v in options.items() if k not in _LOGIN}
    ending = f"?{urlencode(settings, quote_via=quote)}" if settings else ""
    return f"postgresql://{login}{servers}/{database or quote(unquote(login.partition(':')[0].rstrip('@')))}{ending}"


def _place(place: str) -> tuple[str, str]:
    """Servers and database; without servers it is this machine."""
    if not place.startswith("//"):
        return "localhost", place.lstrip("/")
    servers, _, database = place[2:].partition("/")
    return servers.rpartition("@")[2] or "localhost", database


def _login(place: str, options: Mapping[str, str], *, user: str | None, password: str | None) -> str:
    """What stands before the servers, its sign included. Empty where nothing says who logs in."""
    written = place[2:].partition("/")[0].rpartition("@")[0] if place.startswith("//") else ""
    if written:
        return f"{written}@"
    name, secret = user or options.get("user"), password or options.get("password")
    if not name:
        return ""
    return f"{quote(name, safe='')}:{quote(secret, safe='')}@" if secret else f"{quote(name, safe='')}@"


def _settings(options: Mapping[str, str], warnings: list[str]) -> dict[str, str]:
    """The options that say where or how to connect, in PostgreSQL's own words."""
    found = {_SAME[name]: value for name, value in options.items() if name in _SAME}
    if options.get("ssl") in ("", "true") and "sslmode" not in found:
        found["sslmode"] = "verify-full"  # what JDBC means by it
    schema = options.get("currentSchema")
    if schema:
        found["options"] = "-csearch_path=" + schema.replace("\\", "\\\\").replace(" ", "\\ ")
    server = options.get("targetServerType")
    if server in _SERVERS:
        found["target_session_attrs"] = _SERVERS[server]
    known = {*_SAME, *_LOGIN, "ssl", "currentSchema", "targetServerType", "ApplicationName"}
    others = sorted(options.keys() - known)
    if others:
        warnings.append(f"options of a JDBC URL that mean nothing here are passed over: {', '.join(others)}")
    return found
