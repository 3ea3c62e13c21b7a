"""Put a Lambda function back onto the code of a published version."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import client
from soar.actions.aws.lambda_common import (
    FunctionParams,
    bounded,
    callers,
    fetch_code,
    find_function,
    lambda_errors,
    versions_of,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused, TargetGone
from soar.model.terms import Phase, Risk

__all__ = ["RollbackCode"]

LATEST = "$LATEST"
MOST_UPLOAD = 50 * 1024 * 1024
"""Bytes of a package that Lambda takes in a request; a larger one has to come from a bucket."""


class RollbackParams(FunctionParams):
    """To which version.

    Args:
        sha256: What the version's code must be, as Lambda says it (base64); empty: as it is.
    """

    version: str = Field(
        pattern=r"^[0-9]{1,10}$", description="a published version whose code is known to be good"
    )
    sha256: str = Field(default="", pattern=r"^([A-Za-z0-9+/]{43}=|[0-9a-f]{64})?$")


class CodeBefore(StateBefore):
    """The code that runs, and that of the version, by the SHA-256 that Lambda says."""

    code: str = Field(title="SHA-256 of the code")
    good: str = Field(title="SHA-256 of the version's code")


@action(
    "aws.lambda.rollback_code",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "lambda:GetFunctionConfiguration",
        "lambda:ListTags",
        "lambda:ListVersionsByFunction",
        "lambda:ListEventSourceMappings",
        "lambda:GetPolicy",
        "lambda:GetFunction",
        "lambda:PublishVersion",
        "lambda:UpdateFunctionCode",
    ),
    apply_timeout=300,
    verify_timeout=300,
    d3fend="D3-RO",
)
class RollbackCode(Setting[RollbackParams, CodeBefore]):
    """Let a function run the code of one of its published versions again.

    The code that runs now is published as a version first, so that it stays to be looked at. Then the good version's
    package is fetched, compared with its SHA-256, and written to the function.

    Pre-condition: the function and the version exist, the function is not tagged `soar:protected`, and `sha256`, if
    given, is that of the version. It runs this code already: nothing is done.

    Verified by reading the function: the SHA-256 of its code is that of the version, and the update is through.

    Undone by writing the code of the version that was published from it. It refuses if the code was changed since. The
    published version itself stays: it is evidence.

    Pitfalls: only the code is put back. Layers, environment, handler, role and runtime are as they are now, and may be
    what was tampered with: compare them in the evidence of `aws.lambda.describe_function`. Callers of an alias or of a
    version are not affected. Whether the version is good, nobody can tell but you: an attacker can publish versions as
    well. Packages above 50 MB cannot be written this way. A function that is signed takes only signed code.

    That the package is fetched is shown on replies of our own making: the simulated account names an address of AWS's.

    Example::

        - id: good_code
          name: Put the good code back
          do: aws.lambda.rollback_code
          with:
            function_name: report-builder
            version: "7"
    """

    method = "lambda:GetFunctionConfiguration"

    def look(self, ctx: ActionContext, params: RollbackParams) -> Found[CodeBefore]:
        function = find_function(ctx, params.function_name)
        versions = versions_of(ctx, params.function_name)
        good = next((v for v in versions if v["Version"] == params.version), None)
        if good is None:
            known = ", ".join(v["Version"] for v in versions if v["Version"] != LATEST) or "none"
            raise TargetGone(
                f"function {params.function_name} has no version {params.version}",
                hint=f"published versions: {known[:200]}",
            )
        facts = [f"version {params.version} was published at {good.get('LastModified', 'an unknown time')}"]
        for what in ("Handler", "Runtime", "Role", "Layers"):
            if good.get(what) != function.raw.get(what):
                facts.append(f"{what.lower()} differs from the version's and is not put back")
        return Found(
            target=function.target,
            state=CodeBefore(code=function.raw["CodeSha256"], good=good["CodeSha256"]),
            facts=bounded(facts + list(callers(ctx, params.function_name))),
            pending=function.pending,
        )

    def wanted(self, params: RollbackParams, state: CodeBefore) -> CodeBefore:
        return CodeBefore(code=state.good, good=state.good)

    def guard(self, ctx: ActionContext, params: RollbackParams, found: Found[CodeBefore]) -> None:
        if params.sha256 and params.sha256 != found.state.good:
            raise Refused(
                f"version {params.version} of {found.target.name} has the code {found.state.good}, "
                f"not {params.sha256}",
                hint="somebody may have published another version: look for the right one by its SHA-256",
            )

    def say(self, params: RollbackParams, found: Found[CodeBefore], then: CodeBefore) -> Said:
        return Said(
            summary=f"Let function {found.target.name} run the code of version {params.version} again",
            hits="Every run from then on is of the version's code.",
            warnings=("Only the code is put back; layers, environment, role and handler stay as they are.",),
            undo="The code that runs now is written back, from the version that is published of it.",
        )

    def write(self, ctx: ActionContext, params: RollbackParams, now: CodeBefore, then: CodeBefore) -> None:
        name = params.function_name
        # Published before it is overwritten: from then on the code can neither be lost nor changed.
        if not _published(ctx, name, now.code):
            with lambda_errors("lambda:PublishVersion"):
                client(ctx, "lambda").publish_version(
                    FunctionName=name,
                    CodeSha256=now.code,
                    Description=f"before the rollback, soar {ctx.incident_id}"[:256],
                )
        wanted = _published(ctx, name, then.code)
        if not wanted:
            raise TargetGone(
                f"no version of {name} has the code {then.code} any more",
                hint="write the code from where it was built; its package may be in the evidence",
            )
        with lambda_errors("lambda:GetFunction"):
            found = client(ctx, "lambda").get_function(FunctionName=name, Qualifier=wanted)
        with lambda_errors("lambda:UpdateFunctionCode"):
            client(ctx, "lambda").update_function_code(FunctionName=name, **_package(found))


def _published(ctx: ActionContext, name: str, sha256: str) -> str:
    """The newest published version that has this code; empty: none."""
    found = [
        v["Version"] for v in versions_of(ctx, name) if v["Version"] != LATEST and v["CodeSha256"] == sha256
    ]
    return max(found, key=int, default="")


def _package(found: dict[str, Any]) -> dict[str, Any]:
    """A version's code as an argument of `lambda:UpdateFunctionCode`."""
    code = found["Code"]
    if code.get("RepositoryType") == "ECR" or code.get("ImageUri"):
        # By digest: a tag may point to another image by now.
        return {"ImageUri": code.get("ResolvedImageUri") or code["ImageUri"]}
    package = fetch_code(code["Location"], found["Configuration"]["CodeSha256"])
    if len(package) > MOST_UPLOAD:
        raise Refused(
            f"the package has {len(package)} bytes and Lambda takes {MOST_UPLOAD} in a request",
            hint="put it into a bucket and write it from there, by hand",
        )
    return {"ZipFile": package}
