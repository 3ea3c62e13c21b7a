"""AWS's errors become the contract's, whatever form they come in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.contract import ActionContext, ActionServices
from soar.actions.errors import (
    ActionError,
    BadInput,
    PermissionMissing,
    Refused,
    TargetGone,
    Throttled,
    Unavailable,
)
from soar.runtime.settings import SettingsError, load_settings


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


def test_without_a_role_there_is_only_the_own_account(endpoint: str) -> None:
    access = AwsAccess(endpoint_url=endpoint)
    assert access.own_account == "123456789012"
    own = access.client("iam")
    assert access.client("iam", account="123456789012", incident="inc-1") is own
    assert access.client("iam", incident="inc-2") is own, "our own credentials are of no incident"
    with pytest.raises(PermissionMissing, match="no access to account 111122223333") as raised:
        access.client("iam", account="111122223333")
    assert "SOAR_AWS_ROLE_TEMPLATE" in raised.value.hint


def test_where_no_region_is_named() -> None:
    assert AwsAccess().default_region == "us-east-1"
    assert AwsAccess(regions=("eu-central-1", "us-east-1")).default_region == "eu-central-1"
    assert AwsAccess(regions=("eu-central-1",), default_region="eu-west-1").default_region == "eu-west-1"


class _Vault:
    def keep(self, data: bytes) -> tuple[str, int]:
        return hashlib.sha256(data).hexdigest(), len(data)


def test_a_step_acts_in_its_account_and_for_its_incident(endpoint: str) -> None:
    access = AwsAccess(endpoint_url=endpoint, role="arn:aws:iam::{account}:role/soar-responder")
    ctx = ActionContext(
        ActionServices(_Vault(), access), "inc-7", "step-1", account="111122223333", region="eu-west-1"
    )
    here = client(ctx, "sts")
    assert here is access.client("sts", account="111122223333", region="eu-west-1", incident="inc-7")
    who = here.get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::111122223333:assumed-role/soar-responder/inc-7"


def test_the_external_id_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "id").write_text("kestrel-42\n")
    monkeypatch.setenv("SOAR_AWS_EXTERNAL_ID_FILE", str(tmp_path / "id"))
    monkeypatch.setenv("SOAR_AWS_ACCOUNTS", "111122223333, 444455556666")
    settings = load_settings()
    assert settings.aws_external_id is not None
    assert settings.aws_external_id.get_secret_value() == "kestrel-42"
    assert "kestrel-42" not in repr(settings)
    assert settings.aws_accounts == ("111122223333", "444455556666")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("SOAR_AWS_ACCOUNTS", "1111", "12 digits"), ("SOAR_AWS_EXTERNAL_ID", "kestrel 42", "AWS takes")],
)
def test_settings_that_aws_would_not_take(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says) as raised:
        load_settings()
    assert raised.value.problems[0][0] == name
    assert "kestrel" not in str(raised.value)
