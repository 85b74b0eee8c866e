"""Plain data to YAML as people write it: in the given order, texts of several lines as blocks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

_LIKE_A_NUMBER = re.compile(r"[0-9:._]+")
"""Older readers of YAML take 10:20 for 620."""


def yaml_text(documents: Iterable[Mapping[str, Any]], *, head: Iterable[str] = ()) -> str:
    """The documents in one text, behind comment lines."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.explicit_start = True
    yaml.width = 4096  # a folded command line would be hard to copy
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump_all([_blocks(each) for each in documents], stream)
    return "".join(f"# {line}\n" for line in head) + stream.getvalue()


def _blocks(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _blocks(each) for key, each in value.items()}
        case list() | tuple():
            return [_blocks(each) for each in value]
        case str() if "\n" in value:
            return LiteralScalarString(value)
        case str() if _LIKE_A_NUMBER.fullmatch(value):
            return DoubleQuotedScalarString(value)
        case _:
            return value
