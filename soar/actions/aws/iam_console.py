"""Keep a user out of the console: deny its sessions, or take its password and its MFA devices away."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    UserParams,
    ensure_inline_room,
    ensure_user_may_change,
    get_user,
    inline_user_policy,
    pages,
    user_facts,
    user_target,
    when_present,
)
from soar.actions.aws.setting import Found, OneWaySetting, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.model.base import JsonObject, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["DENY_SESSIONS", "DenyConsoleAccess", "DisableConsoleAccess"]

DENY_SESSIONS = "IR-DenySessions"

# Requests that are signed by a key itself carry no time of issue; those of the console and of GetSessionToken do.
DOCUMENT: JsonObject = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "IRDenySessions",
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"Null": {"aws:TokenIssueTime": "false"}},
        }
    ],
}


class DenyBefore(StateBefore):
    """The inline policy of our name as it was; None: there was none."""

    policy: JsonObject | None = Field(title=f"inline policy {DENY_SESSIONS}")


@action(
    "aws.iam.deny_console_access",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetUser",
        "iam:GetUserPolicy",
        "iam:ListUserPolicies",
        "iam:ListGroupsForUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:GetLoginProfile",
        "iam:PutUserPolicy",
        "iam:DeleteUserPolicy",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-AL",
)
class DenyConsoleAccess(Setting[UserParams, DenyBefore]):
    """Deny everything to the console sessions of an IAM user, and leave its access keys working.

    The inline policy IR-DenySessions denies every action that is asked for with temporary credentials. It is the way
    that can be taken back: the password and the MFA devices stay. The person may still sign in, and then may do
    nothing, not even change the password; whoever is signed in already is stopped as well.

    Pre-condition: the user exists, and is neither this worker's own, nor a break-glass user, nor tagged
    `soar:protected`; its inline policies leave room for one more.

    Verified by reading the policy back: it is exactly the one that was put.

    Undone by deleting the policy, or by putting back the one of the same name that was there before.

    Pitfalls: sessions by GetSessionToken and GetFederationToken are temporary credentials too, so people who sign in
    on the command line with a second factor are stopped as well. Requests that an access key signs itself are not
    hit: use `aws.iam.quarantine_user` or `aws.iam.deactivate_access_key` for those. Sessions of roles that the user
    assumed live on (`aws.iam.revoke_role_sessions`). IAM takes some 3–4 s to let it take effect.

    Example::

        - id: deny_console
          name: Stop the user's console sessions
          do: aws.iam.deny_console_access
          with:
            user_name: "{{ alert.actor.name }}"
    """

    method = "iam:GetUserPolicy"

    def look(self, ctx: ActionContext, params: UserParams) -> Found[DenyBefore]:
        user = get_user(ctx, params.user_name)
        return Found(
            target=user_target(user),
            state=DenyBefore(policy=inline_user_policy(ctx, params.user_name, DENY_SESSIONS)),
            facts=user_facts(ctx, params.user_name),
        )

    def wanted(self, params: UserParams, state: DenyBefore) -> DenyBefore:
        return DenyBefore(policy=DOCUMENT)

    def guard(self, ctx: ActionContext, params: UserParams, found: Found[DenyBefore]) -> None:
        ensure_user_may_change(ctx, get_user(ctx, params.user_name))
        ensure_inline_room(ctx, params.user_name, DENY_SESSIONS, DOCUMENT)

    def say(self, params: UserParams, found: Found[DenyBefore], then: DenyBefore) -> Said:
        return Said(
            summary=f"Deny everything to the console sessions of user {params.user_name} by the policy {DENY_SESSIONS}",
            hits=f"Whoever is signed in to the console as {params.user_name}, or with a session made from its keys, is "
            "stopped.",
            warnings=("The user's access keys go on working.",),
            undo=f"The former policy {DENY_SESSIONS} is put back."
            if found.state.policy
            else f"The policy {DENY_SESSIONS} is deleted.",
        )

    def write(self, ctx: ActionContext, params: UserParams, now: DenyBefore, then: DenyBefore) -> None:
        iam = client(ctx, "iam")
        if then.policy is None:
            with aws_errors("iam:DeleteUserPolicy"):
                when_present(iam.delete_user_policy, UserName=params.user_name, PolicyName=DENY_SESSIONS)
            return
        with aws_errors("iam:PutUserPolicy"):
            iam.put_user_policy(
                UserName=params.user_name,
                PolicyName=DENY_SESSIONS,
                PolicyDocument=canonical_json(then.policy),
            )


Serial = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+=/:,.@-]{9,256}$")]


class DisableParams(UserParams):
    """Which user, and which of its devices."""

    mfa_serials: tuple[Serial, ...] = Field(
        default=(),
        max_length=8,
        description="MFA devices to take off as well, by serial number or ARN: only those that the attacker enrolled",
    )


class SignInBefore(StateBefore):
    """How the user could sign in."""

    password: bool = Field(title="console password")
    mfa_devices: tuple[str, ...] = Field(title="MFA devices")


@action(
    "aws.iam.disable_console_access",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetUser",
        "iam:ListMFADevices",
        "iam:ListGroupsForUser",
        "iam:ListAccessKeys",
        "iam:GetAccessKeyLastUsed",
        "iam:GetLoginProfile",
        "iam:DeleteLoginProfile",
        "iam:DeactivateMFADevice",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-CR",
)
class DisableConsoleAccess(OneWaySetting[DisableParams, SignInBefore]):
    """Delete the console password of an IAM user, and take off the MFA devices that are named.

    Nobody can sign in as the user until somebody gives it a new password. A password is only deleted, never set to
    something that nobody knows: both lose the old one, and only of a deleted one can it be seen that it is gone.

    Pre-condition: the user exists, and is neither this worker's own, nor a break-glass user, nor tagged
    `soar:protected`. Each device that is named belongs to the user, or to nobody any more.

    Verified by asking for the password, which is not there any more, and by listing the devices.

    Cannot be put back: AWS shows no password, and a device is enrolled anew by the person who holds it.
    `aws.iam.deny_console_access` is the way that can be taken back, and comes first.

    Pitfalls: console sessions live on for up to 12 h: deny them as well. The last device that is taken off leaves the
    user without a second factor for the next password. Take off only what the person does not know. A virtual device
    stays in the account, unassigned, to be looked at. Whoever may call iam:CreateLoginProfile sets a new password.

    Example::

        - id: disable_console
          name: Delete the user's password and the attacker's device
          do: aws.iam.disable_console_access
          with:
            user_name: "{{ alert.actor.name }}"
            mfa_serials: ["arn:aws:iam::123456789012:mfa/unknown-phone"]
          approval:
            role: responder
            approvers: 2
    """

    method = "iam:GetLoginProfile, iam:ListMFADevices"

    def look(self, ctx: ActionContext, params: DisableParams) -> Found[SignInBefore]:
        user, name = get_user(ctx, params.user_name), params.user_name
        with aws_errors("iam:GetLoginProfile"):
            password = when_present(client(ctx, "iam").get_login_profile, UserName=name) is not None
        with aws_errors("iam:ListMFADevices"):
            devices = sorted(
                d["SerialNumber"] for d in pages(ctx, "list_mfa_devices", "MFADevices", UserName=name)
            )
        return Found(
            target=user_target(user),
            state=SignInBefore(password=password, mfa_devices=tuple(devices)),
            facts=user_facts(ctx, name),
        )

    def wanted(self, params: DisableParams, state: SignInBefore) -> SignInBefore:
        left = tuple(d for d in state.mfa_devices if d not in params.mfa_serials)
        return SignInBefore(password=False, mfa_devices=left)

    def guard(self, ctx: ActionContext, params: DisableParams, found: Found[SignInBefore]) -> None:
        ensure_user_may_change(ctx, get_user(ctx, params.user_name))

    def say(self, params: DisableParams, found: Found[SignInBefore], then: SignInBefore) -> Said:
        devices = sorted(set(found.state.mfa_devices) - set(then.mfa_devices))
        done = ["delete the console password"] if found.state.password else []
        done += [f"take off MFA device {d}" for d in devices]
        text = " and ".join(done)
        warnings = ["This cannot be undone: the person gets a new password, and enrols devices anew."]
        if found.state.password:
            warnings.append("Console sessions that exist live on for up to 12 h; deny them as well.")
        strange = sorted(set(params.mfa_serials) - set(found.state.mfa_devices))
        if strange:
            warnings.append(f"Not a device of this user (any more): {', '.join(strange)}.")
        if devices and not then.mfa_devices:
            warnings.append("The user has no second factor afterwards.")
        return Said(
            summary=f"{text[0].upper()}{text[1:]} of user {params.user_name}",
            hits=f"Nobody can sign in to the console as {params.user_name} until it gets a new password.",
            warnings=tuple(warnings),
        )

    def write(self, ctx: ActionContext, params: DisableParams, now: SignInBefore, then: SignInBefore) -> None:
        iam, name = client(ctx, "iam"), params.user_name
        # The password first: a user without a second factor must not have one for a moment.
        if now.password:
            with aws_errors("iam:DeleteLoginProfile"):
                when_present(iam.delete_login_profile, UserName=name)
        for serial in sorted(set(now.mfa_devices) - set(then.mfa_devices)):
            with aws_errors("iam:DeactivateMFADevice"):
                when_present(iam.deactivate_mfa_device, UserName=name, SerialNumber=serial)
