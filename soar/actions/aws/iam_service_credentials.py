"""Credentials of a user beside keys and password: for single services, for SSH, and for signing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.iam_common import (
    UserName,
    UserParams,
    ensure_user_may_change,
    get_user,
    pages,
    user_target,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Drifted, TargetGone
from soar.model.base import Fact, UtcTime
from soar.model.terms import Phase, Risk

__all__ = ["DeactivateServiceCredentials", "OtherCredential", "other_credentials"]

Kind = Literal["service", "ssh", "certificate"]


class OtherCredential(Fact):
    """A credential that is neither access key nor password.

    Args:
        kind: `service` is a password or key for one service (CodeCommit, Amazon Keyspaces, Amazon Bedrock), `ssh` a
            public key for CodeCommit, `certificate` one that requests may be signed with.
        status: `Active`, `Inactive` or, for some services, `Expired`.
        service: What a credential of kind `service` opens, `bedrock.amazonaws.com`.
        expires: When it ends by itself; None: never.
    """

    kind: Kind
    credential_id: str
    status: str
    created: UtcTime
    service: str = ""
    expires: UtcTime | None = None


def other_credentials(ctx: ActionContext, user_name: UserName) -> list[OtherCredential]:
    """Every credential of a user that is neither access key nor password, by kind and id.

    Needs iam:ListServiceSpecificCredentials, iam:ListSSHPublicKeys and iam:ListSigningCertificates.

    Raises:
        TargetGone: There is no such user.
    """
    with aws_errors("iam:ListServiceSpecificCredentials"):
        service = _service_specific(ctx, user_name)
    with aws_errors("iam:ListSSHPublicKeys"):
        ssh = list(pages(ctx, "list_ssh_public_keys", "SSHPublicKeys", UserName=user_name))
    with aws_errors("iam:ListSigningCertificates"):
        certificates = list(pages(ctx, "list_signing_certificates", "Certificates", UserName=user_name))
    found = [
        OtherCredential(
            kind="service",
            credential_id=c["ServiceSpecificCredentialId"],
            status=c["Status"],
            created=c["CreateDate"],
            service=c["ServiceName"],
            expires=c.get("ExpirationDate"),
        )
        for c in service
    ]
    found += [
        OtherCredential(
            kind="ssh", credential_id=k["SSHPublicKeyId"], status=k["Status"], created=k["UploadDate"]
        )
        for k in ssh
    ]
    found += [
        OtherCredential(
            kind="certificate", credential_id=c["CertificateId"], status=c["Status"], created=c["UploadDate"]
        )
        for c in certificates
    ]
    return sorted(found, key=lambda c: (c.kind, c.credential_id))


def _service_specific(ctx: ActionContext, user_name: str) -> list[dict[str, Any]]:
    iam, found, marker = client(ctx, "iam"), [], ""
    while True:
        more = {"Marker": marker} if marker else {}
        page = iam.list_service_specific_credentials(UserName=user_name, **more)
        found += page["ServiceSpecificCredentials"]
        marker = page.get("Marker", "")
        if not (page.get("IsTruncated") and marker):
            return found


CredentialId = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{16,128}$")]


class ServiceCredentialsParams(UserParams):
    """Whose credentials."""

    credential_ids: tuple[CredentialId, ...] | None = Field(
        default=None, description="only these; left out: every one of the user", min_length=1
    )


class ServiceCredentialsBefore(StateBefore):
    """The status of each credential in question, by its id."""

    service: dict[str, str] = Field(title="service-specific credentials")
    ssh: dict[str, str] = Field(title="SSH public keys")
    certificate: dict[str, str] = Field(title="signing certificates")


def _inactive(statuses: dict[str, str]) -> dict[str, str]:
    return {key: "Inactive" if status == "Active" else status for key, status in statuses.items()}


@action(
    "aws.iam.deactivate_service_credentials",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "iam:GetUser",
        "iam:ListServiceSpecificCredentials",
        "iam:ListSSHPublicKeys",
        "iam:ListSigningCertificates",
        "iam:UpdateServiceSpecificCredential",
        "iam:UpdateSSHPublicKey",
        "iam:UpdateSigningCertificate",
        "sts:GetCallerIdentity",
    ),
    d3fend="D3-CR",
)
class DeactivateServiceCredentials(Setting[ServiceCredentialsParams, ServiceCredentialsBefore]):
    """Set an IAM user's credentials for single services, for SSH and for signing to Inactive.

    They are often forgotten when the access keys are switched off: API keys of Amazon Bedrock, Git passwords and SSH
    keys of CodeCommit, passwords of Amazon Keyspaces, and X.509 certificates that requests are signed with.

    Pre-condition: the user exists, and is neither this worker's own, nor a break-glass user, nor tagged
    `soar:protected`; each credential that is named is the user's. None that is active: nothing is done.

    Verified by listing the user's credentials: each one in question is Inactive.

    Undone by setting those back to Active that were Active before.

    Pitfalls: what expired stays as it is. A credential that is made afterwards is Active: the verification tells of it
    where no ids were given. Access keys and the password are not touched: see `aws.iam.deactivate_access_key` and
    `aws.iam.deny_console_access`. Short-term API keys of Amazon Bedrock belong to a session, not to the user:
    `aws.iam.quarantine_user` stops them.

    Shown on replies of our own making: the simulated account has no service-specific credentials; it has SSH keys and
    signing certificates.

    Example::

        - id: deactivate_others
          name: Switch off the user's Git, Bedrock and signing credentials
          do: aws.iam.deactivate_service_credentials
          with:
            user_name: "{{ alert.actor.name }}"
    """

    method = "iam:ListServiceSpecificCredentials, iam:ListSSHPublicKeys, iam:ListSigningCertificates"

    def look(self, ctx: ActionContext, params: ServiceCredentialsParams) -> Found[ServiceCredentialsBefore]:
        user = get_user(ctx, params.user_name)
        every = other_credentials(ctx, params.user_name)
        ours = [c for c in every if params.credential_ids is None or c.credential_id in params.credential_ids]

        def of(kind: Kind) -> dict[str, str]:
            return {c.credential_id: c.status for c in ours if c.kind == kind}

        facts = [
            f"{c.credential_id} ({c.service or c.kind}) was made {c.created:%Y-%m-%d %H:%M} UTC"
            for c in ours
            if c.status == "Active"
        ]
        missing = sorted(set(params.credential_ids or ()) - {c.credential_id for c in ours})
        if missing:
            # Not "as wanted already": it may be another user's, and still be active there.
            raise TargetGone(
                f"user {params.user_name} has no credential {', '.join(missing)}",
                hint="look with aws.iam.list_credentials whose it is, or whether it was deleted",
            )
        return Found(
            target=user_target(user),
            state=ServiceCredentialsBefore(
                service=of("service"), ssh=of("ssh"), certificate=of("certificate")
            ),
            facts=tuple(facts),
        )

    def wanted(
        self, params: ServiceCredentialsParams, state: ServiceCredentialsBefore
    ) -> ServiceCredentialsBefore:
        return ServiceCredentialsBefore(
            service=_inactive(state.service),
            ssh=_inactive(state.ssh),
            certificate=_inactive(state.certificate),
        )

    def guard(
        self, ctx: ActionContext, params: ServiceCredentialsParams, found: Found[ServiceCredentialsBefore]
    ) -> None:
        ensure_user_may_change(ctx, get_user(ctx, params.user_name))

    def say(
        self,
        params: ServiceCredentialsParams,
        found: Found[ServiceCredentialsBefore],
        then: ServiceCredentialsBefore,
    ) -> Said:
        state = found.state
        active = [
            key
            for statuses in (state.service, state.ssh, state.certificate)
            for key, status in statuses.items()
            if status == "Active"
        ]
        return Said(
            summary=f"Deactivate {len(active)} credential(s) of user {params.user_name}: {', '.join(active)}",
            hits="Git clients, model calls and signed requests that use these credentials stop working.",
            warnings=("The user's access keys and password are not touched.",),
            undo="The credentials that were active are set back to Active.",
        )

    def write(
        self,
        ctx: ActionContext,
        params: ServiceCredentialsParams,
        now: ServiceCredentialsBefore,
        then: ServiceCredentialsBefore,
    ) -> None:
        iam, name = client(ctx, "iam"), params.user_name
        kinds: tuple[tuple[str, Callable[..., Any], str, dict[str, str], dict[str, str]], ...] = (
            (
                "iam:UpdateServiceSpecificCredential",
                iam.update_service_specific_credential,
                "ServiceSpecificCredentialId",
                now.service,
                then.service,
            ),
            ("iam:UpdateSSHPublicKey", iam.update_ssh_public_key, "SSHPublicKeyId", now.ssh, then.ssh),
            (
                "iam:UpdateSigningCertificate",
                iam.update_signing_certificate,
                "CertificateId",
                now.certificate,
                then.certificate,
            ),
        )
        for permission, update, key, statuses, wanted in kinds:
            for credential, status in wanted.items():
                if credential not in statuses:
                    if status == "Active":
                        raise Drifted(
                            f"user {name} cannot have credential {credential} back",
                            differences=(f"{credential} was deleted",),
                            hint="the person makes a new one",
                        )
                elif statuses[credential] != status:
                    with aws_errors(permission):
                        update(UserName=name, Status=status, **{key: credential})
