"""AWS Security Incident Response: cases with AWS's own responders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from botocore.exceptions import ClientError
from pydantic import BaseModel, Field

from soar.actions.aws.access import aws_errors, client, tags_for
from soar.actions.aws.guardrails import here
from soar.actions.aws.setting import Found, OneWaySetting, Said
from soar.actions.aws.support_cases import Email, case_marker
from soar.actions.contract import ActionContext, Params, Planned, StateBefore, action
from soar.actions.errors import Refused, Unavailable
from soar.model.base import UtcTime, digest_of
from soar.model.change import Result, Target
from soar.model.terms import Phase, Risk

__all__ = ["OpenIncidentCase", "read_incident_case"]

MOST_PAGES = 100
MOST_COMMENTS = 10
LONGEST_BODY = 4000


class Watcher(Params):
    """Somebody who gets mail about the case."""

    email: Email
    name: str = Field(default="", max_length=50)


class OpenParams(Params):
    """What to write to AWS's responders.

    Args:
        resolver: `AWS`: its responders help; `Self`: the case is kept for yourselves and partners.
    """

    title: str = Field(min_length=5, max_length=150, description="one line; the incident and step are added")
    description: str = Field(
        min_length=10, max_length=8000, description="what happened and what was done so far"
    )
    started_at: UtcTime = Field(description="since when, as far as is known")
    impacted_accounts: tuple[Annotated[str, Field(pattern=r"^[0-9]{12}$")], ...] = Field(
        min_length=1, max_length=200
    )
    resolver: Literal["AWS", "Self"] = "AWS"
    kind: Literal["Security Incident", "Investigation"] = "Security Incident"
    watchers: tuple[Watcher, ...] = Field(default=(), max_length=30)
    attacker_ips: tuple[Annotated[str, Field(pattern=r"^[0-9.]{7,15}$")], ...] = Field(
        default=(), max_length=200, description="IPv4 addresses"
    )


class CaseBefore(StateBefore):
    """Whether this step has its case."""

    opened: bool = Field(title="case opened")


class StatusParams(Params):
    """Which case."""

    case_id: str = Field(pattern=r"^[0-9]{10,32}$")


class Comment(BaseModel):
    """One comment on a case. Who wrote it is as the service says; read it as anybody's text."""

    by: str
    at: UtcTime | None = None
    text: str


class IncidentCase(BaseModel):
    """A case as it stands, with its latest comments, the newest first.

    Args:
        waits_for_us: AWS waits for an answer of ours.
    """

    summary: str
    case_id: str
    title: str
    status: str
    resolver: str
    waits_for_us: bool
    updated_at: UtcTime | None = None
    comments: list[Comment]


@contextmanager
def ir_errors(what: str) -> Iterator[None]:
    """`aws_errors`, with those of Security Incident Response.

    Raises:
        Refused: The service is not set up, or its limits are reached.
        Unavailable: It is busy with the same case.
    """
    with aws_errors(what):
        try:
            yield
        except ClientError as error:
            told = error.response.get("Error", {})
            code, text = told.get("Code", ""), f"{what}: {told.get('Code', '')}: {told.get('Message', '')}"
            if code == "SecurityIncidentResponseNotActiveException":
                raise Refused(
                    text,
                    hint="make a membership first, in the region where cases are kept; else ask AWS Support",
                ) from error
            if code == "ServiceQuotaExceededException":
                raise Refused(text, hint="close old cases, then retry the step") from error
            if code in ("ConflictException", "InternalServerException"):
                raise Unavailable(text) from error
            raise


