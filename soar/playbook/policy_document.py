"""`policy.yaml` as a whole: its type, and how it is read and checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, model_validator

from soar.model.base import Digest, Fact, JsonObject, digest_of
from soar.model.people import Responder
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.document import parse_yaml, validate
from soar.playbook.fields import Duration
from soar.playbook.policy_freezes import Freeze
from soar.playbook.policy_limits import Budget
from soar.playbook.policy_rules import AutonomyRule, Environments, ProtectedTarget

__all__ = ["FOUR_HOURS", "ApprovalTimes", "Policy", "check_policy", "load_policy", "policy_schema"]

FOUR_HOURS = 4 * 3600.0
_QUARTER_HOUR = 15 * 60.0


class ApprovalTimes(Fact):
    """How long people are waited for.

    Args:
        expires: Seconds until a question lapses unanswered, which is not a yes.
        remind: Seconds until, and between, reminders.
    """

    expires: Duration = FOUR_HOURS
    remind: Duration | None = _QUARTER_HOUR


def _empty(value: object) -> bool:
    """A section that a policy does not have is not part of its digest, which thus outlives new kinds of section."""
    return not value


class Policy(Fact):
    """The whole of `policy.yaml`.

    Args:
        environments: What rules call environments, and how to tell them.
    """

    version: Literal[1]
    responders: tuple[Responder, ...] = ()
    environments: Environments = Field(default={}, exclude_if=_empty)
    autonomy: tuple[AutonomyRule, ...] = ()
    protected: tuple[ProtectedTarget, ...] = ()
    budgets: tuple[Budget, ...] = Field(default=(), exclude_if=_empty)
    freezes: tuple[Freeze, ...] = Field(default=(), exclude_if=_empty)
    approvals: ApprovalTimes = ApprovalTimes()

    @model_validator(mode="after")
    def _one_person_one_entry(self) -> Policy:
        for what, values in (
            ("id", [r.id for r in self.responders]),
            ("slack", [r.slack for r in self.responders if r.slack]),
            ("email", [r.email.lower() for r in self.responders if r.email]),
        ):
            twice = sorted({v for v in values if values.count(v) > 1})
            if twice:
                # One person under two ids would be two votes.
                raise ValueError(f'two responders have the {what} "{twice[0]}"')
        return self

    @property
    def digest(self) -> Digest:
        """The policy's version: the SHA-256 of what it says."""
        return digest_of(self.model_dump(mode="json", exclude={"freezes": {"__all__": {"resolved"}}}))

    def resolved_at(self, now: datetime) -> Policy:
        """The same policy, with the same digest, to be decided by around a moment on any machine."""
        if not any(f.weekly for f in self.freezes):
            return self
        return self.model_copy(update={"freezes": tuple(f.resolved_at(now) for f in self.freezes)})

    def responder(self, responder_id: str) -> Responder | None:
        """The responder with this id, or None."""
        return next((r for r in self.responders if r.id == responder_id), None)

    def responder_by_slack(self, user_id: str) -> Responder | None:
        """The responder with this Slack user id, or None."""
        return next((r for r in self.responders if user_id and r.slack == user_id), None)


def load_policy(text: str, *, file: str) -> Policy:
    """Read a policy.

    Args:
        text: YAML 1.2.
        file: The name for messages.

    Returns:
        The policy.

    Raises:
        PlaybookError: It cannot be used; each diagnostic has line and column.
    """
    return check_policy(text, file=file)[0]


def check_policy(text: str, *, file: str, now: datetime | None = None) -> tuple[Policy, list[Diagnostic]]:
    """Read a policy, and look for what it says in vain.

    Args:
        now: For freezes that are over; None: that is not looked at.

    Returns:
        The policy, and warnings.

    Raises:
        PlaybookError: It cannot be used; each diagnostic has line and column.
    """
    from soar.playbook.policy_lint import policy_findings

    document = parse_yaml(text, file=file)
    policy = validate(document, Policy)
    found = policy_findings(document, policy, now)
    if any(d.severity == "error" for d in found):
        raise PlaybookError([d for d in found if d.severity == "error"])
    return policy, sorted(found, key=lambda d: (d.line, d.column))


def policy_schema() -> JsonObject:
    """`policy.yaml` as JSON Schema 2020-12, for editors."""
    schema: dict[str, Any] = Policy.model_json_schema(by_alias=True, mode="validation")
    names = schema["properties"]["environments"]
    # One way to tell an environment may stand there without a list around it.
    for pattern, ways in names["patternProperties"].items():
        names["patternProperties"][pattern] = {"anyOf": [{"$ref": "#/$defs/Environment"}, ways]}
    names["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Policy"}
