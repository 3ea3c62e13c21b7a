"""What scenarios share in which somebody acts with the key of one of the company's users."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Check
from soar.simulated.company import User

__all__ = ["api_call", "key_check", "key_details", "key_facts"]


def key_facts(user: User, source_ip: str) -> dict[str, str]:
    """The facts of an attack that the functions below read.

    Args:
        user: Whose key it is.
        source_ip: From where it is used.
    """
    return {
        "user_name": user.name,
        "user_id": user.user_id,
        "access_key_id": user.access_key_id,
        "source_ip": source_ip,
    }


def key_details(facts: Mapping[str, str]) -> JsonObject:
    """The key as a GuardDuty finding names it: `resource.accessKeyDetails`."""
    return {
        "accessKeyId": facts["access_key_id"],
        "principalId": facts["user_id"],
        "userType": "IAMUser",
        "userName": facts["user_name"],
    }


def api_call(
    facts: Mapping[str, str], service: str, api: str, affected: Mapping[str, JsonValue] | None = None
) -> JsonObject:
    """The call that a GuardDuty finding is about: `service.action`.

    Args:
        service: The first label of its host, `iam`.
        api: The operation.
        affected: Type of CloudFormation → what was touched. None: the finding does not say.
    """
    call: JsonObject = {
        "api": api,
        "serviceName": f"{service}.amazonaws.com",
        "callerType": "Remote IP",
        "remoteIpDetails": {"ipAddressV4": facts["source_ip"]},
    }
    if affected is not None:
        call["affectedResources"] = dict(affected)
    return {"actionType": "AWS_API_CALL", "awsApiCallAction": call}


def key_check(account: AccountClients, facts: Mapping[str, str]) -> Check:
    """Is the key out of use?"""
    keys = account.client("iam").list_access_keys(UserName=facts["user_name"])["AccessKeyMetadata"]
    status = {k["AccessKeyId"]: k["Status"] for k in keys}.get(facts["access_key_id"], "deleted")
    return Check(
        name=f"the key of {facts['user_name']} is out of use",
        ok=status != "Active",
        seen=f"{facts['access_key_id']} is {status}",
    )
