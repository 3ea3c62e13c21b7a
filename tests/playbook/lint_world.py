"""A playbook around a part of one, and what the linter says of it."""

from __future__ import annotations

import re

from soar.actions.registry import catalogue
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.lint import lint
from soar.playbook.loader import LoadedPlaybook, load_playbook

__all__ = ["CHILD", "findings", "whole"]

_BASE = {
    "name": "name: example\n",
    "match": "match: {source: guardduty}\n",
    "correlate_by": "correlate_by: [alert.account]\n",
}
CHILD = load_playbook(
    "name: child\ninputs: {user: {type: string, default: ''}}\noutputs: {keys: steps.user.result.active_keys}\n"
    "identification:\n  - id: user\n    do: aws.iam.describe_principal\n    with: {name: '{{ inputs.user }}'}\n",
    file="child.yaml",
)


def whole(part: str) -> str:
    """A playbook with a part of it as given."""
    given = set(re.findall(r"^(\w+):", part, re.MULTILINE))
    return "".join(text for key, text in _BASE.items() if key not in given) + part


def findings(text: str) -> list[Diagnostic]:
    """Everything that is wrong with a playbook; `child`, and itself, can be called."""
    try:
        loaded = load_playbook(text, file="p.yaml")
    except PlaybookError as error:
        return list(error.diagnostics)

    def find(name: str) -> LoadedPlaybook:
        known = {"example": loaded, "child": CHILD}
        if name not in known:
            raise KeyError(f'there is no playbook "{name}"')
        return known[name]

    return lint(loaded, catalogue(), find)
