"""The printed policy is enough for what a shipped playbook does, and its reading half changes nothing.

Seen in a simulated account that asks for permissions. It does not look at a policy's resources or conditions for most
services, and keeps refusing `s3:PutBucketPublicAccessBlock` whoever asks: the bucket's playbook is driven from its
second change on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.cli.main import run
from soar.simulated.base import AccountClients, Scenario
from soar.simulated.company import seed_company
from soar.simulated.scenario_ec2 import MiningInstance
from soar.simulated.scenario_key import LeakedKey
from soar.simulated.scenario_s3 import PublicBucket

Named = Callable[[dict[str, str]], tuple[tuple[str, dict[str, Any]], ...]]


@dataclass(frozen=True)
class Case:
    """A playbook, and the actions that it is driven through.

    Args:
        reads: The reads, by the facts of the attack.
        changes: The changes, in the order of the playbook.
        refused: What is named when only the reading half is allowed, of each change.
    """

    scenario: Scenario
    reads: Named
    changes: Named
    refused: tuple[str, ...]


def _instance(facts: dict[str, str]) -> dict[str, Any]:
    return {"instance_id": facts["instance_id"]}


CASES = [
    Case(
        LeakedKey(),
        lambda f: (
            ("aws.iam.describe_principal", {"name": f["user_name"]}),
            ("aws.iam.find_key_owner", {"access_key_id": f["access_key_id"]}),
            ("aws.cloudtrail.search_events", {"access_key_id": f["access_key_id"]}),
        ),
        lambda f: (
            ("aws.iam.deactivate_access_key", {"user_name": f["user_name"]}),
            ("aws.iam.quarantine_user", {"user_name": f["user_name"]}),
            ("aws.iam.revoke_role_sessions", {"role_name": "kestrel-app-instance"}),
        ),
        ("iam:UpdateAccessKey", "iam:PutUserPolicy", "iam:PutRolePolicy"),
    ),
    Case(
        MiningInstance(),
        lambda f: (
            ("aws.ec2.describe_instance", _instance(f)),
            ("aws.autoscaling.group_health", _instance(f)),
            ("aws.cloudtrail.search_events", {"role_name": f["role_name"]}),
        ),
        lambda f: (
            ("aws.ec2.protect_evidence", _instance(f)),
            ("aws.autoscaling.enter_standby", _instance(f)),
            ("aws.elb.deregister_instance", _instance(f)),
            ("aws.ec2.snapshot_volumes", _instance(f)),
            ("aws.ec2.isolate_instance", _instance(f)),
            ("aws.iam.revoke_role_sessions", {"role_name": f["role_name"]}),
        ),
        (
            "ec2:ModifyInstanceAttribute",
            "autoscaling:EnterStandby",
            "elasticloadbalancing:DeregisterTargets",
            "ec2:CreateSnapshots",
            "ec2:CreateSecurityGroup",
            "iam:PutRolePolicy",
        ),
    ),
    Case(
        PublicBucket(),
        lambda f: (
            ("aws.s3.bucket_exposure", {"bucket": f["bucket"]}),
            ("aws.s3.object_inventory", {"bucket": f["bucket"]}),
        ),
        lambda f: (("aws.s3.remove_public_statements", {"bucket": f["bucket"]}),),
        ("s3:PutBucketPolicy",),
    ),
]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The policies that the command prints for a playbook, by name."""
    monkeypatch.setenv("SOAR_HOME", str(tmp_path))

    def ask(*names: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["actions", "iam-policy", "--split", *names]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


class Responder:
    """A principal of the account that may do what its policies say, and nothing else."""

    def __init__(self, account: AccountClients, monkeypatch: pytest.MonkeyPatch) -> None:
        self._iam = account.client("iam")
        self._iam.create_user(UserName="responder")
        key = self._iam.create_access_key(UserName="responder")["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    def may(self, name: str, document: dict[str, Any]) -> None:
        """Attach a policy."""
        made = self._iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]
        self._iam.attach_user_policy(UserName="responder", PolicyArn=made["Arn"])


def _prepared(case: Case, endpoint: str) -> dict[str, str]:
    company = seed_company(endpoint, now=datetime.now(UTC))
    return dict(case.scenario.seed(company).facts)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.scenario.playbook)
async def test_the_policy_is_enough_to_look_change_and_undo(
    case: Case,
    printed: Any,
    make_actions: Any,
    account: AccountClients,
    enforce: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = _prepared(case, account.endpoint_url)
    responder = Responder(account, monkeypatch)
    for name, document in printed(case.scenario.playbook).items():
        responder.may(name, document)
    enforce()
    for name, params in case.reads(facts):
        await make_actions().read(name, **params)
    done = []
    for name, params in case.changes(facts):
        actions = make_actions(step_id=name.rpartition(".")[2])
        plan = await actions.plan(name, **params)
        assert plan.changes
        await actions.apply(plan)
        assert (await actions.verify(plan)).verified
        done.append((actions, plan))
    for actions, plan in reversed(done):
        assert (await actions.undo(plan)).restored, plan.action


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.scenario.playbook)
async def test_the_reading_half_looks_and_plans_and_each_change_names_what_it_lacks(
    case: Case,
    printed: Any,
    make_actions: Any,
    account: AccountClients,
    enforce: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = _prepared(case, account.endpoint_url)
    responder = Responder(account, monkeypatch)
    policies = printed(case.scenario.playbook)
    responder.may("soar-responder-read", policies["soar-responder-read"])
    enforce()
    for name, params in case.reads(facts):
        await make_actions().read(name, **params)
    lacking = []
    for name, params in case.changes(facts):
        actions = make_actions(step_id=name.rpartition(".")[2])
        plan = await actions.plan(name, **params)
        with pytest.raises(ApplicationError) as raised:
            await actions.apply(plan)
        assert raised.value.type == "PermissionMissing"
        lacking.append(raised.value.details[0].permission)
    assert tuple(lacking) == case.refused
    allowed = {a for s in policies["soar-responder-change"]["Statement"] for a in s["Action"]}
    assert set(lacking) <= allowed


async def test_a_policy_for_one_playbook_is_not_enough_for_another(
    printed: Any,
    make_actions: Any,
    account: AccountClients,
    enforce: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    responder = Responder(account, monkeypatch)
    for name, document in printed(LeakedKey.playbook).items():
        responder.may(name, document)
    enforce()
    with pytest.raises(ApplicationError) as raised:
        await make_actions().plan("aws.ec2.stop_instance", instance_id="i-0123456789abcdef0")
    assert raised.value.type == "PermissionMissing"
    assert raised.value.details[0].permission == "ec2:DescribeInstances"
