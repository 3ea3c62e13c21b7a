"""Cases of versions of managed policies, of identity providers and of the credential report."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from cases_iam import ALLOW, role, user, user_now
from cases_iam_grants import READ_ONLY, policy

METADATA = "<EntityDescriptor>" + "x" * 1000 + "</EntityDescriptor>"
TAGGED = {
    "iam:TagSAMLProvider": "asked for by AWS when a provider is made with tags",
    "iam:TagOpenIDConnectProvider": "asked for by AWS when a provider is made with tags",
}


@case("aws.iam.restore_policy_version")
def that_somebody_widened(world: World) -> Arranged:
    user(world)
    role(world)
    iam = world.client("iam")
    arn = iam.create_policy(PolicyName="given", PolicyDocument=READ_ONLY)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW, SetAsDefault=True)
    iam.attach_user_policy(UserName="dana", PolicyArn=arn)
    iam.attach_role_policy(RoleName="app", PolicyArn=arn)

    def snapshot() -> Any:
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        return {v["VersionId"]: v["IsDefaultVersion"] for v in versions}

    def drift() -> None:
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW, SetAsDefault=True)

    return Arranged({"policy_arn": arn, "version_id": "v1"}, snapshot, drift)


@case("aws.iam.delete_identity_provider", unseen=TAGGED)
def of_a_login_by_saml(world: World) -> Arranged:
    iam = world.client("iam")
    arn = iam.create_saml_provider(
        Name="backdoor", SAMLMetadataDocument=METADATA, Tags=[{"Key": "team", "Value": "edi"}]
    )["SAMLProviderArn"]

    def snapshot() -> Any:
        if arn not in {p["Arn"] for p in iam.list_saml_providers()["SAMLProviderList"]}:
            return None
        found = iam.get_saml_provider(SAMLProviderArn=arn)
        return {"metadata": found["SAMLMetadataDocument"], "tags": found.get("Tags")}

    def drift() -> None:
        iam.create_saml_provider(Name="backdoor", SAMLMetadataDocument=METADATA.replace("x", "y"))

    return Arranged({"provider_arn": arn}, snapshot, drift)


@case("aws.iam.delete_identity_provider")
def of_pipelines_by_openid_connect(world: World) -> Arranged:
    iam = world.client("iam")
    arn = iam.create_open_id_connect_provider(
        Url="https://idp.example.com/realm",
        ClientIDList=["sts.amazonaws.com", "another"],
        ThumbprintList=["b" * 40, "a" * 40],
        Tags=[{"Key": "team", "Value": "edi"}],
    )["OpenIDConnectProviderArn"]

    def snapshot() -> Any:
        if arn not in {p["Arn"] for p in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]}:
            return None
        found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
        return {
            "url": found["Url"],
            "clients": sorted(found["ClientIDList"]),
            "thumbprints": sorted(found["ThumbprintList"]),
            "tags": found.get("Tags"),
        }

    return Arranged({"provider_arn": arn}, snapshot)


@case("aws.iam.credential_report")
def of_one_user(world: World) -> Arranged:
    user(world)
    policy(world)
    world.client("iam").create_user(UserName="machine")
    world.client("iam").create_access_key(UserName="machine")
    return Arranged(
        {"wait_seconds": 10},
        lambda: user_now(world),
        finds={
            "without_mfa": ["dana"],
            "active_keys": {"dana": 1, "machine": 1},
            "root_has_keys": False,
        },
    )
