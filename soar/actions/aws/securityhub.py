"""Security Hub: say in its findings what became of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.guardrails import here
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import ActionError, TargetGone
from soar.model.base import Fact
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["UpdateFindings"]

MOST = 20
"""Values of one filter of `securityhub:GetFindings`, and so the findings of one step."""
NOTE_BY = "soar"
WITHDRAWN = "The note of an incident's step was taken back."
"""Stands where we left a note and there was none before: the service has no way to delete one."""


class FindingRef(Params):
    """One finding."""

    id: str = Field(min_length=1, max_length=512, description="its `Id`, often an ARN")
    product_arn: str = Field(
        pattern=r"^arn:aws[a-z-]*:securityhub:[a-z0-9-]+:[0-9]*:product/\S+$", description="its `ProductArn`"
    )


class UpdateParams(Params):
    """Which findings, and what became of them."""

    findings: tuple[FindingRef, ...] = Field(min_length=1, max_length=MOST)
    workflow: Literal["NEW", "NOTIFIED", "RESOLVED", "SUPPRESSED"] = Field(
        description="their state in the workflow"
    )
    note: str = Field(
        default="", max_length=480, description="a note on each; empty: the notes stay as they are"
    )


class FindingState(Fact):
    """One finding as it is.

    Args:
        note: Empty: it has none.
    """

    id: str
    product_arn: str
    workflow: str
    note: str
    note_by: str


class FindingsBefore(StateBefore):
    """Workflow and note of each finding, by id."""

    findings: tuple[FindingState, ...] = Field(title="workflow and note")


@action(
    "aws.securityhub.update_findings",
    risk=Risk.REVERSIBLE,
    phase=Phase.RECOVERY,
    permissions=("securityhub:GetFindings", "securityhub:BatchUpdateFindings", "sts:GetCallerIdentity"),
)
class UpdateFindings(Setting[UpdateParams, FindingsBefore]):
    """Set the workflow of findings in Security Hub and leave a note on them.

    Others who look at the hub see that the incident is handled, and what was found.

    Pre-condition: each finding is in the hub of the step's region. As wanted already: nothing is done.

    Verified by reading the findings: workflow and note are as wanted.

    Undone by writing the recorded workflow and note back. A note cannot be deleted: where there was none, one stays
    that says that it was taken back. It refuses if a finding was changed since.

    Pitfalls: a finding that comes in anew with another compliance state is set to NEW again by the hub. A hub that
    gathers other regions is written in its home region. Automation rules of the hub may write over it.

    Shown on replies of our own making: the simulated account has no update of findings.

    Example::

        - id: hub
          name: Say in the hub that it is handled
          do: aws.securityhub.update_findings
          with:
            findings:
              - id: arn:aws:guardduty:us-east-1:111122223333:detector/d1/finding/f1
                product_arn: arn:aws:securityhub:us-east-1::product/aws/guardduty
            workflow: NOTIFIED
            note: Handled as an incident.
    """

    method = "securityhub:GetFindings"

    def look(self, ctx: ActionContext, params: UpdateParams) -> Found[FindingsBefore]:
        place = here(ctx, "securityhub")
        wanted = {(f.id, f.product_arn) for f in params.findings}
        with aws_errors("securityhub:GetFindings"):
            pages = (
                client(ctx, "securityhub")
                .get_paginator("get_findings")
                .paginate(
                    Filters={
                        "Id": [{"Value": i, "Comparison": "EQUALS"} for i in sorted({i for i, _ in wanted})]
                    }
                )
            )
            found = [f for page in pages for f in page["Findings"] if (f["Id"], f["ProductArn"]) in wanted]
        missing = sorted(i for i, _ in wanted - {(f["Id"], f["ProductArn"]) for f in found})
        if missing:
            raise TargetGone(
                f"Security Hub in {place.region} has no finding {', '.join(missing)}",
                hint="check the id, the product and the region; findings are deleted after 90 days without news",
            )
        return Found(
            target=Target(
                uid=place.arn("securityhub", "hub/default"),
                type="aws.securityhub.hub",
                name=f"Security Hub in {place.region}",
                account=place.account,
                region=place.region,
            ),
            state=FindingsBefore(
                findings=tuple(_state(f) for f in sorted(found, key=lambda f: (f["Id"], f["ProductArn"])))
            ),
            facts=tuple(
                f"{str(f['Title'])[:120]} (account {f['AwsAccountId']})"
                for f in sorted(found, key=lambda f: str(f["Id"]))[:10]
            )
            + ((f"and {len(found) - 10} more",) if len(found) > 10 else ()),
        )

    def wanted(self, params: UpdateParams, state: FindingsBefore) -> FindingsBefore:
        note = {"note": params.note, "note_by": NOTE_BY} if params.note else {}
        return FindingsBefore(
            findings=tuple(f.model_copy(update={"workflow": params.workflow, **note}) for f in state.findings)
        )

    def say(self, params: UpdateParams, found: Found[FindingsBefore], then: FindingsBefore) -> Said:
        bare = any(not f.note for f in found.state.findings) and bool(params.note)
        return Said(
            summary=f"Set {len(found.state.findings)} finding(s) of {found.target.name} to {params.workflow}",
            hits="Whoever works with these findings sees it; rules of the hub may act on it.",
            warnings=("A suppressed finding is shown to nobody any more.",)
            if params.workflow == "SUPPRESSED"
            else (),
            undo="The recorded workflow and notes are written back"
            + ("; where there was no note, one stays that says that it was taken back." if bare else "."),
        )

    def write(
        self, ctx: ActionContext, params: UpdateParams, now: FindingsBefore, then: FindingsBefore
    ) -> None:
        have = {(f.id, f.product_arn): f for f in now.findings}
        batches: dict[tuple[str, str, str], list[FindingState]] = defaultdict(list)
        for finding in then.findings:
            before = have[finding.id, finding.product_arn]
            if before != finding:
                text, by = finding.note, finding.note_by
                if before.note and not text:
                    text, by = WITHDRAWN, NOTE_BY
                batches[finding.workflow, text, by].append(finding)
        for (workflow, text, by), findings in sorted(batches.items()):
            with aws_errors("securityhub:BatchUpdateFindings"):
                reply = client(ctx, "securityhub").batch_update_findings(
                    FindingIdentifiers=[{"Id": f.id, "ProductArn": f.product_arn} for f in findings],
                    Workflow={"Status": workflow},
                    **({"Note": {"Text": text, "UpdatedBy": by}} if text else {}),
                )
            refused = [
                f"{f['FindingIdentifier']['Id']}: {f['ErrorMessage']}" for f in reply["UnprocessedFindings"]
            ]
            if refused:
                raise ActionError(
                    f"Security Hub did not take {len(refused)} finding(s): {'; '.join(refused)[:1000]}",
                    hint="look at them; a retry of the step writes only what is not written yet",
                )


def _state(raw: dict[str, Any]) -> FindingState:
    note = raw.get("Note") or {}
    text = str(note.get("Text", ""))
    ours_withdrawn = (text, note.get("UpdatedBy")) == (WITHDRAWN, NOTE_BY)
    return FindingState(
        id=raw["Id"],
        product_arn=raw["ProductArn"],
        workflow=(raw.get("Workflow") or {}).get("Status", "NEW"),
        note="" if ours_withdrawn else text,
        note_by="" if ours_withdrawn else str(note.get("UpdatedBy", "")),
    )
