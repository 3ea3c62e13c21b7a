"""The playbook language as JSON Schema, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from soar.model.base import JsonObject
from soar.model.spec import ActionSpec, Catalogue
from soar.playbook.builtins import with_builtins
from soar.playbook.schema import Playbook

__all__ = ["playbook_schema"]

_TEMPLATE: JsonObject = {"type": "string", "pattern": r"\{\{|\{%", "description": "a template"}


def playbook_schema(catalogue: Catalogue) -> JsonObject:
    """Describe what a playbook may say.

    Args:
        catalogue: Every action that exists; `do` completes to their names and `with` to their arguments.

    Returns:
        JSON Schema 2020-12.
    """
    schema: dict[str, Any] = Playbook.model_json_schema(by_alias=True, mode="validation")
    definitions = schema["$defs"]
    step = definitions["ActionStep"]
    known = with_builtins(catalogue)
    step["properties"]["do"] = {
        "description": "The action.",
        "oneOf": [{"const": name, "description": known[name].title} for name in sorted(known)],
    }
    step["properties"]["when"] = {"type": ["string", "boolean"], "description": "A bare expression."}
    step["allOf"] = [_arguments(known[name], definitions) for name in sorted(known)]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Playbook"}


def _arguments(spec: ActionSpec, definitions: dict[str, Any]) -> JsonObject:
    """`with` for one action: its parameters, each of which may be a template instead."""
    params: dict[str, Any] = dict(_moved(spec.params, spec.name))  # type: ignore[arg-type]
    for name, definition in params.pop("$defs", {}).items():
        definitions[f"{spec.name}.{name}"] = definition
    params["properties"] = {
        name: {"description": part.get("description", ""), "anyOf": [part, _TEMPLATE]}
        for name, part in params.get("properties", {}).items()
    }
    needs: JsonObject = {"required": ["with"]} if params.get("required") else {}
    return {
        "if": {"properties": {"do": {"const": spec.name}}, "required": ["do"]},
        "then": {"properties": {"with": params}, **needs},
    }


def _moved(value: JsonValue, prefix: str) -> JsonValue:
    """The same schema with its references to where its definitions now stand."""
    if isinstance(value, list):
        return [_moved(item, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _moved(item, prefix) for key, item in value.items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        moved["$ref"] = f"#/$defs/{prefix}.{reference.removeprefix('#/$defs/')}"
    return moved
