"""A policy with every kind of limit, and questions to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from soar.model.change import Plan, Target
from soar.model.terms import Phase, Risk, Severity
from soar.playbook.policy import (
    Policy,
    PolicyDecision,
    Spent,
    decide,
)

NOW = datetime(2026, 12, 23, 10, 0, tzinfo=UTC)  # a Wednesday
POLICY = """
version: 1
responders:
  - {id: ada, name: Ada, roles: [incident-commander, responder]}
  - {id: bob, name: Bob, roles: [incident-commander, responder]}
environments:
  production: {account: ["1111*"]}
  sandbox:
    - {account: "2222*"}
    - {tag: {env: "sandbox*"}}
autonomy:
  - {match: {environment: sandbox}, decide: automatic}
  - {match: {environment: production, risk: [destructive]}, decide: never}
  - {match: {risk: [reversible, disruptive]}, decide: automatic}
protected:
  - {uid: "*:role/break-glass", why: the way back in}
budgets:
  - {match: {risk: [disruptive]}, changes: 2, window: 1h, per: account, why: no storms}
  - {match: {playbook: "aws-*"}, changes: 5, window: 1d, per: playbook}
  - {group_percent: 34}
freezes:
  - from: 2026-12-24T00:00:00Z
    to: 2027-01-02T06:00:00Z
    match: {environment: production}
    unless_severity_at_least: critical
    why: the season's sales
  - weekly: {from: "fri 16:00", to: "mon 07:00", zone: Europe/Berlin}
    match: {environment: production}
    decide: ask
    approvers: 2
    roles: [responder]
"""


def plan(*targets: Target, account: str = "1111", **more: Any) -> Plan:
    return Plan(action="aws.x", params={}, summary="s", account=account, targets=targets, **more)


def target(uid: str = "arn:1", **tags: str) -> Target:
    return Target(uid=uid, type="t", tags=tags)


def decided(policy: Policy | None, **more: Any) -> PolicyDecision:
    defaults: dict[str, Any] = {
        "risk": Risk.DISRUPTIVE,
        "severity": Severity.HIGH,
        "phase": Phase.CONTAINMENT,
        "action": "aws.ec2.isolate_instance",
        "plan": plan(target()),
        "rule": None,
        "now": NOW,
        "playbook": "aws-mining",
    }
    return decide(policy, **{**defaults, **more})


def spent(minutes: float, account: str = "1111", **more: Any) -> Spent:
    values = {"risk": Risk.DISRUPTIVE, "playbook": "aws-mining", "action": "aws.x", "incident_id": "INC-1"}
    return Spent(time=NOW - timedelta(minutes=minutes), account=account, **{**values, **more})
