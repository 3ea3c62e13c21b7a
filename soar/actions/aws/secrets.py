"""Secrets Manager, as far as rotating a key needs it: versions, stages and the value, which goes nowhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext
from soar.actions.errors import Refused
from soar.model.change import Target

__all__ = ["CURRENT", "PREVIOUS", "Secret", "describe_secret", "move_stage", "read_object", "write_object"]

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"


@dataclass(frozen=True)
class Secret:
    """A secret without its value.

    Args:
        versions: Version id → its stages.
    """

    arn: str
    name: str
    tags: dict[str, str]
    versions: dict[str, tuple[str, ...]]

    def version_at(self, stage: str) -> str | None:
        """The version that a stage is attached to."""
        return next((v for v, stages in self.versions.items() if stage in stages), None)

    @property
    def target(self) -> Target:
        """It, as a plan names what it touches."""
        return Target(uid=self.arn, type="aws.secretsmanager.secret", name=self.name, tags=self.tags)


def describe_secret(ctx: ActionContext, secret_id: str) -> Secret:
    """Read a secret's versions and tags.

    Raises:
        TargetGone: There is none of this name in the region.
        Refused: It is about to be deleted.
    """
    with aws_errors("secretsmanager:DescribeSecret"):
        found = client(ctx, "secretsmanager").describe_secret(SecretId=secret_id)
    if found.get("DeletedDate"):
        raise Refused(
            f"secret {secret_id} is scheduled for deletion",
            hint="restore it first, or name the secret that the application reads",
        )
    return Secret(
        arn=found["ARN"],
        name=found["Name"],
        tags={t["Key"]: t["Value"] for t in found.get("Tags", [])},
        versions={v: tuple(stages) for v, stages in sorted(found.get("VersionIdsToStages", {}).items())},
    )


def read_object(ctx: ActionContext, secret_id: str) -> dict[str, Any]:
    """The current value, which must be a JSON object. It must not leave the caller.

    Raises:
        Refused: It is something else, so that writing a key into it would break whoever reads it.
    """
    with aws_errors("secretsmanager:GetSecretValue"):
        text = client(ctx, "secretsmanager").get_secret_value(SecretId=secret_id).get("SecretString", "")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refused(
            f"the value of secret {secret_id} is not a JSON object, so a key cannot be written into its fields",
            hint="name a secret whose value is a JSON object, `{}` at least",
        )
    return value


def write_object(ctx: ActionContext, secret_id: str, value: dict[str, Any], token: str) -> None:
    """Put a new version, which becomes the current one. `token` is its id; the same again does nothing."""
    with aws_errors("secretsmanager:PutSecretValue"):
        client(ctx, "secretsmanager").put_secret_value(
            SecretId=secret_id, ClientRequestToken=token, SecretString=json.dumps(value)
        )


def move_stage(ctx: ActionContext, secret: Secret, stage: str, to: str | None) -> None:
    """Attach a stage to a version, or to none; nothing is sent where it is so already."""
    at = secret.version_at(stage)
    if at == to:
        return
    arguments: dict[str, str] = {}
    if at is not None:
        arguments["RemoveFromVersionId"] = at
    if to is not None:
        arguments["MoveToVersionId"] = to
    with aws_errors("secretsmanager:UpdateSecretVersionStage"):
        client(ctx, "secretsmanager").update_secret_version_stage(
            SecretId=secret.arn, VersionStage=stage, **arguments
        )
