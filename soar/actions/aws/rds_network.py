"""Take a database off the internet, or off the network."""

from __future__ import annotations

from pydantic import Field

from soar.actions.aws.access import client
from soar.actions.aws.ec2_groups import (
    delete_when_unused,
    find_group,
    group_name,
    isolating_group,
    rules_of,
)
from soar.actions.aws.rds_database import (
    Database,
    DatabaseParams,
    database_errors,
    database_facts,
    ensure_may_change,
    find_database,
)
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted, Refused, Unavailable
from soar.model.change import BlastRadius, Change, Result, Verification
from soar.model.terms import Phase, Risk

__all__ = ["IsolateDatabase", "MakeDatabasePrivate"]

LOOK_EVERY = 10.0
"""Seconds between two looks at a database that is modifying; that takes some minutes."""


class PublicBefore(StateBefore):
    """Whether the database has a public address."""

    public: bool = Field(title="publicly accessible")


@action(
    "aws.rds.make_private",
    risk=Risk.REVERSIBLE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "rds:DescribeDBInstances",
        "rds:DescribeDBClusters",
        "rds:ModifyDBInstance",
        "cloudwatch:GetMetricStatistics",
    ),
    verify_timeout=1200,
)
class MakeDatabasePrivate(Setting[DatabaseParams, PublicBefore]):
    """Take a database's public address away, so that it is reached from its VPC only.

    Its name then resolves to the private address. Security groups, data and sessions from inside stay.

    Pre-condition: the DB instance exists, is not tagged `soar:protected`, and RDS can modify it now. Private already:
    nothing is done.

    Verified by reading the instance: it is not publicly accessible, and it is not modifying any more.

    Undone by making it publicly accessible again. It then gets another public address under the same name.

    Pitfalls: clients outside of the VPC lose it, also those of your own offices and of other clouds. It takes RDS some
    minutes. Each instance of a cluster has this setting by itself: do it for all of them. Data that was copied out
    stays out.

    Example::

        - id: private
          name: Take the database off the internet
          do: aws.rds.make_private
          with:
            db_instance_id: customers
    """

    method = "rds:DescribeDBInstances"

    def look(self, ctx: ActionContext, params: DatabaseParams) -> Found[PublicBefore]:
        database = find_database(ctx, params.db_instance_id)
        modifying = database.raw["DBInstanceStatus"] == "modifying"
        return Found(
            target=database.target,
            state=PublicBefore(public=bool(database.raw.get("PubliclyAccessible"))),
            facts=database_facts(ctx, database),
            pending="the database is still modifying" if modifying else "",
        )

    def wanted(self, params: DatabaseParams, state: PublicBefore) -> PublicBefore:
        return PublicBefore(public=False)

    def guard(self, ctx: ActionContext, params: DatabaseParams, found: Found[PublicBefore]) -> None:
        ensure_may_change(find_database(ctx, params.db_instance_id))

    def say(self, params: DatabaseParams, found: Found[PublicBefore], then: PublicBefore) -> Said:
        return Said(
            summary=f"Take the public address of database {found.target.name} away",
            hits="Clients outside of its VPC cannot reach it any more.",
            undo="It is made publicly accessible again, under the same name and with another address.",
        )

    def write(
        self, ctx: ActionContext, params: DatabaseParams, now: PublicBefore, then: PublicBefore
    ) -> None:
        database = find_database(ctx, params.db_instance_id)
        with database_errors("rds:ModifyDBInstance", database):
            client(ctx, "rds").modify_db_instance(
                DBInstanceIdentifier=database.id, PubliclyAccessible=then.public, ApplyImmediately=True
            )


class NetworkBefore(StateBefore):
    """What isolating changes.

    Args:
        groups: The ids of its security groups, sorted.
    """

    groups: tuple[str, ...]
    deletion_protection: bool


