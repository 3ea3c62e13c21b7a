"""Detection is switched on again, findings are filed, AWS is asked for help: what the common suite cannot see."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from soar.simulated.base import AccountClients

sys.path.insert(0, str(Path(__file__).parent / "conformance"))
from scripted import Scripted, ScriptedError

RESTORE, TRAILS = "aws.cloudtrail.restore_logging", "aws.cloudtrail.describe_trails"
KEY = "arn:aws:kms:us-east-1:444455556666:key/0a1b2c3d-0000-1111-2222-333344445555"
MANAGEMENT = {"Field": "eventCategory", "Equals": ["Management"]}
READS_ONLY = {"Field": "readOnly", "Equals": ["true"]}
DATA = [
    {"Field": "eventCategory", "Equals": ["Data"]},
    {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
]


@pytest.fixture
def trail(account: AccountClients) -> Any:
    """A trail that is as it should be; returns CloudTrail's client."""
    account.client("s3").create_bucket(Bucket="trail-files")
    cloudtrail = account.client("cloudtrail")
    cloudtrail.create_trail(
        Name="management", S3BucketName="trail-files", IsMultiRegionTrail=True, EnableLogFileValidation=True
    )
    cloudtrail.start_logging(Name="management")
    return cloudtrail


async def test_a_full_trail_is_left_as_it_is(actions: Any, trail: Any) -> None:
    plan = await actions.plan(RESTORE, trail="management")
    assert plan.changes == ()
    found = await actions.read(TRAILS, trail="management")
    assert found.data["complete"] == 1
    assert found.data["trails"][0]["problems"] == []


async def test_stopping_warns_of_the_gap_and_says_when(actions: Any, trail: Any) -> None:
    trail.stop_logging(Name="management")
    plan = await actions.plan(RESTORE, trail="management")
    assert [(c.field, c.before, c.after) for c in plan.changes] == [("logging", False, True)]
    assert "cannot be recovered" in plan.warnings[0]
    assert any(f.startswith("it was stopped last at") for f in plan.blast_radius.facts)
    assert "stopped again" in plan.undo
    found = await actions.read(TRAILS)
    assert found.data["trails"][0]["problems"] == ["it does not log"]


async def test_data_events_stay_where_management_events_come_back(actions: Any, trail: Any) -> None:
    trail.put_event_selectors(
        TrailName="management",
        AdvancedEventSelectors=[
            {"Name": "reads", "FieldSelectors": [MANAGEMENT, READS_ONLY]},
            {"Name": "objects", "FieldSelectors": DATA},
        ],
    )
    await actions.apply(await actions.plan(RESTORE, trail="management"))
    now = trail.get_event_selectors(TrailName="management")["AdvancedEventSelectors"]
    assert [s["FieldSelectors"] for s in now] == [[MANAGEMENT], DATA]


async def test_selectors_are_not_mixed_with_advanced_ones(actions: Any, trail: Any) -> None:
    trail.put_event_selectors(
        TrailName="management", AdvancedEventSelectors=[{"Name": "objects", "FieldSelectors": DATA}]
    )
    trail.stop_logging(Name="management")
    with pytest.raises(ApplicationError, match="advanced event selectors") as caught:
        await actions.plan(RESTORE, trail="management", selectors=[{}])
    assert caught.value.type == "BadInput"


async def test_five_selectors_of_data_leave_no_room(actions: Any, trail: Any) -> None:
    only_data = {
        "ReadWriteType": "All",
        "IncludeManagementEvents": False,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::a/"]}],
    }
    trail.put_event_selectors(TrailName="management", EventSelectors=[only_data] * 5)
    with pytest.raises(ApplicationError, match="5 event selectors already") as caught:
        await actions.plan(RESTORE, trail="management")
    assert caught.value.type == "Refused"


async def test_a_protected_trail_and_a_deleted_one_are_refused(
    make_actions: Callable[..., Any], trail: Any
) -> None:
    trail.stop_logging(Name="management")
    arn = trail.describe_trails()["trailList"][0]["TrailARN"]
    trail.add_tags(ResourceId=arn, TagsList=[{"Key": "soar:protected", "Value": "yes"}])
    with pytest.raises(ApplicationError, match="soar:protected"):
        await make_actions().plan(RESTORE, trail="management")
    with pytest.raises(ApplicationError, match="no trail"):
        await make_actions().plan(RESTORE, trail="deleted-by-the-attacker")


