"""Cases of keeping a user out of the console."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from cases_iam import ALLOW, user, user_now


def with_devices(world: World) -> list[str]:
    """The user, with two MFA devices; returns their serials."""
    user(world)
    iam = world.client("iam")
    serials = []
    for name in ("phone", "strange"):
        made = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]["SerialNumber"]
        iam.enable_mfa_device(
            UserName="dana", SerialNumber=made, AuthenticationCode1="123456", AuthenticationCode2="654321"
        )
        serials.append(str(made))
    return serials


def sign_in(world: World) -> Any:
    """How the user can sign in now."""
    iam = world.client("iam")
    try:
        iam.get_login_profile(UserName="dana")
        password = True
    except iam.exceptions.NoSuchEntityException:
        password = False
    devices = iam.list_mfa_devices(UserName="dana")["MFADevices"]
    return {"password": password, "devices": sorted(d["SerialNumber"] for d in devices)}


@case("aws.iam.deny_console_access")
def of_a_person(world: World) -> Arranged:
    user(world)
    iam = world.client("iam")
    return Arranged(
        {"user_name": "dana"},
        lambda: user_now(world),
        lambda: iam.put_user_policy(UserName="dana", PolicyName="IR-DenySessions", PolicyDocument=ALLOW),
    )


@case("aws.iam.deny_console_access")
def where_an_older_policy_has_the_name(world: World) -> Arranged:
    user(world)
    iam = world.client("iam")
    iam.put_user_policy(UserName="dana", PolicyName="IR-DenySessions", PolicyDocument=ALLOW)
    return Arranged(
        {"user_name": "dana"},
        lambda: user_now(world),
        lambda: iam.delete_user_policy(UserName="dana", PolicyName="IR-DenySessions"),
    )


@case("aws.iam.disable_console_access")
def with_a_strange_device(world: World) -> Arranged:
    _, strange = with_devices(world)
    return Arranged({"user_name": "dana", "mfa_serials": [strange]}, lambda: sign_in(world))


@case("aws.iam.disable_console_access")
def only_the_password(world: World) -> Arranged:
    with_devices(world)
    return Arranged({"user_name": "dana"}, lambda: sign_in(world))


@case("aws.iam.deactivate_mfa_device")
def one_of_two_devices(world: World) -> Arranged:
    _, strange = with_devices(world)
    return Arranged(
        {"user_name": "dana", "serial": strange, "enrolled_after": "2020-01-01T00:00:00Z"},
        lambda: sign_in(world),
    )
