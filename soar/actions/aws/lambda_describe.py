"""Everything that is known of a Lambda function, as evidence and for the steps that follow."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_jsonable_python

from soar.actions.aws.access import client
from soar.actions.aws.lambda_common import (
    Function,
    FunctionParams,
    event_sources,
    fetch_code,
    lambda_errors,
    policy_of,
    versions_of,
)
from soar.actions.aws.lambda_permissions import is_public
from soar.actions.contract import ActionContext, action
from soar.actions.errors import ActionError, TargetGone
from soar.model.base import Fact, canonical_json
from soar.model.terms import Phase, Risk

__all__ = ["FunctionFacts", "describe_function"]


class EventSourceFacts(Fact):
    """A queue, stream or table that feeds it."""

    uuid: str
    source: str
    state: str


class VersionFacts(Fact):
    """A published version."""

    version: str
    code_sha256: str
    published_at: str


class FunctionFacts(Fact):
    """A function and what is around it.

    Args:
        variables: The names of its environment variables; their values are nowhere, because they often are secrets.
        code_kept: Whether its package is in the evidence.
        public_statements: The ids of policy statements that let everybody in.
        url_auth: `NONE` is everybody; empty: it has no URL.
        reserved_concurrency: 0 is frozen; None: it has no reservation.
        not_read: What could not be read, and why.
    """

    summary: str
    name: str
    arn: str
    runtime: str
    handler: str
    role: str
    package_type: str
    image: str
    code_sha256: str
    code_kept: bool
    last_modified: str
    variables: tuple[str, ...]
    layers: tuple[str, ...]
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    public_statements: tuple[str, ...]
    url: str
    url_auth: str
    event_sources: tuple[EventSourceFacts, ...]
    versions: tuple[VersionFacts, ...]
    reserved_concurrency: int | None
    tags: dict[str, str]
    not_read: tuple[str, ...]


@action(
    "aws.lambda.describe_function",
    risk=Risk.READ,
    phase=Phase.IDENTIFICATION,
    permissions=(
        "lambda:GetFunction",
        "lambda:GetPolicy",
        "lambda:ListVersionsByFunction",
        "lambda:GetFunctionUrlConfig",
        "lambda:ListEventSourceMappings",
    ),
    plan_timeout=300,
    d3fend="D3-AI",
)
def describe_function(ctx: ActionContext, params: FunctionParams) -> FunctionFacts:
    """Read a function and everything around it, and keep its code as evidence.

    Its configuration, code, layers, network, resource policy, URL, event sources, versions and concurrency. The
    package is fetched, compared with the SHA-256 that Lambda says, and kept. What cannot be read is named in
    `not_read`.

    Evidence: one JSON document with the replies as the service gave them, and the package as a zip file.

    Pitfalls: the values of environment variables are left out everywhere, because they often are secrets; their names
    are there. Code inside layers and container images is named by version and digest and is not fetched. The code runs
    nowhere here: look at it in a place that is made for it.

    That the package is fetched is shown on replies of our own making: the simulated account names an address of AWS's.

    Example::

        - id: function
          name: Look at the function
          do: aws.lambda.describe_function
          with:
            function_name: '{{ (alert | resource("aws.lambda.function")).name }}'
    """
    name = params.function_name
    not_read: list[str] = []
    with lambda_errors("lambda:GetFunction"):
        found = client(ctx, "lambda").get_function(FunctionName=name)
    raw, code = found["Configuration"], found["Code"]
    function = Function(raw, dict(found.get("Tags", {})))
    variables = tuple(sorted((raw.get("Environment") or {}).get("Variables", {})))
    if raw.get("Environment"):
        raw["Environment"] = {"Variables": variables}
    policy, url = policy_of(ctx, name), _url(ctx, name)
    sources, versions = event_sources(ctx, name), versions_of(ctx, name)
    for version in versions:
        version.pop("Environment", None)
    kept = _keep_code(ctx, raw, code, not_read)
    document = {
        "configuration": raw,
        "code": {k: v for k, v in code.items() if k != "Location"},
        "concurrency": found.get("Concurrency", {}),
        "tags": function.tags,
        "policy": policy,
        "url": url,
        "event_sources": sources,
        "versions": versions,
    }
    ctx.keep_evidence(
        f"{raw['FunctionName']}.json",
        canonical_json(to_jsonable_python(document)).encode(),
        media_type="application/json",
        source="lambda:GetFunction",
    )
    public = tuple(sorted(str(s.get("Sid", "")) for s in policy if is_public(s)))
    network = raw.get("VpcConfig") or {}
    return FunctionFacts(
        summary=_summary(raw, public, url, len(sources)),
        name=raw["FunctionName"],
        arn=function.arn,
        runtime=raw.get("Runtime") or "",
        handler=raw.get("Handler") or "",
        role=raw.get("Role") or "",
        package_type=raw.get("PackageType") or "Zip",
        image=code.get("ResolvedImageUri") or code.get("ImageUri") or "",
        code_sha256=raw.get("CodeSha256") or "",
        code_kept=kept,
        last_modified=str(raw.get("LastModified", "")),
        variables=variables,
        layers=tuple(str(layer["Arn"]) for layer in raw.get("Layers") or []),
        subnets=tuple(sorted(network.get("SubnetIds") or [])),
        security_groups=tuple(sorted(network.get("SecurityGroupIds") or [])),
        public_statements=public,
        url=url.get("FunctionUrl", ""),
        url_auth=url.get("AuthType", ""),
        event_sources=tuple(
            EventSourceFacts(
                uuid=m["UUID"], source=m.get("EventSourceArn") or "", state=str(m.get("State", ""))
            )
            for m in sources
        ),
        versions=tuple(
            VersionFacts(
                version=v["Version"], code_sha256=v["CodeSha256"], published_at=str(v.get("LastModified", ""))
            )
            for v in versions
            if v["Version"] != "$LATEST"
        ),
        reserved_concurrency=(found.get("Concurrency") or {}).get("ReservedConcurrentExecutions"),
        tags=function.tags,
        not_read=tuple(not_read),
    )


def _url(ctx: ActionContext, name: str) -> dict[str, Any]:
    try:
        with lambda_errors("lambda:GetFunctionUrlConfig"):
            found: dict[str, Any] = client(ctx, "lambda").get_function_url_config(FunctionName=name)
    except TargetGone:
        return {}
    found.pop("ResponseMetadata", None)
    return found


def _keep_code(ctx: ActionContext, raw: dict[str, Any], code: dict[str, Any], not_read: list[str]) -> bool:
    """Put the package into the vault. A refusal costs only this part: the rest is still returned."""
    if raw.get("PackageType") == "Image" or not code.get("Location"):
        not_read.append("code: it is a container image; keep it with aws.ecr.keep_image")
        return False
    try:
        package = fetch_code(code["Location"], raw["CodeSha256"])
    except ActionError as error:
        not_read.append(f"code: {error.message}")
        return False
    ctx.keep_evidence(
        f"{raw['FunctionName']}.zip", package, media_type="application/zip", source="lambda:GetFunction"
    )
    return True


def _summary(raw: dict[str, Any], public: tuple[str, ...], url: dict[str, Any], sources: int) -> str:
    parts = [f"{raw['FunctionName']} ({raw.get('Runtime') or raw.get('PackageType', '')})"]
    parts.append(f"role {str(raw.get('Role', '')).rpartition('/')[2]}")
    if url:
        parts.append(
            "its URL is open to everybody" if url.get("AuthType") == "NONE" else "its URL asks for IAM"
        )
    if public:
        parts.append(f"its policy lets everybody in by {', '.join(public)}")
    parts.append(f"{sources} event source(s)")
    return ", ".join(parts)
