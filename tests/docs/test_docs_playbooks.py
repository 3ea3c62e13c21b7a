"""The page that teaches the playbook language says all of it: every kind of step, every field, every word and name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import jsonschema
import pytest
from playbook_page import BLOCKS, CALLED, TEXT, Block, find
from pydantic import BaseModel

from soar.actions.registry import catalogue
from soar.model.terms import Phase
from soar.playbook.compiler import compile_playbook
from soar.playbook.document import parse_yaml
from soar.playbook.jsonschema import playbook_schema
from soar.playbook.lint import lint
from soar.playbook.results import INCIDENT_FIELDS, ROOTS, result_of
from soar.playbook.schema import Playbook
from soar.playbook.steps import KIND_KEYS, AnyStep, PlaybookStep, StepBase, blocks_of

each_block = pytest.mark.parametrize("block", BLOCKS, ids=[block.id for block in BLOCKS])


def test_every_block_is_found() -> None:
    assert len(BLOCKS) == TEXT.count("```yaml\n")
    assert len(BLOCKS) > 5


@each_block
def test_each_block_is_a_playbook_without_findings(block: Block) -> None:
    loaded = block.load()
    assert [str(d) for d in lint(loaded, catalogue(), find)] == []
    assert compile_playbook(loaded, catalogue(), find).nodes


def _steps(steps: tuple[AnyStep, ...]) -> Iterator[AnyStep]:
    for step in steps:
        yield step
        for inner in blocks_of(step):
            yield from _steps(inner.steps)


def _all_steps(block: Block) -> list[AnyStep]:
    playbook = block.load().playbook
    phases = (playbook.steps_of(phase) for phase in Phase)
    return [step for steps in (*phases, playbook.failure_steps) for step in _steps(steps)]


def test_every_block_without_tests_is_called_by_one_that_has_some() -> None:
    called = {
        f"{step.playbook}.yaml"
        for block in BLOCKS
        if block.tests
        for step in _all_steps(block)
        if isinstance(step, PlaybookStep)
    }
    assert called == set(CALLED)
    assert all(block.load().playbook.match is None for block in CALLED.values())


# ---- every field -----------------------------------------------------------------------------------------------------


def _models(annotation: Any, found: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """The types that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in found:
        found.add(annotation)
        for field in annotation.model_fields.values():
            _models(field.annotation, found)
    for part in get_args(annotation):
        _models(part, found)
    return found


MODELS = _models(Playbook, set())


def _field(model: type[BaseModel], name: str) -> str:
    """A field, called as it is written; what every step may say counts once."""
    owner = StepBase if issubclass(model, StepBase) and name in StepBase.model_fields else model
    return f"{owner.__name__}.{model.model_fields[name].alias or name}"


def _said(value: object) -> Iterator[str]:
    """The fields that stand in what somebody wrote."""
    if isinstance(value, BaseModel):
        for name in value.model_fields_set:
            yield _field(type(value), name)
            yield from _said(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from _said(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _said(item)


def test_the_playbooks_of_the_page_use_every_field_of_the_language() -> None:
    every = {_field(model, name) for model in MODELS for name in model.model_fields}
    assert {"Playbook.clocks", "ActionStep.with", "Wait.for", "FormField.options"} <= every
    said = {field for block in BLOCKS for field in _said(block.load().playbook)}
    assert sorted(every - said) == []


@pytest.mark.parametrize("kind", KIND_KEYS)
def test_the_playbooks_of_the_page_use_every_kind_of_step(kind: str) -> None:
    assert any(isinstance(step, KIND_KEYS[kind]) for block in BLOCKS for step in _all_steps(block))


def _keys(schema: Any) -> Iterator[str]:
    """The keys that a JSON Schema knows."""
    if isinstance(schema, dict):
        for name, inner in (schema.get("properties") or {}).items():
            yield name
            yield from _keys(inner)
        for name, inner in schema.items():
            if name not in ("properties", "if", "const", "enum", "default", "examples"):
                yield from _keys(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _keys(inner)


def test_every_key_of_the_schema_for_editors_stands_in_a_playbook_of_the_page() -> None:
    shown = "\n".join(block.text for block in BLOCKS)
    keys = set(_keys(playbook_schema({})))  # without actions, whose arguments are no keys of the language
    assert {"foreach", "met_by", "backoff", "options"} <= keys
    assert sorted(key for key in keys if not re.search(rf"(?<![\w.]){re.escape(key)}\s*:", shown)) == []


@each_block
def test_each_block_is_one_for_the_schema_for_editors(block: Block) -> None:
    jsonschema.Draft202012Validator(playbook_schema(catalogue())).validate(
        parse_yaml(block.text, file="").data
    )


# ---- every word and name ---------------------------------------------------------------------------------------------


def _words(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from (str(word) for word in get_args(annotation))
    else:
        for part in get_args(annotation):
            yield from _words(part)


WORDS = sorted(
    {word for model in MODELS for field in model.model_fields.values() for word in _words(field.annotation)}
)


@pytest.mark.parametrize("word", WORDS)
def test_the_page_shows_every_word_that_a_field_takes(word: str) -> None:
    code = "\n".join(block.text for block in BLOCKS)
    assert re.search(rf"\b{word}\b", code), f"{word} is not in any block"


READ = TEXT.partition("## What can be read\n")[2].partition("\n## ")[0]
RESULTS = READ.partition("| step | its result |\n")[2].splitlines()


@pytest.mark.parametrize("name", [*ROOTS, *INCIDENT_FIELDS, "item", "item_index", "attempt"])
def test_the_page_names_all_that_can_be_read(name: str) -> None:
    assert re.search(rf"`{name}(\.<id>)?`", READ)


@pytest.mark.parametrize("kind", [k for k in KIND_KEYS if k not in ("do", "task", "set", "playbook")])
def test_the_page_names_the_fields_of_each_result(kind: str) -> None:
    """Those of `do`, `task`, `set` and `playbook` are the author's own, but for what the page is asked for here."""
    row = next(line for line in RESULTS if f"`{kind}`" in line.split("|")[1])
    results = [
        result_of(step, catalogue(), find)
        for block in BLOCKS
        for step in _all_steps(block)
        if isinstance(step, KIND_KEYS[kind])
    ]
    fields = {name for shape in results if shape is not None for name in shape.schema.get("properties", {})}
    assert fields or "None" in row
    assert sorted(name for name in fields if f"`{name}`" not in row) == []


@pytest.mark.parametrize(
    ("kind", "field"), [("task", "completed_by"), ("playbook", "incident"), ("playbook", "status")]
)
def test_the_page_names_what_is_added_to_an_authors_own_result(kind: str, field: str) -> None:
    steps = [step for block in BLOCKS for step in _all_steps(block) if isinstance(step, KIND_KEYS[kind])]
    shapes = [shape for step in steps if (shape := result_of(step, catalogue(), find)) is not None]
    assert steps
    assert all(field in shape.schema["properties"] for shape in shapes)
    row = next(line for line in RESULTS if line.startswith(f"| `{kind}` |"))
    assert f"`{field}`" in row
