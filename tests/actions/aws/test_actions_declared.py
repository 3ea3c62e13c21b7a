"""What holds for every action that is installed: its example is right, and its permissions are those that it uses."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from soar.actions.contract import ReadDefinition
from soar.actions.registry import definitions

ACTIONS = sorted(definitions())


def _examples(text: str) -> list[dict[str, Any]]:
    found = YAML(typ="safe").load(text)
    return list(found) if isinstance(found, list) else [found]


def _templated(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_templated(v) for v in value.values())
    if isinstance(value, list):
        return any(_templated(v) for v in value)
    return isinstance(value, str) and "{{" in value


@pytest.mark.parametrize("name", ACTIONS)
def test_the_example_fits_the_parameters(name: str) -> None:
    spec = definitions()[name].spec
    steps = [step for step in _examples(spec.example) if step["do"] == name]
    assert steps, f"the example of {name} uses {name}"
    for step in steps:
        given = step.get("with", {})
        schema: dict[str, Any] = {**spec.params, "properties": {}}
        schema["properties"] |= spec.params.get("properties", {})
        # A template has a value only in an incident; all else must fit as it stands.
        for key, value in given.items():
            assert key in schema["properties"], f"{name} has no parameter {key}"
            if _templated(value):
                schema["properties"][key] = True
        jsonschema.validate(given, schema)


@pytest.mark.parametrize("name", ACTIONS)
def test_it_names_only_actions_that_there_are(name: str) -> None:
    named = re.findall(r"`(aws\.[a-z0-9_]+\.[a-z0-9_]+)`", definitions()[name].spec.doc)
    assert not [n for n in named if n not in ACTIONS]


@pytest.mark.parametrize("name", [n for n in ACTIONS if n.startswith("aws.")])
def test_it_says_what_it_needs(name: str) -> None:
    definition = definitions()[name]
    assert definition.spec.permissions
    assert definition.spec.queue == "aws"
    doc = definition.spec.doc
    assert "Pitfalls" in doc
    if not isinstance(definition, ReadDefinition):
        assert "Pre-condition" in doc
        assert "Verified" in doc
        assert ("Undone" in doc) == definition.spec.undoable
