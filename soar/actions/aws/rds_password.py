"""Give a database a new master password, which nobody but Secrets Manager sees."""

from __future__ import annotations

import json
import secrets
import string

from pydantic import Field

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.guards import ensure_not_protected
from soar.actions.aws.rds_database import (
    Database,
    DatabaseParams,
    database_errors,
    database_facts,
    ensure_may_change,
    find_database,
)
from soar.actions.aws.secrets import CURRENT, Secret, describe_secret, move_stage, read_object
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Refused
from soar.model.base import digest_of
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["RotateMasterPassword"]

PENDING = "AWSPENDING"
LENGTH = 32
"""Characters of a password; some engines take no more than 41, Oracle 30 of them as a rule."""
ORACLE_LENGTH = 30
LETTERS = string.ascii_letters + string.digits + "-_.~!#%^*+="
"""What every engine of RDS takes; `/`, `@`, quotes and blanks are not allowed."""


class PasswordParams(DatabaseParams):
    """Which database, and where its new password goes.

    Args:
        secret_id: For a password that RDS does not manage: the secret, a JSON object, that the applications read.
        password_field: The field of that object.
        hand_over: For a password that RDS does not manage: let RDS make a secret of its own and manage it from now on.
    """

    secret_id: str = Field(default="", max_length=2048)
    password_field: str = Field(default="password", min_length=1, max_length=128)
    hand_over: bool = False


class PasswordBefore(StateBefore):
    """Which secret held the password, and which version of it was current; for the record.

    Args:
        secret: Its ARN; empty if RDS is to make one.
    """

    secret: str
    version: str
    managed: bool


@action(
    "aws.rds.rotate_master_password",
    risk=Risk.DISRUPTIVE,
    phase=Phase.ERADICATION,
    permissions=(
        "rds:DescribeDBInstances",
        "rds:DescribeDBClusters",
        "rds:ModifyDBInstance",
        "rds:ModifyDBCluster",
        "cloudwatch:GetMetricStatistics",
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
        "secretsmanager:CreateSecret",
        "secretsmanager:RotateSecret",
        "secretsmanager:TagResource",
        "kms:DescribeKey",
    ),
    verify_timeout=1200,
    d3fend="D3-CRO",
)
class RotateMasterPassword(Action[PasswordParams, PasswordBefore]):
    """Give a database a new master password.

    A password that RDS manages is rotated by RDS in its own secret. Any other goes into the secret `secret_id`: first
    as its pending version, then to the database, then it becomes the current one, so that a crash in between never
    loses it. With `hand_over: true` RDS makes a secret of its own instead and manages the password from then on. The
    password is in the worker's memory and in the secret only: never in a plan, a result, a log or the history.

    Pre-condition: the DB instance exists, neither it, its cluster nor the secret is tagged `soar:protected`, and no
    rotation of the secret is under way.

    Verified by reading the database and the secret: another version of the secret is current than before, and the
    database has no change of its password pending. Nobody logs in with it.

    Not undone: the old password is known to others; that is why it goes.

    Pitfalls: sessions that are open stay open, also an attacker's: isolate or restart the database. Only the master
    user gets a new password; look for other users in the database. Applications that read the password at their start
    only, or from elsewhere, fail until they are told. Once handed over, RDS changes the password every seven days.

    Example::

        - id: password
          name: New master password
          do: aws.rds.rotate_master_password
          with:
            db_instance_id: customers
            secret_id: "{{ inputs.secret_id }}"
    """

    def plan(self, ctx: ActionContext, params: PasswordParams) -> Draft[PasswordBefore]:
        database = find_database(ctx, params.db_instance_id)
        ensure_may_change(database)
        secret = _secret(ctx, database, params)
        target = database.holder_target
        done = secret is not None and not _managed(database) and secret.version_at(CURRENT) == _version(ctx)
        where = (
            "into a secret that RDS makes and manages" if secret is None else f"into the secret {secret.name}"
        )
        return Draft(
            summary=f"This step has already put a new password of {database.name} {where}"
            if done
            else f"Give {database.name} a new master password, {where}",
            targets=(target, *((secret.target,) if secret else ())),
            # The same words whatever has been done so far: a retry finds the plan that people saw.
            changes=()
            if done
            else (
                Change(
                    target=target.uid,
                    field="master password",
                    before="the present one",
                    after="a new one, in Secrets Manager only",
                ),
            ),
            state=PasswordBefore(
                secret=secret.arn if secret else "",
                version=(secret.version_at(CURRENT) or "") if secret else "",
                managed=bool(_managed(database)),
            ),
            blast_radius=BlastRadius(
                summary="Whoever logs in as the master user with the old password is refused from now on.",
                facts=(
                    f"the master user is {database.holder.get('MasterUsername', 'not known')}",
                    *database_facts(ctx, database),
                ),
            ),
            warnings=("This cannot be undone.", "Sessions that are open stay open."),
        )

    def apply(self, ctx: ActionContext, planned: Planned[PasswordParams, PasswordBefore]) -> Result:
        params, before = planned.params, planned.state
        database = find_database(ctx, params.db_instance_id)
        secret = _secret(ctx, database, params)
        if secret is None:
            _modify(ctx, database, ManageMasterUserPassword=True)
        elif not before.secret:
            return Result(summary=f"RDS manages the password of {database.name} in {secret.name}")
        elif before.managed:
            # RDS takes a rotation that is asked for twice as two; what is current tells whether ours was made.
            rotating = _managed(database).get("SecretStatus") == "rotating"
            if secret.version_at(CURRENT) == before.version and not rotating:
                _modify(ctx, database, RotateMasterUserPassword=True)
        else:
            _through_secret(ctx, database, secret, params)
        return Result(
            summary=f"{database.name} has a new master password, in Secrets Manager",
            data={"secret_arn": secret.arn if secret else ""},
        )

    def verify(self, ctx: ActionContext, planned: Planned[PasswordParams, PasswordBefore]) -> Verification:
        database = find_database(ctx, planned.params.db_instance_id)
        secret = _secret(ctx, database, planned.params)
        wrong = []
        current = (secret.version_at(CURRENT) or "") if secret else ""
        if secret is None:
            wrong.append("RDS does not manage its password")
        elif not current:
            wrong.append(f"no version of {secret.name} is current")
        elif secret.arn == planned.state.secret and current == planned.state.version:
            wrong.append(f"the current version of {secret.name} is the one from before")
        state = str(_managed(database).get("SecretStatus", "active"))
        if state != "active":
            wrong.append(f"the secret is {state}")
        if database.pending or (database.holder.get("PendingModifiedValues") or {}).get("MasterUserPassword"):
            wrong.append("the change of its password is pending")
        return Verification(
            verified=not wrong,
            seen=f"{database.name}: "
            + ("; ".join(wrong) or f"version {current} of {secret.name if secret else ''} is current"),
            method="rds:DescribeDBInstances, rds:DescribeDBClusters, secretsmanager:DescribeSecret",
        )


