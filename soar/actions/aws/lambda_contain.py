"""Stop a Lambda function, and cut it off from what sets it off."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import client
from soar.actions.aws.lambda_common import (
    FunctionParams,
    bounded,
    callers,
    event_sources,
    find_function,
    lambda_errors,
    policy_of,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import TargetGone
from soar.model.base import Fact
from soar.model.terms import Phase, Risk

__all__ = ["DisableEventSources", "FreezeFunction", "RemovePublicUrl"]


class ConcurrencyBefore(StateBefore):
    """How many runs at once are kept for it; None: it takes of what the account has."""

    reserved: int | None = Field(title="reserved concurrency")


@action(
    "aws.lambda.freeze",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "lambda:GetFunctionConfiguration",
        "lambda:ListTags",
        "lambda:GetFunctionConcurrency",
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "lambda:ListEventSourceMappings",
        "lambda:GetPolicy",
    ),
)
class FreezeFunction(Setting[FunctionParams, ConcurrencyBefore]):
    """Let a function run no more: its reserved concurrency becomes 0.

    Nothing about the function is changed or lost: code, settings and callers stay to be looked at, and every new run
    is refused.

    Pre-condition: the function exists and is not tagged `soar:protected`. Frozen already: nothing is done.

    Verified by reading its reserved concurrency: 0.

    Undone by writing the recorded number, or by deleting the reservation if there was none. It refuses if it was
    changed since.

    Pitfalls: runs that have begun go on to their end, for 15 minutes at most. Asynchronous events are tried again for
    up to six hours and are then lost or go to the dead-letter queue; messages of queues and records of streams wait
    until they expire. The credentials of its role stay good: revoke the role's sessions. Putting a reservation back
    can be refused when the account has too little left.

    Example::

        - id: freeze
          name: Freeze the function
          do: aws.lambda.freeze
          with:
            function_name: '{{ (alert | resource("aws.lambda.function")).name }}'
    """

    method = "lambda:GetFunctionConcurrency"

    def look(self, ctx: ActionContext, params: FunctionParams) -> Found[ConcurrencyBefore]:
        function = find_function(ctx, params.function_name)
        with lambda_errors("lambda:GetFunctionConcurrency"):
            reply = client(ctx, "lambda").get_function_concurrency(FunctionName=params.function_name)
        return Found(
            target=function.target,
            state=ConcurrencyBefore(reserved=reply.get("ReservedConcurrentExecutions")),
            facts=(*callers(ctx, params.function_name), f"role: {function.raw.get('Role', 'none')}"),
        )

    def wanted(self, params: FunctionParams, state: ConcurrencyBefore) -> ConcurrencyBefore:
        return ConcurrencyBefore(reserved=0)

    def say(self, params: FunctionParams, found: Found[ConcurrencyBefore], then: ConcurrencyBefore) -> Said:
        return Said(
            summary=f"Freeze function {found.target.name}: no run of it begins any more",
            hits="Whoever calls it gets an error, and events for it wait or are lost.",
            warnings=("Runs that have begun go on, for 15 minutes at most.",),
            undo="Its reservation is deleted, as there was none."
            if found.state.reserved is None
            else f"Its reserved concurrency becomes {found.state.reserved} again.",
        )

    def write(
        self, ctx: ActionContext, params: FunctionParams, now: ConcurrencyBefore, then: ConcurrencyBefore
    ) -> None:
        functions = client(ctx, "lambda")
        if then.reserved is None:
            with lambda_errors("lambda:DeleteFunctionConcurrency"):
                functions.delete_function_concurrency(FunctionName=params.function_name)
            return
        with lambda_errors("lambda:PutFunctionConcurrency"):
            functions.put_function_concurrency(
                FunctionName=params.function_name, ReservedConcurrentExecutions=then.reserved
            )


class UrlParams(FunctionParams):
    """Whose URL."""

    qualifier: str = Field(
        default="",
        pattern=r"^[a-zA-Z0-9-_]{0,128}$",
        description="the alias whose URL it is; empty: the function's",
    )


class UrlBefore(StateBefore):
    """Who may call the URL: `NONE` is everybody, `AWS_IAM` who has the permission; empty: there is no URL."""

    auth_type: str = Field(title="authorization of the URL")


@action(
    "aws.lambda.remove_public_url",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "lambda:GetFunctionConfiguration",
        "lambda:ListTags",
        "lambda:GetFunctionUrlConfig",
        "lambda:UpdateFunctionUrlConfig",
        "lambda:GetPolicy",
    ),
)
class RemovePublicUrl(Setting[UrlParams, UrlBefore]):
    """Close a function's URL to the public: it asks for signed requests from now on.

    The URL itself stays: one that was deleted would come back under another name.

    Pre-condition: the function exists and is not tagged `soar:protected`. It has no URL, or one that asks for IAM
    already: nothing is done.

    Verified by reading the URL's configuration: `AWS_IAM`.

    Undone by letting everybody in again. It refuses if it was changed since.

    Pitfalls: websites and webhooks behind the URL get 403. Principals that the resource policy or their own policies
    let call the URL still may: take them away with `aws.lambda.remove_permission`. A function has one URL of its own
    and one for each alias: each is closed by itself.

    Example::

        - id: close_url
          name: Close the function's URL
          do: aws.lambda.remove_public_url
          with:
            function_name: report-builder
    """

    method = "lambda:GetFunctionUrlConfig"

    def look(self, ctx: ActionContext, params: UrlParams) -> Found[UrlBefore]:
        function = find_function(ctx, params.function_name)
        try:
            with lambda_errors("lambda:GetFunctionUrlConfig"):
                url = client(ctx, "lambda").get_function_url_config(**_named(params))
        except TargetGone:
            return Found(target=function.target, state=UrlBefore(auth_type=""), facts=("it has no URL",))
        open_by = [
            f"policy statement {s.get('Sid', '')} lets everybody call it"
            for s in policy_of(ctx, params.function_name, params.qualifier)
            if s.get("Principal") in ("*", {"AWS": "*"})
        ]
        return Found(
            target=function.target,
            state=UrlBefore(auth_type=url["AuthType"]),
            facts=bounded([f"the URL is {url['FunctionUrl']}", *open_by]),
        )

    def wanted(self, params: UrlParams, state: UrlBefore) -> UrlBefore:
        return UrlBefore(auth_type="AWS_IAM") if state.auth_type == "NONE" else state

    def say(self, params: UrlParams, found: Found[UrlBefore], then: UrlBefore) -> Said:
        return Said(
            summary=f"Close the URL of function {found.target.name} to the public",
            hits="Who calls the URL without a signature gets 403.",
            undo="The URL asks for no signature again.",
        )

    def write(self, ctx: ActionContext, params: UrlParams, now: UrlBefore, then: UrlBefore) -> None:
        with lambda_errors("lambda:UpdateFunctionUrlConfig"):
            client(ctx, "lambda").update_function_url_config(**_named(params), AuthType=then.auth_type)


def _named(params: UrlParams) -> dict[str, str]:
    found = {"FunctionName": params.function_name}
    return {**found, "Qualifier": params.qualifier} if params.qualifier else found


class EventSourcesParams(FunctionParams):
    """Which of its event sources.

    Args:
        sources: ARNs of queues, streams or tables; empty: all.
    """

    sources: tuple[str, ...] = ()


class EnabledSource(Fact):
    """A source that feeds the function now."""

    uuid: str
    source: str


class SourcesBefore(StateBefore):
    """What feeds it now, by the id of the mapping."""

    enabled: tuple[EnabledSource, ...] = Field(title="event sources that feed it")


@action(
    "aws.lambda.disable_event_sources",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "lambda:GetFunctionConfiguration",
        "lambda:ListTags",
        "lambda:ListEventSourceMappings",
        "lambda:UpdateEventSourceMapping",
    ),
)
class DisableEventSources(Setting[EventSourcesParams, SourcesBefore]):
    """Feed a function from no queue, stream or table any more.

    What would have been processed waits where it is, so that nothing is lost as long as it does not expire.

    Pre-condition: the function exists and is not tagged `soar:protected`. No event source is enabled: nothing is done.

    Verified by listing its event sources: none is enabled, and none is still changing.

    Undone by enabling exactly those that were disabled. It refuses if one was enabled, deleted or added since.

    Pitfalls: messages and records expire after the retention of their queue or stream. A batch that was taken before
    is still worked on. Triggers that push (buckets, topics, rules, APIs) are not event sources: they are permissions
    in the resource policy.

    Example::

        - id: starve
          name: Feed the function no more
          do: aws.lambda.disable_event_sources
          with:
            function_name: report-builder
    """

    method = "lambda:ListEventSourceMappings"

    def look(self, ctx: ActionContext, params: EventSourcesParams) -> Found[SourcesBefore]:
        function = find_function(ctx, params.function_name)
        chosen = [
            m
            for m in event_sources(ctx, params.function_name)
            if not params.sources or m.get("EventSourceArn") in params.sources
        ]
        moving = [m["UUID"] for m in chosen if str(m["State"]).endswith("ing")]
        return Found(
            target=function.target,
            state=SourcesBefore(
                enabled=tuple(
                    EnabledSource(uuid=m["UUID"], source=str(m.get("EventSourceArn", "")))
                    for m in chosen
                    if m["State"] not in ("Disabled", "Disabling", "Deleting")
                )
            ),
            facts=bounded(
                [f"{m.get('EventSourceArn', m['UUID'])} is {str(m['State']).lower()}" for m in chosen]
            ),
            pending=f"still changing: {', '.join(moving)}" if moving else "",
        )

    def wanted(self, params: EventSourcesParams, state: SourcesBefore) -> SourcesBefore:
        return SourcesBefore(enabled=())

    def say(self, params: EventSourcesParams, found: Found[SourcesBefore], then: SourcesBefore) -> Said:
        return Said(
            summary=f"Disable {len(found.state.enabled)} event source(s) of function {found.target.name}",
            hits="What these sources bring waits, and is lost once it is older than they keep it.",
            undo="Exactly these sources are enabled again.",
        )

    def write(
        self, ctx: ActionContext, params: EventSourcesParams, now: SourcesBefore, then: SourcesBefore
    ) -> None:
        for source, on in (
            *((s, False) for s in now.enabled if s not in then.enabled),
            *((s, True) for s in then.enabled if s not in now.enabled),
        ):
            with lambda_errors("lambda:UpdateEventSourceMapping"):
                client(ctx, "lambda").update_event_source_mapping(UUID=source.uuid, Enabled=on)
