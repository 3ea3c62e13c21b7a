"""Cases of all that a user can authenticate with."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from cases_iam import user, user_now
from iam_world import certificate, with_service_credentials

SERVICE, OLD = "ACCAEXAMPLEBEDROCKA1", "ACCAEXAMPLEBEDROCKA2"


def with_everything(world: World) -> tuple[Any, str, str, str]:
    """The user with two service-specific credentials, two SSH keys and a certificate."""
    (key,) = user(world)
    found = with_service_credentials(world, **{SERVICE: "Active", OLD: "Inactive"})
    iam = world.client("iam")
    keys = [
        iam.upload_ssh_public_key(UserName="dana", SSHPublicKeyBody=f"ssh-rsa AAAA{n}")["SSHPublicKey"][
            "SSHPublicKeyId"
        ]
        for n in range(2)
    ]
    made = iam.upload_signing_certificate(UserName="dana", CertificateBody=certificate())["Certificate"]
    iam.update_ssh_public_key(UserName="dana", SSHPublicKeyId=keys[1], Status="Inactive")

    def snapshot() -> Any:
        ssh = {
            k["SSHPublicKeyId"]: k["Status"]
            for k in iam.list_ssh_public_keys(UserName="dana")["SSHPublicKeys"]
        }
        certificates = iam.list_signing_certificates(UserName="dana")["Certificates"]
        return {
            "service": {key: c["Status"] for key, c in found.items()},
            "ssh": [ssh[key] for key in keys],
            "certificates": [c["Status"] for c in certificates],
        }

    return snapshot, key, keys[0], made["CertificateId"]


@case("aws.iam.deactivate_service_credentials")
def of_every_kind(world: World) -> Arranged:
    snapshot, _, first, _ = with_everything(world)
    iam = world.client("iam")
    return Arranged(
        {"user_name": "dana"},
        snapshot,
        lambda: iam.update_ssh_public_key(UserName="dana", SSHPublicKeyId=first, Status="Active"),
    )


@case("aws.iam.deactivate_service_credentials")
def only_one_that_is_named(world: World) -> Arranged:
    snapshot, _, _, certificate_id = with_everything(world)
    iam = world.client("iam")
    return Arranged(
        {"user_name": "dana", "credential_ids": [certificate_id]},
        snapshot,
        lambda: iam.delete_signing_certificate(UserName="dana", CertificateId=certificate_id),
    )


@case("aws.iam.list_credentials")
def all_of_a_user(world: World) -> Arranged:
    _, key, ssh, certificate_id = with_everything(world)
    return Arranged(
        {"user_name": "dana"},
        lambda: user_now(world, key),
        finds={
            "active": [
                f"access key {key}",
                "console password",
                f"certificate credential {certificate_id}",
                f"bedrock.amazonaws.com credential {SERVICE}",
                f"ssh credential {ssh}",
            ],
            "console_password": True,
            "mfa_devices": [],
        },
    )