@action(
    "aws.rds.isolate",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "rds:DescribeDBInstances",
        "rds:DescribeDBClusters",
        "rds:ModifyDBInstance",
        "rds:ModifyDBCluster",
        "cloudwatch:GetMetricStatistics",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSecurityGroupRules",
        "ec2:CreateSecurityGroup",
        "ec2:CreateTags",
        "ec2:DeleteSecurityGroup",
        "ec2:RevokeSecurityGroupIngress",
        "ec2:RevokeSecurityGroupEgress",
    ),
    plan_timeout=900,
    verify_timeout=1200,
    d3fend="D3-NI",
)
class IsolateDatabase(Action[DatabaseParams, NetworkBefore]):
    """Cut a database off the network, and protect it from being deleted.

    It gets one security group without any rule, made for this incident and database, in place of its own, and deletion
    protection with the same call. For an instance of a cluster this is done to the whole cluster, which has these
    settings for all its instances.

    Pre-condition: the DB instance exists in a VPC, neither it nor its cluster is tagged `soar:protected`, and RDS can
    modify it now. Groups without rules and deletion protection already: nothing is done.

    Verified by reading it: it is in the empty group alone, that group has no rule, deletion protection is on, and
    nothing is still changing.

    Undone by giving it its recorded groups and deletion protection back, and deleting the group once nothing uses it.

    Pitfalls: a change of security groups does not end sessions that are open: they live until they are idle or the
    database is restarted or stopped. Replication between instances of one Aurora cluster goes on; read
    replicas outside of it stop following. Whoever may call the Data API (`rds-data`) needs no network: take away the
    credentials too.

    Example::

        - id: isolate
          name: Cut the database off the network
          do: aws.rds.isolate
          with:
            db_instance_id: customers
          approval:
            role: responder
            approvers: 1
    """

    def plan(self, ctx: ActionContext, params: DatabaseParams) -> Draft[NetworkBefore]:
        database = find_database(ctx, params.db_instance_id)
        ensure_may_change(database)
        now = _network(database)
        target = database.holder_target
        empty = bool(now.groups) and not any(rules_of(ctx, now.groups).values())
        changes = []
        if not empty:
            changes.append(
                Change(
                    target=target.uid,
                    field="security groups",
                    before=list(now.groups),
                    after=[group_name(ctx, database.holder_id, "isolated")],
                )
            )
        if not now.deletion_protection:
            changes.append(Change(target=target.uid, field="deletion protection", before=False, after=True))
        if changes and not database.vpc_id:
            raise Refused(
                f"RDS does not say which VPC {database.name} is in, so no security group can be made for it",
                hint="isolate it by hand with a security group that has no rules",
            )
        return Draft(
            summary=f"Cut {database.name} off the network"
            if changes
            else f"{database.name} is isolated already: its security groups have no rule",
            targets=(target,),
            changes=tuple(changes),
            state=now,
            blast_radius=BlastRadius(
                summary="No new session can be opened by anybody; those that are open live on.",
                facts=database_facts(ctx, database),
            )
            if changes
            else BlastRadius(),
            warnings=("Sessions that are open now are not cut by this.",) if changes else (),
            undo="Its recorded groups and deletion protection are written back; the group that was made is deleted.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[DatabaseParams, NetworkBefore]) -> Result:
        database = find_database(ctx, planned.params.db_instance_id)
        # The group is whole before the database is in it.
        ours = isolating_group(ctx, database.holder_id, database.vpc_id)
        _write(ctx, database, NetworkBefore(groups=(ours,), deletion_protection=True))
        return Result(summary=f"{database.name} is in {ours} alone", data={"security_group": ours})

    def verify(self, ctx: ActionContext, planned: Planned[DatabaseParams, NetworkBefore]) -> Verification:
        database = find_database(ctx, planned.params.db_instance_id)
        ours = find_group(ctx, group_name(ctx, database.holder_id, "isolated"), database.vpc_id)
        now = _network(database)
        wrong = []
        if now.groups != (ours,):
            wrong.append(f"it is in {', '.join(now.groups) or 'no group'}")
        elif rules_of(ctx, [ours])[ours]:
            wrong.append(f"its group {ours} has rules")
        if not now.deletion_protection:
            wrong.append("deletion protection is off")
        if database.pending:
            wrong.append(database.pending)
        return Verification(
            verified=not wrong,
            seen=f"{database.name}: "
            + ("; ".join(wrong) or f"only in {ours}, which has no rule; deletion protection is on"),
            method="rds:DescribeDBInstances, rds:DescribeDBClusters, ec2:DescribeSecurityGroupRules",
        )

    def undo(self, ctx: ActionContext, planned: Planned[DatabaseParams, NetworkBefore]) -> Result:
        database = find_database(ctx, planned.params.db_instance_id)
        ours = find_group(ctx, group_name(ctx, database.holder_id, "isolated"), database.vpc_id)
        now = _network(database)
        if now.groups not in ((ours,), planned.state.groups):
            raise Drifted(
                f"the security groups of {database.name} were changed since",
                differences=(f"it is in {', '.join(now.groups)}",),
                hint="look who changed them; set them by hand",
            )
        _write(ctx, database, planned.state)
        # The group can be deleted only once RDS has taken the database's interfaces out of it.
        while find_database(ctx, planned.params.db_instance_id).pending:
            ctx.report(f"{database.name} is still modifying")
            if not ctx.wait(LOOK_EVERY):
                raise Unavailable(f"the step was cancelled while {database.name} is still modifying")
        kept = bool(ours) and not delete_when_unused(ctx, ours)
        return Result(
            summary=f"{database.name} has its security groups back"
            + (f"; {ours} is still in use and kept" if kept else "")
        )


def _network(database: Database) -> NetworkBefore:
    return NetworkBefore(
        groups=database.groups, deletion_protection=bool(database.holder.get("DeletionProtection"))
    )


def _write(ctx: ActionContext, database: Database, then: NetworkBefore) -> None:
    """Both settings by one call; nothing is sent where they are so already."""
    if _network(database) == then:
        return
    call, named, permission = database.modify(client(ctx, "rds"))
    with database_errors(permission, database):
        call(
            **named,
            VpcSecurityGroupIds=list(then.groups),
            DeletionProtection=then.deletion_protection,
            ApplyImmediately=True,
        )
