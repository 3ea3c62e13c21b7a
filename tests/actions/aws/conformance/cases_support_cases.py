"""Cases of the actions that ask AWS for help."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from case import Arranged, World, case
from scripted import ScriptedError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@case("aws.support.open_case")
def beside_another_case(world: World) -> Arranged:
    support = world.client("support")
    support.create_case(subject="A question", communicationBody="How many instances may we have?")

    def snapshot() -> Any:
        # Status and severity go round by themselves in the simulated account.
        found = support.describe_cases(includeResolvedCases=True)["cases"]
        return sorted([c["subject"], c.get("ccEmailAddresses") or []] for c in found)

    return Arranged(
        params={
            "subject": "Account compromised",
            "body": "Unknown instances were started with a leaked key.",
            "copy_to": ["security@example.com"],
            "service": "account-management",
            "category": "billing",
        },
        snapshot=snapshot,
    )


@case("aws.support.case_status")
def with_a_letter(world: World) -> Arranged:
    support = world.client("support")
    number = support.create_case(
        subject="Account compromised", communicationBody="Please help.", severityCode="low"
    )["caseId"]
    return Arranged(
        params={"case_id": number},
        snapshot=lambda: None,
        finds={"case_id": number, "subject": "Account compromised", "display_id": "foo_display_id"},
    )


@case("aws.security_ir.open_case", unseen={"security-ir:TagResource": "asked for by CreateCase with tags"})
def with_a_case_on_the_second_page(world: World) -> Arranged:
    cases: dict[str, dict[str, Any]] = {
        f"{1000000000 + n}": {"caseId": f"{1000000000 + n}", "title": f"Case {n}"} for n in range(30)
    }
    tokens: dict[str, str] = {}
    service = world.script("security-ir")

    @service.operation("ListCases")
    def listed(params: dict[str, Any]) -> dict[str, Any]:
        start = int(params.get("nextToken", "0"))
        end = start + params["maxResults"]
        more = {"nextToken": str(end)} if end < len(cases) else {}
        return {"items": list(cases.values())[start:end], **more}

    @service.operation("CreateCase")
    def create(params: dict[str, Any]) -> dict[str, Any]:
        number = tokens.setdefault(params["clientToken"], f"{2000000000 + len(cases)}")
        cases[number] = {"caseId": number, "title": params["title"]}
        return {"caseId": number}

    return Arranged(
        params={
            "title": "Leaked key",
            "description": "A key of user ci leaked; it is disabled.",
            "started_at": "2026-01-31T09:40:00Z",
            "impacted_accounts": ["111122223333"],
            "watchers": [{"email": "security@example.com", "name": "On call"}, {"email": "ada@example.com"}],
            "attacker_ips": ["203.0.113.7"],
        },
        snapshot=lambda: dict(cases),
    )


@case("aws.security_ir.case_status")
def that_waits_for_us(world: World) -> Arranged:
    service = world.script("security-ir")

    @service.operation("GetCase")
    def get(params: dict[str, Any]) -> dict[str, Any]:
        if params["caseId"] != "8403556009":
            raise ScriptedError("ResourceNotFoundException")
        return {
            "title": "Leaked key",
            "caseStatus": "Acknowledged",
            "pendingAction": "Customer",
            "resolverType": "AWS",
            "lastUpdatedDate": NOON,
        }

    @service.operation("ListComments")
    def comments(params: dict[str, Any]) -> dict[str, Any]:
        if "nextToken" not in params:
            first = {"commentId": "000001", "creator": "AWS Responder", "body": "Hello", "createdDate": NOON}
            return {"items": [first], "nextToken": "more"}
        return {"items": [{"commentId": "000002", "creator": "AWS Responder", "body": "Which key?"}]}

    return Arranged(
        params={"case_id": "8403556009"},
        snapshot=lambda: None,
        finds={
            "status": "Acknowledged",
            "waits_for_us": True,
            "updated_at": "2026-01-31T12:00:00Z",
            "comments": [
                {"by": "AWS Responder", "at": None, "text": "Which key?"},
                {"by": "AWS Responder", "at": "2026-01-31T12:00:00Z", "text": "Hello"},
            ],
        },
    )
