"""The playbook language as JSON Schema, for editors.

The types of the language say most of it. What only their validators know is put in here; what an expression or a
template may say is the linter's.
"""

from __future__ import annotations

from typing import Any

from soar.model.base import Fact, JsonObject
from soar.model.spec import ActionSpec, Catalogue
from soar.model.terms import Phase
from soar.playbook.builtins import with_builtins
from soar.playbook.declared import args_of, summary_of
from soar.playbook.schema import Clock, InputSpec, Match, Metadata, Playbook, SeverityRule
from soar.playbook.steps import KIND_KEYS, ApprovalRule, FormField, Retry, StepBase, Task, Wait

__all__ = ["playbook_schema"]

_TEMPLATE: JsonObject = {"type": "string", "pattern": r"\{\{|\{%", "description": "a template"}
_TYPES: tuple[type[Fact], ...] = (
    *KIND_KEYS.values(),
    ApprovalRule,
    Clock,
    FormField,
    InputSpec,
    Match,
    Metadata,
    Retry,
    SeverityRule,
    Task,
    Wait,
)
_BARE = frozenset({"when", "until", "collect", "if"})
"""Expressions of a step: `true` and `false` are written as YAML's."""

_DURATION = r"^(?=.*[1-9])[0-9]{1,6}[smhd]$"
_MORE = {
    "cases": "The lists of steps, by what the value is.",
    "default": "Its value where nobody sets one.",
    "description": "What people should know of it.",
    "else": "The steps that run if it does not hold.",
    "metadata": "Who stands behind it.",
    "repeat": "The steps of a round.",
    "required": "Whether it must be filled in.",
    "retry": "How often it is tried again where it fails for a reason that passes.",
    "steps": "The steps for each item.",
    "task": "What a person does.",
    "then": "The steps that run if it holds.",
    "type": "What kind of value it is.",
    "wait": "What is waited for.",
}
"""Of fields that say no more than their names where they are declared."""

_KINDS = {
    "do": "an action",
    "task": "something that a person does",
    "approve": "a question of its own",
    "wait": "a wait",
    "if": "steps that run only if something holds",
    "switch": "one of several lists of steps",
    "parallel": "lists of steps that run at the same time",
    "foreach": "steps for each item of a list",
    "repeat": "steps that run again until something holds",
    "playbook": "another playbook, as an incident of its own",
    "set": "names for values",
}


def playbook_schema(catalogue: Catalogue) -> JsonObject:
    """Describe what a playbook may say.

    Args:
        catalogue: Every action that exists; `do` completes to their names and `with` to their arguments.

    Returns:
        JSON Schema 2020-12.
    """
    schema: dict[str, Any] = Playbook.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Any] = schema.pop("$defs")
    schema = _plain(schema)
    definitions = {name: _plain(part) for name, part in definitions.items()}
    for kind in _TYPES:
        _described(definitions[kind.__name__], kind)
    for kind in KIND_KEYS.values():
        _bare(definitions[kind.__name__])
    _rules(definitions)
    _actions(definitions, with_builtins(catalogue))
    definitions["Step"] = _step(definitions)
    _described(schema, Playbook)
    for phase in Phase:
        schema["properties"][phase.value]["description"] = f"The steps of the phase {phase.label}, in order."
    schema["anyOf"] = [
        {"required": [phase.value], "properties": {phase.value: {"minItems": 1}}} for phase in Phase
    ]
    schema["dependentRequired"] = {"match": ["correlate_by"]}
    schema["properties"]["title"]["not"] = {"pattern": r"\{\{|\{%"}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Playbook"}
    return {**head, **schema, "$defs": definitions}


def _plain(part: Any) -> Any:
    """The schema that pydantic makes, without titles that only repeat names, and with nothing unknown allowed.

    A list of steps refers to `Step`, which knows the kinds by their keys: so an editor says what is wrong with a step,
    and not that it is none of eleven.
    """
    if isinstance(part, list):
        return [_plain(item) for item in part]
    if not isinstance(part, dict):
        return part
    if {"$ref": "#/$defs/ActionStep"} in part.get("oneOf", ()):
        return {"$ref": "#/$defs/Step"}
    made = {
        key: {name: _plain(inner) for name, inner in value.items()}
        if key in ("properties", "patternProperties")
        else _plain(value)
        for key, value in part.items()
        if not (key == "title" and isinstance(value, str)) and key != "discriminator"
    }
    if "patternProperties" in made:
        made.setdefault("additionalProperties", False)
    return made


def _described(part: dict[str, Any], kind: type[Fact]) -> None:
    """Put what the declaration says of a type and of its fields where editors show it."""
    part["description"] = summary_of(kind)
    args = args_of(kind)
    for name, field in kind.model_fields.items():
        key = field.alias or name
        shown = part["properties"].get(key)
        if shown is None:
            continue
        about = args.get(name) or _MORE.get(key, "")
        if _durations(shown):
            # Inside of the system they are seconds; in a file they are not.
            about = about.replace("Seconds ", "Time ", 1) + " Written `30s`, `15m`, `4h` or `2d`."
        if about:
            shown["description"] = about


