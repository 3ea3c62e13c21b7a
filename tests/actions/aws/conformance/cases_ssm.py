"""Cases of what goes through Systems Manager."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from case import Arranged, World, case

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
MALLORY = "arn:aws:iam::123456789012:user/mallory"
ALICE = "arn:aws:iam::123456789012:user/alice"


def sessions(world: World, *open_: tuple[str, str, str]) -> dict[str, dict[str, Any]]:
    """Session Manager with these sessions open (id, target, owner)."""
    service = world.script("ssm")
    kept = {
        id_: {"SessionId": id_, "Target": target, "Owner": owner, "Status": "Connected", "StartDate": SINCE}
        for id_, target, owner in open_
    }

    @service.operation("DescribeSessions")
    def describe(params: dict[str, Any]) -> dict[str, Any]:
        assert params["State"] == "Active"
        wanted = {f["key"]: f["value"] for f in params["Filters"]}
        return {"Sessions": [s for s in kept.values() if all(s[k] == v for k, v in wanted.items())]}

    @service.operation("TerminateSession")
    def terminate(params: dict[str, Any]) -> dict[str, Any]:
        # One that has ended already is answered alike.
        kept.pop(params["SessionId"], None)
        return {"SessionId": params["SessionId"]}

    return kept


@case("aws.ssm.terminate_sessions")
def two_to_an_instance(world: World) -> Arranged:
    instance = world.instance()
    kept = sessions(
        world,
        ("mallory-1", instance, MALLORY),
        ("mallory-2", instance, MALLORY),
        ("alice-1", instance, ALICE),
        ("alice-2", "i-00000000000000000", ALICE),
    )
    return Arranged(params={"target": instance, "keep": [ALICE]}, snapshot=lambda: sorted(kept))


@case("aws.ssm.terminate_sessions")
def all_of_one_person(world: World) -> Arranged:
    kept = sessions(
        world, ("mallory-1", "i-00000000000000000", MALLORY), ("alice-1", "i-00000000000000000", ALICE)
    )
    return Arranged(params={"owner": MALLORY}, snapshot=lambda: sorted(kept))


def agent(
    world: World, instance: str, *, online: bool = True, status: str = "Success"
) -> list[dict[str, Any]]:
    """An agent that runs whatever it is sent; an image arrives with every success."""
    service = world.script("ssm")
    sent: list[dict[str, Any]] = []

    @service.operation("DescribeInstanceInformation")
    def information(params: dict[str, Any]) -> dict[str, Any]:
        assert params["Filters"] == [{"Key": "InstanceIds", "Values": [instance]}]
        ping = "Online" if online else "ConnectionLost"
        return {"InstanceInformationList": [{"InstanceId": instance, "PingStatus": ping}]}

    @service.operation("ListCommands")
    def commands(params: dict[str, Any]) -> dict[str, Any]:
        return {"Commands": [c for c in sent if params["InstanceId"] in c["InstanceIds"]]}

    @service.operation("SendCommand")
    def send(params: dict[str, Any]) -> dict[str, Any]:
        made = {
            "CommandId": f"00000000-0000-0000-0000-{len(sent):012d}",
            "InstanceIds": params["InstanceIds"],
            "Comment": params["Comment"],
            "Status": status,
        }
        sent.append(made)
        if status == "Success":
            world.client("s3").put_object(Bucket="images", Key="memory.lime", Body=b"pages")
        return {"Command": made}

    @service.operation("GetCommandInvocation")
    def invocation(params: dict[str, Any]) -> dict[str, Any]:
        found = next(c for c in sent if c["CommandId"] == params["CommandId"])
        return {
            "CommandId": found["CommandId"],
            "InstanceId": params["InstanceId"],
            "Status": found["Status"],
            "ResponseCode": 0 if found["Status"] == "Success" else 1,
            "StandardErrorContent": "" if found["Status"] == "Success" else "no room on /run",
        }

    return sent


@case(
    "aws.ec2.capture_memory",
    unseen={"s3:ListBucket": "without it S3 says of a missing object that it is forbidden"},
)
def by_an_agent_that_answers(world: World) -> Arranged:
    instance = world.instance()
    s3 = world.client("s3")
    s3.create_bucket(Bucket="images")
    sent = agent(world, instance)

    def snapshot() -> Any:
        return len(sent), [o["Key"] for o in s3.list_objects_v2(Bucket="images").get("Contents", [])]

    return Arranged(
        params={
            "instance_id": instance,
            "commands": ["avml /run/memory.lime", "upload /run/memory.lime"],
            "bucket": "images",
            "key": "memory.lime",
        },
        snapshot=snapshot,
    )
