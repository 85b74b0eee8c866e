"""YAML to a `Policy` whose every part knows where it is written, and hold files beside it.

What reads YAML is imported on first use: the drop-ins make their policies themselves.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lapse.policyfile.effective_values import EffectiveValue, effective
    from lapse.policyfile.holdfiles import load_holds, remove_hold, write_hold
    from lapse.policyfile.loading import load
    from lapse.policyfile.schema import json_schema

__all__ = ["EffectiveValue", "effective", "json_schema", "load", "load_holds", "remove_hold", "write_hold"]

_HOMES = {
    "EffectiveValue": "effective_values",
    "effective": "effective_values",
    "json_schema": "schema",
    "load": "loading",
    "load_holds": "holdfiles",
    "remove_hold": "holdfiles",
    "write_hold": "holdfiles",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
