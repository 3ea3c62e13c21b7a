"""The organisation's rules: who may decide what, what needs a decision, what nobody may touch.

Of all rules that match a change the strictest counts, whatever their order: `never`, then `ask`, then `automatic`.
Among rules that ask, the most approvers count, and a voter must fit the roles of every one of them, and the
playbook's role too: the roles of the outcome are what all of them have in common. If they have none in common,
nobody may approve, and the outcome says so: a conflict between rules never widens who may decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field, model_validator

from soar.model.alert import Alert
from soar.model.base import Digest, Fact, digest_of
from soar.model.change import Plan, Target
from soar.model.people import Responder
from soar.model.terms import Phase, Risk, Severity
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.document import parse_yaml, validate
from soar.playbook.schema import ApprovalRule, Duration, OneOrMore, RoleName, SeverityName

__all__ = [
    "DEFAULT_ROLE",
    "ApprovalTimes",
    "AutonomyRule",
    "Policy",
    "PolicyDecision",
    "ProtectedTarget",
    "RuleMatch",
    "decide",
    "deciding_roles",
    "implicated",
    "load_policy",
]

DEFAULT_ROLE = "incident-commander"
"""Who decides when no rule says who."""

_FOUR_HOURS = 4 * 3600.0
_QUARTER_HOUR = 15 * 60.0


class RuleMatch(Fact):
    """Which changes a rule is about: every condition that is given must hold. None given: all of them.

    Args:
        action: Globs over the action's name, `aws.iam.*`.
        account: Globs over the plan's account.
        severity_at_most: Never holds for a severity that is unknown: that is no proof of a low one.
    """

    risk: tuple[Risk, ...] | None = Field(default=None, min_length=1)
    phase: tuple[Phase, ...] | None = Field(default=None, min_length=1)
    severity_at_least: SeverityName | None = None
    severity_at_most: SeverityName | None = None
    action: OneOrMore | None = None
    account: OneOrMore | None = None

    def fits(self, *, risk: Risk, severity: Severity, phase: Phase, action: str, account: str) -> bool:
        """Whether a change is one of these."""
        least, most = self.severity_at_least, self.severity_at_most
        return (
            (self.risk is None or risk in self.risk)
            and (self.phase is None or phase in self.phase)
            and (least is None or severity >= least)
            and (most is None or (severity is not Severity.UNKNOWN and severity <= most))
            and (self.action is None or _any_fits(action, self.action))
            and (self.account is None or _any_fits(account, self.account))
        )


class AutonomyRule(Fact):
    """What is done without people, with how many of them, or never.

    Args:
        approvers: How many different people must approve; only of rules that ask.
        roles: Which roles may decide; only of rules that ask. None given: the rule does not say.
        why: The reason, which the people who are asked read.
    """

    match: RuleMatch = RuleMatch()
    decide: Literal["automatic", "ask", "never"]
    approvers: int = Field(default=1, ge=1, le=10)
    roles: tuple[RoleName, ...] = ()
    why: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _people_only_where_asked(self) -> AutonomyRule:
        if self.decide != "ask" and (self.approvers != 1 or self.roles):
            raise ValueError(f"approvers and roles are for rules that ask; this one says {self.decide}")
        return self


class ProtectedTarget(Fact):
    """Something that no action may change: every condition that is given must hold.

    Args:
        uid: A glob over the target's ARN.
        name: A glob over its name.
        type: A glob over its type.
        tag: Tags that it has; the values are globs.
    """

    uid: str | None = Field(default=None, min_length=1)
    name: str | None = Field(default=None, min_length=1)
    type: str | None = Field(default=None, min_length=1)
    tag: dict[str, str] | None = Field(default=None, min_length=1)
    why: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _some_condition(self) -> ProtectedTarget:
        if self.uid is None and self.name is None and self.type is None and self.tag is None:
            raise ValueError("no condition: give uid, name, type or tag")
        return self

    def fits(self, target: Target) -> bool:
        """Whether a target is this."""
        return (
            (self.uid is None or fnmatchcase(target.uid, self.uid))
            and (self.name is None or fnmatchcase(target.name, self.name))
            and (self.type is None or fnmatchcase(target.type, self.type))
            and all(
                key in target.tags and fnmatchcase(target.tags[key], value)
                for key, value in (self.tag or {}).items()
            )
        )


class ApprovalTimes(Fact):
    """How long people are waited for.

    Args:
        expires: Seconds until a question lapses unanswered, which is not a yes.
        remind: Seconds until, and between, reminders.
    """

    expires: Duration = _FOUR_HOURS
    remind: Duration | None = _QUARTER_HOUR


class Policy(Fact):
    """The whole of `policy.yaml`."""

    version: Literal[1]
    responders: tuple[Responder, ...] = ()
    autonomy: tuple[AutonomyRule, ...] = ()
    protected: tuple[ProtectedTarget, ...] = ()
    approvals: ApprovalTimes = ApprovalTimes()

    @model_validator(mode="after")
    def _one_person_one_entry(self) -> Policy:
        for what, values in (
            ("id", [r.id for r in self.responders]),
            ("slack", [r.slack for r in self.responders if r.slack]),
            ("email", [r.email.lower() for r in self.responders if r.email]),
        ):
            twice = sorted({v for v in values if values.count(v) > 1})
            if twice:
                # One person under two ids would be two votes.
                raise ValueError(f'two responders have the {what} "{twice[0]}"')
        return self

    @property
    def digest(self) -> Digest:
        """The policy's version: the SHA-256 of what it says."""
        return digest_of(self)

    def responder(self, responder_id: str) -> Responder | None:
        """The responder with this id, or None."""
        return next((r for r in self.responders if r.id == responder_id), None)

    def responder_by_slack(self, user_id: str) -> Responder | None:
        """The responder with this Slack user id, or None."""
        return next((r for r in self.responders if user_id and r.slack == user_id), None)


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


