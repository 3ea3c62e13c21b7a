"""Cases of deleting users and roles."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from cases_iam import role, user
from cases_iam_grants import policy, role_now, user_now
from iam_world import certificate, with_service_credentials

DENY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}'
LONG_AGO = "2020-01-01T00:00:00Z"


@case("aws.iam.delete_principal")
def a_user_with_everything(world: World) -> Arranged:
    user(world, keys=2)
    iam = world.client("iam")
    iam.attach_user_policy(UserName="dana", PolicyArn=policy(world))
    iam.attach_user_policy(UserName="dana", PolicyArn=policy(world, "AWSDenyAll"))
    iam.put_user_policy(UserName="dana", PolicyName="IR-Quarantine", PolicyDocument=DENY)
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]["SerialNumber"]
    iam.enable_mfa_device(
        UserName="dana", SerialNumber=device, AuthenticationCode1="123456", AuthenticationCode2="654321"
    )
    others = with_service_credentials(world, ACCAEXAMPLEBEDROCKA1="Active", ACCAEXAMPLEBEDROCKA2="Inactive")
    iam.upload_ssh_public_key(UserName="dana", SSHPublicKeyBody="ssh-rsa AAAA")
    iam.upload_signing_certificate(UserName="dana", CertificateBody=certificate())

    def snapshot() -> Any:
        return {"user": user_now(world), "service-specific": sorted(others)}

    return Arranged({"type": "user", "name": "dana", "made_after": LONG_AGO}, snapshot)


@case("aws.iam.delete_principal")
def a_role_of_an_instance_profile(world: World) -> Arranged:
    role(world)
    world.client("iam").attach_role_policy(RoleName="app", PolicyArn=policy(world))
    return Arranged({"type": "role", "name": "app", "made_after": LONG_AGO}, lambda: role_now(world))
