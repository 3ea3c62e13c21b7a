"""The account's credential report: every user, with how and when it could sign in."""

from __future__ import annotations

import csv
import io

from botocore.exceptions import ClientError
from pydantic import BaseModel, Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.contract import ActionContext, Params, action
from soar.actions.errors import BadReply, Unavailable
from soar.model.base import UtcTime
from soar.model.terms import Phase, Risk

__all__ = ["credential_report"]

ROOT = "<root_account>"
MOST_ROWS = 20_000
"""Users that are looked at; an account has 5000 at most, by its quotas."""
MOST_TOLD = 200
POLL_SECONDS = 2.0


class ReportParams(Params):
    """What to look for."""

    wait_seconds: int = Field(default=50, ge=0, le=50, description="how long to wait for a new report")


class Report(BaseModel):
    """What stands out in the report; the whole is in the evidence.

    Args:
        generated_at: When IAM made it. It makes a new one every four hours at most.
        without_mfa: Users with a password and no second factor; the root user is `<root_account>`.
        active_keys: Users with an active access key, and how many.
        root_has_keys: The root user has an active access key.
        more: Users that are left out of the lists, as those are long.
    """

    summary: str
    generated_at: UtcTime
    users: int
    without_mfa: list[str]
    active_keys: dict[str, int]
    root_has_keys: bool
    more: int = 0


@action(
    "aws.iam.credential_report",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=("iam:GenerateCredentialReport", "iam:GetCredentialReport"),
)
def credential_report(ctx: ActionContext, params: ReportParams) -> Report:
    """Get the account's credential report: all users, their passwords, keys, MFA devices and last uses.

    It is kept as evidence, as IAM wrote it (CSV). The result names the users without a second factor and those with
    active keys.

    Pre-condition: none. Nothing is changed.

    Pitfalls: IAM makes a new report only four hours after the last: look at `generated_at`, and read single users by
    `aws.iam.list_credentials`. It knows nothing of roles, nor of credentials for single services.

    Example::

        - id: report
          name: Who can sign in, and how?
          do: aws.iam.credential_report
    """
    iam = client(ctx, "iam")
    waited = 0.0
    while True:
        with aws_errors("iam:GenerateCredentialReport"):
            state = iam.generate_credential_report().get("State", "")
        if state == "COMPLETE":
            break
        if waited >= params.wait_seconds or not ctx.wait(POLL_SECONDS):
            raise Unavailable(f"IAM is still making the credential report after {waited:.0f} s ({state})")
        waited += POLL_SECONDS
        ctx.report(f"IAM is making the report: {state}")
    with aws_errors("iam:GetCredentialReport"):
        try:
            reply = iam.get_credential_report()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            # Between the two calls a report may run out of its four hours.
            if code in ("ReportExpired", "ReportNotPresent", "ReportInProgress"):
                raise Unavailable(f"iam:GetCredentialReport: {code}") from error
            raise
    content: bytes = reply["Content"]
    ctx.keep_evidence(
        "iam-credential-report.csv", content, media_type="text/csv", source="iam:GetCredentialReport"
    )
    rows = _rows(content)
    without = sorted(
        r["user"]
        for r in rows
        if r.get("mfa_active") == "false" and (r["user"] == ROOT or r.get("password_enabled") == "true")
    )
    keys = {
        r["user"]: n
        for r in sorted(rows, key=lambda r: r["user"])
        if (n := sum(r.get(f"access_key_{k}_active") == "true" for k in (1, 2)))
    }
    return Report(
        summary=(
            f"{len(rows)} user(s): {len(without)} with a password and no second factor, "
            f"{len(keys)} with active keys{', the root user among them' if ROOT in keys else ''}"
        ),
        generated_at=reply["GeneratedTime"],
        users=len(rows),
        without_mfa=without[:MOST_TOLD],
        active_keys=dict(list(keys.items())[:MOST_TOLD]),
        root_has_keys=ROOT in keys,
        more=max(0, len(without) - MOST_TOLD) + max(0, len(keys) - MOST_TOLD),
    )


def _rows(content: bytes) -> list[dict[str, str]]:
    """The report's lines, by column.

    Raises:
        BadReply: It is not what IAM documents.
    """
    try:
        reader = csv.DictReader(io.StringIO(content.decode()), strict=True)
        rows = [row for _, row in zip(range(MOST_ROWS), reader, strict=False)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadReply(f"the credential report cannot be read: {error}; it is kept as evidence") from error
    if any(not row.get("user") for row in rows):
        raise BadReply("the credential report has no column `user`; it is kept as evidence")
    return rows
