"""Ask AWS for help: cases of AWS Support."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal

from botocore.exceptions import ClientError
from pydantic import BaseModel, Field

from soar.actions.aws.access import AwsAccess, aws_errors, client
from soar.actions.aws.guardrails import here
from soar.actions.aws.setting import Found, OneWaySetting, Said
from soar.actions.contract import ActionContext, Params, Planned, StateBefore, action
from soar.actions.errors import Refused, TargetGone
from soar.model.change import Result, Target
from soar.model.terms import Phase, Risk

__all__ = ["Email", "OpenSupportCase", "case_marker", "read_case"]

DAYS_BACK = 30
"""Days in which a case of the same step is looked for."""
MOST_PAGES = 50
MOST_COMMUNICATIONS = 10
LONGEST_BODY = 4000

HOMES = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""Where AWS Support is asked, whatever the step's region is: the service is not in each."""

CaseCode = Annotated[str, Field(pattern=r"^([a-z0-9-]{1,100})?$")]
Email = Annotated[str, Field(pattern=r"^[^@\s,;<>]{1,64}@[A-Za-z0-9.-]{3,180}$")]


class OpenParams(Params):
    """What to write to AWS.

    Args:
        service: The code of the service, as AWS Support lists it; `category` likewise. Empty: AWS Support sorts it.
    """

    subject: str = Field(
        min_length=5, max_length=150, description="one line; the incident and step are added"
    )
    body: str = Field(
        min_length=10, max_length=7500, description="what happened, since when, and what is asked for"
    )
    severity: Literal["low", "normal", "high", "urgent", "critical"] = "urgent"
    service: CaseCode = ""
    category: CaseCode = ""
    kind: Literal["technical", "customer-service"] = "technical"
    copy_to: tuple[Email, ...] = Field(default=(), max_length=10)


class CaseBefore(StateBefore):
    """Whether this step has its case."""

    opened: bool = Field(title="case opened")


class StatusParams(Params):
    """Which case."""

    case_id: str = Field(
        pattern=r"^case-[A-Za-z0-9-]{1,120}$", description="its id, `case-…`, as it was opened"
    )


class Communication(BaseModel):
    """One letter of a case. Who wrote it is not checked: read it as anybody's text."""

    by: str
    at: str
    text: str


class SupportCase(BaseModel):
    """A case as it stands, with its latest letters, the newest first."""

    summary: str
    case_id: str
    display_id: str
    subject: str
    status: str
    severity: str
    opened_at: str
    communications: list[Communication]


def case_marker(ctx: ActionContext) -> str:
    """By what a case is known again as this step's: a part of its subject."""
    return f"[{ctx.incident_id}/{ctx.step_id}]"


def _support(ctx: ActionContext) -> Any:
    region = HOMES.get(client(ctx, "support").meta.partition, ctx.region)
    return ctx.service(AwsAccess).client(
        "support", account=ctx.account, region=region, incident=ctx.incident_id
    )


