"""Every rule that findings in playbooks and policies name."""

from __future__ import annotations

from typing import Final

from soar.playbook.diagnostics import SeverityOfFinding, nearest
from soar.playbook.rule import Rule
from soar.playbook.rules_cacao import CACAO_RULES
from soar.playbook.rules_design import DESIGN_RULES
from soar.playbook.rules_names import NAME_RULES
from soar.playbook.rules_policy import POLICY_RULES
from soar.playbook.rules_reading import READING_RULES
from soar.playbook.rules_steps import STEP_RULES

__all__ = ["RULES", "Rule", "explain", "rules_page", "severity_of"]

RULES: Final[dict[str, Rule]] = {
    rule.id: rule
    for rule in (*READING_RULES, *NAME_RULES, *STEP_RULES, *DESIGN_RULES, *POLICY_RULES, *CACAO_RULES)
}
"""By id."""


def severity_of(rule: str) -> SeverityOfFinding:
    """The severity of a rule's findings; what is not declared is an error."""
    return RULES[rule].severity if rule in RULES else "error"


def explain(rule_id: str) -> str:
    """What a rule finds, why, and how it is put right, as text.

    Raises:
        KeyError: There is no such rule; the message has the nearest.
    """
    if rule_id not in RULES:
        hint = nearest(rule_id, RULES)
        raise KeyError(f'there is no rule "{rule_id}"' + (f" ({hint})" if hint else ""))
    rule = RULES[rule_id]
    parts = [f"{rule.severity}[{rule.id}]: {rule.title}", rule.why]
    for label, text in (("Found in:", rule.bad), ("Put right:", rule.good)):
        if text:
            parts.append(label + "\n\n" + _indented(text))
    if rule.fixable:
        parts.append("`soar playbook lint --fix` puts it right where what is meant is beyond doubt.")
    return "\n\n".join(parts) + "\n"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines())


def rules_page() -> str:
    """The page of the reference, in Markdown."""
    parts = [
        "`soar playbook lint` names the rule of each finding. An error: the playbook is refused. A warning: it may do "
        "other than is\nmeant. Info: it could be better.\n"
    ]
    for rule in RULES.values():
        fix = ", fixable" if rule.fixable else ""
        parts.append(f"## `{rule.id}` ({rule.severity}{fix})\n\n{rule.title} {rule.why}\n")
        if rule.bad:
            parts.append(f"```yaml\n# found\n{rule.bad.strip()}\n\n# put right\n{rule.good.strip()}\n```\n")
    return "\n".join(parts)
