"""Cases of `aws.securityhub.update_findings`."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case

PRODUCT = "arn:aws:securityhub:us-east-1::product/aws/guardduty"


def hub(world: World, notes: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A hub that holds a finding for each key, with its note; as BatchUpdateFindings changes it."""
    held: dict[str, Any] = {
        number: {
            "SchemaVersion": "2018-10-08",
            "Id": number,
            "ProductArn": PRODUCT,
            "GeneratorId": "detector",
            "AwsAccountId": "123456789012",
            "CreatedAt": "2026-01-01T10:00:00.000Z",
            "UpdatedAt": "2026-01-01T10:00:00.000Z",
            "Title": f"Something about {number}",
            "Description": "Something",
            "Resources": [{"Type": "AwsIamAccessKey", "Id": "AKIA"}],
            "Workflow": {"Status": "NEW"},
            **({"Note": {**note, "UpdatedAt": "2026-01-01T10:00:00.000Z"}} if note else {}),
        }
        for number, note in notes.items()
    }
    service = world.script("securityhub")

    @service.operation("GetFindings")
    def get(params: dict[str, Any]) -> dict[str, Any]:
        asked = [f["Value"] for f in params["Filters"]["Id"]]
        return {"Findings": [f for number, f in held.items() if number in asked]}

    @service.operation("BatchUpdateFindings")
    def update(params: dict[str, Any]) -> dict[str, Any]:
        for finding in params["FindingIdentifiers"]:
            new = {k: params[k] for k in ("Workflow", "Note") if k in params}
            if "Note" in new:
                new["Note"] = {**new["Note"], "UpdatedAt": "2026-01-01T12:00:00.000Z"}
            held[finding["Id"]] = {**held[finding["Id"]], **new}
        return {"ProcessedFindings": params["FindingIdentifiers"], "UnprocessedFindings": []}

    return held


@case("aws.securityhub.update_findings")
def with_and_without_a_note(world: World) -> Arranged:
    held = hub(world, {"f1": {"Text": "seen by Ada", "UpdatedBy": "ada"}, "f2": {}, "f3": {}})

    def snapshot() -> Any:
        # The service cannot delete a note, so that one that says it was taken back counts as none.
        notes = {number: f.get("Note", {}).get("Text", "") for number, f in held.items()}
        return [
            [number, held[number]["Workflow"], "" if "taken back" in note else note]
            for number, note in notes.items()
        ]

    def reopened() -> None:
        held["f2"] = {**held["f2"], "Workflow": {"Status": "NEW"}}

    return Arranged(
        params={
            "findings": [{"id": "f2", "product_arn": PRODUCT}, {"id": "f1", "product_arn": PRODUCT}],
            "workflow": "RESOLVED",
            "note": "Handled.",
        },
        snapshot=snapshot,
        drift=reopened,
    )
