"""Accounts of an organization are denied and moved: refusals, warnings and what the policies say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.actions.aws.organizations_common import members_below
from soar.simulated.base import AccountClients

DENY, GUARD, MOVE = "aws.org.attach_deny_scp", "aws.org.install_guard", "aws.org.quarantine_account"
EXEMPT = "arn:aws:iam::*:role/soar-responder"
SCP = "SERVICE_CONTROL_POLICY"
NOTHING = '{"Version":"2012-10-17","Statement":[]}'


class Org:
    """An organization with the unit `Workloads` and the account `shop` in it."""

    def __init__(self, account: AccountClients) -> None:
        self.client = account.client("organizations")
        made = self.client.create_organization(FeatureSet="ALL")
        self.management = made["Organization"]["MasterAccountId"]
        self.root = self.client.list_roots()["Roots"][0]["Id"]
        self.client.enable_policy_type(RootId=self.root, PolicyType=SCP)
        unit = self.client.create_organizational_unit(ParentId=self.root, Name="Workloads")
        self.workloads = unit["OrganizationalUnit"]["Id"]
        self.shop = self.member("shop")

    def member(self, name: str) -> str:
        made = self.client.create_account(Email=f"{name}@example.com", AccountName=name)
        number = str(made["CreateAccountStatus"]["AccountId"])
        self.client.move_account(
            AccountId=number, SourceParentId=self.root, DestinationParentId=self.workloads
        )
        return number

    def policy(self, name: str, content: str = NOTHING) -> str:
        made = self.client.create_policy(Name=name, Description="", Type=SCP, Content=content)
        return str(made["Policy"]["PolicySummary"]["Id"])

    def named(self, prefix: str) -> dict[str, Any]:
        """What the policy says whose name begins so."""
        found = self.client.list_policies(Filter=SCP)["Policies"]
        number = next(p["Id"] for p in found if p["Name"].startswith(prefix))
        content: dict[str, Any] = json.loads(
            self.client.describe_policy(PolicyId=number)["Policy"]["Content"]
        )
        return content


@pytest.fixture
def org(account: AccountClients) -> Org:
    return Org(account)


async def refused(actions: Any, name: str, match: str, **given: Any) -> str:
    """Plans, and returns the type of the error."""
    with pytest.raises(ApplicationError, match=match) as caught:
        await actions.plan(name, **given)
    return str(caught.value.type)


async def test_the_management_account_is_refused(actions: Any, org: Org) -> None:
    exempt = [EXEMPT]
    for name, given in (
        (DENY, {"target": org.management, "exempt_roles": exempt}),
        (GUARD, {"target": org.management, "exempt_roles": exempt}),
        (MOVE, {"account_id": org.management, "quarantine_ou": org.workloads}),
    ):
        assert await refused(actions, name, "management account", **given) == "Refused", name


async def test_a_protected_account_is_refused(actions: Any, org: Org) -> None:
    org.client.tag_resource(ResourceId=org.shop, Tags=[{"Key": "soar:protected", "Value": "yes"}])
    assert await refused(actions, DENY, "soar:protected", target=org.shop, exempt_roles=[EXEMPT]) == "Refused"


async def test_no_sixth_policy_is_hung_on_an_account(actions: Any, org: Org) -> None:
    there = len(org.client.list_policies_for_target(TargetId=org.shop, Filter=SCP)["Policies"])
    for number in range(5 - there):
        org.client.attach_policy(PolicyId=org.policy(f"baseline-{number}"), TargetId=org.shop)
    why = "5 service control policies hang on"
    assert await refused(actions, DENY, why, target=org.shop, exempt_roles=[EXEMPT]) == "Refused"


async def test_a_policy_of_our_name_that_is_not_ours_stays(actions: Any, org: Org) -> None:
    org.policy("soar-guard")
    why = "does not carry our tags"
    assert await refused(actions, GUARD, why, target=org.root, exempt_roles=[EXEMPT]) == "Refused"
    assert org.named("soar-guard")["Statement"] == []


@pytest.mark.parametrize(
    "role",
    [
        "arn:aws:iam::*:role/*",
        "arn:aws:iam::111122223333:user/ada",
        "arn:aws:iam::*:role/a*",
        "*",
        'arn:aws:iam::*:role/x"}]',
    ],
)
async def test_whom_it_lets_through_is_named(actions: Any, org: Org, role: str) -> None:
    assert await refused(actions, DENY, "exempt_roles", target=org.shop, exempt_roles=[role]) == "BadInput"


async def test_the_root_is_not_denied_everything(actions: Any, org: Org) -> None:
    assert await refused(actions, DENY, "target", target=org.root, exempt_roles=[EXEMPT]) == "BadInput"


async def test_the_worker_does_not_lock_itself_out(
    account: AccountClients, org: Org, make_actions: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:*"}]}
    role = account.client("iam").create_role(
        RoleName="soar-responder", AssumeRolePolicyDocument=json.dumps(trust)
    )
    taken = account.client("sts").assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="worker")
    for name, key in (
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ):
        monkeypatch.setenv(name, taken["Credentials"][key])
    actions = make_actions()
    another = "arn:aws:iam::*:role/another-role"
    why = "none of the exempt roles is soar-responder"
    assert await refused(actions, DENY, why, target=org.shop, exempt_roles=[another]) == "Refused"
    plan = await actions.plan(DENY, target=org.shop, exempt_roles=[another, "arn:aws:iam::*:role/ops/soar-*"])
    assert plan.changes


async def test_what_the_deny_says(actions: Any, org: Org) -> None:
    plan = await actions.plan(DENY, target=org.workloads, exempt_roles=[EXEMPT])
    assert plan.blast_radius.facts[-1] == f"1 account(s) below it: {org.shop} (shop)"
    assert "management account is not bound" in plan.warnings[0]
    await actions.apply(plan)
    said = org.named("soar-deny-inc-1-step-1-")["Statement"]
    assert said == [
        {
            "Sid": "SoarDeny",
            "Effect": "Deny",
            "Action": ["*"],
            "Resource": "*",
            "Condition": {
                "ArnNotLike": {"aws:PrincipalArn": [EXEMPT, "arn:*:iam::*:role/aws-service-role/*"]}
            },
        }
    ]


async def test_many_accounts_are_told_in_few_words(actions: Any, org: Org) -> None:
    for number in range(14):
        org.member(f"member-{number}")
    plan = await actions.plan(DENY, target=org.workloads, exempt_roles=[EXEMPT])
    fact = plan.blast_radius.facts[-1]
    assert fact.startswith("15 account(s) below it")
    assert fact.endswith("and 3 more")
    assert len(members_below(actions.context(), org.root)) == 16, "the management account is one of them"


async def test_ours_that_others_hung_elsewhere_is_not_deleted(actions: Any, org: Org) -> None:
    plan = await actions.plan(DENY, target=org.shop, exempt_roles=[EXEMPT])
    await actions.apply(plan)
    found = org.client.list_policies(Filter=SCP)["Policies"]
    number = next(p["Id"] for p in found if p["Name"].startswith("soar-deny"))
    org.client.attach_policy(PolicyId=number, TargetId=org.workloads)
    with pytest.raises(ApplicationError, match="PolicyInUse") as caught:
        await actions.undo(plan)
    assert caught.value.type == "Refused"
    targets = org.client.list_targets_for_policy(PolicyId=number)["Targets"]
    assert [t["TargetId"] for t in targets] == [org.workloads]


async def test_what_the_guard_says(actions: Any, org: Org) -> None:
    plan = await actions.plan(GUARD, target=org.root, exempt_roles=[EXEMPT])
    await actions.apply(plan)
    said = {s["Sid"]: s for s in org.named("soar-guard")["Statement"]}
    assert list(said) == [
        "SoarKeepPolicies",
        "SoarKeepContent",
        "SoarKeepPrincipals",
        "SoarKeepTag",
        "SoarDenyQuarantined",
    ]
    for name, statement in said.items():
        assert statement["Effect"] == "Deny", name
        assert EXEMPT in statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"], name
    policies = said["SoarKeepPolicies"]["Condition"]["ArnLike"]["iam:PolicyARN"]
    assert "arn:*:iam::*:policy/soar*" in policies
    assert said["SoarKeepContent"]["Resource"] == policies
    assert said["SoarDenyQuarantined"]["Action"] == ["*"]
    assert said["SoarDenyQuarantined"]["Condition"]["Null"] == {"aws:PrincipalTag/soar:quarantined": "false"}
    assert len(json.dumps(org.named("soar-guard"))) < 5120


async def test_an_empty_unit_for_quarantine_is_told(actions: Any, org: Org) -> None:
    made = org.client.create_organizational_unit(ParentId=org.root, Name="Quarantine")
    unit = made["OrganizationalUnit"]["Id"]
    org.client.attach_policy(PolicyId=org.policy("baseline"), TargetId=org.workloads)
    plan = await actions.plan(MOVE, account_id=org.shop, quarantine_ou=unit)
    assert plan.blast_radius.facts[0] == "it is in Root/Workloads"
    assert "baseline" in plan.blast_radius.facts[1]
    assert plan.blast_radius.facts[2].startswith(("no policy hangs on", f"policies on {unit}"))
    assert plan.undo == f"It is moved back to {org.workloads}."


async def test_what_there_is_not_is_gone(actions: Any, org: Org) -> None:
    for name, given in (
        (MOVE, {"account_id": "999900001111", "quarantine_ou": org.workloads}),
        (DENY, {"target": "ou-abcd-12345678", "exempt_roles": [EXEMPT]}),
        ("aws.org.describe_account", {"account_id": "999900001111"}),
    ):
        with pytest.raises(ApplicationError) as caught:
            await (actions.read if name.endswith("describe_account") else actions.plan)(name, **given)
        assert caught.value.type == "TargetGone", name


async def test_without_an_organization_it_says_where_to_run(actions: Any, account: AccountClients) -> None:
    with pytest.raises(ApplicationError) as caught:
        await actions.read("aws.org.describe_account", account_id="999900001111")
    assert caught.value.type == "TargetGone"


async def test_the_management_account_is_told_as_such(actions: Any, org: Org) -> None:
    found = await actions.read("aws.org.describe_account", account_id=org.management)
    assert found.data["management"] is True
    assert found.data["path"] == "Root"