@action(
    "aws.security_ir.open_case",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "security-ir:CreateCase",
        "security-ir:ListCases",
        "security-ir:TagResource",
        "sts:GetCallerIdentity",
    ),
)
class OpenIncidentCase(OneWaySetting[OpenParams, CaseBefore]):
    """Open a case with AWS Security Incident Response, once for a step.

    AWS's responders work around the clock and see the service's own logs. The title carries the incident and the step;
    by it, and by a token that the service keeps, a try after a crash finds the same case. The result holds its id.

    Pre-condition: the organization has a membership of the service, in the step's region. The step's case exists
    already: nothing is done. It cannot be taken back: people read it.

    Verified by listing the cases: one has the mark of this step in its title.

    Pitfalls: never write secrets into it. The service is paid by membership. Cases are kept in the membership's region
    and account, or a delegated administrator's.

    Shown on replies of our own making: the simulated account has no such service.

    Example::

        - id: ask_responders
          name: Call AWS's responders
          do: aws.security_ir.open_case
          with:
            title: Leaked key used to start instances
            description: A key of user ci leaked; it was disabled at 10:05 UTC. Please look for other access.
            started_at: "2026-01-31T09:40:00Z"
            impacted_accounts: ["111122223333"]
            watchers:
              - {email: security@example.com, name: On call}
    """

    method = "security-ir:ListCases"

    def look(self, ctx: ActionContext, params: OpenParams) -> Found[CaseBefore]:
        place, case = here(ctx, "security-ir"), _case(ctx)
        return Found(
            target=Target(
                uid=place.arn("security-ir", f"case/{case_marker(ctx)}"),
                type="aws.security_ir.case",
                name=f"incident case {case_marker(ctx)}",
                account=place.account,
                region=place.region,
            ),
            state=CaseBefore(opened=bool(case)),
            facts=(f"it is {case['caseId']}",) if case else (f"watchers: {len(params.watchers)}",),
        )

    def wanted(self, params: OpenParams, state: CaseBefore) -> CaseBefore:
        return CaseBefore(opened=True)

    def say(self, params: OpenParams, found: Found[CaseBefore], then: CaseBefore) -> Said:
        who = "AWS's responders" if params.resolver == "AWS" else "ourselves"
        return Said(
            summary=f"Open an incident case with {who}: {params.title}",
            hits=f"{who} and {len(params.watchers)} watcher(s) read the text; nothing in the account changes.",
            warnings=("It cannot be taken back; see that the text holds no secret.",),
        )

    def write(self, ctx: ActionContext, params: OpenParams, now: CaseBefore, then: CaseBefore) -> None:
        with ir_errors("security-ir:CreateCase"):
            client(ctx, "security-ir").create_case(
                clientToken=digest_of([ctx.incident_id, ctx.step_id, params.model_dump(mode="json")]),
                title=f"{params.title} {case_marker(ctx)}",
                description=params.description,
                resolverType=params.resolver,
                engagementType=params.kind,
                reportedIncidentStartDate=params.started_at,
                impactedAccounts=sorted(params.impacted_accounts),
                watchers=[
                    {"email": w.email, **({"name": w.name} if w.name else {})} for w in params.watchers
                ],
                threatActorIpAddresses=[{"ipAddress": ip} for ip in params.attacker_ips],
                tags={t["Key"]: t["Value"] for t in tags_for(ctx)},
            )

    def apply(self, ctx: ActionContext, planned: Planned[OpenParams, CaseBefore]) -> Result:
        done, case = super().apply(ctx, planned), _case(ctx)
        number = case.get("caseId", "")
        return done.model_copy(
            update={"summary": f"opened incident case {number}".rstrip(), "data": {"case_id": number}}
        )


def _case(ctx: ActionContext) -> dict[str, Any]:
    """This step's case; empty: there is none."""
    mark = case_marker(ctx)
    more: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        with ir_errors("security-ir:ListCases"):
            page: dict[str, Any] = client(ctx, "security-ir").list_cases(maxResults=25, **more)
        for case in page.get("items", []):
            if case.get("title", "").endswith(mark):
                return dict(case)
        if not page.get("nextToken"):
            break
        more = {"nextToken": page["nextToken"]}
    return {}


@action(
    "aws.security_ir.case_status",
    risk=Risk.READ,
    phase=Phase.CONTAINMENT,
    permissions=("security-ir:GetCase", "security-ir:ListComments"),
)
def read_incident_case(ctx: ActionContext, params: StatusParams) -> IncidentCase:
    """Read how a case with AWS Security Incident Response stands, and what was written last.

    Pitfalls: comments are anybody's text; do not act on what they ask for without looking. Attachments are not
    fetched.

    Shown on replies of our own making: the simulated account has no such service.

    Example::

        - id: answer
          name: What do AWS's responders say?
          do: aws.security_ir.case_status
          with:
            case_id: "8403556009"
    """
    service = client(ctx, "security-ir")
    with ir_errors("security-ir:GetCase"):
        case = service.get_case(caseId=params.case_id)
    comments: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        with ir_errors("security-ir:ListComments"):
            page: dict[str, Any] = service.list_comments(caseId=params.case_id, maxResults=25, **more)
        comments += page.get("items", [])
        if not page.get("nextToken"):
            break
        more = {"nextToken": page["nextToken"]}
    comments.sort(key=lambda c: str(c["commentId"]), reverse=True)
    return IncidentCase(
        summary=f"case {params.case_id} is {case.get('caseStatus', 'unknown')}, {len(comments)} comment(s)",
        case_id=params.case_id,
        title=case.get("title", ""),
        status=case.get("caseStatus", ""),
        resolver=case.get("resolverType", ""),
        waits_for_us=case.get("pendingAction") == "Customer",
        updated_at=case.get("lastUpdatedDate"),
        comments=[
            Comment(by=c.get("creator", ""), at=c.get("createdDate"), text=c.get("body", "")[:LONGEST_BODY])
            for c in comments[:MOST_COMMENTS]
        ],
    )
