"""Everything that a user can sign in or sign requests with."""

from __future__ import annotations

from pydantic import BaseModel

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import UserParams, get_user, pages, when_present
from soar.actions.aws.iam_reads import Key, keys_of
from soar.actions.aws.iam_service_credentials import OtherCredential, other_credentials
from soar.actions.contract import ActionContext, action
from soar.model.base import Fact, UtcTime, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["list_credentials"]


class Device(Fact):
    """An MFA device and since when it is the user's."""

    serial: str
    enabled: UtcTime


class Credentials(BaseModel):
    """What a user can authenticate with.

    Args:
        active: Every way in that is open now, in words: `access key AKIA…`, `console password`.
        password_created: When it was set first, or again after it had been deleted.
    """

    summary: str
    user_name: str
    arn: str
    active: list[str]
    access_keys: list[Key]
    console_password: bool
    password_created: UtcTime | None = None
    password_last_used: UtcTime | None = None
    password_reset_required: bool = False
    mfa_devices: list[Device]
    other_credentials: list[OtherCredential]


@action(
    "aws.iam.list_credentials",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "iam:GetUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:GetLoginProfile",
        "iam:ListMFADevices",
        "iam:ListServiceSpecificCredentials",
        "iam:ListSSHPublicKeys",
        "iam:ListSigningCertificates",
    ),
)
def list_credentials(ctx: ActionContext, params: UserParams) -> Credentials:
    """List everything that can authenticate as an IAM user, with when it was made and last used.

    Access keys, the console password, MFA devices, credentials for single services (Amazon Bedrock, CodeCommit,
    Amazon Keyspaces), SSH public keys and signing certificates. The list is kept as evidence: what is younger than
    the incident is what the attacker may have added.

    Pre-condition: the user exists. Nothing is changed.

    Pitfalls: sessions that were made earlier are not listed: nobody can list them. Last uses lag behind, and of SSH
    keys and certificates IAM tells none.

    Shown on replies of our own making: the simulated account has no service-specific credentials.

    Example::

        - id: credentials
          name: What can sign in as this user?
          do: aws.iam.list_credentials
          with:
            user_name: "{{ alert.actor.name }}"
    """
    name = params.user_name
    user = get_user(ctx, name)
    keys = keys_of(ctx, name)
    with aws_errors("iam:GetLoginProfile"):
        reply = when_present(client(ctx, "iam").get_login_profile, UserName=name)
    with aws_errors("iam:ListMFADevices"):
        listed = list(pages(ctx, "list_mfa_devices", "MFADevices", UserName=name))
    devices = [
        Device(serial=d["SerialNumber"], enabled=d["EnableDate"])
        for d in sorted(listed, key=lambda d: str(d["SerialNumber"]))
    ]
    others = other_credentials(ctx, name)
    active = [f"access key {k.access_key_id}" for k in keys if k.status == "Active"]
    active += ["console password"] if reply else []
    active += [f"{c.service or c.kind} credential {c.credential_id}" for c in others if c.status == "Active"]
    profile = (reply or {}).get("LoginProfile", {})
    found = Credentials(
        summary=f"user {name} can authenticate by {', '.join(active)}; it has {len(devices)} MFA device(s)"
        if active
        else f"user {name} has nothing active to authenticate by; it has {len(devices)} MFA device(s)",
        user_name=name,
        arn=user["Arn"],
        active=active,
        access_keys=keys,
        console_password=bool(reply),
        password_created=profile.get("CreateDate"),
        password_last_used=user.get("PasswordLastUsed"),
        password_reset_required=bool(profile.get("PasswordResetRequired", False)),
        mfa_devices=devices,
        other_credentials=others,
    )
    ctx.keep_evidence(
        f"iam-credentials-{name}.json",
        canonical_json(found.model_dump(mode="json", exclude={"summary"})).encode(),
        media_type="application/json",
        source="iam:ListAccessKeys",
    )
    return found
