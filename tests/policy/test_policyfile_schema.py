"""lapse.policyfile.json_schema: what editors are told agrees with what the reader does."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from test_policyfile_load import DESIGN

from lapse.policyfile import json_schema


class _DatesAreText(SafeConstructor):
    """A class of its own: what is added to the library's is there for everybody."""


_DatesAreText.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


def data(text: str) -> Any:
    """YAML as an editor's validator sees it: dates are text there."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _DatesAreText
    return yaml.load(text)


def test_the_schema_is_a_schema() -> None:
    """It is a valid JSON Schema of the version that it names, with a title."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Lapse policy"


def test_every_key_is_described() -> None:
    """Whoever writes a policy sees what each key means."""
    schema = json_schema()
    for part in (schema, *schema["$defs"].values()):
        assert part["description"]
        for key, value in part.get("properties", {}).items():
            assert value.get("description"), (part["title"], key)


def test_the_example_fits_the_schema() -> None:
    """A right policy has no red lines in the editor."""
    Draft202012Validator(json_schema()).validate(data(dedent(DESIGN)))


@pytest.mark.parametrize("wanted", ["{not: [x, {to: 3}]}", "{from: 1, to: 2}", "[x, 1, {from: 1}]", "{not: set:vip}"])
def test_ranges_and_not_fit_the_schema(wanted: str) -> None:
    """What a field may be is no red line, in rules and in scopes."""
    rules = f"datasets: {{a: {{store: x, time: t, keep: [{{a: {wanted}, for: 1 day}}]}}}}"
    text = f"{{version: 1, sets: {{vip: [x, {{from: 1}}]}}, {rules}, holds: [{{matter: M, match: {{a: {wanted}}}}}]}}"
    Draft202012Validator(json_schema()).validate(data(text))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{version: 2}",
        "{version: 1, dataset: {}}",
        "{version: 1, datasets: {a: {store: x}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: 90}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: null}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: []}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: [{a: 1.5, for: 1 day}]}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: [{a: x}]}}}",
        "{version: 1, datasets: {a: {store: x, time: t, writers: many}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: [{a: {}, for: 1 day}]}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: [{a: {form: 1}, for: 1 day}]}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: [{a: {from: x}, for: 1 day}]}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: [{a: {not: x, from: 1}, for: 1 day}]}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: [{a: [{not: x}], for: 1 day}]}}}",
        "{version: 1, datasets: {a: {store: x, time: t, keep: [{a: {not: {not: x}}, for: 1 day}]}}}",
        "{version: 1, sets: {a: []}}",
        "{version: 1, sets: {a: x}}",
        "{version: 1, holds: [{matter: M}]}",
        "{version: 1, holds: [{matter: M, match: {}}]}",
        "{version: 1, holds: [{matter: M, match: {tenant: null}}]}",
        "{version: 1, floors: [{match: every, at least: 1 day, because: x}]}",
        "{version: 1, guards: {share: 0.9}}",
        "{version: 1, guards: {rows: 0}}",
    ],
)
def test_common_mistakes_are_red_in_the_editor(text: str) -> None:
    """The schema refuses what the reader would refuse."""
    with pytest.raises(ValidationError):
        Draft202012Validator(json_schema()).validate(data(text))
