"""What a policy would say of a playbook's changes, before there is a plan; and what only a plan can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from soar.model.alert import Alert
from soar.model.base import Fact
from soar.model.change import Plan
from soar.model.terms import Phase, Risk
from soar.playbook.graph import ActionNode
from soar.playbook.policy import Policy, PolicyDecision, decide
from soar.playbook.policy_rules import RuleMatch

__all__ = ["StepPolicy", "explain_policy"]


class StepPolicy(Fact):
    """What is known of the policy's decision about one step.

    Args:
        when: The step is skipped unless this holds; empty: always done.
        decision: By what the alert tells: severity and account.
        unknown: What may still make it another one, and when that is known.
    """

    step_id: str
    name: str
    phase: Phase
    action: str
    risk: Risk
    when: str
    decision: PolicyDecision
    unknown: tuple[str, ...]


def explain_policy(
    policy: Policy | None, nodes: Iterable[object], alert: Alert, *, playbook: str, now: datetime
) -> list[StepPolicy]:
    """Ask the policy about every step that would be a change.

    Args:
        nodes: Of the compiled playbook; what is no action is left out, and so are reads.
        alert: The alert that opens the incident.
        playbook: Its name.
        now: The time that freezes are looked at for.
    """
    found = []
    for node in nodes:
        if not isinstance(node, ActionNode) or node.spec.risk is Risk.READ:
            continue
        # Of the plan only the account is known, which is the alert's.
        plan = Plan(action=node.action, params={}, account=alert.account, summary="")
        decision = decide(
            policy,
            risk=node.spec.risk,
            severity=alert.severity,
            phase=node.phase,
            action=node.action,
            plan=plan,
            rule=node.approval,
            now=now,
            playbook=playbook,
        )
        found.append(
            StepPolicy(
                step_id=node.id,
                name=node.name,
                phase=node.phase,
                action=node.action,
                risk=node.spec.risk,
                when=node.when or "",
                decision=decision,
                unknown=tuple(_unknown(policy, node, alert, playbook)),
            )
        )
    return found


def _unknown(policy: Policy | None, node: ActionNode, alert: Alert, playbook: str) -> Iterator[str]:
    yield "whether changes are halted: `soar halt --status`"
    if policy is None:
        return

    def may_fit(match: RuleMatch) -> bool:
        """Whether a rule could match, if the environments were right."""
        return match.environment is not None and match.model_copy(update={"environment": None}).fits(
            risk=node.spec.risk,
            severity=alert.severity,
            phase=node.phase,
            action=node.action,
            account=alert.account,
            playbook=playbook,
        )

    by_tag = {name for name, ways in policy.environments.items() if any(way.tag for way in ways)}
    for number, rule in enumerate(policy.autonomy, start=1):
        names = sorted(by_tag & set(rule.match.environment or ()))
        if names and may_fit(rule.match):
            what = "everything it touches is" if rule.decide == "automatic" else "a target is"
            yield (
                f"policy rule {number} ({rule.decide}) counts if {what} tagged as {' or '.join(names)}: "
                "the plan has the tags"
            )
    for number, freeze in enumerate(policy.freezes, start=1):
        names = sorted(by_tag & set(freeze.match.environment or ()))
        if names and may_fit(freeze.match):
            yield f"freeze {number} counts if a target is tagged as {' or '.join(names)}: the plan has the tags"
    for number, protected in enumerate(policy.protected, start=1):
        yield f"forbidden if a target is {protected.words} (protected target {number}): the plan has the targets"
    for number, budget in enumerate(policy.budgets, start=1):
        if budget.group_percent is not None:
            yield f"budget {number}: {budget.words}; the plan has how much of a group it takes"
        elif budget.match.risk is None or node.spec.risk in budget.match.risk:
            yield f"budget {number}: {budget.words}; what was changed lately is known when it is to begin"
