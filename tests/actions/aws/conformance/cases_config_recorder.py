"""Cases of the actions on AWS Config."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from case import Arranged, World, case
from scripted import ScriptedError

ARN = "arn:aws:config:us-east-1:123456789012:configuration-recorder/default/abc"
ROLE = "arn:aws:iam::123456789012:role/config"


def recorder(world: World) -> Any:
    config = world.client("config")
    config.put_configuration_recorder(
        ConfigurationRecorder={
            "name": "default",
            "roleARN": ROLE,
            "recordingGroup": {"allSupported": True, "includeGlobalResourceTypes": True},
        }
    )
    config.put_delivery_channel(DeliveryChannel={"name": "default", "s3BucketName": "config-files"})
    return config


@case("aws.config.start_recorder")
def stopped(world: World) -> Arranged:
    config = recorder(world)

    def snapshot() -> Any:
        return [
            s["recording"]
            for s in config.describe_configuration_recorder_status()["ConfigurationRecordersStatus"]
        ]

    # There are two states only, so that whoever interferes has undone it.
    return Arranged(params={}, snapshot=snapshot)


@case("aws.config.start_recorder")
def one_with_tags_beside_that_of_a_service(world: World) -> Arranged:
    recording = [False]
    service = world.script("config")

    @service.operation("DescribeConfigurationRecorders")
    def recorders(params: dict[str, Any]) -> dict[str, Any]:
        group = {"allSupported": False, "resourceTypes": ["AWS::EC2::Instance"]}
        return {
            "ConfigurationRecorders": [
                {"name": "AWSConfigurationRecorderFor", "servicePrincipal": "observability.amazonaws.com"},
                {"name": "default", "arn": ARN, "roleARN": ROLE, "recordingGroup": group},
            ]
        }

    @service.operation("DescribeConfigurationRecorderStatus")
    def status(params: dict[str, Any]) -> dict[str, Any]:
        assert params["ConfigurationRecorderNames"] == ["default"]
        state = {"name": "default", "recording": recording[0], "lastStatus": "Success"}
        return {"ConfigurationRecordersStatus": [state]}

    @service.operation("DescribeDeliveryChannels")
    def channels(params: dict[str, Any]) -> dict[str, Any]:
        return {"DeliveryChannels": [{"name": "default", "s3BucketName": "config-files"}]}

    @service.operation("ListTagsForResource")
    def tags(params: dict[str, Any]) -> dict[str, Any]:
        assert params["ResourceArn"] == ARN
        return {"Tags": [{"Key": "team", "Value": "platform"}]}

    def write(params: dict[str, Any], to: bool) -> dict[str, Any]:
        if params["ConfigurationRecorderName"] != "default":
            raise ScriptedError("NoSuchConfigurationRecorderException")
        recording[0] = to
        return {}

    service.operation("StartConfigurationRecorder")(lambda params: write(params, True))
    service.operation("StopConfigurationRecorder")(lambda params: write(params, False))
    return Arranged(params={"recorder": "default"}, snapshot=lambda: list(recording))


@case("aws.config.history")
def two_versions_of_a_group(world: World) -> Arranged:
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    service = world.script("config")

    @service.operation("GetResourceConfigHistory")
    def history(params: dict[str, Any]) -> dict[str, Any]:
        assert params["chronologicalOrder"] == "Reverse"
        # Newest first, none from after the moment that is asked for.
        versions = [(0, ["10.0.0.0/8", "0.0.0.0/0"]), (2, ["10.0.0.0/8"]), (5, [])]
        return {
            "configurationItems": [
                {
                    "configurationItemCaptureTime": moment - timedelta(hours=hours),
                    "configurationItemStatus": "OK",
                    "arn": "arn:aws:ec2:us-east-1:123456789012:security-group/sg-1",
                    "resourceId": params["resourceId"],
                    "configuration": json.dumps({"groupId": "sg-1", "ipPermissions": allowed}),
                    "supplementaryConfiguration": {"Note": "plain text"},
                    "tags": {"team": "web"},
                    "relatedEvents": [],
                }
                for hours, allowed in versions
                if moment - timedelta(hours=hours) <= params["laterTime"]
            ]
        }

    return Arranged(
        params={
            "resource_type": "AWS::EC2::SecurityGroup",
            "resource_id": "sg-1",
            "before": "2026-01-01T11:00:00Z",
        },
        snapshot=lambda: None,
        finds={
            "prior": {"groupId": "sg-1", "ipPermissions": ["10.0.0.0/8"], "Note": "plain text"},
            "tags": {"team": "web"},
            "cut": False,
            "versions": [
                {
                    "captured_at": "2026-01-01T10:00:00Z",
                    "status": "OK",
                    "changed": ["ipPermissions"],
                    "related_events": [],
                },
                {
                    "captured_at": "2026-01-01T07:00:00Z",
                    "status": "OK",
                    "changed": [],
                    "related_events": [],
                },
            ],
        },
    )
