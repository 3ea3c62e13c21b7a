"""Environments, budgets, freezes and the halt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from policy_world import NOW, POLICY, decided, plan, spent, target

from soar.model.change import BlastRadius, Change, Target
from soar.model.terms import Risk, Severity
from soar.playbook.policy import (
    AutonomyRule,
    Budget,
    Environment,
    Freeze,
    Halt,
    Policy,
    PolicyDecision,
    RuleMatch,
    Weekly,
    load_policy,
    longest_window,
    reservation_refusal,
)
from soar.playbook.schema import ApprovalRule


@pytest.fixture
def policy() -> Policy:
    return load_policy(POLICY, file="policy.yaml")


def test_an_environment_is_told_by_account_or_by_tag(policy: Policy) -> None:
    destructive = {"risk": Risk.DESTRUCTIVE}
    assert decided(policy, **destructive).outcome == "forbidden"
    assert decided(policy, plan=plan(account="2222"), **destructive).outcome == "automatic"
    tagged = plan(target(env="sandbox-7"), account="3333")
    assert decided(policy, plan=tagged, **destructive).outcome == "automatic"
    assert decided(policy, plan=plan(target(env="prod"), account="3333"), **destructive).outcome == "approval"


def test_what_reaches_beyond_the_sandbox_does_not_run_by_the_sandboxs_rule(policy: Policy) -> None:
    both = plan(target("arn:1", env="sandbox"), target("arn:2", env="prod"), account="3333")
    assert decided(policy, plan=both, risk=Risk.DESTRUCTIVE).outcome == "approval"
    unlisted = plan(
        target("arn:1", env="sandbox"),
        account="3333",
        changes=(Change(target="arn:9", field="f", before=1, after=2),),
    )
    assert decided(policy, plan=unlisted, risk=Risk.DESTRUCTIVE).outcome == "approval"
    # One target in production is enough for what production forbids, also in another account's plan.
    elsewhere = Target(uid="arn:3", type="t", account="1111")
    crossing = plan(target("arn:1"), elsewhere, account="3333")
    assert decided(policy, plan=crossing, risk=Risk.DESTRUCTIVE).outcome == "forbidden"


def test_a_protected_target_is_told_with_its_rule(policy: Policy) -> None:
    refused = decided(policy, plan=plan(target("arn:aws:iam::1111:role/break-glass")))
    assert refused.outcome == "forbidden"
    assert "is protected: the way back in (protected target 1: uid *:role/break-glass)" in refused.rule


def test_a_budget_is_spent_and_says_when_a_place_is_free(policy: Policy) -> None:
    assert decided(policy, spent=(spent(10),)).outcome == "automatic"
    full = decided(policy, spent=(spent(10), spent(20)))
    assert full.outcome == "forbidden"
    assert "budget 1 (no storms): at most 2 disruptive change(s) per account in 1h" in full.rule
    assert "2 made in account 1111; a place is free at 2026-12-23 10:40:00 UTC" in full.rule
    # Overdrawn, it takes until the last but one is out of the window.
    over = decided(policy, spent=(spent(10), spent(20), spent(50)))
    assert "3 made in account 1111; a place is free at 2026-12-23 10:40:00 UTC" in over.rule


def test_a_budget_counts_only_what_it_is_about(policy: Policy) -> None:
    others = (
        spent(10),
        spent(61),  # out of its window
        spent(5, account="4444"),
        spent(6, account="4444", playbook="other"),
        spent(7, risk=Risk.REVERSIBLE),
    )
    assert decided(policy, spent=others).outcome == "automatic"
    assert decided(policy, risk=Risk.REVERSIBLE, spent=(spent(1), spent(2), spent(3))).outcome == "automatic"
    by_playbook = tuple(spent(100 + n, account=str(n)) for n in range(5))
    refused = decided(policy, spent=by_playbook)
    assert "budget 2" in refused.rule
    assert "5 made by aws-mining" in refused.rule
    assert decided(policy, spent=by_playbook, playbook="aws-other").outcome == "automatic"
    assert decided(policy, risk=Risk.READ, plan=None, spent=by_playbook).outcome == "automatic"
    assert longest_window(policy.budgets) == timedelta(days=1)
    assert longest_window(policy.budgets[2:]) is None


def test_a_budget_of_an_environment_counts_its_accounts() -> None:
    match = RuleMatch(environment=("production",))
    policy = Policy(
        version=1,
        environments={"production": (Environment(account=("1*",)), Environment(tag={"env": "prod"}))},
        autonomy=(AutonomyRule(decide="automatic"),),
        budgets=(Budget(match=match, changes=1, window=3600, per="overall"),),
    )
    assert decided(policy, spent=(spent(5, account="1999"),)).outcome == "forbidden"
    assert decided(policy, spent=(spent(5, account="2999"),)).outcome == "automatic"
    assert decided(policy, plan=plan(account="2"), spent=(spent(5),)).outcome == "automatic"


def test_a_budget_of_none_forbids_for_good() -> None:
    policy = Policy(version=1, budgets=(Budget(changes=0, window=60),))
    assert "so none is made" in decided(policy).rule


def test_a_spent_budget_lets_changes_be_put_back(policy: Policy) -> None:
    full = (spent(10), spent(20))
    assert decided(policy, spent=full, action="incident.undo").outcome == "automatic"
    undo = spent(0, action="incident.undo")
    assert reservation_refusal(policy, undo, None, full, NOW) == ""
    halt = Halt(by="Ada", reason="r", since=NOW)
    assert decided(policy, action="incident.undo", halt=halt).outcome == "forbidden"


@pytest.mark.parametrize(
    ("group", "share", "outcome"),
    [
        ("", None, "automatic"),
        ("web", 1 / 3, "automatic"),
        ("web", 0.5, "forbidden"),
        ("web", None, "forbidden"),
    ],
)
def test_a_group_keeps_what_policy_says(
    policy: Policy, group: str, share: float | None, outcome: str
) -> None:
    hit = BlastRadius(group=group, group_share=share)
    found = decided(policy, plan=plan(target(), blast_radius=hit))
    assert found.outcome == outcome
    assert outcome == "automatic" or "budget 3: at most 34% of an auto-scaling group" in found.rule


def test_a_freeze_forbids_until_it_ends_and_spares_the_worst(policy: Policy) -> None:
    inside = datetime(2026, 12, 28, 10, tzinfo=UTC)
    refused = decided(policy, now=inside)
    assert refused.outcome == "forbidden"
    assert "freeze 1 (the season's sales); it ends at 2027-01-02 06:00:00 UTC" in refused.rule
    assert decided(policy, now=inside, severity=Severity.CRITICAL).outcome == "automatic"
    assert decided(policy, now=inside, severity=Severity.UNKNOWN).outcome == "forbidden"
    assert decided(policy, now=inside, plan=plan(account="3333")).outcome == "automatic"
    assert decided(policy, now=inside, risk=Risk.READ, plan=None).outcome == "automatic"
    assert (
        decided(policy, now=datetime(2027, 1, 3, tzinfo=UTC), severity=Severity.CRITICAL).outcome
        == "approval"
    )


def test_a_weekly_freeze_follows_its_zones_clock(policy: Policy) -> None:
    def asked(*at: int) -> PolicyDecision:
        return decided(policy, now=datetime(*at, tzinfo=UTC))  # type: ignore[arg-type,misc]

    assert asked(2026, 7, 3, 13, 59).outcome == "automatic"
    summer = asked(2026, 7, 3, 14, 0)  # Friday 16:00 in Berlin
    assert (summer.outcome, summer.needed, summer.roles) == ("approval", 2, ("responder",))
    assert "freeze 2; it ends at 2026-07-06 05:00:00 UTC" in summer.rule
    assert asked(2026, 7, 6, 5, 0).outcome == "automatic"
    assert asked(2026, 11, 6, 14, 59).outcome == "automatic"
    assert asked(2026, 11, 6, 15, 0).outcome == "approval"


def test_a_freeze_in_a_zone_that_this_machine_does_not_know_is_in_force() -> None:
    weekly = Weekly(start="fri 16:00", end="mon 07:00", zone="Mars/Phobos")
    policy = Policy(version=1, freezes=(Freeze(weekly=weekly),))
    assert "the time zone Mars/Phobos is not known on this machine" in decided(policy).rule
    assert decided(policy.resolved_at(NOW)).outcome == "forbidden"
    # Worked out where the zone is known, it takes no clock here.
    known = Freeze(weekly=weekly.model_copy(update={"zone": "Europe/Berlin"})).resolved_at(NOW)
    handed = policy.model_copy(update={"freezes": (known.model_copy(update={"weekly": weekly}),)})
    assert decided(handed).outcome == "approval"
    assert decided(handed, now=datetime(2026, 12, 25, 20, tzinfo=UTC)).outcome == "forbidden"
    # A history that is replayed much later than it was handed out is worked out anew.
    assert "not known on this machine" in decided(handed, now=datetime(2028, 1, 1, tzinfo=UTC)).rule


def test_a_freeze_adds_to_who_may_decide_and_never_replaces_them(policy: Policy) -> None:
    friday = datetime(2026, 7, 3, 15, tzinfo=UTC)
    unmatched = policy.model_copy(update={"autonomy": ()})
    assert decided(unmatched).roles == ("incident-commander",)
    asked = decided(unmatched, now=friday)
    assert (asked.needed, asked.roles) == (2, ())
    assert "Nobody may approve" in asked.rule
    # Nor when only the playbook asks, whether it says whom or not.
    assert decided(policy, now=friday, rule=ApprovalRule(role="incident-commander")).roles == ()
    assert decided(policy, now=friday, rule=ApprovalRule()).roles == ()
    assert decided(policy, now=friday, rule=ApprovalRule(role="responder")).roles == ("responder",)


def test_the_halt_keeps_from_every_change_and_from_no_read(policy: Policy) -> None:
    halt = Halt(by="Ada", reason="it is us", since=NOW)
    for rules in (policy, None):
        refused = decided(rules, halt=halt)
        assert refused.outcome == "forbidden"
        assert "halted by Ada since 2026-12-23 10:00:00 UTC: it is us" in refused.rule
        assert "soar halt --lift" in refused.rule
        assert decided(rules, risk=Risk.READ, plan=None, halt=halt).outcome == "automatic"
        change = spent(0)
        assert "halted" in reservation_refusal(rules, change, halt, (), NOW)
        assert reservation_refusal(rules, change, None, (), NOW) == ""
    assert "budget 1" in reservation_refusal(policy, spent(0), None, (spent(1), spent(2)), NOW)


def test_every_reason_is_told_at_once(policy: Policy) -> None:
    refused = decided(
        policy,
        risk=Risk.DISRUPTIVE,
        now=datetime(2026, 12, 28, 10, tzinfo=UTC),
        halt=Halt(by="Ada", reason="r", since=NOW),
        plan=plan(
            target("x:role/break-glass"),
            blast_radius=BlastRadius(group="web", group_share=1.0),
        ),
        spent=tuple(spent(-5 * 24 * 60 + n) for n in (1, 2)),
    )
    for said in ("protected target 1", "halted by Ada", "freeze 1", "budget 1", "budget 3"):
        assert said in refused.rule


def test_without_a_time_the_strictest_is_taken(policy: Policy) -> None:
    assert "freeze 1 (the season's sales); the time is not known" in decided(policy, now=None).rule
    old = (spent(99999), spent(99998))
    assert "budget 1" in decided(policy, now=None, plan=plan(account="1111"), spent=old).rule
