"""What a rule of the linter is."""

from __future__ import annotations

from soar.model.base import Fact
from soar.playbook.diagnostics import SeverityOfFinding

__all__ = ["Rule"]


class Rule(Fact):
    """One check of playbooks or policies.

    Args:
        id: What findings name it by, `unknown-action`.
        severity: Of its findings.
        title: What it finds, in one line.
        why: Why that matters and what to do, in some sentences.
        bad: A part of a playbook that it finds something in; a test sees that it does. Empty where a part cannot show
            it.
        good: The same part put right.
        fixable: Whether `soar playbook lint --fix` can put it right, where what is meant is beyond doubt.
    """

    id: str
    severity: SeverityOfFinding
    title: str
    why: str
    bad: str = ""
    good: str = ""
    fixable: bool = False