async def test_the_trail_of_the_organization_is_left_to_its_account(make_actions: Callable[..., Any]) -> None:
    actions, service = make_actions(account="123456789012"), Scripted("cloudtrail")
    assert actions.access.own_account == "123456789012"
    arn = "arn:aws:cloudtrail:us-east-1:999988887777:trail/organization"
    raw = {"Name": "organization", "TrailARN": arn, "HomeRegion": "us-east-1", "S3BucketName": "trail-files"}
    service.operation("DescribeTrails")(lambda params: {"trailList": [raw]})
    service.operation("GetTrailStatus")(lambda params: {"IsLogging": False})
    service.operation("GetEventSelectors")(lambda params: {"EventSelectors": []})
    service.operation("ListTags")(lambda params: {"ResourceTagList": []})
    service.attach(actions.access._session.events)
    with pytest.raises(ApplicationError, match="belongs to account 999988887777") as caught:
        await actions.plan(RESTORE, trail="organization")
    assert caught.value.type == "Refused"


async def test_it_is_not_verified_while_nothing_is_delivered(
    make_actions: Callable[..., Any], trail: Any
) -> None:
    actions = make_actions()
    started = datetime.now(UTC).replace(microsecond=0)
    replies: list[dict[str, Any]] = [
        {"LatestDeliveryTime": started - timedelta(hours=2)},
        {"LatestDeliveryTime": started - timedelta(hours=2), "LatestDeliveryError": "AccessDenied"},
        {"LatestDeliveryTime": started + timedelta(minutes=7)},
    ]
    status = Scripted("cloudtrail")
    trail.stop_logging(Name="management")
    plan = await actions.plan(RESTORE, trail="management")
    await actions.apply(plan)

    @status.operation("GetTrailStatus")
    def answer(params: dict[str, Any]) -> dict[str, Any]:
        return {"IsLogging": True, "StartLoggingTime": started, **replies[0]}

    later = make_actions()
    status.attach(later.access._session.events)
    seen = []
    while replies:
        look = later.look(plan)
        seen.append((look.verified, look.seen.rpartition("; ")[2]))
        replies.pop(0)
    assert [verified for verified, _ in seen] == [False, False, True]
    assert "no log file was delivered since" in seen[0][1]
    assert seen[1][1] == "the last delivery failed: AccessDenied"


async def test_guardduty_keeps_the_detector_of_somebody_else(actions: Any, account: AccountClients) -> None:
    guardduty = account.client("guardduty")
    plan = await actions.plan("aws.guardduty.enable")
    assert "made is deleted" in plan.undo
    await actions.apply(plan)
    # Deleted and made anew by another hand, with the same settings: nothing tells them apart but the tags.
    guardduty.delete_detector(DetectorId=guardduty.list_detectors()["DetectorIds"][0])
    guardduty.create_detector(Enable=True, FindingPublishingFrequency="FIFTEEN_MINUTES")
    with pytest.raises(ApplicationError, match="not the one that this step made") as caught:
        await actions.undo(plan)
    assert caught.value.type == "Refused"
    assert len(guardduty.list_detectors()["DetectorIds"]) == 1


async def test_guardduty_says_that_nothing_watches(actions: Any, account: AccountClients) -> None:
    found = await actions.read("aws.guardduty.describe")
    assert found.data["status"] == "none"
    with pytest.raises(ApplicationError, match="no detector") as caught:
        await actions.plan("aws.guardduty.archive_findings", finding_ids=["a" * 32])
    assert caught.value.type == "TargetGone"


async def test_what_guardduty_rejects_is_not_tried_again(make_actions: Callable[..., Any]) -> None:
    actions, service = make_actions(), Scripted("guardduty")

    @service.operation("ListDetectors")
    def reject(params: dict[str, Any]) -> dict[str, Any]:
        raise ScriptedError("BadRequestException", "members are managed by their administrator")

    service.attach(actions.access._session.events)
    with pytest.raises(ApplicationError, match="members are managed") as caught:
        await actions.read("aws.guardduty.describe")
    assert caught.value.type == "BadInput"
    assert caught.value.non_retryable


