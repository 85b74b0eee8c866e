"""Rows of one column, taken from PyMySQL's buffer a bufferful at a time.

PyMySQL makes several objects of each row's packet, which costs more than everything else that is done with the
row. The packets of plain rows are therefore taken out of its buffer here, as the protocol lays them down
(MySQL Client/Server Protocol, "Text Resultset Row"); the driver itself reads every other packet, such as the last
one, an error, and one that is not in the buffer whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from socket import socket
from typing import Any

_BUFFER = 256 * 1024
_HEADER = 4
_LARGEST = 0xFFFFFF  # a packet of this length goes on in the next one
_NULL, _TWO, _THREE, _EIGHT, _ERROR = 0xFB, 0xFC, 0xFD, 0xFE, 0xFF
_PREFIX = {_TWO: 3, _THREE: 4}
_PARTS = ("_rfile", "_next_seq_id", "_result")


def widen(connection: Any) -> None:
    """Let a connection that waits for nothing take in more at a time than the 8 KB it comes with."""
    if isinstance(getattr(connection, "_sock", None), socket) and hasattr(connection, "_rfile"):
        connection._rfile = connection._sock.makefile("rb", buffering=_BUFFER)  # noqa: SLF001


def pymysql_texts(cursor: Any) -> Iterator[list[bytes | None]]:
    """The texts of a streaming cursor with one column of bytes, some at a time."""
    connection = cursor.connection
    known = all(hasattr(connection, name) for name in _PARTS) and hasattr(connection._rfile, "peek")  # noqa: SLF001
    # MariaDB answers a DELETE whose condition is never true without any rows to wait for, not even none.
    known = known and getattr(connection._result, "unbuffered_active", False)  # noqa: SLF001
    while True:
        texts = _buffered(connection) if known else []
        if texts:
            yield texts
            continue
        row = cursor.fetchone()
        if row is None:
            return
        yield [row[0]]


def _buffered(connection: Any) -> list[bytes | None]:
    """The texts of all plain rows that lie in the buffer whole, taken out of it."""
    buffer: bytes = connection._rfile.peek(1)  # noqa: SLF001 - the driver has no other way
    texts: list[bytes | None] = []
    position, sequence, end = 0, 0, len(buffer) - _HEADER
    while position < end:
        length = buffer[position] | buffer[position + 1] << 8 | buffer[position + 2] << 16
        start, stop = position + _HEADER, position + _HEADER + length
        if stop > len(buffer) or length in (0, _LARGEST) or (first := buffer[start]) in (_EIGHT, _ERROR):
            break
        texts.append(None if first == _NULL else buffer[start + _PREFIX.get(first, 1) : stop])
        position, sequence = stop, buffer[position + 3]
    if position:
        connection._rfile.read(position)  # noqa: SLF001
        connection._next_seq_id = (sequence + 1) % 256  # noqa: SLF001
    return texts
