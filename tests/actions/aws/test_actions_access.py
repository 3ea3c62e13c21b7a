"""AWS's errors become the contract's, whatever form they come in."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from soar.actions.aws.access import AwsAccess, aws_errors
from soar.actions.errors import (
    ActionError,
    BadInput,
    PermissionMissing,
    Refused,
    TargetGone,
    Throttled,
    Unavailable,
)


def refusal(
    code: str, message: str = "", status: int = 400, headers: dict[str, str] | None = None
) -> ClientError:
    meta = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}, "RequestId": "", "RetryAttempts": 0}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, "Operation")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refusal("AccessDenied", status=403), PermissionMissing),
        (refusal("UnauthorizedOperation", status=403), PermissionMissing),
        (refusal("403", "<ErrorResponse/>", status=403), PermissionMissing),
        (refusal("ExpiredToken", status=400), PermissionMissing),
        (refusal("InvalidClientTokenId", status=403), PermissionMissing),
        (refusal("NoSuchEntity", status=404), TargetGone),
        (refusal("InvalidInstanceID.NotFound"), TargetGone),
        (refusal("ValidationError"), BadInput),
        (refusal("Throttling"), Throttled),
        (refusal("LimitExceeded", status=409), Refused),
        (refusal("DeleteConflict", status=409), Refused),
        (refusal("InternalError", status=500), Unavailable),
        (refusal("Whatever", status=503), Unavailable),
    ],
)
def test_each_code_has_its_type(error: ClientError, kind: type[ActionError]) -> None:
    with pytest.raises(kind) as raised, aws_errors("iam:Thing"):
        raise error
    assert "iam:Thing" in raised.value.message


def test_the_permission_that_aws_names_counts() -> None:
    message = "User: arn:aws:iam::1:user/x is not authorized to perform: iam:UpdateAccessKey on resource: y"
    with pytest.raises(PermissionMissing) as raised, aws_errors("iam:Other"):
        raise refusal("AccessDenied", message, 403)
    assert raised.value.permission == "iam:UpdateAccessKey"
    assert "iam:UpdateAccessKey" in raised.value.hint


def test_throttling_says_when() -> None:
    with pytest.raises(Throttled) as raised, aws_errors("iam:Thing"):
        raise refusal("Throttling", headers={"retry-after": "7"})
    assert raised.value.retry_after == 7


def test_an_error_without_a_type_goes_on_as_it_is() -> None:
    with pytest.raises(ClientError), aws_errors("iam:Thing"):
        raise refusal("SomethingNew", status=400)


def test_other_accounts_and_regions_need_leave() -> None:
    access = AwsAccess(regions=("eu-central-1",))
    with pytest.raises(Refused, match="not among"):
        access.client("ec2", region="us-east-1")
