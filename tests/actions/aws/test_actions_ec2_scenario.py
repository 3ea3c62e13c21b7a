"""The mining instance, from the attack through every step of its playbook, in order."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soar.actions.registry import catalogue
from soar.playbook.compiler import compile_playbook
from soar.playbook.lint import lint
from soar.playbook.loader import load_playbook
from soar.simulated.base import AccountClients
from soar.simulated.company import seed_company
from soar.simulated.scenario_ec2 import MiningInstance

PLAYBOOK = Path(__file__).parents[3] / "playbooks" / "aws-ec2-cryptomining.yaml"

ORDER = (
    "aws.ec2.protect_evidence",
    "aws.autoscaling.enter_standby",
    "aws.elb.deregister_instance",
    "aws.ec2.snapshot_volumes",
    "aws.ec2.isolate_instance",
    "aws.iam.revoke_role_sessions",
)


def test_the_playbook_is_clean() -> None:
    loaded = load_playbook(PLAYBOOK.read_text(), file=PLAYBOOK.name)
    assert lint(loaded, catalogue()) == []
    assert loaded.playbook.name == MiningInstance.playbook
    compile_playbook(loaded, catalogue())
    steps: list[Any] = list(loaded.playbook.containment)
    assert tuple(s.do for s in steps) == ORDER, "evidence before destruction"


async def test_the_scenario_is_contained_and_removed(make_actions: Any, endpoint: str) -> None:
    scenario = MiningInstance()
    company = seed_company(endpoint, now=datetime.now(UTC))
    attack = scenario.seed(company)
    look, facts = AccountClients(endpoint), attack.facts
    assert not any(c.ok for c in scenario.check(look, attack))
    detail: Any = scenario.finding(attack)["detail"]
    assert detail["resource"]["instanceDetails"]["instanceId"] == facts["instance_id"]

    reads = make_actions()
    described = await reads.read("aws.ec2.describe_instance", instance_id=facts["instance_id"])
    assert described.data["role_name"] == facts["role_name"]
    assert described.data["auto_scaling_group"] == facts["auto_scaling_group"]
    assert [t["port"] for g in described.data["target_groups"] for t in g["targets"]] == [8080]
    assert len(described.data["interfaces"]) == 2
    events = await reads.read("aws.cloudtrail.search_events", role_name=facts["role_name"])
    assert events.evidence

    plans = []
    for name in ORDER:
        actions = make_actions(step_id=name.rpartition(".")[2])
        target = (
            {"role_name": facts["role_name"]} if ".iam." in name else {"instance_id": facts["instance_id"]}
        )
        plan = await actions.plan(name, **target)
        if plan.changes:
            await actions.apply(plan)
            seen = await actions.verify(plan)
            assert seen.verified, seen.seen
            plans.append((actions, plan))
    checks = scenario.check(look, attack)
    assert all(c.ok for c in checks), checks

    for actions, plan in reversed(plans):
        reply = await actions.undo(plan)
        assert reply.restored, (plan.action, reply.seen)
    assert not any(c.ok for c in scenario.check(look, attack)), "everything is as it was"
    for actions, plan in plans:
        await actions.apply(await actions.plan(plan.action, **plan.params))

    last = make_actions(step_id="terminate")
    gone = await last.plan("aws.ec2.terminate_instance", instance_id=facts["instance_id"])
    await last.apply(gone)
    assert (await last.verify(gone)).verified
    assert all(c.ok for c in scenario.check(look, attack)), scenario.check(look, attack)
    after = await reads.read(
        "aws.autoscaling.group_health", group=facts["auto_scaling_group"], must_be_healthy=True
    )
    assert after.data["in_service"] >= 2
