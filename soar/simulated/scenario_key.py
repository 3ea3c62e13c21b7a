"""A leaked access key: the deployer's key is used from outside, and makes another key to stay."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope
from soar.simulated.company import Company
from soar.simulated.stolen_key import key_details, key_facts

__all__ = ["LeakedKey"]

ATTACKER = "198.51.100.23"
"""TEST-NET-2: nobody's address."""

_AGENT = "Boto3/1.34.51 md/Botocore#1.34.51 ua/2.0 os/linux lang/python"


class LeakedKey(Scenario):
    """The CI deployer's key leaked; somebody looks around with it and creates a key of the backup service."""

    name: ClassVar[str] = "leaked-key"
    title: ClassVar[str] = "A leaked access key is used from outside"
    playbook: ClassVar[str] = "aws-access-key-compromise"

    def seed(self, company: Company) -> Attack:
        """Use the key from outside, in the account and in its trail."""
        victim, other = company.users["ci-deployer"], company.users["backup-service"]
        thief = company.seen_by(victim)
        thief.client("sts").get_caller_identity()
        thief.client("s3").list_buckets()
        created = thief.client("iam").create_access_key(UserName=other.name)["AccessKey"]["AccessKeyId"]
        start = company.now - timedelta(minutes=11)

        def did(
            seconds: int,
            service: str,
            name: str,
            *,
            request: JsonObject | None = None,
            response: JsonObject | None = None,
            error_code: str = "",
        ) -> JsonObject:
            return company.trail.event(
                victim,
                service,
                name,
                start + timedelta(seconds=seconds),
                ATTACKER,
                request=request,
                response=response,
                user_agent=_AGENT,
                error_code=error_code,
                read_only=name.startswith(("Get", "List", "Describe")),
            )

        key: JsonObject = {"accessKeyId": created, "status": "Active", "userName": other.name}
        company.trail.write(
            [
                did(0, "sts", "GetCallerIdentity"),
                did(9, "s3", "ListBuckets"),
                did(21, "iam", "ListUsers"),
                did(47, "iam", "CreateUser", request={"userName": "svc-sync"}, error_code="AccessDenied"),
                did(
                    83,
                    "iam",
                    "CreateAccessKey",
                    request={"userName": other.name},
                    response={"accessKey": key},
                ),
                did(140, "ec2", "DescribeInstances"),
                did(152, "secretsmanager", "ListSecrets", error_code="AccessDenied"),
            ]
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start + timedelta(seconds=152),
            facts={
                **key_facts(victim, ATTACKER),
                "created_key_id": created,
                "created_key_user": other.name,
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`UnauthorizedAccess:IAMUser/MaliciousIPCaller.Custom`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="UnauthorizedAccess:IAMUser/MaliciousIPCaller.Custom",
            severity=5.0,
            title="API ListUsers was invoked from an IP address on a custom threat list.",
            description=(
                f"API ListUsers was invoked by {facts['user_name']} from an IP address on a custom threat list: "
                f"{facts['source_ip']}."
            ),
            resource={
                "resourceType": "AccessKey",
                "accessKeyDetails": key_details(facts),
            },
            action={
                "actionType": "AWS_API_CALL",
                "awsApiCallAction": {
                    "api": "ListUsers",
                    "serviceName": "iam.amazonaws.com",
                    "callerType": "Remote IP",
                    "remoteIpDetails": {
                        "ipAddressV4": facts["source_ip"],
                        "organization": {
                            "asn": "64500",
                            "asnOrg": "EXAMPLE-NET",
                            "isp": "Example",
                            "org": "Example",
                        },
                        "country": {"countryName": "Exampleland"},
                        "city": {"cityName": ""},
                        "geoLocation": {"lat": 0.0, "lon": 0.0},
                    },
                    "affectedResources": {},
                },
            },
            count=7,
            first_seen=attack.time - timedelta(seconds=152),
            additional={"threatListName": "kestrel-watchlist"},
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Is the leaked key out of use, and the one that the attacker made as well?"""
        iam = account.client("iam")

        def statuses(user: str) -> dict[str, str]:
            keys = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
            return {k["AccessKeyId"]: k["Status"] for k in keys}

        facts = attack.facts
        leaked = statuses(facts["user_name"]).get(facts["access_key_id"], "deleted")
        made = statuses(facts["created_key_user"]).get(facts["created_key_id"], "deleted")
        return [
            Check(
                name=f"the leaked key of {facts['user_name']} is out of use",
                ok=leaked != "Active",
                seen=f"{facts['access_key_id']} is {leaked}",
            ),
            Check(
                name=f"the key that the attacker made for {facts['created_key_user']} is out of use",
                ok=made != "Active",
                seen=f"{facts['created_key_id']} is {made}",
            ),
        ]
