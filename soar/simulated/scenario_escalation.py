"""Rights that somebody gives to themselves: a stolen key attaches the administrator's policy to its own user."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, cloudtrail_envelope
from soar.simulated.company import Company
from soar.simulated.stolen_key import key_check

__all__ = ["OwnAdministrator"]

ATTACKER = "198.51.100.203"
"""TEST-NET-2: nobody's address."""

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


class OwnAdministrator(Scenario):
    """With the key of a service, somebody makes that service's user an administrator."""

    name: ClassVar[str] = "own-administrator"
    title: ClassVar[str] = "A service's user makes itself an administrator"
    playbook: ClassVar[str] = "aws-privilege-escalation"
    source: ClassVar[str] = "cloudtrail"

    def seed(self, company: Company) -> Attack:
        """Attach the policy."""
        victim = company.users["edi-gateway"]
        thief = company.seen_by(victim).client("iam")
        thief.attach_user_policy(UserName=victim.name, PolicyArn=ADMINISTRATOR)
        start = company.now - timedelta(minutes=6)
        event = company.trail.event(
            victim,
            "iam",
            "AttachUserPolicy",
            start,
            ATTACKER,
            request={"userName": victim.name, "policyArn": ADMINISTRATOR},
        )
        company.trail.write([event])
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start,
            facts={
                "user_name": victim.name,
                "access_key_id": victim.access_key_id,
                "policy_arn": ADMINISTRATOR,
                "event": json.dumps(event),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """The event `AttachUserPolicy`, as a rule of EventBridge lets it through."""
        record: JsonObject = json.loads(attack.facts["event"])
        return cloudtrail_envelope(attack, record)

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Is the policy off again, and the key out of use?"""
        iam, facts = account.client("iam"), attack.facts
        attached = [
            p["PolicyArn"]
            for p in iam.list_attached_user_policies(UserName=facts["user_name"])["AttachedPolicies"]
        ]
        return [
            Check(
                name=f"{facts['user_name']} is no administrator any more",
                ok=facts["policy_arn"] not in attached,
                seen=f"attached: {', '.join(attached) or 'nothing'}",
            ),
            key_check(account, facts),
        ]
