"""Cases of `aws.org.*`: an organisation of the worker's own account alone; several are in test_actions_org_wide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from case import Arranged, World, case

from soar.simulated.trail import TrailWriter

KEY = "AKIAIOSFODNN7EXAMPLE"
REGIONS = {"ec2:DescribeRegions": "asked where a step names no regions: test_actions_fanout"}


def organisation(world: World) -> None:
    world.client("organizations").create_organization(FeatureSet="ALL")


@case("aws.org.block_ips", unseen=REGIONS)
def with_a_set_that_is_used(world: World) -> Arranged:
    organisation(world)
    waf = world.client("wafv2")
    made = waf.create_ip_set(
        Name="bad", Scope="REGIONAL", IPAddressVersion="IPV4", Addresses=["192.0.2.1/32"], Description="kept"
    )["Summary"]
    shown = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"}
    rule = {
        "Name": "r",
        "Priority": 0,
        "Statement": {"IPSetReferenceStatement": {"ARN": made["ARN"]}},
        "Action": {"Block": {}},
        "VisibilityConfig": shown,
    }
    waf.create_rule_group(Name="group", Scope="REGIONAL", Capacity=10, Rules=[rule], VisibilityConfig=shown)
    waf.create_web_acl(
        Name="shop", Scope="REGIONAL", DefaultAction={"Allow": {}}, Rules=[rule], VisibilityConfig=shown
    )

    def read() -> Any:
        return waf.get_ip_set(Name="bad", Scope="REGIONAL", Id=made["Id"])

    def snapshot() -> Any:
        found = read()["IPSet"]
        return sorted(found["Addresses"]), found["Description"]

    def drift() -> None:
        waf.update_ip_set(
            Name="bad",
            Scope="REGIONAL",
            Id=made["Id"],
            Addresses=["203.0.113.7/32"],
            LockToken=read()["LockToken"],
        )

    return Arranged(
        params={
            "regions": ["us-east-1"],
            "ip_set": "bad",
            "addresses": ["203.0.113.7", "198.51.100.0/24"],
            "at_once": 1,
        },
        snapshot=snapshot,
        drift=drift,
    )


@case("aws.org.search_key_activity", unseen=REGIONS)
def with_log_files(world: World) -> Arranged:
    organisation(world)
    world.client("s3").create_bucket(Bucket="trail-files")
    trails = world.client("cloudtrail")
    trails.create_trail(Name="all", S3BucketName="trail-files", IsMultiRegionTrail=True)
    writer = TrailWriter(world.account, "trail-files", "123456789012", "us-east-1")
    identity = {"type": "IAMUser", "accessKeyId": KEY, "userName": "ci"}
    at = datetime.now(UTC) - timedelta(minutes=5)
    writer.write([writer.event(identity, "s3", "ListBuckets", at, "203.0.113.99")])

    def snapshot() -> Any:
        found = world.client("s3").list_objects_v2(Bucket="trail-files")["Contents"]
        return sorted((o["Key"], o["ETag"]) for o in found), trails.describe_trails()["trailList"]

    return Arranged(
        params={"access_key_id": KEY, "regions": ["us-east-1"]},
        snapshot=snapshot,
        finds={
            "complete": True,
            "searched": 1,
            "events": 1,
            "by_name": {"s3:ListBuckets": 1},
            "source_ips": {"203.0.113.99": 1},
        },
    )
