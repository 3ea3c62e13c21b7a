"""Take callers out of a function's resource policy."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from soar.actions.aws.access import client
from soar.actions.aws.lambda_common import (
    FunctionParams,
    bounded,
    event_sources,
    find_function,
    lambda_errors,
    policy_of,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused
from soar.model.base import JsonObject, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["RemovePermission", "as_request", "is_public"]

CONDITIONS = {
    ("stringequals", "aws:sourceaccount"): "SourceAccount",
    ("arnlike", "aws:sourcearn"): "SourceArn",
    ("stringequals", "aws:principalorgid"): "PrincipalOrgID",
    ("stringequals", "lambda:eventsourcetoken"): "EventSourceToken",
    ("stringequals", "lambda:functionurlauthtype"): "FunctionUrlAuthType",
    ("bool", "lambda:invokedviafunctionurl"): "InvokedViaFunctionUrl",
}
"""The conditions that `lambda:AddPermission` can write, and by which of its arguments."""

BINDING = frozenset({"aws:sourceaccount", "aws:sourcearn", "aws:principalorgid", "lambda:eventsourcetoken"})
"""Conditions that bind a statement to somebody."""


class PermissionParams(FunctionParams):
    """Which statements.

    Args:
        sids: Their ids; empty: all that let everybody in.
    """

    sids: tuple[str, ...] = ()
    qualifier: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9-_$]{0,128}$",
        description="the version or alias whose policy it is; empty: the function's own",
    )


class StatementsBefore(StateBefore):
    """The statements that are to go, by id."""

    statements: tuple[JsonObject, ...] = Field(title="policy statements")


@action(
    "aws.lambda.remove_permission",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "lambda:GetFunctionConfiguration",
        "lambda:ListTags",
        "lambda:GetPolicy",
        "lambda:RemovePermission",
        "lambda:AddPermission",
        "lambda:ListEventSourceMappings",
    ),
)
class RemovePermission(Setting[PermissionParams, StatementsBefore]):
    """Take statements out of a function's resource policy: the named ones, or all that let everybody in.

    A statement lets everybody in if its principal is `*` and no condition binds it to an account, an organization, a
    source or a token. One that a service uses for anybody (`s3.amazonaws.com` without a source) is told of and is
    removed when it is named.

    Pre-condition: the function exists and is not tagged `soar:protected`. No such statement: nothing is done. A
    statement that could not be made again exactly as it is, is refused.

    Verified by reading the policy: none of these statements is in it.

    Undone by adding exactly the removed statements again. It refuses if one of them came back by another hand.

    Pitfalls: principals of the function's own account need no statement here if their own policies let them. A trigger
    (bucket, topic, rule, API) whose statement is gone fails without a word to who set it up. A statement whose
    principal was deleted since cannot be added again.

    Example::

        - id: close_policy
          name: Take everybody out of the function's policy
          do: aws.lambda.remove_permission
          with:
            function_name: report-builder
    """

    method = "lambda:GetPolicy"

    def look(self, ctx: ActionContext, params: PermissionParams) -> Found[StatementsBefore]:
        function = find_function(ctx, params.function_name)
        found = policy_of(ctx, params.function_name, params.qualifier)
        chosen = [s for s in found if (s.get("Sid") in params.sids if params.sids else is_public(s))]
        rest = [s for s in found if s not in chosen]
        sources = event_sources(ctx, params.function_name)
        return Found(
            target=function.target,
            state=StatementsBefore(
                statements=tuple(sorted(chosen, key=lambda s: (str(s.get("Sid", "")), canonical_json(s))))
            ),
            facts=bounded(
                [_for_anybody(s) for s in rest if _serves_anybody(s)]
                + [f"statement {s.get('Sid', '')} stays" for s in rest if not _serves_anybody(s)]
                + [f"still fed from {m.get('EventSourceArn', m['UUID'])}" for m in sources]
            ),
        )

    def wanted(self, params: PermissionParams, state: StatementsBefore) -> StatementsBefore:
        return StatementsBefore(statements=())

    def guard(self, ctx: ActionContext, params: PermissionParams, found: Found[StatementsBefore]) -> None:
        for statement in found.state.statements:
            if as_request(statement) is None:
                raise Refused(
                    f"statement {statement.get('Sid', '')} of {found.target.name} could not be added again as it is",
                    hint="name the other statements in `sids`; remove this one by hand, with its text kept",
                )

    def say(self, params: PermissionParams, found: Found[StatementsBefore], then: StatementsBefore) -> Said:
        names = ", ".join(str(s.get("Sid", "")) for s in found.state.statements)
        return Said(
            summary=f"Remove statement(s) {names} from the policy of function {found.target.name}",
            hits="Who calls the function by these statements alone gets AccessDenied.",
            undo="Exactly these statements are added again.",
        )

    def write(
        self, ctx: ActionContext, params: PermissionParams, now: StatementsBefore, then: StatementsBefore
    ) -> None:
        functions = client(ctx, "lambda")
        named = {"FunctionName": params.function_name}
        if params.qualifier:
            named["Qualifier"] = params.qualifier
        for statement in (s for s in now.statements if s not in then.statements):
            with lambda_errors("lambda:RemovePermission"):
                functions.remove_permission(**named, StatementId=statement["Sid"])
        for statement in (s for s in then.statements if s not in now.statements):
            with lambda_errors("lambda:AddPermission"):
                functions.add_permission(**named, **(as_request(statement) or {}))


def is_public(statement: dict[str, Any]) -> bool:
    """Whether a statement of a function's policy lets everybody in."""
    everybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
    return statement.get("Effect") == "Allow" and everybody and not _bound(statement)


def _bound(statement: dict[str, Any]) -> bool:
    condition = statement.get("Condition") or {}
    return any(key.lower() in BINDING for keys in condition.values() for key in keys)


def _serves_anybody(statement: dict[str, Any]) -> bool:
    """Whether a service may call the function on behalf of any account."""
    principal = statement.get("Principal")
    return isinstance(principal, dict) and "Service" in principal and not _bound(statement)


def _for_anybody(statement: dict[str, Any]) -> str:
    service = statement["Principal"]["Service"]
    return f"statement {statement.get('Sid', '')} stays: {service} may call it for any account; name it to remove it"


def as_request(statement: JsonObject) -> dict[str, Any] | None:
    """The arguments of `lambda:AddPermission` that make a statement as it is; None: there are none."""
    raw: dict[str, Any] = dict(statement)
    principal, act = raw.get("Principal"), raw.get("Action")
    if isinstance(principal, dict) and len(principal) == 1:
        principal = next(iter(principal.values()))
    if not isinstance(principal, str) or not isinstance(act, str):
        return None
    if raw.get("Effect") != "Allow" or not raw.get("Sid"):
        return None
    if set(raw) - {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}:
        return None
    found: dict[str, Any] = {"StatementId": raw["Sid"], "Action": act, "Principal": principal}
    for operator, keys in (raw.get("Condition") or {}).items():
        for key, value in keys.items():
            argument = CONDITIONS.get((operator.lower(), key.lower()))
            if argument is None or not isinstance(value, str | bool):
                return None
            found[argument] = json.loads(str(value).lower()) if argument == "InvokedViaFunctionUrl" else value
    return found
