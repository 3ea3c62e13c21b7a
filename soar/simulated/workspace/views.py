"""Modals: what `views.open` takes, what a person fills in, and what Slack would post when it is sent.

Written from https://docs.slack.dev/reference/views/modal-views/ and …/block-elements/, and independent of the code
that makes the modals: one checks the other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from soar.simulated.workspace.blockkit import check_blocks, check_text, check_unknown

__all__ = ["TRIGGER_SECONDS", "check_view", "elements_of", "filled", "is_fresh", "problems_of"]

TRIGGER_SECONDS = 3.0
_ID = 255


def check_view(view: Any) -> list[str]:
    """What Slack would refuse in a modal; empty if nothing."""
    if not isinstance(view, Mapping) or view.get("type") != "modal":
        return ["view: only modals are supported here"]
    known = {"title", "submit", "close", "blocks", "callback_id", "private_metadata"}
    found = check_unknown("view", view, known)
    for name in ("title", "submit", "close"):
        if name == "title" or name in view:
            found += check_text(f"view.{name}", view.get(name), 24, {"plain_text"})
    for name, limit in (("callback_id", 255), ("private_metadata", 3000)):
        if not isinstance(view.get(name, ""), str) or len(view.get(name, "")) > limit:
            found.append(f"view.{name}: a text of at most {limit} characters")
    blocks = view.get("blocks")
    if not isinstance(blocks, list):
        return [*found, "view.blocks: not a list"]
    if len(blocks) > 100:
        found.append(f"view.blocks: {len(blocks)}, more than 100")
    inputs = [b for b in blocks if isinstance(b, Mapping) and b.get("type") == "input"]
    if inputs and "submit" not in view:
        found.append("view.submit: a modal with inputs needs it")
    names: set[str] = set()
    for block in inputs:
        found += _input(f"view.{block.get('block_id')}", block)
        if str(block.get("block_id")) in names:
            found.append(f"view.{block.get('block_id')}: used twice")
        names.add(str(block.get("block_id")))
    others = [b for b in blocks if b not in inputs]
    for start in range(0, len(others), 50):
        found += check_blocks(others[start : start + 50])
    return found


def _input(path: str, block: Mapping[str, Any]) -> list[str]:
    found = check_unknown(path, block, {"label", "element", "hint", "optional"})
    found += check_text(f"{path}.label", block.get("label"), 2000, {"plain_text"})
    if "hint" in block:
        found += check_text(f"{path}.hint", block["hint"], 2000, {"plain_text"})
    if not isinstance(block.get("block_id"), str) or not 0 < len(block["block_id"]) <= _ID:
        found.append(f"{path}.block_id: 1 to {_ID} characters")
    element = block.get("element")
    if not isinstance(element, Mapping):
        return [*found, f"{path}.element: not an object"]
    known = {
        "plain_text_input": {"multiline", "max_length", "min_length"},
        "number_input": {"is_decimal_allowed", "min_value", "max_value"},
        "radio_buttons": {"options"},
        "static_select": {"options", "option_groups"},
        "datetimepicker": set[str](),
    }.get(str(element.get("type")))
    if known is None:
        return [*found, f"{path}.element: {element.get('type')!r} is not supported here"]
    found += check_unknown(path, element, {*known, "action_id"})
    if element["type"] == "plain_text_input" and not 0 < element.get("max_length", 1) <= 3000:
        found.append(f"{path}.max_length: 1 to 3000")
    if element["type"] == "number_input" and not isinstance(element.get("is_decimal_allowed"), bool):
        found.append(f"{path}.is_decimal_allowed: required")
    if element["type"] in ("radio_buttons", "static_select"):
        found += _options(path, element)
    return found


def _options(path: str, element: Mapping[str, Any]) -> list[str]:
    most = 10 if element["type"] == "radio_buttons" else 100
    groups = element.get("option_groups")
    if (groups is None) == ("options" not in element):
        return [f"{path}: either options or option_groups"]
    lists = [element["options"]] if groups is None else [g["options"] for g in groups]
    found = [] if len(lists) <= 100 else [f"{path}.option_groups: more than 100"]
    for group in groups or ():
        found += check_text(f"{path}.label", group.get("label"), 75, {"plain_text"})
    for options in lists:
        if not 1 <= len(options) <= most:
            found.append(f"{path}.options: 1 to {most}")
        for option in options:
            found += check_unknown(path, option, {"text", "value"})
            found += check_text(f"{path}.option", option.get("text"), 75, {"plain_text"})
            if not isinstance(option.get("value"), str) or not 0 < len(option["value"]) <= 150:
                found.append(f"{path}.option.value: 1 to 150 characters")
    values = [option.get("value") for options in lists for option in options]
    if len(values) != len(set(values)):
        found.append(f"{path}.options: a value is used twice")
    return found


def elements_of(view: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The input blocks of a modal."""
    return [block for block in view["blocks"] if block.get("type") == "input"]


def _all_options(element: Mapping[str, Any]) -> list[Any]:
    groups = element.get("option_groups")
    return list(element["options"]) if groups is None else [o for g in groups for o in g["options"]]


def problems_of(view: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """What Slack itself says at a field and does not send, by the block's id; empty if all is well."""
    found: dict[str, str] = {}
    for block in elements_of(view):
        element, value = block["element"], values.get(block["block_id"], "")
        problem = _problem(element, value) if value else ""
        if not value and not block.get("optional"):
            problem = "This is a required field"
        if problem:
            found[block["block_id"]] = problem
    return found


def _problem(element: Mapping[str, Any], value: str) -> str:
    match element["type"]:
        case "plain_text_input":
            most = element.get("max_length", 3000)
            return f"At most {most} characters" if len(value) > most else ""
        case "number_input":
            if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
                return "Enter a number"
            low, high = float(element.get("min_value", "-inf")), float(element.get("max_value", "inf"))
            return "" if low <= float(value) <= high else "The number is too small or too large"
        case "datetimepicker":
            return "" if re.fullmatch(r"[0-9]{10}", value) else "Enter a date and a time"
        case _:
            known = {option["value"] for option in _all_options(element)}
            return "" if value in known else "Choose one of the options"


def filled(view: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """`view.state.values` as Slack sends it."""
    found: dict[str, Any] = {}
    for block in elements_of(view):
        element, value = block["element"], values.get(block["block_id"], "")
        held: dict[str, Any] = {"type": element["type"]}
        match element["type"]:
            case "datetimepicker":
                held["selected_date_time"] = int(value) if value else None
            case "radio_buttons" | "static_select":
                chosen = next((o for o in _all_options(element) if value and o["value"] == value), None)
                held["selected_option"] = chosen
            case _:
                held["value"] = value or None
        found[block["block_id"]] = {element["action_id"]: held}
    return found


def is_fresh(trigger_made_at: float) -> bool:
    """Whether a click can still open a modal."""
    return time.monotonic() - trigger_made_at <= TRIGGER_SECONDS
