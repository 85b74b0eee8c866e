"""Secrets stay out of the policy: ``${NAME}`` and ``file:PATH`` in addresses.

``${NAME}`` stands for an environment variable, ``$${`` for the two characters ``${``. Both are
understood in addresses (``store``, ``to``, ``ledger``) only; elsewhere a ``${`` is a complaint, since a value that
comes from outside would end up in plans and in the ledger. A whole address ``file:PATH`` is read from that file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_SECRET_FILE_LIMIT = 64 * 1024


class AddressError(Exception):
    """An address that leads nowhere, or that cannot be used. Its text never holds a secret.

    Attributes:
        hint: What to do next. None if there is nothing to say.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def is_file_reference(text: str) -> bool:
    """Whether an address is ``file:PATH``. ``file://`` begins a URL instead."""
    return text.startswith("file:") and not text.startswith("file://")


def reveal(text: str, folder: Path) -> str:
    """The address that *text* stands for.

    Arguments:
        text: As written in the policy.
        folder: Where relative secret files start.

    Raises:
        AddressError: If a variable or file is missing or empty.
    """
    if is_file_reference(text):
        return _read(folder / _substituted(text.removeprefix("file:")), text)
    return _substituted(text)


def has_reference(text: str) -> bool:
    """Whether *text* has a ``${`` that is not escaped."""
    return "${" in text and any(found[0] != "$${" for found in _REFERENCE.finditer(text))


def variables_in(text: str) -> tuple[str, ...]:
    """The names of the environment variables that *text* refers to, each once."""
    return tuple(dict.fromkeys(found["name"] for found in _REFERENCE.finditer(text) if found["name"]))


def unescaped(text: str) -> str:
    """The text with ``$${`` turned into ``${``."""
    return text.replace("$${", "${")


def escaped(text: str) -> str:
    """The text that `unescaped` turns into *text*."""
    return text.replace("${", "$${")


def _substituted(text: str) -> str:
    return _REFERENCE.sub(_value, text)


def _value(found: re.Match[str]) -> str:
    if found[0] == "$${":
        return "${"
    name = found["name"]
    if name is None:
        raise AddressError("`${` begins no `${NAME}`", "Write ${NAME}, or `$${` for the characters themselves.")
    value = os.environ.get(name)
    if not value:
        state = "not set" if value is None else "empty"
        raise AddressError(f"the environment variable {name} is {state}", f"Set {name} where lapse runs.")
    return value


def _read(path: Path, shown: str) -> str:
    try:
        if not path.is_file():
            raise AddressError(
                f"`{shown}` names no file", "Write `file:` and the path of a file with the address in it."
            )
        with path.open("rb") as stream:
            text = stream.read(_SECRET_FILE_LIMIT).decode("utf-8").strip()
    except OSError as error:
        raise AddressError(
            f"`{shown}` cannot be read: {error.strerror}", "Let the user lapse runs as read it."
        ) from error
    except UnicodeDecodeError as error:
        raise AddressError(f"`{shown}` is not UTF-8 text", "Put the address alone into the file.") from error
    if not text or len(text.splitlines()) != 1:
        raise AddressError(f"`{shown}` does not hold exactly one line", "Put the address alone into the file.")
    return text