def _managed(database: Database) -> dict[str, str]:
    """RDS's own secret for the password; empty: RDS does not manage it."""
    return dict(database.holder.get("MasterUserSecret") or {})


def _version(ctx: ActionContext) -> str:
    """The id of the version that this step writes: the same for every try."""
    return digest_of([ctx.incident_id, ctx.step_id, "password"])


def _secret(ctx: ActionContext, database: Database, params: PasswordParams) -> Secret | None:
    """The secret that the new password goes into; None: RDS is to make one.

    Raises:
        Refused: It is protected, rotated at the moment, not there, or named although RDS manages another.
    """
    managed = _managed(database)
    if managed and params.secret_id and params.secret_id != managed["SecretArn"]:
        raise Refused(
            f"RDS manages the password of {database.name} in {managed['SecretArn']}",
            hint="leave `secret_id` out: RDS rotates it in its own secret",
        )
    name = managed.get("SecretArn", params.secret_id)
    if not name:
        if params.hand_over:
            return None
        raise Refused(
            f"RDS does not manage the password of {database.name}, so the new one has nowhere to go",
            hint="name the secret that the applications read (`secret_id`), or set `hand_over: true`",
        )
    secret = describe_secret(ctx, name)
    ensure_not_protected("secret", secret.name, secret.tags)
    if not managed:
        pending = secret.version_at(PENDING)
        if pending not in (None, secret.version_at(CURRENT), _version(ctx)):
            raise Refused(
                f"another rotation of secret {secret.name} is under way: version {pending} is pending",
                hint=f"let it end, or take {PENDING} from that version by hand, then retry the step",
            )
    return secret


def _modify(ctx: ActionContext, database: Database, **wanted: object) -> None:
    call, named, permission = database.modify(client(ctx, "rds"))
    with database_errors(permission, database):
        call(**named, ApplyImmediately=True, **wanted)


def _through_secret(ctx: ActionContext, database: Database, secret: Secret, params: PasswordParams) -> None:
    """Secret first, as pending, then the database, then the secret's current version; each call may come twice."""
    manager, version = client(ctx, "secretsmanager"), _version(ctx)
    if version not in secret.versions:
        value = read_object(ctx, secret.arn) | {params.password_field: _password(database)}
        with aws_errors("secretsmanager:PutSecretValue"):
            manager.put_secret_value(
                SecretId=secret.arn,
                ClientRequestToken=version,
                SecretString=json.dumps(value),
                VersionStages=[PENDING],
            )
    if secret.version_at(CURRENT) != version:
        with aws_errors("secretsmanager:GetSecretValue"):
            text = manager.get_secret_value(SecretId=secret.arn, VersionId=version)["SecretString"]
        _modify(ctx, database, MasterUserPassword=json.loads(text)[params.password_field])
        move_stage(ctx, secret, CURRENT, version)
    move_stage(ctx, describe_secret(ctx, secret.arn), PENDING, None)


def _password(database: Database) -> str:
    length = ORACLE_LENGTH if str(database.raw["Engine"]).startswith(("oracle", "custom-oracle")) else LENGTH
    # Begins with a letter and has a digit, as some engines want it.
    middle = "".join(secrets.choice(LETTERS) for _ in range(length - 2))
    return secrets.choice(string.ascii_letters) + middle + secrets.choice(string.digits)
