"""Cases of Cognito's pools, of sending mail, and of the logging of models."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case


@case("aws.cognito.disable_user")
def user_of_a_pool(world: World) -> Arranged:
    cognito = world.client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="customers")["UserPool"]["Id"]
    cognito.admin_create_user(UserPoolId=pool, Username="eve")
    cognito.create_group(UserPoolId=pool, GroupName="admins")
    cognito.admin_add_user_to_group(UserPoolId=pool, Username="eve", GroupName="admins")

    def snapshot() -> Any:
        found = cognito.admin_get_user(UserPoolId=pool, Username="eve")
        return [found["Username"], found["Enabled"], found["UserStatus"]]

    return Arranged({"user_pool_id": pool, "username": "eve"}, snapshot)


@case("aws.cognito.disable_unauthenticated")
def pool_open_to_guests(world: World) -> Arranged:
    cognito = world.client("cognito-identity")
    pool = cognito.create_identity_pool(
        IdentityPoolName="shop",
        AllowUnauthenticatedIdentities=True,
        SupportedLoginProviders={"graph.facebook.com": "1234567890"},
        IdentityPoolTags={"team": "shop"},
    )["IdentityPoolId"]

    @world.script("cognito-identity").operation("GetIdentityPoolRoles")
    def roles(params: dict[str, Any]) -> dict[str, Any]:
        guest = "arn:aws:iam::123456789012:role/guest"
        return {"IdentityPoolId": params["IdentityPoolId"], "Roles": {"unauthenticated": guest}}

    def snapshot() -> Any:
        found = cognito.describe_identity_pool(IdentityPoolId=pool)
        return {k: v for k, v in found.items() if k not in ("ResponseMetadata", "IdentityPoolId")}

    def drift() -> None:
        cognito.update_identity_pool(
            IdentityPoolId=pool,
            IdentityPoolName="shop",
            AllowUnauthenticatedIdentities=False,
            SupportedLoginProviders={"graph.facebook.com": "of-the-attacker"},
        )

    return Arranged({"identity_pool_id": pool}, snapshot, drift)


@case("aws.ses.pause_sending")
def account_that_sends(world: World) -> Arranged:
    kept = {"SendingEnabled": True}
    ses = world.script("sesv2")

    @ses.operation("GetAccount")
    def get(params: dict[str, Any]) -> dict[str, Any]:
        quota = {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 48211.0}
        return {**kept, "EnforcementStatus": "HEALTHY", "SendQuota": quota, "ProductionAccessEnabled": True}

    @ses.operation("PutAccountSendingAttributes")
    def put(params: dict[str, Any]) -> dict[str, Any]:
        kept["SendingEnabled"] = params["SendingEnabled"]
        return {}

    return Arranged({}, lambda: dict(kept))


def model_logging(bedrock: Any) -> Any:
    return bedrock.get_model_invocation_logging_configuration()["loggingConfig"]


def models_logged_to(world: World, bucket: str) -> Any:
    bedrock = world.client("bedrock")
    bedrock.put_model_invocation_logging_configuration(
        loggingConfig={"s3Config": {"bucketName": bucket, "keyPrefix": ""}, "textDataDeliveryEnabled": False}
    )
    return bedrock


PASSED = {"iam:PassRole": "Bedrock asks for it where it is given the role to write to a log group"}


@case("aws.bedrock.restore_invocation_logging", unseen=PASSED)
def not_logged(world: World) -> Arranged:
    for name in ("model-logs", "elsewhere"):
        world.client("s3").create_bucket(Bucket=name)
    bedrock = world.client("bedrock")
    return Arranged(
        {"bucket": "model-logs", "prefix": "bedrock"},
        lambda: model_logging(bedrock),
        lambda: models_logged_to(world, "elsewhere"),
    )


@case("aws.bedrock.restore_invocation_logging", unseen=PASSED)
def logged_elsewhere(world: World) -> Arranged:
    for name in ("model-logs", "elsewhere"):
        world.client("s3").create_bucket(Bucket=name)
    bedrock = models_logged_to(world, "elsewhere")
    return Arranged(
        {"bucket": "model-logs", "prefix": "bedrock"},
        lambda: model_logging(bedrock),
        lambda: bedrock.delete_model_invocation_logging_configuration(),
    )