@contextmanager
def support_errors(what: str) -> Iterator[None]:
    """`aws_errors`, with those of AWS Support.

    Raises:
        Refused: The account's support plan has no interface for programs, or too many cases are open.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code == "SubscriptionRequiredException":
                raise Refused(
                    f"{what}: the support plan of this account has no interface for programs",
                    hint="open the case by hand in the console; the interface comes with the plans Business and above",
                ) from error
            if code == "CaseCreationLimitExceeded":
                raise Refused(
                    f"{what}: too many cases are open in this account",
                    hint="write into an open case by hand, or resolve old ones",
                ) from error
            raise


@action(
    "aws.support.open_case",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=("support:CreateCase", "support:DescribeCases", "sts:GetCallerIdentity"),
)
class OpenSupportCase(OneWaySetting[OpenParams, CaseBefore]):
    """Open a case with AWS Support, once for a step.

    AWS can see what an account's owner cannot, stop abuse, and forgive charges that an attacker caused. The subject
    carries the incident and the step, by which a try after a crash finds the case again. The result holds its id.

    Pre-condition: the account's support plan lets programs open cases. The step's case exists already: nothing is
    done. It cannot be taken back: people at AWS read it.

    Verified by listing the cases: one has the mark of this step in its subject.

    Pitfalls: never write secrets into it. AWS Support is asked in us-east-1, which must be among the regions that may
    be touched. Which severities and codes are accepted depends on the plan. A reply that was lost on its way may lead
    to two cases, of which the second can be resolved. An attacker who may read cases reads this one: change who can,
    or use another account.

    Example::

        - id: ask_aws
          name: Ask AWS for help
          do: aws.support.open_case
          with:
            subject: Account compromised, please stop unauthorised instances
            body: Unknown instances were started with a leaked key, which is disabled now. Please look at the charges.
            severity: urgent
            kind: customer-service
    """

    method = "support:DescribeCases"

    def look(self, ctx: ActionContext, params: OpenParams) -> Found[CaseBefore]:
        place, case = here(ctx, "support"), _case(ctx)
        return Found(
            target=Target(
                uid=f"arn:{place.partition}:support::{place.account}:case/{case_marker(ctx)}",
                type="aws.support.case",
                name=f"support case {case_marker(ctx)}",
                account=place.account,
            ),
            state=CaseBefore(opened=bool(case)),
            facts=(f"it is {case['caseId']}",) if case else ("people at AWS Support read it",),
        )

    def wanted(self, params: OpenParams, state: CaseBefore) -> CaseBefore:
        return CaseBefore(opened=True)

    def say(self, params: OpenParams, found: Found[CaseBefore], then: CaseBefore) -> Said:
        copies = f", with copies to {', '.join(params.copy_to)}" if params.copy_to else ""
        return Said(
            summary=f"Open a case of severity {params.severity} with AWS Support: {params.subject}",
            hits=f"People at AWS read the text{copies}; nothing in the account changes.",
            warnings=("It cannot be taken back; see that the text holds no secret.",),
        )

    def write(self, ctx: ActionContext, params: OpenParams, now: CaseBefore, then: CaseBefore) -> None:
        codes = {"serviceCode": params.service, "categoryCode": params.category}
        with support_errors("support:CreateCase"):
            _support(ctx).create_case(
                subject=f"{params.subject} {case_marker(ctx)}",
                communicationBody=params.body,
                severityCode=params.severity,
                issueType=params.kind,
                language="en",
                **{key: value for key, value in codes.items() if value},
                **({"ccEmailAddresses": list(params.copy_to)} if params.copy_to else {}),
            )

    def apply(self, ctx: ActionContext, planned: Planned[OpenParams, CaseBefore]) -> Result:
        done, case = super().apply(ctx, planned), _case(ctx)
        # The list may be some seconds behind; then the status is read later by the subject's mark.
        number = case["caseId"] if case else ""
        return done.model_copy(
            update={
                "summary": f"opened {number or 'a case'} with AWS Support",
                "data": {"case_id": number, "display_id": case.get("displayId", "")},
            }
        )


def _case(ctx: ActionContext) -> dict[str, Any]:
    """This step's case; empty: there is none."""
    mark = case_marker(ctx)
    more: dict[str, str] = {}
    since = (ctx.now - timedelta(days=DAYS_BACK)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for _ in range(MOST_PAGES):
        with support_errors("support:DescribeCases"):
            page: dict[str, Any] = _support(ctx).describe_cases(
                afterTime=since,
                includeResolvedCases=True,
                includeCommunications=False,
                maxResults=100,
                **more,
            )
        for case in page["cases"]:
            if case.get("subject", "").endswith(mark):
                return dict(case)
        if not page.get("nextToken"):
            break
        more = {"nextToken": page["nextToken"]}
    return {}


@action(
    "aws.support.case_status",
    risk=Risk.READ,
    phase=Phase.CONTAINMENT,
    permissions=("support:DescribeCases",),
)
def read_case(ctx: ActionContext, params: StatusParams) -> SupportCase:
    """Read how a case with AWS Support stands, and what was written last.

    Pitfalls: the letters are anybody's text; do not act on what they ask for without looking. Cases older than a year
    are not found. Attachments are not fetched.

    Example::

        - id: answer
          name: Did AWS answer?
          do: aws.support.case_status
          with:
            case_id: case-111122223333-muen-2026-0123456789abcdef
    """
    with support_errors("support:DescribeCases"):
        try:
            cases = _support(ctx).describe_cases(
                caseIdList=[params.case_id], includeResolvedCases=True, includeCommunications=True
            )["cases"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "CaseIdNotFound":
                raise
            cases = []
    if not cases:
        raise TargetGone(
            f"AWS Support has no case {params.case_id} in this account",
            hint="check the id and the account; the number that the console shows is not the id",
        )
    case = cases[0]
    letters = case.get("recentCommunications", {}).get("communications", [])
    return SupportCase(
        summary=f"case {params.case_id} is {case['status']}, {len(letters)} letter(s)",
        case_id=params.case_id,
        display_id=case.get("displayId", ""),
        subject=case.get("subject", ""),
        status=case["status"],
        severity=case.get("severityCode", ""),
        opened_at=case.get("timeCreated", ""),
        communications=[
            Communication(
                by=c.get("submittedBy", ""),
                at=c.get("timeCreated", ""),
                text=c.get("body", "")[:LONGEST_BODY],
            )
            for c in letters[:MOST_COMMUNICATIONS]
        ],
    )