def _durations(part: dict[str, Any]) -> bool:
    """Whether a field is a duration. Its pattern refuses 0, as the loader does."""
    found = [
        one for one in (part, *part.get("anyOf", ())) if one.get("examples") == ["30s", "15m", "4h", "2d"]
    ]
    for one in found:
        one["pattern"] = _DURATION
    return bool(found)


def _bare(part: dict[str, Any]) -> None:
    for name in _BARE & part["properties"].keys():
        shown = part["properties"][name]
        if "anyOf" in shown:
            shown["anyOf"].insert(0, {"type": "boolean"})
        else:
            text = {key: shown.pop(key) for key in ("type", "minLength", "maxLength") if key in shown}
            shown["anyOf"] = [{"type": "boolean"}, text]


def _rules(definitions: dict[str, Any]) -> None:
    """What the validators of the types refuse, as far as a schema can say it."""
    definitions["Match"]["minProperties"] = 1
    definitions["Wait"] |= {
        "oneOf": [{"required": [key]} for key in ("for", "until", "alert")],
        "dependentRequired": {"until": ["limit"], "alert": ["limit"]},
        "dependentSchemas": {"for": {"properties": {"limit": False}}},
    }
    definitions["FormField"] |= {
        "if": {"properties": {"type": {"const": "choice"}}, "required": ["type"]},
        "then": {"required": ["options"], "properties": {"options": {"minItems": 1}}},
        "else": {"properties": {"options": {"maxItems": 0}}},
    }
    definitions["ApproveStep"]["properties"]["approval"] |= {
        "required": ["role"],
        "properties": {"role": {"type": "string"}},
    }
    types: dict[str, JsonObject] = {
        "string": {"type": "string"},
        "number": {"type": "number"},
        "boolean": {"type": "boolean"},
        "list": {"type": "array"},
    }
    definitions["InputSpec"]["allOf"] = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"properties": {"default": fits}},
        }
        for name, fits in types.items()
    ]
    # As the type's own validator has it: a part of `T1078.004`.
    technique = {"type": "string", "pattern": r"^T[0-9]+(\.[0-9]*)?$|^T\.[0-9]+$"}
    for kind in KIND_KEYS.values():
        shown = definitions[kind.__name__]["properties"]["technique"]
        shown["anyOf"] = [technique, {"type": "array", "items": technique, "minItems": 1}, {"type": "null"}]


def _step(definitions: dict[str, Any]) -> JsonObject:
    """A step of any kind: the key that it has says which."""
    common = definitions["SetStep"]["properties"]
    properties: JsonObject = {
        name: {"description": common[name]["description"]} for name in StepBase.model_fields
    }
    properties |= {key: {"description": f"It is {about}."} for key, about in _KINDS.items()}
    return {
        "description": "A step: one of " + ", ".join(f"`{key}`" for key in KIND_KEYS) + " says what it does.",
        "type": "object",
        "properties": properties,
        "oneOf": [{"required": [key]} for key in KIND_KEYS],
        "allOf": [
            {"if": {"required": [key]}, "then": {"$ref": f"#/$defs/{kind.__name__}"}}
            for key, kind in KIND_KEYS.items()
        ],
    }


def _actions(definitions: dict[str, Any], known: Catalogue) -> None:
    """Complete `do` to the actions that there are, and `with` to what each takes."""
    step = definitions["ActionStep"]
    step["properties"]["do"] = {
        "description": "The action.",
        "oneOf": [{"const": name, "description": known[name].title} for name in sorted(known)],
    }
    step["allOf"] = [_arguments(known[name], definitions) for name in sorted(known)]


def _arguments(spec: ActionSpec, definitions: dict[str, Any]) -> JsonObject:
    """`with` for one action: its parameters, each of which may be a template instead, and so may what is in them."""
    params: dict[str, Any] = _templated(_moved(spec.params, spec.name))
    for name, definition in params.pop("$defs", {}).items():
        definitions[f"{spec.name}.{name}"] = _templated(definition)
    params["description"] = spec.title
    needs: JsonObject = {"required": ["with"]} if params.get("required") else {}
    return {
        "if": {"properties": {"do": {"const": spec.name}}, "required": ["do"]},
        "then": {"properties": {"with": params}, **needs},
    }


def _templated(part: Any) -> Any:
    """The same schema, with a template allowed in place of each value inside of it."""
    if not isinstance(part, dict):
        return part
    made = {key: value for key, value in part.items() if not (key == "title" and isinstance(value, str))}
    for key in ("properties", "patternProperties"):
        if isinstance(made.get(key), dict):
            made[key] = {name: _or_template(inner) for name, inner in made[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _or_template(made[key])
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(made.get(key), list):
            made[key] = [_templated(inner) for inner in made[key]]
    return made


def _or_template(part: Any) -> Any:
    if not isinstance(part, dict) or not part:
        return part
    inner = _templated(part)
    about = {"description": inner.pop("description")} if "description" in inner else {}
    return {**about, "anyOf": [inner, _TEMPLATE]}


def _moved(value: Any, prefix: str) -> Any:
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
