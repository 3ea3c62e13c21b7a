"""GuardDuty: have it watch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from soar.actions.aws.access import client, tags_for
from soar.actions.aws.guardrails import here, plain_errors
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import Refused, TargetGone
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["EnableDetector", "detector_of", "existing_detector", "plans_on"]

FOUNDATION = frozenset({"CLOUD_TRAIL", "DNS_LOGS", "FLOW_LOGS"})
"""Sources that every detector has and that cannot be chosen."""

Feature = Literal[
    "S3_DATA_EVENTS",
    "EKS_AUDIT_LOGS",
    "EBS_MALWARE_PROTECTION",
    "RDS_LOGIN_EVENTS",
    "LAMBDA_NETWORK_LOGS",
    "RUNTIME_MONITORING",
]


class EnableParams(Params):
    """What it should watch."""

    publish_every: Literal["FIFTEEN_MINUTES", "ONE_HOUR", "SIX_HOURS"] = Field(
        default="FIFTEEN_MINUTES", description="how often news of a known finding are published"
    )
    features: tuple[Feature, ...] = Field(
        default=(),
        description="protection plans to switch on besides; each is billed. Those that are on stay on",
    )


class DetectorBefore(StateBefore):
    """The detector of a region as it is."""

    status: Literal["none", "DISABLED", "ENABLED"] = Field(title="detector")
    publish_every: str = Field(title="publishing frequency")
    features: tuple[str, ...] = Field(title="protection plans that are on")


def detector_of(ctx: ActionContext) -> tuple[str, dict[str, Any]]:
    """The detector of the region (there is at most one) by id, and as it is; empty: there is none."""
    guardduty = client(ctx, "guardduty")
    with plain_errors("guardduty:ListDetectors"):
        ids = guardduty.list_detectors()["DetectorIds"]
    if not ids:
        return "", {}
    with plain_errors("guardduty:GetDetector"):
        return str(ids[0]), guardduty.get_detector(DetectorId=ids[0])


def existing_detector(ctx: ActionContext) -> str:
    """The detector's id.

    Raises:
        TargetGone: The region has none.
    """
    with plain_errors("guardduty:ListDetectors"):
        ids = client(ctx, "guardduty").list_detectors()["DetectorIds"]
    if not ids:
        raise TargetGone(
            "GuardDuty has no detector in this region", hint="check the account and region of the findings"
        )
    return str(ids[0])


def plans_on(raw: dict[str, Any]) -> tuple[str, ...]:
    """The protection plans of a detector that are on, sorted."""
    found = {f["Name"] for f in raw.get("Features", []) if f.get("Status") == "ENABLED"}
    return tuple(sorted(found - FOUNDATION))


@action(
    "aws.guardduty.enable",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "guardduty:ListDetectors",
        "guardduty:GetDetector",
        "guardduty:CreateDetector",
        "guardduty:UpdateDetector",
        "guardduty:DeleteDetector",
        "guardduty:TagResource",
        "iam:CreateServiceLinkedRole",
        "sts:GetCallerIdentity",
    ),
)
class EnableDetector(Setting[EnableParams, DetectorBefore]):
    """Have GuardDuty watch a region: its detector is switched on, or made.

    Attackers suspend or delete the detector before they go on. One that we make carries the tags `soar:incident` and
    `soar:step`.

    Pre-condition: the detector is not tagged `soar:protected`. On, and as wanted already: nothing is done.

    Verified by reading the detector: it is enabled, publishes as often as wanted, and the plans are on.

    Undone by writing the recorded settings back. A detector that this step made is deleted, with its findings; one
    that somebody else made meanwhile is not. It refuses if the settings were changed since.

    Pitfalls: a new detector knows nothing of before, and learns for days what is normal. It watches one region only.
    Each region and each plan is billed after its trial. In an organization the administrator account may set members'
    detectors and put them back by itself.

    Example::

        - id: watch
          name: Have the region watched again
          do: aws.guardduty.enable
          with:
            features: [S3_DATA_EVENTS]
    """

    method = "guardduty:GetDetector"

    def look(self, ctx: ActionContext, params: EnableParams) -> Found[DetectorBefore]:
        place = here(ctx, "guardduty")
        detector, raw = detector_of(ctx)
        return Found(
            # There is one for a region at most; its id comes and goes with it, so that it is not named by it.
            target=Target(
                uid=place.arn("guardduty", "detector"),
                type="aws.guardduty.detector",
                name=f"GuardDuty in {place.region}",
                account=place.account,
                region=place.region,
                tags=raw.get("Tags", {}),
            ),
            state=DetectorBefore(
                status=raw["Status"],
                publish_every=raw.get("FindingPublishingFrequency", "SIX_HOURS"),
                features=plans_on(raw),
            )
            if detector
            else DetectorBefore(status="none", publish_every="", features=()),
            facts=(f"detector {detector} of {raw.get('CreatedAt', 'unknown age')}",)
            if detector
            else ("there is no detector; what it found before is gone",),
        )

    def wanted(self, params: EnableParams, state: DetectorBefore) -> DetectorBefore:
        return DetectorBefore(
            status="ENABLED",
            publish_every=params.publish_every,
            features=tuple(sorted({*state.features, *params.features})),
        )

    def say(self, params: EnableParams, found: Found[DetectorBefore], then: DetectorBefore) -> Said:
        new = found.state.status == "none"
        return Said(
            summary=f"{'Make a detector for' if new else 'Switch on'} {found.target.name}",
            hits="Nothing is interrupted; logs are analysed, which is billed.",
            warnings=("What happened while it was off is not analysed afterwards.",)
            if found.state.status != "ENABLED"
            else (),
            undo="The detector that this step made is deleted with its findings."
            if new
            else "The recorded settings are written back.",
        )

    def write(
        self, ctx: ActionContext, params: EnableParams, now: DetectorBefore, then: DetectorBefore
    ) -> None:
        guardduty = client(ctx, "guardduty")
        if then.status == "none":
            _delete_ours(ctx)
            return
        chosen = [
            {"Name": name, "Status": "ENABLED" if name in then.features else "DISABLED"}
            for name in sorted({*now.features, *then.features})
        ]
        settings: dict[str, Any] = {
            "Enable": then.status == "ENABLED",
            "FindingPublishingFrequency": then.publish_every,
            **({"Features": chosen} if chosen else {}),
        }
        if now.status == "none":
            with plain_errors("guardduty:CreateDetector"):
                guardduty.create_detector(**settings, Tags={t["Key"]: t["Value"] for t in tags_for(ctx)})
            return
        with plain_errors("guardduty:UpdateDetector"):
            guardduty.update_detector(DetectorId=existing_detector(ctx), **settings)


def _delete_ours(ctx: ActionContext) -> None:
    detector, raw = detector_of(ctx)
    if not detector:
        return
    tags = raw.get("Tags", {})
    if any(tags.get(t["Key"]) != t["Value"] for t in tags_for(ctx)):
        raise Refused(
            f"detector {detector} is not the one that this step made; it stays",
            hint="somebody else made it: leave it on, or delete it by hand",
        )
    with plain_errors("guardduty:DeleteDetector"):
        client(ctx, "guardduty").delete_detector(DetectorId=detector)
