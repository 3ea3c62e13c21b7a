"""Which fields of two versions of a thing differ, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from soar.model.base import Fact
from soar.playbook.drawing.words import span

__all__ = ["FieldChange", "changed_fields"]

_LONGEST = 80
"""Characters of a value that is still said."""

_WORDS = {
    "account": "the account that it acts in",
    "action": "its action",
    "approval": "its approval",
    "approval.approvers": "how many people it asks",
    "approval.expires": "when its question lapses",
    "approval.remind": "when people are reminded",
    "approval.role": "whom it asks",
    "attempts": "how often it is done at most",
    "bound": "what an item is called",
    "cases": "its ways",
    "collect": "what an item leaves behind",
    "concurrency": "how many run at once",
    "due": "when it is overdue",
    "every": "the time between its rounds",
    "expires": "when it is put back",
    "form": "what it asks for",
    "if": "its `if`",
    "instructions": "its instructions",
    "items": "the list",
    "name": "its name",
    "notify": "whom it tells",
    "on_error": "what happens when it fails",
    "owner": "who does it",
    "params": "its arguments",
    "playbook": "the playbook that it runs",
    "question": "its question",
    "region": "the region that it acts in",
    "retry": "how often it is tried",
    "retry.attempts": "how often it is tried",
    "retry.backoff": "the time before it is tried again",
    "retry.on": "the errors after which it is tried again",
    "role": "who is asked when it fails",
    "seconds": "how long it waits",
    "technique": "the techniques that it answers",
    "timeout": "its time",
    "until": "until what",
    "values": "its values",
    "when": "its condition",
    "clocks": "its deadlines",
    "correlate_by": "which alerts are one incident",
    "description": "its description",
    "inputs": "its inputs",
    "match": "which alerts it answers",
    "metadata": "its metadata",
    "on_cancel": "what is done when a person cancels",
    "on_failure": "what is done after a failure",
    "order": "the order of its ways",
    "outputs": "its outputs",
    "roles": "its roles",
    "severity": "its rules of severity",
    "title": "its title",
}
_EACH = {
    "cases": "its way {}",
    "clocks": "its deadline {}",
    "form": "its field {}",
    "inputs": "its input {}",
    "match": "the alerts’ {}",
    "metadata": "its {}",
    "outputs": "its output {}",
    "params": "its argument {}",
    "roles": "its role {}",
    "values": "its value {}",
}
"""What one entry of a mapping is called."""
_TIMES = frozenset({"timeout", "expires", "remind", "backoff", "due", "every", "seconds", "warn"})
_OPENED = frozenset({"approval", "cases", "match", "retry"})
"""What is told field by field even where it is new, or gone."""


class FieldChange(Fact):
    """A field that has another value.

    Args:
        field: Where it stands: `params.user_name`.
        before: None: it was not there.
        after: None: it is not there any more.
        text: In words.
    """

    field: str
    before: JsonValue = None
    after: JsonValue = None
    text: str


def changed_fields(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> Iterator[FieldChange]:
    """Each field whose value differs, as deep as mappings go; durations are seconds in it."""
    yield from _changed((), before, after)


def _changed(
    path: tuple[str, ...], before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]
) -> Iterator[FieldChange]:
    for key in dict.fromkeys((*before, *after)):
        here = (*path, key)
        old, new = before.get(key), after.get(key)
        if _same(old, new) and (key in before) == (key in after):
            continue
        if ".".join(here) in _OPENED:
            old, new = (_given(value) for value in (old, new))
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changed(here, old, new)
        else:
            told = _told(here, key in before, old, key in after, new)
            yield FieldChange(field=".".join(here), before=old, after=new, text=told)


def _given(value: JsonValue) -> JsonValue:
    """A mapping without what is not given; an empty one in place of none."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value or {}


def _same(one: JsonValue, other: JsonValue) -> bool:
    # 1 and true are not the same here, as they are for Python.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _told(path: tuple[str, ...], had: bool, old: JsonValue, has: bool, new: JsonValue) -> str:
    what = _called(path)
    if isinstance(old, list) and isinstance(new, list):
        return _lists(what, old, new)
    was, now = _value(path, old), _value(path, new)
    free = path[0] in ("params", "values")  # where null is a value as any other
    if not had or (old is None and not free):
        return f"{what} is new" + (f": {now}" if now else "")
    if not has or (new is None and not free):
        return f"{what} is gone" + (f"; it was {was}" if was else "")
    if not was or not now:
        return f"{what} {'differ' if what.endswith('s') and len(path) == 1 else 'differs'}"
    return f"{what} was {was} and is {now}"


def _lists(what: str, old: list[JsonValue], new: list[JsonValue]) -> str:
    more = [item for item in new if item not in old]
    less = [item for item in old if item not in new]
    told = [
        f"{word} {_value((), item)}" for word, items in (("with", more), ("without", less)) for item in items
    ]
    if not told:
        return f"{what}: in another order"
    if any(text.endswith(" ") for text in told) or len(told) > 6:
        return f"{what}: {len(more)} more, {len(less)} less"
    return f"{what}: now {', '.join(told)}"


def _called(path: tuple[str, ...]) -> str:
    whole = ".".join(path)
    if whole in _WORDS:
        return _WORDS[whole]
    first, *rest = path
    if rest:
        each = _EACH.get(first)
        inner = ".".join(rest)
        return each.format(inner) if each else f"{_WORDS.get(first, f'its {first}')}, {inner}"
    return f"its {first.replace('_', ' ')}"


def _value(path: tuple[str, ...], value: JsonValue) -> str:
    """A value as people read it; empty if it is too long for a sentence."""
    if (
        path
        and path[-1] in _TIMES
        and path[0] not in ("params", "values")
        and isinstance(value, (int, float))
    ):
        return span(value)
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else f"“{value}”"
    return text if len(text) <= _LONGEST and "\n" not in text else ""
