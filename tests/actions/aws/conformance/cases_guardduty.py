"""Cases of the actions on GuardDuty."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case

UNSEEN = {
    "guardduty:TagResource": "asked for by CreateDetector with tags",
    "iam:CreateServiceLinkedRole": "asked for by the first CreateDetector of an account",
}
FIRST, SECOND, OTHER = "a" * 32, "b" * 32, "c" * 32


def detectors(world: World) -> Any:
    """What there is of detectors, ids left out."""
    guardduty = world.client("guardduty")
    found = [guardduty.get_detector(DetectorId=d) for d in guardduty.list_detectors()["DetectorIds"]]
    return [
        [
            d["Status"],
            d["FindingPublishingFrequency"],
            sorted(f["Name"] for f in d["Features"] if f["Status"] == "ENABLED"),
            d["Tags"],
        ]
        for d in found
    ]


def script_findings(world: World) -> dict[str, bool]:
    """Three findings; which of them are archived."""
    archived = {FIRST: False, SECOND: True, OTHER: False}
    service = world.script("guardduty")

    def finding(number: str) -> dict[str, Any]:
        return {
            "AccountId": "123456789012",
            "Arn": f"arn:aws:guardduty:us-east-1:123456789012:detector/d/finding/{number}",
            "CreatedAt": "2026-01-01T10:00:00.000Z",
            "UpdatedAt": "2026-01-01T11:00:00.000Z",
            "Id": number,
            "Region": "us-east-1",
            "Resource": {"ResourceType": "AccessKey"},
            "SchemaVersion": "2.0",
            "Severity": 8.0 if number != OTHER else 5.5,
            "Type": "UnauthorizedAccess:IAMUser/ConsoleLogin",
            "Service": {"Archived": archived[number], "Count": 3},
        }

    @service.operation("GetFindings")
    def get(params: dict[str, Any]) -> dict[str, Any]:
        return {"Findings": [finding(f) for f in params["FindingIds"] if f in archived]}

    @service.operation("ListFindings")
    def listed(params: dict[str, Any]) -> dict[str, Any]:
        assert params["FindingCriteria"]["Criterion"]["service.archived"] == {"Equals": ["false"]}
        return {"FindingIds": [f for f, is_archived in archived.items() if not is_archived]}

    def write(params: dict[str, Any], to: bool) -> dict[str, Any]:
        archived.update(dict.fromkeys(params["FindingIds"], to))
        return {}

    service.operation("ArchiveFindings")(lambda params: write(params, True))
    service.operation("UnarchiveFindings")(lambda params: write(params, False))
    return archived


@case("aws.guardduty.enable", unseen=UNSEEN)
def without_a_detector(world: World) -> Arranged:
    guardduty = world.client("guardduty")

    def suspend() -> None:
        found = guardduty.list_detectors()["DetectorIds"][0]
        guardduty.update_detector(DetectorId=found, Enable=False)

    return Arranged(params={"features": ["S3_DATA_EVENTS"]}, snapshot=lambda: detectors(world), drift=suspend)


@case("aws.guardduty.enable")
def suspended(world: World) -> Arranged:
    guardduty = world.client("guardduty")
    detector = guardduty.create_detector(Enable=False, FindingPublishingFrequency="SIX_HOURS")["DetectorId"]
    return Arranged(
        params={"features": ["S3_DATA_EVENTS"]},
        snapshot=lambda: detectors(world),
        drift=lambda: guardduty.delete_detector(DetectorId=detector),
    )


@case("aws.guardduty.archive_findings")
def one_of_two_is_archived(world: World) -> Arranged:
    world.client("guardduty").create_detector(Enable=True)
    archived = script_findings(world)
    return Arranged(
        params={"finding_ids": [SECOND, FIRST]},
        snapshot=lambda: dict(archived),
        drift=lambda: archived.update({SECOND: False}),
    )


@case("aws.guardduty.describe")
def two_open_findings(world: World) -> Arranged:
    world.client("guardduty").create_detector(Enable=True, FindingPublishingFrequency="ONE_HOUR")
    archived = script_findings(world)
    return Arranged(
        params={"min_severity": 7},
        snapshot=lambda: [archived, detectors(world)],
        finds={
            "status": "ENABLED",
            "publish_every": "ONE_HOUR",
            "cut": False,
            "findings": [
                {
                    "id": FIRST,
                    "type": "UnauthorizedAccess:IAMUser/ConsoleLogin",
                    "severity": 8.0,
                    "account": "123456789012",
                    "title": "",
                    "count": 3,
                    "updated_at": "2026-01-01T11:00:00.000Z",
                }
            ],
        },
    )
