"""Take an MFA device that an attacker enrolled off a user."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import AwareDatetime, Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    UserParams,
    ensure_user_may_change,
    get_user,
    pages,
    user_target,
    when_present,
)
from soar.actions.aws.setting import Found, OneWaySetting, Said
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused
from soar.model.terms import Phase, Risk

__all__ = ["DeactivateMfaDevice"]


class DeviceParams(UserParams):
    """Which device of which user."""

    serial: str = Field(
        pattern=r"^[A-Za-z0-9_+=/:,.@-]{9,256}$", description="the device's serial number or ARN"
    )
    enrolled_after: AwareDatetime | None = Field(
        default=None, description="refuse a device that was enrolled at this moment or before"
    )


class DeviceBefore(StateBefore):
    """Whether the device is the user's."""

    enrolled: bool = Field(title="enrolled")


def _devices(ctx: ActionContext, user_name: str) -> dict[str, datetime]:
    with aws_errors("iam:ListMFADevices"):
        listed = list(pages(ctx, "list_mfa_devices", "MFADevices", UserName=user_name))
    return {d["SerialNumber"]: d["EnableDate"] for d in listed}


@action(
    "aws.iam.deactivate_mfa_device",
    risk=Risk.DESTRUCTIVE,
    phase=Phase.CONTAINMENT,
    permissions=("iam:GetUser", "iam:ListMFADevices", "iam:DeactivateMFADevice", "sts:GetCallerIdentity"),
    d3fend="D3-CR",
)
class DeactivateMfaDevice(OneWaySetting[DeviceParams, DeviceBefore]):
    """Take one MFA device off an IAM user: one that an attacker enrolled to come back with.

    `aws.iam.list_credentials` lists the devices with when they were enrolled.

    Pre-condition: the user exists, and is neither this worker's own, nor a break-glass user, nor tagged
    `soar:protected`; with `enrolled_after`, the device was enrolled after that moment. Not a device of the user (any
    more): nothing is done.

    Verified by listing the user's devices: it is not among them.

    Cannot be put back: whoever holds the device enrols it anew, with two codes from it.

    Pitfalls: the last device that is taken off leaves the user without a second factor: deny its sessions first
    (`aws.iam.deny_console_access`). Policies that ask for a second factor deny the user then. Sessions that were made
    with the device live on. A virtual device stays in the account, unassigned, to be looked at. Whoever may call
    iam:EnableMFADevice enrols another one.

    Example::

        - id: drop_device
          name: Take the attacker's device off
          do: aws.iam.deactivate_mfa_device
          with:
            user_name: "{{ alert.actor.name }}"
            serial: arn:aws:iam::123456789012:mfa/unknown-phone
          approval:
            role: responder
    """

    method = "iam:ListMFADevices"

    def look(self, ctx: ActionContext, params: DeviceParams) -> Found[DeviceBefore]:
        user, devices = get_user(ctx, params.user_name), _devices(ctx, params.user_name)
        facts = [
            f"{serial} was enrolled on {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            for serial, since in sorted(devices.items())
        ]
        return Found(
            target=user_target(user),
            state=DeviceBefore(enrolled=params.serial in devices),
            facts=tuple(facts),
        )

    def wanted(self, params: DeviceParams, state: DeviceBefore) -> DeviceBefore:
        return DeviceBefore(enrolled=False)

    def guard(self, ctx: ActionContext, params: DeviceParams, found: Found[DeviceBefore]) -> None:
        ensure_user_may_change(ctx, get_user(ctx, params.user_name))
        since = _devices(ctx, params.user_name).get(params.serial)
        if params.enrolled_after and since and since <= params.enrolled_after:
            raise Refused(
                f"device {params.serial} of user {params.user_name} was enrolled on "
                f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, not after "
                f"{params.enrolled_after.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
                hint="ask the person whether the device is theirs; leave `enrolled_after` out if it must go",
            )

    def say(self, params: DeviceParams, found: Found[DeviceBefore], then: DeviceBefore) -> Said:
        warnings = ["This cannot be undone: the person enrols devices anew."]
        if len(found.facts) == 1:
            warnings.append("The user has no second factor afterwards.")
        return Said(
            summary=f"Take MFA device {params.serial} off user {params.user_name}",
            hits=f"Whoever holds {params.serial} cannot sign in as {params.user_name} with it.",
            warnings=tuple(warnings),
        )

    def write(self, ctx: ActionContext, params: DeviceParams, now: DeviceBefore, then: DeviceBefore) -> None:
        with aws_errors("iam:DeactivateMFADevice"):
            when_present(
                client(ctx, "iam").deactivate_mfa_device,
                UserName=params.user_name,
                SerialNumber=params.serial,
            )
