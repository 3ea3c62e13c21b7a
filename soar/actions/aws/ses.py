"""Stop all mail that an account sends in a region."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["PauseSending"]


class SendingParams(Params):
    """Nothing but the step's account and region."""


class SendingBefore(StateBefore):
    """Whether the account may send."""

    sending: bool = Field(title="sending mail")


@action(
    "aws.ses.pause_sending",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=("ses:GetAccount", "ses:PutAccountSendingAttributes", "sts:GetCallerIdentity"),
)
class PauseSending(Setting[SendingParams, SendingBefore]):
    """Pause all sending of mail by Amazon SES in the step's region.

    For stolen access by which spam or phishing is sent in the company's name: each message harms its reputation.

    Pre-condition: the step's account and region. Paused already: nothing is done.

    Verified by reading the account's settings: sending is off.

    Undone by turning sending on, if it was on. What could not be sent in between is not sent later.

    Pitfalls: all mail of the region stops, orders and password resets as well; senders get an error for each message.
    Other regions go on: do it in each. Messages that SES has taken already are still delivered. An account whose
    sending AWS itself has stopped is turned on again by AWS only.

    Shown on replies of our own making: the simulated account has no settings for sending.

    Example::

        - id: pause_mail
          name: Stop all mail of the region
          do: aws.ses.pause_sending
          approval:
            role: responder
            approvers: 1
    """

    method = "ses:GetAccount"

    def look(self, ctx: ActionContext, params: SendingParams) -> Found[SendingBefore]:
        ses = client(ctx, "sesv2")
        with aws_errors("ses:GetAccount"):
            raw: dict[str, Any] = ses.get_account()
        with aws_errors("sts:GetCallerIdentity"):
            account = str(client(ctx, "sts").get_caller_identity()["Account"])
        region, quota = ses.meta.region_name, raw.get("SendQuota") or {}
        lines = [f"{int(quota.get('SentLast24Hours') or 0)} message(s) were sent within the last 24 hours"]
        if raw.get("EnforcementStatus") not in (None, "HEALTHY"):
            lines.append(f"AWS has the account under {raw['EnforcementStatus']}")
        return Found(
            target=Target(
                uid=f"arn:{ses.meta.partition}:ses:{region}:{account}:account",
                type="aws.ses.account",
                name=f"mail of account {account} in {region}",
                account=account,
                region=region,
            ),
            state=SendingBefore(sending=bool(raw.get("SendingEnabled"))),
            facts=tuple(lines),
        )

    def wanted(self, params: SendingParams, state: SendingBefore) -> SendingBefore:
        return SendingBefore(sending=False)

    def say(self, params: SendingParams, found: Found[SendingBefore], then: SendingBefore) -> Said:
        return Said(
            summary=f"Pause all {found.target.name}",
            hits="No message of this account leaves the region by SES any more.",
            warnings=("Orders, alerts and password resets are not sent either.",),
            undo="Sending is turned on again.",
        )

    def write(
        self, ctx: ActionContext, params: SendingParams, now: SendingBefore, then: SendingBefore
    ) -> None:
        with aws_errors("ses:PutAccountSendingAttributes"):
            client(ctx, "sesv2").put_account_sending_attributes(SendingEnabled=then.sending)
