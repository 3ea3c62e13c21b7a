"""Delete an identity provider by which an attacker let people in from outside."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import ensure_not_reserved, pages, when_present
from soar.actions.aws.iam_trust_policy import principals_of
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, Params, StateBefore, action
from soar.actions.errors import Refused
from soar.model.change import Target
from soar.model.terms import Phase, Risk

__all__ = ["DeleteIdentityProvider"]

MOST_TOLD = 12
OF_IDENTITY_CENTER = "AWSSSO_"
"""What the names of the SAML providers that IAM Identity Center keeps in each account begin with."""


class ProviderParams(Params):
    """Which identity provider."""

    provider_arn: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:(saml-provider/[A-Za-z0-9_.-]{1,128}|oidc-provider/[A-Za-z0-9_.:/-]{1,255})$",
        description="the provider's ARN, `…:saml-provider/…` or `…:oidc-provider/…`",
    )


class ProviderBefore(StateBefore):
    """All that it takes to make the provider again.

    Args:
        metadata: Of a SAML provider: its metadata document.
        url: Of an OpenID Connect provider: where it is, without `https://`.
        clients: Its client ids (audiences).
        thumbprints: Those of its certificates.
        encryption: Of a SAML provider: whether assertions are encrypted, `Required`, `Allowed` or nothing.
    """

    exists: bool = Field(title="exists")
    metadata: str = Field(default="", title="metadata document")
    url: str = Field(default="", title="URL")
    clients: tuple[str, ...] = Field(default=(), title="client ids")
    thumbprints: tuple[str, ...] = Field(default=(), title="thumbprints")
    encryption: str = Field(default="", title="encryption of assertions")
    tags: dict[str, str] = Field(default={}, title="tags")


@action(
    "aws.iam.delete_identity_provider",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "iam:GetSAMLProvider",
        "iam:GetOpenIDConnectProvider",
        "iam:ListRoles",
        "iam:DeleteSAMLProvider",
        "iam:DeleteOpenIDConnectProvider",
        "iam:CreateSAMLProvider",
        "iam:CreateOpenIDConnectProvider",
        "iam:TagSAMLProvider",
        "iam:TagOpenIDConnectProvider",
    ),
)
class DeleteIdentityProvider(Setting[ProviderParams, ProviderBefore]):
    """Delete a SAML or OpenID Connect provider of the account, so that nobody gets a session by it any more.

    An attacker who adds a provider of their own, and names it in a role's trust, comes back without any key of the
    account. The facts name the roles that trust it.

    Pre-condition: it is not the provider of IAM Identity Center, not break-glass, and not tagged `soar:protected`.
    There is none: nothing is done.

    Verified by reading it: there is none any more.

    Undone by making it again under its name, with the same metadata, URL, client ids, thumbprints and tags. Its ARN is
    the same, so that roles that trust it trust it again. Keys by which a SAML provider decrypts assertions are shown to
    nobody: whoever holds them adds them anew. It refuses if somebody made another one of that name since.

    Pitfalls: sessions that were made by it live on until they run out: revoke those of the roles in the facts
    (`aws.iam.revoke_role_sessions`). Everybody who signs in by it is shut out: people of a company's login, pods of an
    EKS cluster, pipelines of a code host. An attacker who may change IAM makes it anew.

    Example::

        - id: delete_provider
          name: Delete the attacker's login
          do: aws.iam.delete_identity_provider
          with:
            provider_arn: arn:aws:iam::123456789012:saml-provider/backdoor
    """

    method = "iam:GetSAMLProvider, iam:GetOpenIDConnectProvider"

    def look(self, ctx: ActionContext, params: ProviderParams) -> Found[ProviderBefore]:
        arn = params.provider_arn
        state, facts = (_saml if _is_saml(arn) else _oidc)(ctx, arn)
        if state.exists:
            trusting = _trusting(ctx, arn)
            more = f" and {len(trusting) - MOST_TOLD} more" if len(trusting) > MOST_TOLD else ""
            facts += (f"roles that trust it: {', '.join(trusting[:MOST_TOLD]) or 'none'}{more}",)
        target = Target(
            uid=arn,
            type="aws.iam.identity_provider",
            name=_name(arn),
            account=arn.split(":")[4],
            tags=state.tags,
        )
        return Found(target=target, state=state, facts=facts)

    def wanted(self, params: ProviderParams, state: ProviderBefore) -> ProviderBefore:
        return ProviderBefore(exists=False)

    def guard(self, ctx: ActionContext, params: ProviderParams, found: Found[ProviderBefore]) -> None:
        name = found.target.name
        if _is_saml(params.provider_arn) and name.startswith(OF_IDENTITY_CENTER):
            raise Refused(
                f"identity provider {name} belongs to IAM Identity Center: nobody could sign in any more",
                hint="remove assignments in IAM Identity Center instead (aws.sso.remove_assignments)",
            )
        ensure_not_reserved("identity provider", name, "/", found.target.tags)

    def say(self, params: ProviderParams, found: Found[ProviderBefore], then: ProviderBefore) -> Said:
        kind = "SAML" if _is_saml(params.provider_arn) else "OpenID Connect"
        warnings = ["Sessions that were made by it live on; revoke those of the roles that trust it."]
        undo = "It is made again under its name, with what is recorded."
        if found.state.encryption:
            warnings.append(
                "Its keys for encrypted assertions cannot be read, and are not put back by the undo."
            )
        return Said(
            summary=f"Delete {kind} provider {found.target.name}",
            hits=f"Nobody gets a session by {found.target.name} any more.",
            warnings=tuple(warnings),
            undo=undo,
        )

    def write(
        self, ctx: ActionContext, params: ProviderParams, now: ProviderBefore, then: ProviderBefore
    ) -> None:
        iam, arn = client(ctx, "iam"), params.provider_arn
        if not then.exists:
            if _is_saml(arn):
                with aws_errors("iam:DeleteSAMLProvider"):
                    when_present(iam.delete_saml_provider, SAMLProviderArn=arn)
            else:
                with aws_errors("iam:DeleteOpenIDConnectProvider"):
                    when_present(iam.delete_open_id_connect_provider, OpenIDConnectProviderArn=arn)
            return
        tags = {"Tags": [{"Key": k, "Value": v} for k, v in sorted(then.tags.items())]} if then.tags else {}
        if _is_saml(arn):
            with aws_errors("iam:CreateSAMLProvider"):
                iam.create_saml_provider(Name=_name(arn), SAMLMetadataDocument=then.metadata, **tags)
        else:
            with aws_errors("iam:CreateOpenIDConnectProvider"):
                iam.create_open_id_connect_provider(
                    Url=f"https://{then.url}",
                    ClientIDList=list(then.clients),
                    ThumbprintList=list(then.thumbprints),
                    **tags,
                )


def _is_saml(arn: str) -> bool:
    return ":saml-provider/" in arn


def _name(arn: str) -> str:
    """`backdoor`, or of OpenID Connect the URL, `idp.example.com/realm`."""
    return arn.partition("-provider/")[2]


def _tags(reply: dict[str, Any]) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in sorted(reply.get("Tags", []), key=lambda t: str(t["Key"]))}


def _saml(ctx: ActionContext, arn: str) -> tuple[ProviderBefore, tuple[str, ...]]:
    with aws_errors("iam:GetSAMLProvider"):
        found = when_present(client(ctx, "iam").get_saml_provider, SAMLProviderArn=arn)
    if found is None:
        return ProviderBefore(exists=False), ()
    state = ProviderBefore(
        exists=True,
        metadata=found["SAMLMetadataDocument"],
        encryption=found.get("AssertionEncryptionMode", "") if found.get("PrivateKeyList") else "",
        tags=_tags(found),
    )
    return state, (f"it was made on {found['CreateDate']:%Y-%m-%d %H:%M} UTC",)


def _oidc(ctx: ActionContext, arn: str) -> tuple[ProviderBefore, tuple[str, ...]]:
    with aws_errors("iam:GetOpenIDConnectProvider"):
        found = when_present(client(ctx, "iam").get_open_id_connect_provider, OpenIDConnectProviderArn=arn)
    if found is None:
        return ProviderBefore(exists=False), ()
    state = ProviderBefore(
        exists=True,
        url=found["Url"].removeprefix("https://"),
        clients=tuple(sorted(found.get("ClientIDList", []))),
        thumbprints=tuple(sorted(found.get("ThumbprintList", []))),
        tags=_tags(found),
    )
    return state, (f"it was made on {found['CreateDate']:%Y-%m-%d %H:%M} UTC",)


def _trusting(ctx: ActionContext, arn: str) -> list[str]:
    """The names of the roles whose trust policies name the provider."""
    with aws_errors("iam:ListRoles"):
        roles = list(pages(ctx, "list_roles", "Roles"))
    return sorted(r["RoleName"] for r in roles if arn in principals_of(r["AssumeRolePolicyDocument"]))
