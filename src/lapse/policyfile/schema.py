"""The JSON Schema of a policy file, from the models of its mappings."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from lapse.policyfile.models import PolicyShape


class _Schema(GenerateJsonSchema):
    """Keys are described by the texts below them in the code, and one that may be left out still may not be null.

    Pydantic would read these texts whenever the models are loaded, which takes longer than a small run.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found, shape = super().model_schema(schema), schema["cls"]
        for name, text in _descriptions(shape):
            found["properties"][shape.model_fields[name].alias or name].setdefault("description", text)
        return found

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy file, for editors."""
    schema = PolicyShape.model_json_schema(by_alias=True, schema_generator=_Schema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def _descriptions(shape: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The fields of a shape, and of those it is made from, that have a text below them, with that text."""
    for each in (each for each in shape.__mro__ if issubclass(each, BaseModel) and each is not BaseModel):
        (body,) = ast.parse(inspect.getsource(each)).body
        for field, below in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    yield name, inspect.cleandoc(text)
