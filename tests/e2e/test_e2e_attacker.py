"""Containment is felt by the attacker: stolen credentials work before it, and are denied after it.

The account asks for permissions, of the attacker and of the workers, who are allowed just what
`soar actions iam-policy` prints for the playbook. The simulated account does not look at whether a key is active, so
what is felt here is the quarantine; that the keys are inactive is read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import ClientError
from e2e_world import SECRET, TOKEN, opened, until, world

from soar.model.incident import Incident
from soar.simulated.scenario_key import LeakedKey
from soar.sources.auth import sign

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

CONTAINMENT = ("deactivate_keys", "quarantine_user", "deactivate_made_key")


async def least_privilege(playbook: str) -> str:
    """The policy that the command prints for a playbook."""
    command = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from soar.cli.main import main; main()",
        *("actions", "iam-policy", playbook),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    printed, _ = await command.communicate()
    assert command.returncode == 0
    json.loads(printed)
    return printed.decode()


async def allowed(call: Callable[[], object]) -> bool:
    """Whether the account lets somebody make a call."""
    try:
        await asyncio.to_thread(call)
    except ClientError as error:
        # EC2 has a word of its own for it.
        if error.response["Error"]["Code"] in ("AccessDenied", "UnauthorizedOperation"):
            return False
        raise
    return True


async def test_what_the_attacker_holds_works_before_containment_and_is_denied_after(tmp_path: Path) -> None:
    scenario = LeakedKey()
    async with world(tmp_path) as (parts, workers, url, company):
        attack = await asyncio.to_thread(scenario.seed, company)
        await workers.kill()
        iam = company.clients.client("iam")
        iam.create_user(UserName="responder")
        key = iam.create_access_key(UserName="responder")["AccessKey"]
        document = await least_privilege(scenario.playbook)
        made = iam.create_policy(PolicyName="responder", PolicyDocument=document)["Policy"]
        iam.attach_user_policy(UserName="responder", PolicyArn=made["Arn"])
        await workers.start(
            AWS_ACCESS_KEY_ID=key["AccessKeyId"],
            AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"],
            AWS_SESSION_TOKEN="",
        )
        thief = company.seen_by(company.users["ci-deployer"])
        bystander = company.seen_by(company.users["irene.castellano"])
        stolen = (
            thief.client("s3").list_buckets,
            thief.client("iam").list_users,
            thief.client("ec2").describe_instances,
        )
        body = json.dumps(scenario.finding(attack)).encode()
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            reset = f"{company.clients.endpoint_url}/moto-api/reset-auth"
            (await http.post(reset, content=b"0")).raise_for_status()
            assert [await allowed(call) for call in stolen] == [True, True, True]
            assert not await allowed(lambda: thief.client("iam").create_user(UserName="svc-sync"))

            reply = await http.post(
                f"{url}/hooks/guardduty", content=body, headers=sign(SECRET, body, datetime.now(UTC))
            )
            assert reply.status_code == 202
            incident_id = await opened(parts, reply.json()["alerts"][0])

            voted: set[str] = set()

            def asks_or_is_contained(incident: Incident) -> bool:
                assert not incident.needing_attention, incident.needing_attention
                return incident.contained_at is not None or any(
                    approval.id not in voted for approval in incident.open_approvals
                )

            while True:
                incident = await until(parts, incident_id, asks_or_is_contained)
                if incident.contained_at is not None:
                    break
                for approval in incident.open_approvals:
                    if approval.id in voted:
                        continue
                    voted.add(approval.id)
                    assert approval.step_id.partition("[")[0] in CONTAINMENT
                    answer = await http.post(
                        f"{url}/api/v1/incidents/{incident_id}/approvals/{approval.id}/votes",
                        json={"decision": "approve", "plan_digest_prefix": approval.plan_digest[:12]},
                        headers={"Authorization": f"Bearer {TOKEN}"},
                    )
                    assert answer.status_code == 200, answer.text
            assert [await allowed(call) for call in stolen] == [False, False, False]
            assert await allowed(bystander.client("s3").list_buckets)
            (await http.post(reset, content=b"9999999")).raise_for_status()
        checks = await asyncio.to_thread(scenario.check, company.clients, attack)
        assert all(check.ok for check in checks), checks
