from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.model.alert import Alert, AlertActor, Observable, ObservableType, Resource
from soar.model.change import Change, Plan, Target
from soar.model.terms import Phase, Risk, Severity
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.policy import (
    AutonomyRule,
    Policy,
    PolicyDecision,
    ProtectedTarget,
    RuleMatch,
    decide,
    implicated,
    load_policy,
)
from soar.playbook.schema import ApprovalRule

POLICY = """
version: 1
responders:
  - {id: ada, name: Ada, email: ada@example.com, slack: U1, roles: [incident-commander, identity],
     identities: ["arn:aws:iam::111122223333:user/ada"]}
  - {id: bob, name: Bob, slack: U2, roles: [incident-commander], identities: [bob.builder]}
autonomy:
  - match: {risk: [reversible], phase: [containment], severity_at_least: high, action: "aws.iam.*"}
    decide: automatic
    why: a leaked key is switched off at once
  - match: {risk: [disruptive, destructive]}
    decide: ask
    approvers: 2
    roles: [incident-commander]
  - match: {risk: [destructive], account: ["4444*"]}
    decide: never
    why: production keeps its data
protected:
  - {uid: "arn:aws:iam::*:user/break-glass", why: the way back in}
  - {type: aws.ec2.instance, tag: {tier: "core*"}}
approvals: {expires: 2h, remind: 10m}
"""


def plan(uid: str = "arn:aws:iam::111122223333:user/eve", **more: Any) -> Plan:
    target = Target(uid=uid, type=more.pop("type", "aws.iam.user"), tags=more.pop("tags", {}))
    return Plan(action="aws.iam.x", params={}, summary="s", targets=(target,), **more)


def decided(policy: Policy | None, **more: Any) -> PolicyDecision:
    defaults: dict[str, Any] = {
        "risk": Risk.REVERSIBLE,
        "severity": Severity.HIGH,
        "phase": Phase.CONTAINMENT,
        "action": "aws.iam.deactivate_access_key",
        "plan": plan(),
        "rule": None,
    }
    return decide(policy, **{**defaults, **more})


@pytest.fixture
def policy() -> Policy:
    return load_policy(POLICY, file="policy.yaml")


def test_rules_decide(policy: Policy) -> None:
    quick = decided(policy)
    assert (quick.outcome, quick.needed) == ("automatic", 0)
    assert "a leaked key is switched off at once" in quick.rule
    low = decided(policy, severity=Severity.LOW)
    assert (low.outcome, low.needed, low.roles) == ("approval", 1, ("incident-commander",))
    assert (low.expires_after, low.remind_after) == (7200, 600)
    two = decided(policy, risk=Risk.DESTRUCTIVE)
    assert (two.outcome, two.needed) == ("approval", 2)
    assert decided(policy, risk=Risk.DESTRUCTIVE, plan=plan(account="444455556666")).outcome == "forbidden"
    assert decided(policy, risk=Risk.READ, plan=None).outcome == "automatic"


def test_what_is_protected_is_never_changed_but_may_be_read(policy: Policy) -> None:
    uid = "arn:aws:iam::111122223333:user/break-glass"
    refused = decided(policy, plan=plan(uid))
    assert refused.outcome == "forbidden"
    assert "break-glass is protected: the way back in" in refused.rule
    assert decided(policy, plan=plan(uid), risk=Risk.READ).outcome == "automatic"
    core = plan("arn:aws:ec2:x", type="aws.ec2.instance", tags={"tier": "core-db"})
    assert decided(policy, plan=core).outcome == "forbidden"
    edge = plan("arn:aws:ec2:x", type="aws.ec2.instance", tags={"tier": "edge"})
    assert decided(policy, plan=edge).outcome == "automatic"


def test_a_change_of_something_that_is_not_listed_as_a_target_is_seen(policy: Policy) -> None:
    change = Change(target="arn:aws:iam::1:user/break-glass", field="x", before=1, after=2)
    assert decided(policy, plan=plan(changes=(change,))).outcome == "forbidden"


def test_without_a_policy_reads_run_and_nobody_can_approve_a_change() -> None:
    assert decided(None, risk=Risk.READ, plan=None).outcome == "automatic"
    asked = decided(None)
    assert (asked.outcome, asked.roles) == ("approval", ())
    assert "no policy" in asked.rule


def test_a_playbook_makes_it_stricter(policy: Policy) -> None:
    own = ApprovalRule(role="identity", approvers=1, expires=600)
    asked = decided(policy, rule=own)
    assert (asked.outcome, asked.needed, asked.roles, asked.expires_after) == (
        "approval",
        1,
        ("identity",),
        600,
    )
    many = decided(policy, risk=Risk.DISRUPTIVE, rule=ApprovalRule(approvers=3))
    assert (many.needed, many.roles) == (3, ("incident-commander",))
    nobody = decided(policy, risk=Risk.DISRUPTIVE, rule=own)
    assert nobody.roles == ()
    assert "Nobody may approve" in nobody.rule
    late = decided(policy, risk=Risk.DISRUPTIVE, rule=ApprovalRule(expires=86400, remind=86400))
    assert (late.expires_after, late.remind_after) == (7200, 600)


def test_a_severity_that_is_unknown_is_not_a_low_one() -> None:
    rule = AutonomyRule(match=RuleMatch(severity_at_most=Severity.LOW), decide="automatic")
    policy = Policy(version=1, autonomy=(rule,))
    assert decided(policy, severity=Severity.LOW).outcome == "automatic"
    assert decided(policy, severity=Severity.UNKNOWN).outcome == "approval"


