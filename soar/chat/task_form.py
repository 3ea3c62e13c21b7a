"""A task's form as a Slack modal, and what Slack sends back as the engine takes it.

The modal carries ids only. Its inputs have Slack's own constraints, so that what is wrong in most cases is said at the
field before anything is sent. https://docs.slack.dev/reference/views/modal-views/
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from soar.chat.cards import step_value
from soar.chat.message import Block, lines_of, prose
from soar.chat.text import clean, plain, quoted, shorten
from soar.engine.forms import FormRefused, filled_in
from soar.model.base import JsonObject, digest_of
from soar.model.course import FormSpec, Task
from soar.model.incident import Incident

__all__ = [
    "CALLBACK",
    "INPUT",
    "NOTE",
    "answers",
    "asked",
    "fits_a_modal",
    "kept",
    "problems",
    "task_modal",
]

CALLBACK = "task.done"
INPUT = "value"
"""The `action_id` of every input."""
NOTE = "note"
"""The `block_id` of the words that go onto the timeline."""

MAX_FIELDS = 40
MAX_OPTIONS = 300
_GROUP = 100  # options in a select, or in a group of one
_TEXT = 3_000  # https://docs.slack.dev/reference/block-kit/block-elements/plain-text-input-element/
_NOTE = 2_000
_LARGEST = str(2**53 - 1)


def asked(incident: Incident, task: Task) -> str:
    """The id of this asking: another one where the same step asks again, for an answer belongs to one question."""
    return digest_of([incident.id, task.step_id, task.opened_at.isoformat()])[:16]


def fits_a_modal(task: Task) -> bool:
    """Whether Slack can show the form: a modal has 100 blocks and 250 kB."""
    return len(task.form) <= MAX_FIELDS and sum(len(f.options) for f in task.form.values()) <= MAX_OPTIONS


def task_modal(incident: Incident, task: Task, channel: str) -> dict[str, Any]:
    """The view that `views.open` takes.

    Args:
        channel: Where the person is told if the answer is not taken: Slack does not say it with the answer.
    """
    blocks: list[Block] = [prose(task.name, 300)]
    if task.instructions and task.instructions != task.name:
        blocks.append(lines_of(quoted(task.instructions), 2_900))
    blocks += [_input(name, spec) for name, spec in task.form.items()]
    note = {"type": "plain_text_input", "action_id": INPUT, "multiline": True, "max_length": _NOTE}
    blocks.append(
        {"type": "input", "block_id": NOTE, "label": plain("Note", 200), "optional": True, "element": note}
    )
    return {
        "type": "modal",
        "callback_id": CALLBACK,
        "private_metadata": f"{channel} {asked(incident, task)} {step_value(incident.id, task.step_id)}",
        "title": plain("Fill in" if task.form else "Done", 24),
        "submit": plain("Done", 24),
        "close": plain("Not now", 24),
        "blocks": blocks,
    }


def _block_id(name: str) -> str:
    return f"field.{digest_of(name)[:16]}"


def _option_id(option: str) -> str:
    # An option may be longer than the 150 characters that Slack takes as a value.
    return digest_of(option)[:16]


def _input(name: str, spec: FormSpec) -> Block:
    block: Block = {
        "type": "input",
        "block_id": _block_id(name),
        "label": plain(clean(spec.label or name), 200),
        "optional": not spec.required,
        "element": _element(spec),
    }
    if spec.type == "time":
        block["hint"] = plain("In your own time zone", 200)
    return block


def _element(spec: FormSpec) -> dict[str, Any]:
    match spec.type:
        case "number":
            return {
                "type": "number_input",
                "action_id": INPUT,
                "is_decimal_allowed": True,
                "min_value": f"-{_LARGEST}",
                "max_value": _LARGEST,
            }
        case "boolean":
            return {
                "type": "radio_buttons",
                "action_id": INPUT,
                "options": [_option("Yes", "true"), _option("No", "false")],
            }
        case "choice":
            return {"type": "static_select", "action_id": INPUT, **_choices(spec)}
        case "time":
            return {"type": "datetimepicker", "action_id": INPUT}
        case "text":
            return {"type": "plain_text_input", "action_id": INPUT, "multiline": True, "max_length": _TEXT}


def _option(text: str, value: str) -> dict[str, Any]:
    return {"text": plain(clean(text), 75), "value": value}


def _choices(spec: FormSpec) -> dict[str, Any]:
    options = [_option(option, _option_id(option)) for option in dict.fromkeys(spec.options)]
    if len(options) <= _GROUP:
        return {"options": options}
    starts = range(0, len(options), _GROUP)
    groups = [
        {"label": plain(f"{start + 1} to {min(start + _GROUP, len(options))}", 75), "options": found}
        for start in starts
        if (found := options[start : start + _GROUP])
    ]
    return {"option_groups": groups}


def answers(task: Task, sent: Mapping[str, str]) -> JsonObject:
    """What a person filled in, by the form's names.

    Args:
        sent: The values of the modal, by the blocks' ids, as `parse_payload` reads them.
    """
    found: JsonObject = {}
    for name, spec in task.form.items():
        value = sent.get(_block_id(name))
        if value is not None:
            found[name] = _answer(spec, value)
    return found


def _answer(spec: FormSpec, value: str) -> JsonValue:
    if spec.type == "choice":
        return next((option for option in spec.options if _option_id(option) == value), value)
    if spec.type == "time" and value.isdigit() and len(value) <= 11:
        return datetime.fromtimestamp(int(value), UTC).isoformat()
    return value


def problems(task: Task, values: JsonObject) -> list[str]:
    """What is wrong, one line for each field that is."""
    found = []
    for name, spec in task.form.items():
        try:
            filled_in({name: spec}, {name: values.get(name)})
        except FormRefused as refused:
            found.append(str(refused))
    return found


def kept(task: Task | None, sent: Mapping[str, str], note: str) -> str:
    """What a person wrote, to give it back where it was not taken; empty if nothing was written."""
    values = answers(task, sent) if task is not None else {}
    labels = {name: spec.label or name for name, spec in task.form.items()} if task is not None else {}
    parts = [f"{clean(labels[name])}: {clean(str(value))}" for name, value in values.items()]
    if not values:
        parts = [clean(value) for value in sent.values()]
    if note:
        parts.append(f"Note: {clean(note)}")
    return shorten("; ".join(part for part in parts if part), 6_000)