def load_policy(text: str, *, file: str) -> Policy:
    """Read a policy.

    Args:
        text: YAML 1.2.
        file: The name for messages.

    Returns:
        The policy.

    Raises:
        PlaybookError: It cannot be used; each diagnostic has line and column.
    """
    document = parse_yaml(text, file=file)
    policy = validate(document, Policy)
    errors = [
        document.diagnostic(
            ("autonomy", index),
            "too-few-responders",
            f"{rule.approvers} approvers with the role {' or '.join(rule.roles)} are asked for, {held} exist",
            "give the role to more responders, or ask for fewer",
        )
        for index, rule in enumerate(policy.autonomy)
        if rule.roles
        and (held := sum(bool(set(rule.roles) & set(r.roles)) for r in policy.responders)) < rule.approvers
    ]
    if errors:
        raise PlaybookError(errors)
    return policy


def decide(
    policy: Policy | None,
    *,
    risk: Risk,
    severity: Severity,
    phase: Phase,
    action: str,
    plan: Plan | None,
    rule: ApprovalRule | None,
) -> PolicyDecision:
    """Decide whether an action may be done, and who has to agree.

    Args:
        policy: None: reads run, every change asks, and nobody can approve.
        severity: Of the incident.
        plan: What would be changed; None for a read.
        rule: What the playbook asks for, which can only make the outcome stricter.

    Returns:
        The decision. A protected target is forbidden to every change; reading it is not.
    """
    if policy is None:
        if risk is Risk.READ:
            return _plain("automatic", "reads run without a policy")
        why = "there is no policy, so nobody may approve a change; write a policy.yaml"
        return _asked(ApprovalTimes(), 1, (), why, rule)
    if risk is not Risk.READ and plan is not None:
        for protected, target in _protected(policy, plan):
            reason = f": {protected.why}" if protected.why else ""
            return _plain("forbidden", f"{target.uid or target.name} is protected{reason}")
    account = plan.account if plan is not None else ""
    matching = [
        (number, r)
        for number, r in enumerate(policy.autonomy, start=1)
        if r.match.fits(risk=risk, severity=severity, phase=phase, action=action, account=account)
    ]
    never = [(n, r) for n, r in matching if r.decide == "never"]
    if never:
        return _plain("forbidden", _words(never))
    if risk is Risk.READ:
        return _plain("automatic", "reads are automatic")
    asking = [(n, r) for n, r in matching if r.decide == "ask"]
    if matching and not asking and rule is None:
        return _plain("automatic", _words(matching))
    return _ask(policy, asking, rule, unmatched=not matching)


def _ask(
    policy: Policy, asking: list[tuple[int, AutonomyRule]], rule: ApprovalRule | None, *, unmatched: bool
) -> PolicyDecision:
    needed = max([r.approvers for _, r in asking] + ([rule.approvers] if rule else [1]))
    named = [set(r.roles) for _, r in asking if r.roles]
    # Where no rule says who may decide, it is the incident commander; where the rules would not even have asked,
    # the playbook is free to say whom it asks.
    if not named and (asking or unmatched or rule is None or rule.role is None):
        named = [{DEFAULT_ROLE}]
    if rule is not None and rule.role is not None:
        named.append({rule.role})
    roles = tuple(sorted(set.intersection(*named)))
    if asking:
        why = _words(asking)
    elif unmatched:
        why = "no policy rule matches, so a person is asked"
    else:
        why = "the playbook asks"
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
        outcome=outcome, needed=0, roles=(), rule=why, expires_after=_FOUR_HOURS, remind_after=None
    )


def _words(rules: list[tuple[int, AutonomyRule]]) -> str:
    named = [f"policy rule {n}" + (f" ({r.why})" if r.why else "") for n, r in rules]
    return ", ".join(named)


def _any_fits(value: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(value, glob) for glob in globs)


def _protected(policy: Policy, plan: Plan) -> Iterable[tuple[ProtectedTarget, Target]]:
    """The protected targets of a plan. What a change names but the plan does not list as a target counts too."""
    listed = {t.uid for t in plan.targets}
    unlisted = {c.target for c in plan.changes} - listed
    for target in (*plan.targets, *(Target(uid=uid, type="", name=uid) for uid in sorted(unlisted))):
        for protected in policy.protected:
            if protected.fits(target):
                yield protected, target


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
