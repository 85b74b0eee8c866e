"""The driver: mysqlclient where it is installed, for it is faster, else PyMySQL. Both speak the DB-API."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from lapse.errors import MissingDriverError
from lapse.stores.mysql.address import Address
from lapse.stores.mysql.packets import pymysql_texts, widen

_ROWS = 10_000


class Driver:
    """What differs between the two.

    Attributes:
        errors: The base class of everything that the driver raises.
        name: Its name, for people.
    """

    def __init__(self) -> None:
        try:
            self._module: Any = import_module("MySQLdb")
            self.streaming: Any = import_module("MySQLdb.cursors").SSCursor
            self.name = "mysqlclient"
        except ImportError:
            self._use_pymysql()
        # PyMySQL lets some errors of its socket through.
        self.errors: tuple[type[Exception], ...] = (self._module.Error, OSError)

    def _use_pymysql(self) -> None:
        try:
            import pymysql
            import pymysql.cursors
        except ImportError as error:
            raise MissingDriverError("PyMySQL", extra="mysql") from error
        self.name = "PyMySQL"
        self._module = pymysql
        self.streaming = pymysql.cursors.SSCursor

    def texts(self, cursor: Any) -> Iterator[list[bytes | None]]:
        """The rows of a streaming cursor that has one column of bytes, some at a time."""
        if self.name == "PyMySQL":
            yield from pymysql_texts(cursor)
            return
        while rows := cursor.fetchmany(_ROWS):
            yield [text for (text,) in rows]

    def connect(self, address: Address) -> Any:
        """Open a connection; each statement commits by itself."""
        where: dict[str, Any] = {"host": address.host, "port": address.port}
        if address.socket is not None:
            where = {"unix_socket": address.socket}
        connection = self._module.connect(
            **where,
            **self._tls(address),
            user=address.user or getpass.getuser(),
            password=address.password,
            database=address.database,
            charset="utf8mb4",
            connect_timeout=address.timeout,
        )
        connection.autocommit(True)
        if self.name == "PyMySQL":
            widen(connection)
        return connection

    def _tls(self, address: Address) -> dict[str, Any]:
        tls: dict[str, Any] = dict(address.tls)
        checked: dict[str, Any] = {
            name: tls.pop(name) == "true" for name in ("ssl_verify_cert", "ssl_verify_identity") if name in tls
        }
        if self.name == "PyMySQL":
            # Nobody listens on a unix socket, and to read this machine's certificates takes longer than to connect.
            return {**tls, **checked} if address.tls or address.socket is None else {"ssl_disabled": True}
        if not address.tls:
            return {}
        modes = {"ssl_verify_identity": "VERIFY_IDENTITY", "ssl_verify_cert": "VERIFY_CA"}
        mode = next((modes[name] for name in modes if checked.get(name)), "REQUIRED")
        return {"ssl_mode": mode, "ssl": {name.removeprefix("ssl_"): value for name, value in tls.items()}}
