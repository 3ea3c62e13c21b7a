"""The organisation's rules: who may decide what, what needs a decision, what nobody may touch.

Of all rules that match a change the strictest counts, whatever their order: `never`, then `ask`, then `automatic`.
Among rules that ask, the most approvers count, and a voter must fit the roles of every one of them, and the
playbook's role too: the roles of the outcome are what all of them have in common. If they have none in common,
nobody may approve, and the outcome says so: a conflict between rules never widens who may decide.

Limits only ever forbid or ask: a halt, a freeze, a budget. What they forbid says when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import Field

from soar.model.alert import Alert
from soar.model.base import Fact
from soar.model.change import Plan
from soar.model.terms import Phase, Risk, Severity
from soar.playbook.policy_document import (
    FOUR_HOURS,
    ApprovalTimes,
    Policy,
    check_policy,
    load_policy,
    policy_schema,
)
from soar.playbook.policy_freezes import Freeze, Weekly, freezes_in_force
from soar.playbook.policy_limits import (
    Budget,
    Halt,
    Spent,
    budget_refusals,
    group_refusals,
    longest_window,
    moment,
)
from soar.playbook.policy_rules import (
    AutonomyRule,
    Environment,
    ProtectedTarget,
    RuleMatch,
    scope_of,
    touched,
)
from soar.playbook.schema import ApprovalRule

__all__ = [
    "DEFAULT_ROLE",
    "ApprovalTimes",
    "AutonomyRule",
    "Budget",
    "Environment",
    "Freeze",
    "Halt",
    "Policy",
    "PolicyDecision",
    "ProtectedTarget",
    "RuleMatch",
    "Spent",
    "Weekly",
    "check_policy",
    "decide",
    "deciding_roles",
    "halt_words",
    "implicated",
    "load_policy",
    "longest_window",
    "policy_schema",
    "reservation_refusal",
]

DEFAULT_ROLE = "incident-commander"
"""Who decides when no rule says who."""

_PUTTING_BACK = "incident.undo"
"""Budgets count what is changed, and let it be put back: a spent one must not keep a wrong change in place."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class PolicyDecision(Fact):
    """What the policy says about one change.

    Args:
        needed: How many people must approve; 0 unless the outcome is `approval`.
        roles: A vote counts only from somebody who has one of these. Empty with `approval`: nobody may decide.
        rule: What decided, in words.
        expires_after: Seconds until the question lapses.
        remind_after: Seconds until, and between, reminders; None: no reminders.
    """

    outcome: Literal["automatic", "approval", "forbidden"]
    needed: int = Field(ge=0)
    roles: tuple[str, ...]
    rule: str
    expires_after: float
    remind_after: float | None


class _Asking(NamedTuple):
    """Something that asks people, and what it is called. `freeze`: it comes on top of what rules say."""

    words: str
    approvers: int
    roles: tuple[str, ...]
    freeze: bool


def decide(
    policy: Policy | None,
    *,
    risk: Risk,
    severity: Severity,
    phase: Phase,
    action: str,
    plan: Plan | None,
    rule: ApprovalRule | None,
    now: datetime | None = None,
    playbook: str = "",
    halt: Halt | None = None,
    spent: tuple[Spent, ...] = (),
) -> PolicyDecision:
    """Decide whether an action may be done, and who has to agree.

    Args:
        policy: None: reads run, every change asks, and nobody can approve.
        severity: Of the incident.
        plan: What would be changed; None for a read.
        rule: What the playbook asks for, which can only make the outcome stricter.
        now: When it is to be done. None: not known; then every freeze counts as in force, and every change that
            was made as recent.
        playbook: The name of the playbook that would do it.
        halt: The halt that is in force.
        spent: The changes that were made lately, as far back as the longest budget reaches.

    Returns:
        The decision. What is forbidden has every reason in its rule. A protected target is forbidden to every
        change; reading it is not, and nor does a halt, a freeze or a budget keep anybody from reading.
    """
    stopped = [halt_words(halt)] if halt is not None and risk is not Risk.READ else []
    if policy is None:
        if risk is Risk.READ:
            return _plain("automatic", "reads run without a policy")
        if stopped:
            return _plain("forbidden", stopped[0])
        why = "there is no policy, so nobody may approve a change; write a policy.yaml"
        return _asked(ApprovalTimes(), 1, (), why, rule)
    scope = scope_of(
        policy.environments,
        risk=risk,
        severity=severity,
        phase=phase,
        action=action,
        plan=plan,
        playbook=playbook,
    )
    matching = [(number, r) for number, r in enumerate(policy.autonomy, start=1) if r.holds(scope)]
    never = [(n, r) for n, r in matching if r.decide == "never"]
    forbidden = [*stopped, *([_words(never)] if never else [])]
    if risk is Risk.READ:
        return _plain("forbidden", forbidden[0]) if forbidden else _plain("automatic", "reads are automatic")
    frozen = freezes_in_force(policy.freezes, scope, now)
    forbidden += [words for freeze, words in frozen if freeze.decide == "never"]
    if plan is not None:
        change = Spent(
            time=now or _EPOCH,
            risk=risk,
            account=plan.account,
            playbook=playbook,
            action=action,
            incident_id="",
        )
        forbidden = [*_protection(policy, plan), *forbidden, *group_refusals(policy.budgets, scope, plan)]
        forbidden += _over_budget(policy, change, spent, now)
    if forbidden:
        return _plain("forbidden", "; ".join(forbidden))
    asking = [
        _Asking(_words([(n, r)]), r.approvers, r.roles, freeze=False)
        for n, r in matching
        if r.decide == "ask"
    ]
    asking += [_Asking(words, f.approvers, f.roles, freeze=True) for f, words in frozen]
    if matching and not asking and rule is None:
        return _plain("automatic", _words(matching))
    return _ask(policy, asking, rule, unmatched=not matching)


