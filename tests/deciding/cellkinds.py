"""Values that careless comparisons take for one another, by the kind of column."""

from __future__ import annotations

import json

TEXTS = (
    "acme", "Acme", "ACME", "acme ", " acme", "acme  ", "", "a'c\"me", "100%", "a_b", "axb", "zoë", "zoe\u0308", "zoe",
    "ZOË", "*", "?", "[a]", "a\\b", "a\nb", "NULL", "7", "07", "7.0", "-7", "-0", "+7", "true", "True", "1", "ß", "ss",
    "i", "İ", "ı", "|", "a|b", "\u200b", "𝄞", "１", "null", "2e3",
)  # fmt: skip
"""Texts."""

NUMBERS = (0, 1, 7, -7, 70, 2**31, 2**62, -(2**63))
"""Whole numbers."""

NUMBER_TEXTS = ("0", "1", "7", "07", "7.0", "-7", "+7", "70", "2147483648", str(2**62), str(-(2**63)), "7 ", "true")
"""What policies write to match them."""

_INNER: tuple[object, ...] = (
    None,
    True,
    False,
    7,
    -7,
    0,
    1.5,
    7.0,
    "acme",
    "ACME",
    "",
    "7",
    "true",
    ["acme"],
    {"user": "acme"},
    "zoë",
    {},
)
DOCUMENTS = (
    *(json.dumps({"user": value}) for value in _INNER),
    *(json.dumps({"user": "x", "a": {"b": value}}, ensure_ascii=False) for value in _INNER),
    '{"a": [{"b": "acme"}]}', '{"a": "acme"}', "{}", "[]", "null", '"acme"', ' { "user" : "acme" } ',
)  # fmt: skip
"""JSON texts."""

BROKEN = ("", "{", "acme", '{"user": "acme"', "{'user': 1}")
"""Texts that are no JSON."""

INNER_TEXTS = ("acme", "ACME", "", "7", "-7", "0", "true", "false", "True", "zoë", "1.5", "7.0", "null", "x")
"""What policies write to match values inside JSON."""


def inside(document: object, path: str) -> object:
    """The value at a path such as ``a.b`` inside a JSON text or a decoded one. None where there is none."""
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            return None
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document
