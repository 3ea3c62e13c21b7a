"""What the simulated account lacks of IAM: service-specific credentials and the boundaries of users."""

from __future__ import annotations

import datetime as dt
from typing import Any

from case import World
from scripted import Scripted, ScriptedError

MADE = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)

CERTIFICATE_SUBJECT = "signing"


def iam_script(world: World) -> Scripted:
    """The part of IAM that is scripted; one for all operations of a case."""
    for made in world.scripted:
        if made.service == "iam":
            return made
    return world.script("iam")


def with_service_credentials(world: World, **statuses: str) -> dict[str, dict[str, Any]]:
    """Give the user `dana` service-specific credentials with these ids and statuses; returns them, live.

    Lists come in pages of one, so that whoever stops at the first sees too little.
    """
    service = iam_script(world)
    found: dict[str, dict[str, Any]] = {
        key: {
            "UserName": "dana",
            "Status": status,
            "ServiceUserName": f"dana+{key.lower()}",
            "CreateDate": MADE,
            "ServiceSpecificCredentialId": key,
            "ServiceName": "bedrock.amazonaws.com",
        }
        for key, status in statuses.items()
    }

    @service.operation("ListServiceSpecificCredentials")
    def listed(params: dict[str, Any]) -> dict[str, Any]:
        mine = [c for c in found.values() if c["UserName"] == params["UserName"]]
        at = int(params.get("Marker", "0"))
        page: dict[str, Any] = {"ServiceSpecificCredentials": mine[at : at + 1], "IsTruncated": False}
        if at + 1 < len(mine):
            page |= {"IsTruncated": True, "Marker": str(at + 1)}
        return page

    def credential(params: dict[str, Any]) -> dict[str, Any]:
        key = params["ServiceSpecificCredentialId"]
        if key not in found:
            raise ScriptedError("NoSuchEntity", f"there is no credential {key}", status=404)
        return found[key]

    @service.operation("UpdateServiceSpecificCredential")
    def update(params: dict[str, Any]) -> dict[str, Any]:
        credential(params)["Status"] = params["Status"]
        return {}

    @service.operation("DeleteServiceSpecificCredential")
    def delete(params: dict[str, Any]) -> dict[str, Any]:
        credential(params)
        del found[params["ServiceSpecificCredentialId"]]
        return {}

    return found


def certificate() -> str:
    """A self-signed certificate, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, CERTIFICATE_SUBJECT)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(MADE)
        .not_valid_after(MADE + dt.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def with_user_boundaries(world: World) -> dict[str, str]:
    """Let users have permissions boundaries; returns them by the user's name, live."""
    service, iam = iam_script(world), world.client("iam")
    bounds: dict[str, str] = {}

    @service.operation("GetUser")
    def get(params: dict[str, Any]) -> dict[str, Any]:
        found = iam.get_user(**params)["User"]
        if arn := bounds.get(found["UserName"]):
            found["PermissionsBoundary"] = {
                "PermissionsBoundaryType": "Policy",
                "PermissionsBoundaryArn": arn,
            }
        return {"User": found}

    @service.operation("PutUserPermissionsBoundary")
    def put(params: dict[str, Any]) -> dict[str, Any]:
        bounds[params["UserName"]] = params["PermissionsBoundary"]
        return {}

    @service.operation("DeleteUserPermissionsBoundary")
    def delete(params: dict[str, Any]) -> dict[str, Any]:
        if bounds.pop(params["UserName"], None) is None:
            raise ScriptedError("NoSuchEntity", "the user has no boundary", status=404)
        return {}

    return bounds