async def test_what_the_hub_does_not_take_is_an_error(make_actions: Callable[..., Any]) -> None:
    actions, service = make_actions(), Scripted("securityhub")
    product = "arn:aws:securityhub:us-east-1::product/aws/guardduty"
    finding = {
        "SchemaVersion": "2018-10-08",
        "Id": "f1",
        "ProductArn": product,
        "GeneratorId": "detector",
        "AwsAccountId": "123456789012",
        "CreatedAt": "2026-01-01T10:00:00Z",
        "UpdatedAt": "2026-01-01T10:00:00Z",
        "Title": "Something",
        "Description": "Something",
        "Resources": [{"Type": "Other", "Id": "x"}],
    }
    service.operation("GetFindings")(lambda params: {"Findings": [finding]})
    refused = {"ErrorCode": "FindingNotFound", "ErrorMessage": "it is gone"}
    service.operation("BatchUpdateFindings")(
        lambda params: {
            "ProcessedFindings": [],
            "UnprocessedFindings": [
                {"FindingIdentifier": {"Id": "f1", "ProductArn": product}, **refused},
            ],
        }
    )
    service.attach(actions.access._session.events)
    given = {"findings": [{"id": "f1", "product_arn": product}], "workflow": "SUPPRESSED"}
    plan = await actions.plan("aws.securityhub.update_findings", **given)
    assert plan.warnings == ("A suppressed finding is shown to nobody any more.",)
    with pytest.raises(ApplicationError, match="f1: it is gone"):
        await actions.apply(plan)
    with pytest.raises(ApplicationError, match="has no finding f2"):
        await actions.plan(
            "aws.securityhub.update_findings",
            findings=[{"id": "f2", "product_arn": product}],
            workflow="RESOLVED",
        )


async def test_config_needs_a_channel_and_a_recorder(actions: Any, account: AccountClients) -> None:
    with pytest.raises(ApplicationError, match="has no recorder in this region") as caught:
        await actions.plan("aws.config.start_recorder")
    assert caught.value.type == "TargetGone"
    account.client("config").put_configuration_recorder(
        ConfigurationRecorder={"name": "default", "roleARN": "arn:aws:iam::123456789012:role/config"}
    )
    with pytest.raises(ApplicationError, match="no delivery channel") as refused:
        await actions.plan("aws.config.start_recorder")
    assert refused.value.type == "Refused"


async def test_config_tells_the_present_and_what_it_has_never_seen(
    actions: Any, account: AccountClients
) -> None:
    account.client("s3").create_bucket(Bucket="customers")
    found = await actions.read("aws.config.history", resource_type="AWS::S3::Bucket", resource_id="customers")
    assert found.data["prior"]["name"] == "customers"
    assert [e.name for e in found.evidence] == ["config-history.json"]
    with pytest.raises(ApplicationError, match="has never seen") as caught:
        await actions.read("aws.config.history", resource_type="AWS::S3::Bucket", resource_id="nobody-has-it")
    assert caught.value.type == "TargetGone"


async def test_a_case_is_opened_once_and_its_id_is_told(actions: Any, account: AccountClients) -> None:
    given = {"subject": "Account compromised", "body": "Unknown instances were started."}
    plan = await actions.plan("aws.support.open_case", **given)
    assert "no secret" in plan.warnings[0]
    done = await actions.apply(plan)
    cases = account.client("support").describe_cases(includeResolvedCases=True)["cases"]
    assert [c["subject"] for c in cases] == ["Account compromised [inc-1/step-1]"]
    assert done.data["case_id"] == cases[0]["caseId"]
    again = await actions.apply(plan, attempt=2)
    assert again.data["case_id"] == cases[0]["caseId"]


async def test_support_is_asked_where_it_is(
    make_actions: Callable[..., Any], account: AccountClients
) -> None:
    actions = make_actions(region="eu-central-1")
    await actions.apply(
        await actions.plan("aws.support.open_case", subject="Account compromised", body="Please help us.")
    )
    assert len(account.client("support").describe_cases(includeResolvedCases=True)["cases"]) == 1


async def test_a_case_that_there_is_not_is_told(make_actions: Callable[..., Any]) -> None:
    actions, service = make_actions(), Scripted("support")

    @service.operation("DescribeCases")
    def reject(params: dict[str, Any]) -> dict[str, Any]:
        raise ScriptedError("CaseIdNotFound")

    service.attach(actions.access._session.events)
    with pytest.raises(ApplicationError, match="no case case-1") as caught:
        await actions.read("aws.support.case_status", case_id="case-1")
    assert caught.value.type == "TargetGone"