matches = st.builds(
    RuleMatch,
    risk=st.none() | st.just((Risk.REVERSIBLE,)) | st.just((Risk.DESTRUCTIVE,)),
    severity_at_least=st.none() | st.sampled_from([Severity.LOW, Severity.CRITICAL]),
    action=st.none() | st.just(("aws.*",)) | st.just(("gcp.*",)),
)
roles = st.sampled_from([(), ("incident-commander",), ("identity",), ("identity", "incident-commander")])
asking = st.builds(
    AutonomyRule, match=matches, decide=st.just("ask"), approvers=st.integers(1, 4), roles=roles
)
flat = st.builds(AutonomyRule, match=matches, decide=st.sampled_from(["automatic", "never"]))
rules = st.lists(asking | flat, min_size=1, max_size=5)
playbook_rules = st.none() | st.builds(
    ApprovalRule,
    role=st.sampled_from([None, "identity", "incident-commander"]),
    approvers=st.integers(1, 4),
    expires=st.none() | st.just(60.0) | st.just(1e6),
)
RANK = {"automatic": 0, "approval": 1, "forbidden": 2}


def stricter_or_equal(after: PolicyDecision, before: PolicyDecision) -> bool:
    if RANK[after.outcome] != RANK[before.outcome]:
        return RANK[after.outcome] > RANK[before.outcome]
    return after.outcome != "approval" or (
        after.needed >= before.needed and after.expires_after <= before.expires_after
    )


@given(rules, asking | flat, playbook_rules, st.randoms())
def test_a_further_rule_never_makes_a_matched_change_laxer(
    before: list[AutonomyRule], more: AutonomyRule, rule: ApprovalRule | None, random: Any
) -> None:
    catch_all = AutonomyRule(decide="automatic")
    old = [*before, catch_all]
    new = [*old, more]
    random.shuffle(new)
    first = decided(Policy(version=1, autonomy=tuple(old)), rule=rule)
    second = decided(Policy(version=1, autonomy=tuple(new)), rule=rule)
    assert stricter_or_equal(second, first)
    if first.outcome == second.outcome == "approval" and any(
        r.roles for r in old if r.decide == "ask" and _fits(r)
    ):
        assert set(second.roles) <= set(first.roles)


def _fits(rule: AutonomyRule) -> bool:
    return rule.match.fits(
        risk=Risk.REVERSIBLE, severity=Severity.HIGH, phase=Phase.CONTAINMENT, action="aws.iam.x", account=""
    )


@given(rules, playbook_rules)
def test_a_playbook_never_makes_a_decision_laxer(
    rules: list[AutonomyRule], rule: ApprovalRule | None
) -> None:
    policy = Policy(version=1, autonomy=tuple(rules))
    plain, with_rule = decided(policy), decided(policy, rule=rule)
    assert stricter_or_equal(with_rule, plain)
    if plain.outcome == "approval":
        assert set(with_rule.roles) <= set(plain.roles)
    protecting = policy.model_copy(update={"protected": (ProtectedTarget(uid="*"),)})
    assert decided(protecting, rule=rule).outcome == "forbidden"


def test_responders_who_are_in_the_alert_are_found(policy: Policy) -> None:
    alert = Alert(source="guardduty", uid="1", title="t", severity=Severity.HIGH, time="2026-01-01T00:00:00Z")
    assert implicated(policy, [alert]) == {}
    by_arn = alert.model_copy(
        update={
            "resources": (Resource(uid="ARN:aws:iam::111122223333:user/ada", type="aws.iam.user", name="x"),)
        }
    )
    by_name = alert.model_copy(update={"actor": AlertActor(name="bob.builder")})
    by_mail = alert.model_copy(
        update={"observables": (Observable(type=ObservableType.EMAIL, value="Ada@example.com"),)}
    )
    assert "Ada is in the alert" in implicated(policy, [alert, by_arn])["ada"]
    assert set(implicated(policy, [by_name, by_mail])) == {"ada", "bob"}
    assert implicated(None, [by_name]) == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "decide: automatic",
            "decide: automatc",
            'policy.yaml:9:13: autonomy[0].decide: "automatc" is not known',
        ),
        ("severity_at_least: high", "severity_at_least: hi", "not a severity; one of unknown, informational"),
        (
            "approvers: 2",
            "approvers: 3",
            "policy.yaml:11:5: 3 approvers with the role incident-commander are asked",
        ),
        ("slack: U2", "slack: U1", 'two responders have the slack "U1"'),
        ("expires: 2h", "expires: 2 hours", "approvals.expires: not a duration"),
        ("protected:", "proteced:", 'there is no field "proteced" (did you mean "protected"?)'),
        ("decide: never", "decide: never\n    approvers: 2", "approvers and roles are for rules that ask"),
        ("version: 1", "version: 2", "version"),
        ('{uid: "arn:aws:iam::*:user/break-glass", why', "{why", "no condition: give uid, name, type or tag"),
    ],
)
def test_a_wrong_policy_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    with pytest.raises(PlaybookError) as caught:
        load_policy(POLICY.replace(old, new), file="policy.yaml")
    assert message in str(caught.value)


def test_a_policy_survives_the_wire_and_its_digest_is_what_it_says(policy: Policy) -> None:
    again = Policy.model_validate_json(policy.model_dump_json())
    assert again == policy
    assert again.digest == policy.digest
    assert load_policy("# comment\n" + POLICY, file="x").digest == policy.digest
    assert load_policy(POLICY.replace("2h", "3h"), file="x").digest != policy.digest


def test_a_policy_keeps_its_digest_when_the_language_gets_new_words(policy: Policy) -> None:
    # As the first version of the language had it, without environments, budgets and freezes.
    assert policy.digest == "16570f7a44ce356c8912cdf311815a9f1f3b03dc519967a24a7982449507d851"
