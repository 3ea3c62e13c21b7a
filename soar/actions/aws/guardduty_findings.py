"""GuardDuty's findings: told, and filed away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, Field

from soar.actions.aws.access import client
from soar.actions.aws.guardduty import detector_of, existing_detector, plans_on
from soar.actions.aws.guardrails import here, plain_errors
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import TargetGone
from soar.model.base import UtcTime
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["ArchiveFindings", "describe_guardduty"]

MOST_FINDINGS = 50
"""Findings that one call reads or archives (GuardDuty API reference)."""


class FindingsParams(Params):
    """Which findings."""

    finding_ids: tuple[str, ...] = Field(
        min_length=1, max_length=MOST_FINDINGS, description="ids of findings, of 32 hexadecimal digits each"
    )


class ArchivedBefore(StateBefore):
    """Those of the findings that are archived, sorted."""

    archived: tuple[str, ...] = Field(title="archived findings")


class DescribeParams(Params):
    """From when, and from which severity on, findings are told."""

    hours: float = Field(
        default=24, gt=0, le=24 * 90, description="hours to look back; findings live 90 days"
    )
    min_severity: float = Field(default=4, ge=0, le=10, description="4 medium, 7 high, 9 critical")


class FindingFacts(BaseModel):
    """One finding."""

    id: str
    type: str
    severity: float
    account: str
    title: str
    count: int
    updated_at: str


class Watch(BaseModel):
    """The detector of a region and what it found.

    Args:
        findings: Not archived, the newest news first.
        cut: There are more.
    """

    summary: str
    status: str
    detector_id: str = ""
    publish_every: str = ""
    features: list[str] = []
    since: UtcTime
    findings: list[FindingFacts] = []
    cut: bool = False


@action(
    "aws.guardduty.archive_findings",
    risk=Risk.REVERSIBLE,
    phase=Phase.RECOVERY,
    permissions=(
        "guardduty:ListDetectors",
        "guardduty:GetFindings",
        "guardduty:ArchiveFindings",
        "guardduty:UnarchiveFindings",
        "sts:GetCallerIdentity",
    ),
)
class ArchiveFindings(Setting[FindingsParams, ArchivedBefore]):
    """Archive findings that were dealt with, so that those in view are the open ones.

    Pre-condition: all of them exist in the region's detector. Archived already: nothing is done.

    Verified by reading the findings: the service shows each as archived.

    Undone by taking exactly those out of the archive that this step put there. It refuses if one was taken out since.

    Pitfalls: in an organization only the administrator account may archive. Archiving stops nothing, and the same
    activity may be found anew. Findings are deleted after 90 days, archived or not.

    Shown on replies of our own making: the simulated account has no findings.

    Example::

        - id: archive
          do: aws.guardduty.archive_findings
          with:
            finding_ids: [16b0d0f3a1c2e4d5a6b7c8d9e0f1a2b3]
    """

    method = "guardduty:GetFindings"

    def look(self, ctx: ActionContext, params: FindingsParams) -> Found[ArchivedBefore]:
        place, detector = here(ctx, "guardduty"), existing_detector(ctx)
        with plain_errors("guardduty:GetFindings"):
            found = client(ctx, "guardduty").get_findings(
                DetectorId=detector, FindingIds=sorted(set(params.finding_ids))
            )["Findings"]
        missing = sorted(set(params.finding_ids) - {f["Id"] for f in found})
        if missing:
            raise TargetGone(
                f"the detector of {place.region} has no finding {', '.join(missing)}",
                hint="check the ids, the account and the region; findings are deleted after 90 days",
            )
        return Found(
            target=Target(
                uid=place.arn("guardduty", f"detector/{detector}"),
                type="aws.guardduty.detector",
                name=f"GuardDuty in {place.region}",
                account=place.account,
                region=place.region,
            ),
            state=ArchivedBefore(
                archived=tuple(sorted(f["Id"] for f in found if f.get("Service", {}).get("Archived")))
            ),
            facts=_told(
                [f"{f['Type']}, severity {f['Severity']:g}, updated {f['UpdatedAt']}" for f in found], most=10
            ),
        )

    def wanted(self, params: FindingsParams, state: ArchivedBefore) -> ArchivedBefore:
        return ArchivedBefore(archived=tuple(sorted(set(params.finding_ids))))

    def say(self, params: FindingsParams, found: Found[ArchivedBefore], then: ArchivedBefore) -> Said:
        new = len(then.archived) - len(found.state.archived)
        return Said(
            summary=f"Archive {new} finding(s) of {found.target.name}",
            hits="They are no longer in the view of open findings; nothing else changes.",
            undo="Exactly these are taken out of the archive.",
        )

    def write(
        self, ctx: ActionContext, params: FindingsParams, now: ArchivedBefore, then: ArchivedBefore
    ) -> None:
        guardduty, detector = client(ctx, "guardduty"), existing_detector(ctx)
        come, gone = (
            sorted(set(then.archived) - set(now.archived)),
            sorted(set(now.archived) - set(then.archived)),
        )
        if come:
            with plain_errors("guardduty:ArchiveFindings"):
                guardduty.archive_findings(DetectorId=detector, FindingIds=come)
        if gone:
            with plain_errors("guardduty:UnarchiveFindings"):
                guardduty.unarchive_findings(DetectorId=detector, FindingIds=gone)


def _told(lines: list[str], *, most: int) -> tuple[str, ...]:
    """Lines for people, bounded in number."""
    return (*lines[:most], *((f"and {len(lines) - most} more",) if len(lines) > most else ()))


@action(
    "aws.guardduty.describe",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "guardduty:ListDetectors",
        "guardduty:GetDetector",
        "guardduty:ListFindings",
        "guardduty:GetFindings",
    ),
)
def describe_guardduty(ctx: ActionContext, params: DescribeParams) -> Watch:
    """Tell whether GuardDuty watches a region, by which plans, and what it found of late.

    Pitfalls: a detector that is off keeps its old findings and finds nothing new. At most fifty findings are told; a
    wider look belongs in its console. Findings of other regions are not seen.

    Findings were shown on replies of our own making: the simulated account has none.

    Example::

        - id: findings
          do: aws.guardduty.describe
          with:
            hours: 72
            min_severity: 7
    """
    since = ctx.now - timedelta(hours=params.hours)
    detector, raw = detector_of(ctx)
    if not detector:
        return Watch(summary="GuardDuty does not watch this region", status="none", since=since)
    guardduty = client(ctx, "guardduty")
    criteria = {
        "service.archived": {"Equals": ["false"]},
        # The service takes whole numbers here; what is below is left out of the reply again.
        "severity": {"GreaterThanOrEqual": int(params.min_severity)},
        "updatedAt": {"GreaterThanOrEqual": int(since.timestamp() * 1000)},
    }
    with plain_errors("guardduty:ListFindings"):
        listed = guardduty.list_findings(
            DetectorId=detector,
            FindingCriteria={"Criterion": criteria},
            SortCriteria={"AttributeName": "updatedAt", "OrderBy": "DESC"},
            MaxResults=MOST_FINDINGS,
        )
    found: list[dict[str, Any]] = []
    if listed["FindingIds"]:
        with plain_errors("guardduty:GetFindings"):
            found = guardduty.get_findings(DetectorId=detector, FindingIds=listed["FindingIds"])["Findings"]
    facts = [_finding(f) for f in found if f["Severity"] >= params.min_severity]
    facts.sort(key=lambda f: f.updated_at, reverse=True)
    on = raw["Status"] == "ENABLED"
    return Watch(
        summary=f"GuardDuty {'watches' if on else 'is switched off in'} this region; "
        f"{len(facts)} open finding(s) since {since:%Y-%m-%d %H:%M} UTC",
        status=raw["Status"],
        detector_id=detector,
        publish_every=raw.get("FindingPublishingFrequency", ""),
        features=list(plans_on(raw)),
        since=since,
        findings=facts,
        cut=bool(listed.get("NextToken")),
    )


def _finding(raw: dict[str, Any]) -> FindingFacts:
    return FindingFacts(
        id=raw["Id"],
        type=raw["Type"],
        severity=raw["Severity"],
        account=raw["AccountId"],
        title=str(raw.get("Title", ""))[:300],
        count=int(raw.get("Service", {}).get("Count", 1)),
        updated_at=raw["UpdatedAt"],
    )
