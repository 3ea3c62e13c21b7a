"""Cases of `aws.ec2.require_imdsv2`."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case


@case("aws.ec2.require_imdsv2")
def with_optional_tokens(world: World) -> Arranged:
    ec2 = world.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro")
    instance = made["Instances"][0]["InstanceId"]
    ec2.modify_instance_metadata_options(
        InstanceId=instance, HttpTokens="optional", HttpPutResponseHopLimit=2
    )

    def snapshot() -> Any:
        found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return found["MetadataOptions"]

    return Arranged(
        params={"instance_id": instance, "hop_limit": 1},
        snapshot=snapshot,
        drift=lambda: ec2.modify_instance_metadata_options(InstanceId=instance, HttpPutResponseHopLimit=3),
    )
