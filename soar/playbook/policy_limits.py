"""The limits of a policy: how many changes in how long, how much of a group, and the halt that stops every change.

All of it is pure: what was changed lately and whether changes are halted is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field, model_validator

from soar.model.base import Fact, UtcTime
from soar.model.change import Plan
from soar.model.terms import Risk
from soar.playbook.fields import Duration
from soar.playbook.policy_rules import Environment, RuleMatch, Scope, any_fits, environments_of_account

__all__ = ["Budget", "Halt", "Spent", "budget_refusals", "group_refusals", "longest_window", "moment"]

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_WHOLE = 1e-9
"""How far a share may be over its limit before it counts: a third of a group is 33.333… percent."""


class Halt(Fact):
    """No playbook changes anything until this is lifted.

    Args:
        by: The name of who halted.
    """

    by: str
    reason: str
    since: UtcTime


class Spent(Fact):
    """A change that was made lately, or that has a place reserved.

    Args:
        time: When it began.
        step_id: With `plan_digest` and the incident: which change it is; trying the same plan again is no other one.
    """

    time: UtcTime
    risk: Risk
    account: str
    playbook: str
    action: str
    incident_id: str
    step_id: str = ""
    plan_digest: str = ""


class Budget(Fact):
    """At most so many changes in so long, or at most such a part of an auto-scaling group.

    Args:
        match: The changes that count. With `changes` it says so by risk, action, account, playbook and
            environments that are told by accounts alone: nothing else is known of earlier changes.
        changes: How many within the window; with this one.
        window: Seconds.
        per: Counted apart for each account, for each playbook, or all together.
        group_percent: How much of an auto-scaling group's members in service one plan may take out.
    """

    match: RuleMatch = RuleMatch()
    changes: int | None = Field(default=None, ge=0, le=100_000)
    window: Duration | None = None
    per: Literal["account", "playbook", "overall"] | None = None
    group_percent: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    why: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _one_kind(self) -> Budget:
        if (self.changes is None) == (self.group_percent is None):
            raise ValueError("give either changes (with window) or group_percent")
        if self.group_percent is not None:
            if self.window is not None or self.per is not None:
                raise ValueError("window and per are for budgets of changes; this one is of a group")
            return self
        if self.window is None:
            raise ValueError("changes within what time? add window, such as window: 1h")
        if self.window > 366 * 86400:
            raise ValueError("the window is longer than 366 days")
        match = self.match
        if any(v is not None for v in (match.phase, match.severity_at_least, match.severity_at_most)):
            raise ValueError("a budget of changes counts earlier ones, whose phase and severity are not kept")
        return self

    def counts(self, change: Spent, environments: Mapping[str, tuple[Environment, ...]]) -> bool:
        """Whether a change is one of those that it limits."""
        match = self.match
        return (
            (match.risk is None or change.risk in match.risk)
            and (match.action is None or any_fits(change.action, match.action))
            and (match.account is None or any_fits(change.account, match.account))
            and (match.playbook is None or any_fits(change.playbook, match.playbook))
            and (
                match.environment is None
                or not environments_of_account(environments, change.account).isdisjoint(match.environment)
            )
        )

    def counted_with(self, change: Spent, other: Spent) -> bool:
        """Whether two changes come out of the same budget."""
        match self.per or "account":
            case "account":
                return change.account == other.account
            case "playbook":
                return change.playbook == other.playbook
        return True

    @property
    def words(self) -> str:
        """What it allows: `at most 3 disruptive changes per account in 1h`."""
        if self.group_percent is not None:
            return f"at most {self.group_percent:g}% of an auto-scaling group"
        risks = " or ".join(self.match.risk) + " " if self.match.risk else ""
        per = "overall" if self.per == "overall" else f"per {self.per or 'account'}"
        return f"at most {self.changes} {risks}change(s) {per} in {_span(self.window or 0)}"


def _span(seconds: float) -> str:
    whole = int(seconds)
    return next(f"{whole // size}{unit}" for size, unit in _UNITS if whole % size == 0)


def moment(time: datetime) -> str:
    """A time for people, in UTC, never earlier than it is."""
    rounded = time if time.microsecond == 0 else time.replace(microsecond=0) + timedelta(seconds=1)
    return f"{rounded:%Y-%m-%d %H:%M:%S} UTC"


def _named(number: int, budget: Budget) -> str:
    return f"budget {number}" + (f" ({budget.why})" if budget.why else "") + f": {budget.words}"


def longest_window(budgets: Iterable[Budget]) -> timedelta | None:
    """How far back changes have to be known; None: there is nothing to count."""
    return max((timedelta(seconds=b.window) for b in budgets if b.window is not None), default=None)


def budget_refusals(
    budgets: Sequence[Budget],
    environments: Mapping[str, tuple[Environment, ...]],
    change: Spent,
    spent: Iterable[Spent],
    now: datetime | None,
) -> list[str]:
    """Find the budgets that a further change would exceed.

    Args:
        change: The one that is to be made.
        spent: Those that were made; what is older than a budget's window does not count for it.
        now: None: not known, so all that were made count.

    Returns:
        One line for each, with the time at which it frees a place.
    """
    made, found = list(spent), []
    for number, budget in enumerate(budgets, start=1):
        if budget.changes is None or budget.window is None or not budget.counts(change, environments):
            continue
        window = timedelta(seconds=budget.window)
        times = sorted(
            s.time
            for s in made
            if (now is None or s.time > now - window)
            and budget.counts(s, environments)
            and budget.counted_with(change, s)
        )
        if len(times) < budget.changes:
            continue
        said = _named(number, budget)
        if budget.changes == 0:
            found.append(f"{said}, so none is made")
            continue
        of = {"account": f" in account {change.account}", "playbook": f" by {change.playbook}"}
        where = of.get(budget.per or "account", "")
        free = times[len(times) - budget.changes] + window
        found.append(f"{said}, and {len(times)} made{where}; a place is free at {moment(free)}")
    return found


def group_refusals(budgets: Sequence[Budget], scope: Scope, plan: Plan) -> list[str]:
    """Find the budgets that say a plan takes too much of an auto-scaling group out of service.

    Returns:
        One line for each. A share that is not known is too much.
    """
    blast, found = plan.blast_radius, []
    for number, budget in enumerate(budgets, start=1):
        if budget.group_percent is None or not blast.group or not budget.match.holds(scope):
            continue
        share = blast.group_share
        if share is None:
            found.append(
                f"{_named(number, budget)}; how much of group {blast.group} this takes out is not known"
            )
        elif share * 100 > budget.group_percent + _WHOLE:
            found.append(
                f"{_named(number, budget)}; this takes {share * 100:.3g}% of group {blast.group} out of service: "
                "it can be done once the group has more members in service"
            )
    return found
