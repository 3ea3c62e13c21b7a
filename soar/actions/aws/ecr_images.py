"""Keep what a container image is made of as evidence, and delete images."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import Field, field_validator
from pydantic_core import to_jsonable_python

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ecr import RepositoryParams, find_repository
from soar.actions.aws.setting import Found, OneWaySetting, Said
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import ActionError, Refused, TargetGone
from soar.model.base import Fact, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["DeleteImages", "keep_image"]

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MEDIA_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""All kinds of manifests: ECR else turns what it has into an older kind, of another digest."""


class ImageParams(RepositoryParams):
    """Which image: by its digest, or by a tag."""

    digest: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    tag: str = Field(default="", pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$")


class KeptImage(Fact):
    """What is known of an image.

    Args:
        tags: All tags that point to it now.
        layers: The digests of its layers, in order; none where it is a list of images.
        images: Where it is a list: the digests of the images in it.
    """

    summary: str
    repository: str
    digest: str
    tags: tuple[str, ...]
    media_type: str
    size: int
    pushed_at: str
    last_pulled_at: str
    config: str
    layers: tuple[str, ...]
    images: tuple[str, ...]


@action(
    "aws.ecr.keep_image",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("ecr:BatchGetImage", "ecr:DescribeImages"),
    d3fend="D3-AI",
)
def keep_image(ctx: ActionContext, params: ImageParams) -> KeptImage:
    """Keep the manifest of an image as evidence: what exactly it is made of.

    With the manifest, its digest can be checked, and the image be put back under it as long as its layers are in the
    repository.

    Evidence: the manifest, byte for byte, and what the repository says of the image.

    Pitfalls: the layers themselves are not fetched: keep the repository, or pull the image by its digest. Who pulled it
    is in the trail, not here; the time of the last pull is told with some delay. A lifecycle policy may delete the
    image: look at it.

    Example::

        - id: image
          name: Keep the image's manifest
          do: aws.ecr.keep_image
          with:
            repository: shop/checkout
            tag: live
    """
    named = {k: v for k, v in (("imageDigest", params.digest), ("imageTag", params.tag)) if v}
    if not named:
        raise Refused("no image is named", hint="name its `digest`, or a `tag`")
    with aws_errors("ecr:BatchGetImage"):
        reply = client(ctx, "ecr").batch_get_image(
            repositoryName=params.repository, imageIds=[named], acceptedMediaTypes=list(MEDIA_TYPES)
        )
    if not reply["images"]:
        why = "; ".join(str(f.get("failureReason", "")) for f in reply.get("failures", []))
        raise TargetGone(
            f"repository {params.repository} has no image {params.digest or params.tag}: {why}",
            hint="check the digest or tag; it may have been deleted",
        )
    raw = reply["images"][0]
    digest, text = str(raw["imageId"]["imageDigest"]), str(raw["imageManifest"])
    with aws_errors("ecr:DescribeImages"):
        about: dict[str, Any] = client(ctx, "ecr").describe_images(
            repositoryName=params.repository, imageIds=[{"imageDigest": digest}]
        )["imageDetails"][0]
    name = f"{params.repository.replace('/', '-')}-{digest.removeprefix('sha256:')[:12]}"
    media_type = str(raw.get("imageManifestMediaType") or "application/json")
    ctx.keep_evidence(
        f"{name}-manifest.json", text.encode(), media_type=media_type, source="ecr:BatchGetImage"
    )
    ctx.keep_evidence(
        f"{name}.json",
        canonical_json(to_jsonable_python(about)).encode(),
        media_type="application/json",
        source="ecr:DescribeImages",
    )
    manifest = _manifest(text)
    tags = tuple(sorted(about.get("imageTags") or []))
    return KeptImage(
        summary=f"{params.repository}@{digest[:19]}… ({', '.join(tags) or 'no tag'}) is kept",
        repository=params.repository,
        digest=digest,
        tags=tags,
        media_type=media_type,
        size=int(about.get("imageSizeInBytes") or 0),
        pushed_at=_time(about.get("imagePushedAt")),
        last_pulled_at=_time(about.get("lastRecordedPullTime")),
        config=_digests([manifest.get("config")])[0] if manifest.get("config") else "",
        layers=_digests(manifest.get("layers")),
        images=_digests(manifest.get("manifests")),
    )


def _manifest(text: str) -> dict[str, Any]:
    """A manifest as an object. Whoever pushed the image wrote it: what is none is an empty one."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _digests(entries: object) -> tuple[str, ...]:
    if not isinstance(entries, list):
        return ()
    return tuple(str(e.get("digest", ""))[:128] if isinstance(e, dict) else "" for e in entries)


def _time(at: Any) -> str:
    return at.isoformat() if at is not None else ""


class DeleteParams(RepositoryParams):
    """Which images.

    Args:
        digests: Of the images; all tags that point to them go with them.
    """

    digests: tuple[str, ...] = Field(min_length=1, max_length=100)

    @field_validator("digests")
    @classmethod
    def _sorted(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for digest in given:
            if not DIGEST.fullmatch(digest):
                raise ValueError(f"{digest[:80]!r} is no digest: sha256: and 64 hexadecimal digits")
        return tuple(sorted(set(given)))


class ImagesBefore(StateBefore):
    """The images that are there, with their tags, as `digest (tag, tag)`."""

    images: tuple[str, ...] = Field(title="images")


@action(
    "aws.ecr.delete_images",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "ecr:DescribeRepositories",
        "ecr:ListTagsForResource",
        "ecr:ListImages",
        "ecr:BatchDeleteImage",
    ),
)
class DeleteImages(OneWaySetting[DeleteParams, ImagesBefore]):
    """Delete images from a repository, by digest.

    For images that an attacker pushed or altered. By digest and never by tag: a tag may point elsewhere by now.

    Pre-condition: the repository exists and is not tagged `soar:protected`. None of the images is there: nothing is
    done.

    Verified by listing the repository's images: none of these is there.

    Pitfalls: they cannot be put back: keep the manifest (`aws.ecr.keep_image`) and pull the image before. What runs of
    them goes on, and cannot be started again. An image in a list of images cannot be deleted before the list is.
    Replicas in other regions and accounts stay.

    Example::

        - id: delete
          name: Delete the attacker's image
          do: aws.ecr.delete_images
          with:
            repository: shop/checkout
            digests: [sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855]
    """

    method = "ecr:ListImages"

    def look(self, ctx: ActionContext, params: DeleteParams) -> Found[ImagesBefore]:
        _, target = find_repository(ctx, params.repository)
        tags: dict[str, list[str]] = {}
        total: set[str] = set()
        with aws_errors("ecr:ListImages"):
            pages = client(ctx, "ecr").get_paginator("list_images").paginate(repositoryName=params.repository)
            for image in (i for page in pages for i in page["imageIds"]):
                digest = str(image.get("imageDigest", ""))
                total.add(digest)
                if digest in params.digests:
                    named = [image["imageTag"]] if image.get("imageTag") else []
                    tags[digest] = sorted({*tags.get(digest, []), *named})
        return Found(
            target=target,
            state=ImagesBefore(
                images=tuple(f"{d} ({', '.join(names) or 'no tag'})" for d, names in sorted(tags.items()))
            ),
            facts=(f"{len(total) - len(tags)} other image(s) stay",),
        )

    def wanted(self, params: DeleteParams, state: ImagesBefore) -> ImagesBefore:
        return ImagesBefore(images=())

    def say(self, params: DeleteParams, found: Found[ImagesBefore], then: ImagesBefore) -> Said:
        return Said(
            summary=f"Delete {len(found.state.images)} image(s) from repository {params.repository}",
            hits="They and all their tags are gone; what runs of them cannot be started again.",
            warnings=("They cannot be put back: keep their manifests, and pull them, before.",),
        )

    def write(self, ctx: ActionContext, params: DeleteParams, now: ImagesBefore, then: ImagesBefore) -> None:
        there = [{"imageDigest": image.partition(" ")[0]} for image in now.images]
        with aws_errors("ecr:BatchDeleteImage"):
            reply = client(ctx, "ecr").batch_delete_image(repositoryName=params.repository, imageIds=there)
        failed = [
            f"{(f.get('imageId') or {}).get('imageDigest', '')}: {f.get('failureReason') or f.get('failureCode')}"
            for f in reply.get("failures", [])
            if f.get("failureCode") != "ImageNotFound"
        ]
        if failed:
            raise ActionError(
                f"{len(failed)} image(s) were not deleted: {'; '.join(failed)[:1000]}",
                hint="delete the lists that hold them first, then retry the step",
            )
