"""The address of a server: ``mysql://user:password@host:3306/database?unix_socket=…&ssl_ca=…`` to its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from lapse.errors import UsageError

PORT = 3306
_TLS = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity")
_KNOWN = ("unix_socket", "connect_timeout", "charset", *_TLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is, and who asks.

    Attributes:
        host: Its name; ignored where there is a socket.
        port: Its port.
        socket: Path of its unix socket. None goes over TCP.
        user: Who. None asks as the system user.
        password: Empty for none.
        database: The database that holds the table and Lapse's own.
        timeout: Seconds to wait for a connection.
        tls: ``ssl_ca``, ``ssl_cert`` and ``ssl_key`` (paths), ``ssl_verify_cert`` and ``ssl_verify_identity``
            (``true``). Empty leaves it to driver and server.
    """

    host: str
    port: int
    socket: str | None
    user: str | None
    password: str = field(repr=False)
    database: str
    timeout: int
    tls: Mapping[str, str]


def parse(text: str, *, shown: str) -> Address:
    """The parts of an address.

    Arguments:
        text: The address, secrets and all.
        shown: The same for messages.

    Raises:
        UsageError: If it names no database, or has an option that is unknown.
    """
    try:
        url = urlsplit(text)
        port = url.port or PORT
    except ValueError as error:
        raise UsageError(f"{shown} is no address: {error}", hint=_HINT) from error
    options = dict(parse_qsl(url.query))
    unknown = sorted(set(options) - set(_KNOWN))
    if unknown:
        raise UsageError(f"{shown}: unknown option {unknown[0]}", hint=f"Known: {', '.join(_KNOWN)}.")
    database = unquote(url.path.removeprefix("/"))
    if not database:
        # Lapse's own tables lie in this database: without its name, two datasets could look in different ones.
        raise UsageError(f"{shown} names no database", hint=_HINT)
    timeout = options.get("connect_timeout", "10")
    if not timeout.isdecimal():
        raise UsageError(f"{shown}: connect_timeout is no number of seconds", hint="Write ?connect_timeout=10.")
    return Address(
        host=url.hostname or "localhost",
        port=port,
        socket=options.get("unix_socket"),
        user=None if url.username is None else unquote(url.username),
        password=unquote(url.password or ""),
        database=database,
        timeout=int(timeout),
        tls={name: options[name] for name in _TLS if name in options},
    )


_HINT = "Write mysql://user@host/database, or mysql://user@/database?unix_socket=/run/mysqld/mysqld.sock."
