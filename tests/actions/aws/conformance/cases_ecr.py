"""Cases of the actions on container images."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from case import Arranged, World, case

REPOSITORY = "shop/checkout"


def manifest(text: str) -> str:
    """An image manifest of one layer; it differs by its text."""
    layer = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": 7,
                "digest": layer,
            },
            "layers": [
                {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 9, "digest": layer}
            ],
        }
    )


def repository(world: World, *tags: str) -> tuple[Any, list[str]]:
    """A repository with an image for each tag; returns the client and the digests."""
    ecr = world.client("ecr")
    ecr.create_repository(repositoryName=REPOSITORY)
    digests = [
        ecr.put_image(repositoryName=REPOSITORY, imageManifest=manifest(tag), imageTag=tag)["image"][
            "imageId"
        ]["imageDigest"]
        for tag in tags
    ]
    return ecr, digests


def policy(ecr: Any) -> Any:
    try:
        return json.loads(ecr.get_repository_policy(repositoryName=REPOSITORY)["policyText"])
    except ecr.exceptions.RepositoryPolicyNotFoundException:
        return None


@case("aws.ecr.lock_tags")
def that_may_be_moved(world: World) -> Arranged:
    ecr, _ = repository(world)

    def put(mutability: str, *exceptions: str) -> None:
        filters = [{"filterType": "WILDCARD", "filter": e} for e in exceptions]
        ecr.put_image_tag_mutability(
            repositoryName=REPOSITORY,
            imageTagMutability=mutability,
            **({"imageTagMutabilityExclusionFilters": filters} if filters else {}),
        )

    def snapshot() -> Any:
        found = ecr.describe_repositories(repositoryNames=[REPOSITORY])["repositories"][0]
        return found["imageTagMutability"], found.get("imageTagMutabilityExclusionFilters", [])

    return Arranged(
        params={"repository": REPOSITORY},
        snapshot=snapshot,
        drift=lambda: put("IMMUTABLE_WITH_EXCLUSION", "dev*"),
    )


@case("aws.ecr.lock_tags")
def locked_with_exceptions(world: World) -> Arranged:
    ecr, _ = repository(world)
    filters = [{"filterType": "WILDCARD", "filter": "latest*"}]
    ecr.put_image_tag_mutability(
        repositoryName=REPOSITORY,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
    )

    def snapshot() -> Any:
        found = ecr.describe_repositories(repositoryNames=[REPOSITORY])["repositories"][0]
        return found["imageTagMutability"], found.get("imageTagMutabilityExclusionFilters") or []

    return Arranged(
        params={"repository": REPOSITORY},
        snapshot=snapshot,
        drift=lambda: ecr.put_image_tag_mutability(repositoryName=REPOSITORY, imageTagMutability="MUTABLE"),
    )


DENY = {"repository": REPOSITORY, "responders": ["arn:aws:iam::123456789012:role/responder"]}


@case("aws.ecr.deny_pull")
def without_a_policy(world: World) -> Arranged:
    ecr, _ = repository(world)
    return Arranged(
        params=DENY,
        snapshot=lambda: policy(ecr),
        drift=lambda: ecr.set_repository_policy(repositoryName=REPOSITORY, policyText=SHARED),
    )


SHARED = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Sid": "partner",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::999988887777:root"},
            "Action": ["ecr:BatchGetImage"],
        },
    }
)


@case("aws.ecr.deny_pull")
def beside_a_partner(world: World) -> Arranged:
    ecr, _ = repository(world)
    ecr.set_repository_policy(repositoryName=REPOSITORY, policyText=SHARED)
    return Arranged(
        params=DENY,
        snapshot=lambda: policy(ecr),
        drift=lambda: ecr.delete_repository_policy(repositoryName=REPOSITORY),
    )


@case("aws.ecr.keep_image")
def by_its_tag(world: World) -> Arranged:
    ecr, digests = repository(world, "live", "old")
    layer = json.loads(manifest("live"))["layers"][0]["digest"]
    return Arranged(
        params={"repository": REPOSITORY, "tag": "live"},
        snapshot=lambda: len(ecr.list_images(repositoryName=REPOSITORY)["imageIds"]),
        finds={"digest": digests[0], "tags": ["live"], "layers": [layer], "config": layer, "images": []},
    )


@case("aws.ecr.delete_images")
def one_of_two(world: World) -> Arranged:
    ecr, digests = repository(world, "bad", "good")
    return Arranged(
        params={"repository": REPOSITORY, "digests": [digests[0]]},
        snapshot=lambda: sorted(
            i["imageTag"] for i in ecr.list_images(repositoryName=REPOSITORY)["imageIds"]
        ),
    )