async def test_without_a_plan_that_allows_it_people_open_the_case(make_actions: Callable[..., Any]) -> None:
    actions, service = make_actions(), Scripted("support")

    @service.operation("DescribeCases")
    def reject(params: dict[str, Any]) -> dict[str, Any]:
        raise ScriptedError("SubscriptionRequiredException", "Premium Support Subscription is required")

    service.attach(actions.access._session.events)
    with pytest.raises(ApplicationError, match="no interface for programs") as caught:
        await actions.plan("aws.support.open_case", subject="A question", body="How many instances?")
    assert caught.value.type == "Refused"
    assert "by hand" in caught.value.details[0].hint


async def test_without_a_membership_there_are_no_responders(make_actions: Callable[..., Any]) -> None:
    actions, service = make_actions(), Scripted("security-ir")

    @service.operation("ListCases")
    def reject(params: dict[str, Any]) -> dict[str, Any]:
        raise ScriptedError("SecurityIncidentResponseNotActiveException", "not active")

    service.attach(actions.access._session.events)
    with pytest.raises(ApplicationError, match="NotActive") as caught:
        await actions.plan(
            "aws.security_ir.open_case",
            title="Leaked key",
            description="A key of user ci leaked.",
            started_at="2026-01-31T09:40:00Z",
            impacted_accounts=["111122223333"],
        )
    assert caught.value.type == "Refused"


COPY = "aws.ec2.copy_snapshots_to_forensics"


async def test_copies_for_forensics_are_refused_where_they_protect_nothing(
    actions: Any, account: AccountClients
) -> None:
    ec2 = account.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    for key, why in (
        (KEY.replace("us-east-1", "eu-west-1"), "is not in us-east-1"),
        (KEY.replace("444455556666", "123456789012"), "snapshots' own account"),
    ):
        with pytest.raises(ApplicationError, match=why) as caught:
            await actions.plan(COPY, snapshot_ids=[snapshot], kms_key_arn=key)
        assert caught.value.type == "BadInput"


async def test_a_failed_copy_is_told_and_made_anew_by_the_next_step(
    make_actions: Callable[..., Any], account: AccountClients
) -> None:
    ec2 = account.client("ec2")
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    source = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    actions, service = make_actions(), Scripted("ec2")
    copies: list[str] = []

    def raw(number: str, state: str, tags: list[dict[str, str]]) -> dict[str, Any]:
        return {
            "SnapshotId": number,
            "OwnerId": "123456789012",
            "State": state,
            "VolumeSize": 1,
            "StateMessage": "Given key ID is not accessible",
            "KmsKeyId": KEY,
            "Tags": tags,
        }

    @service.operation("CopySnapshot")
    def copy(params: dict[str, Any]) -> dict[str, Any]:
        copies.append(f"snap-{len(copies):017x}")
        return {"SnapshotId": copies[-1]}

    @service.operation("DescribeSnapshots")
    def described(params: dict[str, Any]) -> dict[str, Any]:
        if "SnapshotIds" in params:
            return {"Snapshots": [raw(source, "completed", [])]}
        tags = {"soar:incident": "inc-1", "soar:step": "step-1", "soar:source": source}
        listed = [{"Key": k, "Value": v} for k, v in tags.items()]
        return {
            "Snapshots": [raw(c, "error" if n == 0 else "completed", listed) for n, c in enumerate(copies)]
        }

    grants: list[str] = []
    service.operation("DescribeSnapshotAttribute")(
        lambda params: {"CreateVolumePermissions": [{"UserId": g} for g in grants]}
    )

    @service.operation("ModifySnapshotAttribute")
    def share(params: dict[str, Any]) -> dict[str, Any]:
        grants.extend(params["UserIds"])
        return {}

    service.operation("DescribeLockedSnapshots")(lambda params: {"Snapshots": []})
    service.attach(actions.access._session.events)
    plan = await actions.plan(COPY, snapshot_ids=[source], kms_key_arn=KEY, lock_days=0)
    with pytest.raises(ApplicationError, match="Given key ID is not accessible") as caught:
        await actions.apply(plan)
    assert "key's policy" in caught.value.details[0].hint
    done = await actions.apply(plan)
    assert done.data["copies"] == {source: copies[1]}
    assert grants == ["444455556666"]
