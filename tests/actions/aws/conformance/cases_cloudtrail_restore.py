"""Cases of `aws.cloudtrail.restore_logging` and `aws.cloudtrail.describe_trails`."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case

NOTHING_BUT_WRITES = {
    "ReadWriteType": "WriteOnly",
    "IncludeManagementEvents": True,
    "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::customers/"]}],
    "ExcludeManagementEventSources": ["kms.amazonaws.com"],
}


def trail(world: World, **selectors: Any) -> Any:
    """A trail of one region without digest files; returns how to look at it."""
    world.client("s3").create_bucket(Bucket="trail-files")
    cloudtrail = world.client("cloudtrail")
    cloudtrail.create_trail(Name="management", S3BucketName="trail-files", IncludeGlobalServiceEvents=False)
    cloudtrail.start_logging(Name="management")
    if selectors:
        cloudtrail.put_event_selectors(TrailName="management", **selectors)

    def snapshot() -> Any:
        found = cloudtrail.get_event_selectors(TrailName="management")
        return [
            cloudtrail.describe_trails()["trailList"],
            found.get("EventSelectors") or [],
            found.get("AdvancedEventSelectors") or [],
            cloudtrail.get_trail_status(Name="management")["IsLogging"],
        ]

    return snapshot


@case("aws.cloudtrail.restore_logging")
def stopped_and_narrowed(world: World) -> Arranged:
    snapshot = trail(world, EventSelectors=[NOTHING_BUT_WRITES])
    cloudtrail = world.client("cloudtrail")
    cloudtrail.stop_logging(Name="management")
    return Arranged(
        params={"trail": "management"},
        snapshot=snapshot,
        drift=lambda: cloudtrail.stop_logging(Name="management"),
    )


@case("aws.cloudtrail.restore_logging")
def advanced_selectors_of_data_only(world: World) -> Arranged:
    data = {"Field": "eventCategory", "Equals": ["Data"]}
    objects = {"Field": "resources.type", "Equals": ["AWS::S3::Object"]}
    snapshot = trail(world, AdvancedEventSelectors=[{"Name": "objects", "FieldSelectors": [data, objects]}])
    cloudtrail = world.client("cloudtrail")
    return Arranged(
        params={"trail": "management"},
        snapshot=snapshot,
        drift=lambda: cloudtrail.update_trail(Name="management", EnableLogFileValidation=False),
    )


@case("aws.cloudtrail.restore_logging")
def as_it_was_before_into_the_right_bucket(world: World) -> Arranged:
    snapshot = trail(world, EventSelectors=[NOTHING_BUT_WRITES])
    s3 = world.client("s3")
    s3.create_bucket(Bucket="somewhere-else")
    cloudtrail = world.client("cloudtrail")
    cloudtrail.update_trail(Name="management", S3BucketName="somewhere-else")
    return Arranged(
        params={
            "trail": "arn:aws:cloudtrail:us-east-1:123456789012:trail/management",
            "selectors": [{"data": [{"type": "AWS::S3::Object", "arns": ["arn:aws:s3"]}]}],
            "bucket": "trail-files",
        },
        snapshot=snapshot,
        drift=lambda: cloudtrail.update_trail(Name="management", S3BucketName="somewhere-else"),
    )


@case("aws.cloudtrail.describe_trails")
def one_that_leaves_much_out(world: World) -> Arranged:
    snapshot = trail(world, EventSelectors=[NOTHING_BUT_WRITES])
    return Arranged(
        params={},
        snapshot=snapshot,
        finds={"complete": 0},
    )
