"""Cases of `aws.ec2.require_imdsv2`."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case


@case("aws.ec2.require_imdsv2")
def with_optional_tokens(world: World) -> Arranged:
    instance = world.instance()
    ec2 = world.client("ec2")

    def write(**options: Any) -> None:
        ec2.modify_instance_metadata_options(InstanceId=instance, **options)

    def snapshot() -> Any:
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found["MetadataOptions"]

    write(HttpTokens="optional", HttpPutResponseHopLimit=2)
    return Arranged(
        params={"instance_id": instance, "hop_limit": 1},
        snapshot=snapshot,
        drift=lambda: write(HttpPutResponseHopLimit=3),
    )
