"""A stopped trail: a stolen key makes the account blind before it is used for anything else."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope
from soar.simulated.company import Company
from soar.simulated.stolen_key import api_call, key_check, key_details, key_facts

__all__ = ["StoppedTrail"]

ATTACKER = "198.51.100.87"
"""TEST-NET-2: nobody's address."""

TRAIL = "kestrel-trail"
NOTHING_BUT_READS: JsonObject = {
    "ReadWriteType": "ReadOnly",
    "IncludeManagementEvents": True,
    "DataResources": [],
    "ExcludeManagementEventSources": ["kms.amazonaws.com"],
}


class StoppedTrail(Scenario):
    """With a developer's key somebody narrows the company's trail to reads, and stops it."""

    name: ClassVar[str] = "stopped-trail"
    title: ClassVar[str] = "The account's trail is stopped"
    playbook: ClassVar[str] = "aws-logging-disabled"

    def seed(self, company: Company) -> Attack:
        """Narrow the trail, stop it, and leave what it still recorded in its bucket."""
        victim = company.users["tomas.lindqvist"]
        thief = company.seen_by(victim).client("cloudtrail")
        thief.put_event_selectors(TrailName=TRAIL, EventSelectors=[NOTHING_BUT_READS])
        thief.stop_logging(Name=TRAIL)
        start = company.now - timedelta(minutes=7)
        arn = thief.describe_trails(trailNameList=[TRAIL])["trailList"][0]["TrailARN"]
        company.trail.write(
            [
                company.trail.event(
                    victim,
                    "cloudtrail",
                    name,
                    start + timedelta(seconds=seconds),
                    ATTACKER,
                    request=request,
                    read_only=name.startswith("Describe"),
                )
                for seconds, name, request in (
                    (0, "DescribeTrails", None),
                    (31, "PutEventSelectors", {"trailName": TRAIL}),
                    (44, "StopLogging", {"name": arn}),
                )
            ]
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start + timedelta(seconds=44),
            facts={
                "trail": TRAIL,
                "trail_arn": arn,
                **key_facts(victim, ATTACKER),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`Stealth:IAMUser/CloudTrailLoggingDisabled`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="Stealth:IAMUser/CloudTrailLoggingDisabled",
            severity=2.0,
            title=f"CloudTrail trail {facts['trail']} was disabled.",
            description=(
                f"CloudTrail trail {facts['trail_arn']} was disabled by {facts['user_name']} calling StopLogging."
            ),
            resource={
                "resourceType": "AccessKey",
                "accessKeyDetails": key_details(facts),
            },
            action=api_call(
                facts, "cloudtrail", "StopLogging", {"AWS::CloudTrail::Trail": facts["trail_arn"]}
            ),
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Does the trail record everything again, and can whoever stopped it do so no more?"""
        trails, facts = account.client("cloudtrail"), attack.facts
        logging = trails.get_trail_status(Name=facts["trail"])["IsLogging"]
        selectors = trails.get_event_selectors(TrailName=facts["trail"]).get("EventSelectors", [])
        whole = [
            s
            for s in selectors
            if s["ReadWriteType"] == "All"
            and s["IncludeManagementEvents"]
            and not s.get("ExcludeManagementEventSources")
        ]
        return [
            Check(
                name=f"{facts['trail']} is logging",
                ok=logging,
                seen="it is logging" if logging else "it is stopped",
            ),
            Check(
                name=f"{facts['trail']} records all management events",
                ok=bool(whole),
                seen=f"selectors: {', '.join(s['ReadWriteType'] for s in selectors) or 'none'}",
            ),
            key_check(account, facts),
        ]
