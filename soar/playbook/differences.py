"""What differs between two versions of a playbook, in words."""

from __future__ import annotations

from collections.abc import Iterator

from soar.playbook.changed_fields import changed_fields
from soar.playbook.graph import Node, NodeBase, StepGraph

__all__ = ["graph_differences"]

_WORDS = {
    "params": "its arguments",
    "account": "the account that it acts in",
    "region": "the region that it acts in",
    "when": "its condition",
    "next": "what follows it",
    "approval": "whom it asks",
    "on_error": "what happens when it fails",
    "timeout": "its time",
    "retry": "how often it is tried",
    "expires": "when it is put back",
    "cases": "its ways",
    "branches": "its branches",
    "spec": "what its action declares",
}
_OPENED = ("params", "approval", "retry")
_FEW = 3
"""How many fields of these are told one by one: a line of a timeline holds no more."""
_WHOLE = {
    "failure": "what is done after a failure",
    "undo_on_failure": "whether changes are put back after a failure",
    "undo_on_cancel": "whether changes are put back after a cancel",
    "outputs": "its outputs",
    "severity": "its severity rules",
    "clocks": "its deadlines",
    "children": "the playbooks that it calls",
}


def graph_differences(before: StepGraph, after: StepGraph) -> tuple[str, ...]:
    """Say what differs.

    Returns:
        One sentence for each step that is new, gone or not the same, in the order of the newer version, and for what
        belongs to the playbook as a whole. Empty: they do the same.
    """
    return tuple(_differences(before, after))


def _differences(before: StepGraph, after: StepGraph) -> Iterator[str]:
    for step_id, node in after.nodes.items():
        old = before.nodes.get(step_id)
        if old is None:
            yield f"new in {node.phase.label}: {step_id} ({_does(node)})"
        elif old != node:
            yield f"{step_id}: {', '.join(_changed(old, node))}"
    for step_id, node in before.nodes.items():
        if step_id not in after.nodes:
            yield f"gone from {node.phase.label}: {step_id} ({_does(node)})"
    for field, words in _WHOLE.items():
        if getattr(before, field) != getattr(after, field):
            yield f"differs: {words}"


def _changed(old: Node, new: Node) -> Iterator[str]:
    if old.phase is not new.phase:
        yield f"moved from {old.phase.label} to {new.phase.label}"
    if _does(old) != _does(new):
        yield f"{_does(old)} is now {_does(new)}"
    then, now = old.model_dump(mode="json"), new.model_dump(mode="json")
    for field in dict.fromkeys((*then, *now)):
        if field in ("phase", "kind", "action", "id") or then.get(field) == now.get(field):
            continue
        inner = [c.text for c in changed_fields({field: then.get(field)}, {field: now.get(field)})]
        if field in _OPENED and old.kind == new.kind and 0 < len(inner) <= _FEW:
            yield from inner
        else:
            yield _words(field, then.get(field), now.get(field))


def _words(field: str, before: object, after: object) -> str:
    word = _WORDS.get(field, f"its {field.replace('_', ' ')}")
    plain = all(isinstance(value, (str, int, float, bool, type(None))) for value in (before, after))
    if plain and field != "next" and max(len(str(before)), len(str(after))) <= 80:
        return f"{word} was {before!r} and is {after!r}"
    return f"{word} differ" if word.endswith("s") else f"{word} differs"


def _does(node: NodeBase) -> str:
    return str(getattr(node, "action", None) or getattr(node, "kind", ""))