def halt_words(halt: Halt) -> str:
    """Why nothing is changed, and what ends that."""
    return (
        f"changes are halted by {halt.by} since {moment(halt.since)}: {halt.reason}; "
        "nothing is changed until somebody lifts it with `soar halt --lift`"
    )


def reservation_refusal(
    policy: Policy | None, change: Spent, halt: Halt | None, spent: Iterable[Spent], now: datetime
) -> str:
    """Why a change that was decided on may not begin now after all; empty: it may.

    Args:
        spent: The changes that were made lately, this one not among them.
    """
    if halt is not None:
        return halt_words(halt)
    if policy is None:
        return ""
    return "; ".join(_over_budget(policy, change, spent, now))


def _over_budget(policy: Policy, change: Spent, spent: Iterable[Spent], now: datetime | None) -> list[str]:
    if change.action == _PUTTING_BACK:
        return []
    return budget_refusals(policy.budgets, policy.environments, change, spent, now)


def _ask(
    policy: Policy, asking: Sequence[_Asking], rule: ApprovalRule | None, *, unmatched: bool
) -> PolicyDecision:
    needed = max([a.approvers for a in asking] + ([rule.approvers] if rule else [1]))
    rules = [a for a in asking if not a.freeze]
    named = [set(a.roles) for a in rules if a.roles]
    own = {rule.role} if rule is not None and rule.role is not None else set()
    # Where no rule says who may decide, it is the incident commander; where the rules would not even have asked,
    # the playbook is free to say whom it asks.
    if not named and (rules or unmatched or (rule is not None and not own)):
        named = [{DEFAULT_ROLE}]
    if own:
        named.append(own)
    # A freeze adds to all that, and replaces none of it: neither what others name, nor who decides where none is named.
    if not named and any(a.freeze and not a.roles for a in asking):
        named = [{DEFAULT_ROLE}]
    named += [set(a.roles) for a in asking if a.freeze and a.roles]
    named = named or [{DEFAULT_ROLE}]
    roles = tuple(sorted(set.intersection(*named)))
    words = ["no policy rule matches, so a person is asked"] if unmatched else []
    why = ", ".join([*words, *(a.words for a in asking)]) or "the playbook asks"
    if not roles:
        wanted = "; ".join(" or ".join(sorted(names)) for names in named)
        why += f". Nobody may approve: the roles asked for have none in common ({wanted})"
    return _asked(policy.approvals, needed, roles, why, rule)


def _asked(
    times: ApprovalTimes, needed: int, roles: tuple[str, ...], why: str, rule: ApprovalRule | None
) -> PolicyDecision:
    reminders = [t for t in (times.remind, rule.remind if rule else None) if t is not None]
    expiries = [t for t in (times.expires, rule.expires if rule else None) if t is not None]
    return PolicyDecision(
        outcome="approval",
        needed=needed,
        roles=roles,
        rule=why,
        expires_after=min(expiries),
        remind_after=min(reminders, default=None),
    )


def _plain(outcome: Literal["automatic", "forbidden"], why: str) -> PolicyDecision:
    return PolicyDecision(
        outcome=outcome, needed=0, roles=(), rule=why, expires_after=FOUR_HOURS, remind_after=None
    )


def _words(rules: list[tuple[int, AutonomyRule]]) -> str:
    named = [f"policy rule {n}" + (f" ({r.why})" if r.why else "") for n, r in rules]
    return ", ".join(named)


def _protection(policy: Policy, plan: Plan) -> list[str]:
    """Why a plan may not be: the first protected target that it touches, with the rule that protects it."""
    for target in touched(plan):
        for number, protected in enumerate(policy.protected, start=1):
            if protected.fits(target):
                reason = f": {protected.why}" if protected.why else ""
                named = f"protected target {number}: {protected.words}"
                return [f"{target.uid or target.name} is protected{reason} ({named})"]
    return []


def deciding_roles(policy: Policy | None) -> tuple[str, ...]:
    """Every role that may decide something: who is asked what to do about a failed step.

    Returns:
        The roles that rules name, and the one that decides where no rule says who.
    """
    named = {role for rule in policy.autonomy for role in rule.roles} if policy else set()
    return tuple(sorted({DEFAULT_ROLE, *named}))


def implicated(policy: Policy | None, alerts: Iterable[Alert]) -> dict[str, str]:
    """Find the responders who are themselves in the alerts; they may not vote on the incident.

    Args:
        policy: None: there are no responders.
        alerts: The incident's alerts.

    Returns:
        Responder id → why, for each who is implicated.
    """
    found: dict[str, str] = {}
    told = list(alerts)
    for responder in policy.responders if policy is not None else ():
        own = {i.strip().lower() for i in (*responder.identities, responder.email) if i.strip()}
        for alert in told:
            seen = next(((what, value) for what, value in _principals(alert) if value.lower() in own), None)
            if seen is not None:
                found[responder.id] = f"{responder.name} is in the alert as {seen[0]} {seen[1]}"
                break
    return found


def _principals(alert: Alert) -> Iterable[tuple[str, str]]:
    """Every identity that an alert names, in full and by its short name."""
    if alert.actor is not None:
        actor = alert.actor
        for what, value in (
            ("actor", actor.name),
            ("actor", actor.uid),
            ("access key", actor.access_key_id),
            ("session", actor.session_name),
        ):
            if value:
                yield what, value
    for resource in alert.resources:
        yield "resource", resource.uid
        yield "resource", resource.name
    for observable in alert.observables:
        if observable.type.value in ("arn", "principal", "access_key", "email"):
            yield observable.type.value.replace("_", " "), observable.value
