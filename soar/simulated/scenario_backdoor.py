"""A backdoor in IAM: a stolen key makes a user of its own, so that it can be taken away."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, cloudtrail_envelope
from soar.simulated.company import Company
from soar.simulated.stolen_key import key_check

__all__ = ["BackdoorUser"]

ATTACKER = "203.0.113.141"
"""TEST-NET-3: nobody's address."""

USER, ADMINISTRATOR = "svc-metrics-sync", "arn:aws:iam::aws:policy/AdministratorAccess"
TRUSTED, PARTNER = "kestrel-invoice-lambda", "arn:aws:iam::999900001111:root"


class BackdoorUser(Scenario):
    """An administrator's key makes an administrator, gives it a key and a password, and opens a role to a stranger."""

    name: ClassVar[str] = "backdoor-user"
    title: ClassVar[str] = "Somebody makes an administrator for themselves"
    playbook: ClassVar[str] = "aws-iam-persistence"
    source: ClassVar[str] = "cloudtrail"

    def seed(self, company: Company) -> Attack:
        """Make the user, and open the role's trust."""
        victim = company.users["irene.castellano"]
        thief = company.seen_by(victim).client("iam")
        made = thief.create_user(UserName=USER)["User"]
        thief.attach_user_policy(UserName=USER, PolicyArn=ADMINISTRATOR)
        key = thief.create_access_key(UserName=USER)["AccessKey"]["AccessKeyId"]
        thief.create_login_profile(UserName=USER, Password="Correct-Horse-9")  # noqa: S106 - of the simulated account
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "lambda.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                },
                {"Effect": "Allow", "Principal": {"AWS": PARTNER}, "Action": "sts:AssumeRole"},
            ],
        }
        thief.update_assume_role_policy(RoleName=TRUSTED, PolicyDocument=json.dumps(trust))
        start = company.now - timedelta(minutes=9)
        events = [
            company.trail.event(
                victim,
                "iam",
                name,
                start + timedelta(seconds=seconds),
                ATTACKER,
                request=request,
                response=response,
            )
            for seconds, name, request, response in (
                (0, "CreateUser", {"userName": USER}, {"user": {"userName": USER, "arn": made["Arn"]}}),
                (8, "AttachUserPolicy", {"userName": USER, "policyArn": ADMINISTRATOR}, None),
                (
                    14,
                    "CreateAccessKey",
                    {"userName": USER},
                    {"accessKey": {"userName": USER, "accessKeyId": key, "status": "Active"}},
                ),
                (22, "CreateLoginProfile", {"userName": USER}, None),
                (
                    41,
                    "UpdateAssumeRolePolicy",
                    {"roleName": TRUSTED, "policyDocument": json.dumps(trust)},
                    None,
                ),
            )
        ]
        company.trail.write(events)
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start + timedelta(seconds=41),
            facts={
                "user_name": victim.name,
                "access_key_id": victim.access_key_id,
                "made_user": USER,
                "made_key": key,
                "role_name": TRUSTED,
                "partner": PARTNER,
                "event": json.dumps(events[3]),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """The event `CreateLoginProfile`, as a rule of EventBridge lets it through."""
        record: JsonObject = json.loads(attack.facts["event"])
        return cloudtrail_envelope(attack, record)

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Can whoever did it, and what was made by it, do nothing any more, and is the role closed again?"""
        iam, facts = account.client("iam"), attack.facts
        users = {u["UserName"] for u in iam.list_users()["Users"]}
        trust = json.dumps(iam.get_role(RoleName=facts["role_name"])["Role"]["AssumeRolePolicyDocument"])
        return [
            Check(
                name=f"the user {facts['made_user']} is gone",
                ok=facts["made_user"] not in users,
                seen="it is there" if facts["made_user"] in users else "there is no such user",
            ),
            key_check(account, facts),
            Check(
                name=f"the role {facts['role_name']} is closed to the stranger",
                ok=facts["partner"] not in trust,
                seen="the stranger may assume it"
                if facts["partner"] in trust
                else "only its service may assume it",
            ),
        ]
