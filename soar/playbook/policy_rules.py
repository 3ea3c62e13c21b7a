"""The rules of a policy: which changes they are about, what they decide, and what nobody may touch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from soar.model.base import Fact
from soar.model.change import Plan, Target
from soar.model.terms import Phase, Risk, Severity
from soar.playbook.fields import OneOrMore, RoleName, SeverityName

__all__ = [
    "AutonomyRule",
    "Environment",
    "Environments",
    "ProtectedTarget",
    "RuleMatch",
    "Scope",
    "any_fits",
    "environments_of_account",
    "scope_of",
    "touched",
]


def any_fits(value: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs fits; upper and lower case differ."""
    return any(fnmatchcase(value, glob) for glob in globs)


def _tags_fit(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(key in tags and fnmatchcase(tags[key], glob) for key, glob in wanted.items())


class Environment(Fact):
    """One way to tell that something belongs to an environment: every condition that is given must hold.

    Args:
        account: Globs over the account.
        tag: Tags that the target has; the values are globs.
    """

    account: OneOrMore | None = None
    tag: dict[str, str] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _some_condition(self) -> Environment:
        if self.account is None and self.tag is None:
            raise ValueError("no condition: give account or tag")
        return self

    def fits(self, account: str, tags: Mapping[str, str]) -> bool:
        """Whether a thing in this account, with these tags, belongs to it."""
        return (self.account is None or any_fits(account, self.account)) and _tags_fit(tags, self.tag or {})


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict | Environment) else value


Ways = Annotated[
    tuple[Environment, ...],
    Field(min_length=1),
    BeforeValidator(_listed),
]
"""One way or a list of them, of which one must fit."""

Environments = dict[RoleName, Ways]
"""Environment's name → how to tell it."""


def environments_of_account(environments: Mapping[str, tuple[Environment, ...]], account: str) -> Set[str]:
    """The environments that an account is in whatever is in it: those told by accounts alone."""
    return {
        name
        for name, ways in environments.items()
        if any(way.tag is None and way.fits(account, {}) for way in ways)
    }


@dataclass(frozen=True)
class Scope:
    """A change as rules look at it.

    Args:
        somewhere: The environments that something it touches is in.
        everywhere: The environments that all that it touches is in.
    """

    risk: Risk
    severity: Severity
    phase: Phase
    action: str
    account: str
    playbook: str
    somewhere: Set[str]
    everywhere: Set[str]


def _not_said(value: object) -> bool:
    """A condition that a policy does not use is not part of its digest: what is said decides, not what could be."""
    return value is None


class RuleMatch(Fact):
    """Which changes a rule is about: every condition that is given must hold. None given: all of them.

    Args:
        action: Globs over the action's name, `aws.iam.*`.
        account: Globs over the plan's account.
        environment: Names of the policy's environments, one of which the change is in.
        playbook: Globs over the playbook's name.
        severity_at_most: Never holds for a severity that is unknown: that is no proof of a low one.
    """

    risk: tuple[Risk, ...] | None = Field(default=None, min_length=1)
    phase: tuple[Phase, ...] | None = Field(default=None, min_length=1)
    severity_at_least: SeverityName | None = None
    severity_at_most: SeverityName | None = None
    action: OneOrMore | None = None
    account: OneOrMore | None = None
    environment: OneOrMore | None = Field(default=None, exclude_if=_not_said)
    playbook: OneOrMore | None = Field(default=None, exclude_if=_not_said)

    def fits(
        self,
        *,
        risk: Risk,
        severity: Severity,
        phase: Phase,
        action: str,
        account: str,
        playbook: str = "",
        environments: Set[str] = frozenset(),
    ) -> bool:
        """Whether a change is one of these.

        Args:
            environments: Those that it is in.
        """
        least, most = self.severity_at_least, self.severity_at_most
        return (
            (self.risk is None or risk in self.risk)
            and (self.phase is None or phase in self.phase)
            and (least is None or severity >= least)
            and (most is None or (severity is not Severity.UNKNOWN and severity <= most))
            and (self.action is None or any_fits(action, self.action))
            and (self.account is None or any_fits(account, self.account))
            and (self.environment is None or not environments.isdisjoint(self.environment))
            and (self.playbook is None or any_fits(playbook, self.playbook))
        )

    def holds(self, scope: Scope, *, loosens: bool = False) -> bool:
        """Whether a change is one of these.

        Args:
            loosens: It would let the change run without people. Then everything that it touches must be in the
                environment: a plan that reaches into another one must not run by the rules of the laxer of the two.
        """
        return self.fits(
            risk=scope.risk,
            severity=scope.severity,
            phase=scope.phase,
            action=scope.action,
            account=scope.account,
            playbook=scope.playbook,
            environments=scope.everywhere if loosens else scope.somewhere,
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

    def holds(self, scope: Scope) -> bool:
        """Whether it is about this change."""
        return self.match.holds(scope, loosens=self.decide == "automatic")


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
            and _tags_fit(target.tags, self.tag or {})
        )

    @property
    def words(self) -> str:
        """What it protects: `uid arn:aws:iam::*:user/break-glass`."""
        conditions = [f"{name} {value}" for name in ("uid", "name", "type") if (value := getattr(self, name))]
        conditions += [f"tag {key}={value}" for key, value in (self.tag or {}).items()]
        return ", ".join(conditions)


def touched(plan: Plan) -> tuple[Target, ...]:
    """All that a plan touches: its targets, and what its changes name without listing it as one."""
    listed = {t.uid for t in plan.targets}
    unlisted = sorted({c.target for c in plan.changes} - listed)
    return (*plan.targets, *(Target(uid=uid, type="", name=uid) for uid in unlisted))


def scope_of(
    environments: Mapping[str, tuple[Environment, ...]],
    *,
    risk: Risk,
    severity: Severity,
    phase: Phase,
    action: str,
    plan: Plan | None,
    playbook: str,
) -> Scope:
    """Look at a change as rules do.

    Args:
        environments: Of the policy.
        plan: None for a read, which is in no environment.
    """
    account = plan.account if plan is not None else ""
    places: list[tuple[str, Mapping[str, str]]] = []
    if plan is not None:
        # What the plan does to something without tags, or to nothing that is listed, it does in its account.
        places = [(t.account or account, t.tags) for t in touched(plan)] or [(account, {})]
        places += [(account, t.tags) for t in plan.targets if t.account not in ("", account)]
    found = [
        {name for name, ways in environments.items() if any(way.fits(where, tags) for way in ways)}
        for where, tags in places
    ]
    return Scope(
        risk=risk,
        severity=severity,
        phase=phase,
        action=action,
        account=account,
        playbook=playbook,
        somewhere=set().union(*found),
        everywhere=set.intersection(*found) if found else set(),
    )
