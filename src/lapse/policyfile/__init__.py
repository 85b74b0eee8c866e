"""YAML to a `Policy` whose every part knows where it is written, and hold files beside it."""

from __future__ import annotations

from lapse.policyfile.effective import EffectiveValue, effective
from lapse.policyfile.holdfiles import load_holds, remove_hold, write_hold
from lapse.policyfile.loading import load
from lapse.policyfile.models import json_schema

__all__ = ["EffectiveValue", "effective", "json_schema", "load", "load_holds", "remove_hold", "write_hold"]
