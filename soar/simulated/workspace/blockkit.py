"""Slack's published limits on Block Kit, for the blocks that this workspace renders.

Written from https://docs.slack.dev/reference/block-kit/blocks/ and …/block-elements/, and independent of the code that
makes the cards: one checks the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

__all__ = ["check_blocks", "check_message", "check_text", "check_unknown"]

MAX_BLOCKS = 50
MAX_MESSAGE = 13_000  # characters of the whole message, blocks as JSON; observed, not published


def check_message(text: str, blocks: Sequence[Any]) -> list[str]:
    """What Slack would refuse in a message; empty if nothing."""
    problems = check_blocks(blocks)
    if len(text) > 40_000:
        problems.append("text: longer than 40000 characters")
    size = sum(len(str(value)) for value in _strings(blocks))
    if size > MAX_MESSAGE:
        problems.append(f"blocks: {size} characters of text, more than {MAX_MESSAGE}")
    return problems


def check_blocks(blocks: Sequence[Any]) -> list[str]:
    """What Slack would answer `invalid_blocks` for, each as `path: problem`; empty if nothing."""
    if not isinstance(blocks, list | tuple):
        return ["blocks: not a list"]
    problems = [f"blocks: {len(blocks)}, more than {MAX_BLOCKS}"] if len(blocks) > MAX_BLOCKS else []
    ids: set[str] = set()
    for index, block in enumerate(blocks):
        path = f"blocks[{index}]"
        if not isinstance(block, Mapping):
            problems.append(f"{path}: not an object")
            continue
        block_id = block.get("block_id")
        if block_id is not None:
            if not isinstance(block_id, str) or not 0 < len(block_id) <= 255:
                problems.append(f"{path}.block_id: 1 to 255 characters")
            elif block_id in ids:
                problems.append(f"{path}.block_id: used twice")
            else:
                ids.add(block_id)
        problems += _block(path, block)
    return problems


def _block(path: str, block: Mapping[str, Any]) -> list[str]:
    match block.get("type"):
        case "header":
            return check_unknown(path, block, {"text"}) + check_text(
                f"{path}.text", block.get("text"), 150, {"plain_text"}
            )
        case "section":
            return _section(path, block)
        case "context":
            elements = block.get("elements")
            if not isinstance(elements, list) or not 1 <= len(elements) <= 10:
                return [f"{path}.elements: 1 to 10"]
            found = check_unknown(path, block, {"elements"})
            for index, element in enumerate(elements):
                found += check_text(f"{path}.elements[{index}]", element, 3000, {"plain_text", "mrkdwn"})
            return found
        case "actions":
            return _actions(path, block)
        case "divider":
            return check_unknown(path, block, set())
        case other:
            return [f"{path}.type: {other!r} is not supported here"]


def _section(path: str, block: Mapping[str, Any]) -> list[str]:
    found = check_unknown(path, block, {"text", "fields", "accessory", "expand"})
    if "text" not in block and "fields" not in block:
        found.append(f"{path}: needs text or fields")
    if "text" in block:
        found += check_text(f"{path}.text", block["text"], 3000, {"plain_text", "mrkdwn"})
    if "fields" in block:
        fields = block["fields"]
        if not isinstance(fields, list) or not 1 <= len(fields) <= 10:
            return [*found, f"{path}.fields: 1 to 10"]
        for index, field in enumerate(fields):
            found += check_text(f"{path}.fields[{index}]", field, 2000, {"plain_text", "mrkdwn"})
    if "accessory" in block:
        found += _button(f"{path}.accessory", block["accessory"])
    return found


def _actions(path: str, block: Mapping[str, Any]) -> list[str]:
    elements = block.get("elements")
    if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
        return [f"{path}.elements: 1 to 25"]
    found = check_unknown(path, block, {"elements"})
    names: set[str] = set()
    for index, element in enumerate(elements):
        found += _button(f"{path}.elements[{index}]", element)
        name = element.get("action_id") if isinstance(element, Mapping) else None
        if isinstance(name, str) and name in names:
            found.append(f"{path}.elements[{index}].action_id: used twice")
        names.add(str(name))
    return found


def _button(path: str, element: Any) -> list[str]:
    if not isinstance(element, Mapping) or element.get("type") != "button":
        return [f"{path}: only buttons are supported here"]
    found = check_unknown(
        path, element, {"text", "action_id", "value", "url", "style", "accessibility_label"}
    )
    found += check_text(f"{path}.text", element.get("text"), 75, {"plain_text"})
    action_id, value, url = element.get("action_id"), element.get("value"), element.get("url")
    if action_id is not None and (not isinstance(action_id, str) or not 0 < len(action_id) <= 255):
        found.append(f"{path}.action_id: 1 to 255 characters")
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 2000):
        found.append(f"{path}.value: 1 to 2000 characters")
    if url is not None:
        try:
            usable = isinstance(url, str) and len(url) <= 3000 and urlsplit(url).scheme in ("http", "https")
        except ValueError:
            usable = False
        if not usable:
            found.append(f"{path}.url: an http(s) address of at most 3000 characters")
    if element.get("style", "primary") not in ("primary", "danger"):
        found.append(f"{path}.style: primary or danger")
    return found


def check_text(path: str, value: Any, limit: int, kinds: set[str]) -> list[str]:
    """What Slack would refuse in a text object."""
    if not isinstance(value, Mapping):
        return [f"{path}: not a text object"]
    kind, text = value.get("type"), value.get("text")
    if kind not in kinds:
        return [f"{path}.type: {kind!r}, not {' or '.join(sorted(kinds))}"]
    extra = {"emoji"} if kind == "plain_text" else {"verbatim"}
    found = check_unknown(path, value, {"text", *extra})
    if not isinstance(text, str) or not text:
        found.append(f"{path}.text: empty")
    elif len(text) > limit:
        found.append(f"{path}.text: {len(text)} characters, more than {limit}")
    return found


def check_unknown(path: str, value: Mapping[str, Any], known: set[str]) -> list[str]:
    """The fields that Slack does not know; `type` and `block_id` are known everywhere."""
    unknown = sorted(str(k) for k in set(value) - known - {"type", "block_id"})
    return [f"{path}: unknown field {name}" for name in unknown]


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [s for item in value.values() for s in _strings(item)]
    if isinstance(value, list | tuple):
        return [s for item in value for s in _strings(item)]
    return []
