"""What holds for every policy, plan and time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from policy_world import NOW, decided, plan, spent, target

from soar.model.change import BlastRadius, Plan
from soar.model.terms import Risk, Severity
from soar.playbook.policy import (
    AutonomyRule,
    Budget,
    Environment,
    Freeze,
    Halt,
    Policy,
    PolicyDecision,
    ProtectedTarget,
    RuleMatch,
    Spent,
    Weekly,
)
from soar.playbook.schema import ApprovalRule

zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"])
week_times = st.builds(
    "{} {:02}:{:02}".format,
    st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]),
    st.integers(0, 23),
    st.integers(0, 59),
)
moments = st.integers(0, 10 * 366 * 86400).map(
    lambda s: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=s)
)
weeklies = st.tuples(week_times, week_times, zones).filter(lambda w: w[0] != w[1])


@given(weeklies, moments, st.integers(-200, 200))
def test_a_weekly_freeze_ends_when_it_says_and_is_the_same_worked_out_before(
    weekly: tuple[str, str, str], now: datetime, hours: int
) -> None:
    freeze = Freeze(weekly=Weekly(start=weekly[0], end=weekly[1], zone=weekly[2]))
    assert freeze.resolved_at(now + timedelta(hours=hours)).state(now) == freeze.state(now)
    state = freeze.state(now)
    local = now.astimezone(ZoneInfo(weekly[2]))
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    def minutes(text: str) -> int:
        return days.index(text[:3]) * 1440 + int(text[4:6]) * 60 + int(text[7:])

    here = local.weekday() * 1440 + local.hour * 60 + local.minute
    length = (minutes(weekly[1]) - minutes(weekly[0])) % 10080
    if (here - minutes(weekly[0])) % 10080 < length:
        assert state
        end = datetime.strptime(state, "it ends at %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        assert now < end <= now + timedelta(days=8)
        if length < 9000:
            assert freeze.state(end) == ""
    elif state:
        # Only the hour that a clock shows twice or never may belong to it besides.
        offsets = {(now + timedelta(hours=h)).astimezone(local.tzinfo).utcoffset() for h in (-2, 0, 2)}
        assert len(offsets) > 1


RANK = {"automatic": 0, "approval": 1, "forbidden": 2}
matches = st.builds(
    RuleMatch,
    risk=st.none() | st.just((Risk.DISRUPTIVE,)) | st.just((Risk.DESTRUCTIVE,)),
    environment=st.none() | st.sampled_from([("production",), ("sandbox",), ("production", "sandbox")]),
    playbook=st.none() | st.just(("aws-*",)),
)
severity_matches = st.builds(
    RuleMatch, severity_at_least=st.none() | st.just(Severity.LOW), account=st.none() | st.just(("1*",))
)
autonomy = st.builds(
    AutonomyRule, match=matches | severity_matches, decide=st.sampled_from(["automatic", "ask", "never"])
)
change_budgets = st.builds(
    Budget,
    match=matches,
    changes=st.integers(0, 4),
    window=st.sampled_from([60.0, 3600.0, 86400.0]),
    per=st.sampled_from([None, "account", "playbook", "overall"]),
)
budgets = change_budgets | st.builds(Budget, match=matches, group_percent=st.sampled_from([0.0, 34.0, 100.0]))
freezes = st.builds(
    Freeze,
    weekly=st.builds(lambda w: Weekly(start=w[0], end=w[1], zone=w[2]), weeklies),
    match=matches | severity_matches,
    unless_severity_at_least=st.none() | st.sampled_from([Severity.LOW, Severity.CRITICAL]),
) | st.builds(
    Freeze,
    start=st.just(NOW - timedelta(days=1)),
    end=st.just(NOW + timedelta(days=1)),
    decide=st.just("ask"),
    approvers=st.integers(1, 4),
    roles=st.sampled_from([(), ("responder",), ("incident-commander", "responder")]),
)
limits = (
    st.tuples(st.just("budgets"), budgets)
    | st.tuples(st.just("freezes"), freezes)
    | st.tuples(
        st.just("protected"), st.sampled_from([ProtectedTarget(uid="arn:1"), ProtectedTarget(uid="x")])
    )
)
plans = st.builds(
    plan,
    st.builds(target, st.sampled_from(["arn:1", "arn:2"]), env=st.sampled_from(["sandbox", "prod"])),
    account=st.sampled_from(["1111", "2222", "3333"]),
    blast_radius=st.sampled_from([BlastRadius(), BlastRadius(group="web", group_share=0.5)]),
)
histories = st.lists(
    st.builds(spent, st.integers(0, 2000), account=st.sampled_from(["1111", "2222"])), max_size=5
).map(tuple)
playbook_rules = st.none() | st.builds(
    ApprovalRule, role=st.sampled_from([None, "responder"]), approvers=st.integers(1, 4)
)


def no_laxer(after: PolicyDecision, before: PolicyDecision) -> None:
    assert RANK[after.outcome] >= RANK[before.outcome]
    if after.outcome == before.outcome == "approval":
        assert after.needed >= before.needed
        assert set(after.roles) <= set(before.roles)
        assert after.expires_after <= before.expires_after


def test_a_freeze_that_names_roles_does_not_replace_who_decides_in_one_that_names_none() -> None:
    automatic = AutonomyRule.model_validate({"match": {}, "decide": "automatic"})
    now = {"start": NOW - timedelta(days=1), "end": NOW + timedelta(days=1), "decide": "ask"}
    silent, naming = Freeze.model_validate(now), Freeze.model_validate({**now, "roles": ("responder",)})
    one = decided(Policy(version=1, autonomy=(automatic,), freezes=(silent,)))
    both = decided(Policy(version=1, autonomy=(automatic,), freezes=(silent, naming)))
    assert one.roles == ("incident-commander",)
    no_laxer(both, one)


@given(
    st.lists(autonomy, max_size=4),
    st.lists(limits, max_size=4),
    limits,
    plans,
    histories,
    playbook_rules,
    st.randoms(),
)
def test_no_limit_ever_makes_a_decision_laxer(
    rules: list[AutonomyRule],
    others: list[tuple[str, Any]],
    more: tuple[str, Any],
    a_plan: Plan,
    history: tuple[Spent, ...],
    rule: ApprovalRule | None,
    random: Any,
) -> None:
    def with_limits(*chosen: tuple[str, Any]) -> Policy:
        shuffled = random.sample(chosen, len(chosen))
        return Policy(
            version=1,
            environments={
                "production": (Environment(account=("1*",)),),
                "sandbox": (Environment(tag={"env": "sandbox"}),),
            },
            autonomy=tuple(rules),
            **{
                kind: tuple(x for k, x in shuffled if k == kind)
                for kind in ("budgets", "freezes", "protected")
            },
        )

    asked: dict[str, Any] = {"plan": a_plan, "spent": history}
    before = decided(with_limits(*others), rule=rule, **asked)
    no_laxer(decided(with_limits(*others, more), rule=rule, **asked), before)
    # A freeze that names nobody leaves it to the playbook whom it asks; the commander decides only if nobody is named.
    left_open = any(kind == "freezes" and f.decide == "ask" and not f.roles for kind, f in others)
    if not (left_open and rule and rule.role):
        no_laxer(before, decided(with_limits(*others), rule=None, **asked))
    no_laxer(decided(with_limits(*others), rule=rule, plan=a_plan, spent=(*history, spent(1))), before)
    halted = decided(with_limits(*others), rule=rule, halt=Halt(by="a", reason="r", since=NOW), **asked)
    assert halted.outcome == "forbidden"


@given(st.lists(autonomy, max_size=4), autonomy, plans)
def test_a_further_rule_makes_a_matched_change_no_laxer_in_any_environment(
    rules: list[AutonomyRule], more: AutonomyRule, a_plan: Plan
) -> None:
    environments = {
        "production": (Environment(account=("1*",)),),
        "sandbox": (Environment(tag={"env": "sandbox"}),),
    }
    catch_all = AutonomyRule(decide="automatic")
    before = Policy(version=1, environments=environments, autonomy=(*rules, catch_all))
    after = before.model_copy(update={"autonomy": (more, *before.autonomy)})
    no_laxer(decided(after, plan=a_plan), decided(before, plan=a_plan))


@given(st.lists(autonomy, min_size=2, max_size=5), plans, st.sampled_from(list(Severity)))
def test_a_rule_that_is_said_to_have_no_effect_has_none(
    rules: list[AutonomyRule], a_plan: Plan, severity: Severity
) -> None:
    from soar.playbook.document import Document
    from soar.playbook.policy_lint import policy_findings

    environments = {
        "production": (Environment(account=("1*",)),),
        "sandbox": (Environment(tag={"env": "sandbox"}),),
    }
    policy = Policy(version=1, environments=environments, autonomy=tuple(rules))
    found = policy_findings(Document("p", {}), policy, None)
    useless = {int(d.message.split()[1]) for d in found if d.rule == "without-effect"}
    kept = tuple(r for number, r in enumerate(rules, start=1) if number not in useless)
    asked: dict[str, Any] = {"plan": a_plan, "severity": severity}
    full = decided(policy, **asked)
    trimmed = decided(policy.model_copy(update={"autonomy": kept}), **asked)
    assert (full.outcome, full.needed, full.roles) == (trimmed.outcome, trimmed.needed, trimmed.roles)
