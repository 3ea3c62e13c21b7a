"""Take the role away from an instance."""

from __future__ import annotations

from typing import Any

from soar.actions.aws.access import aws_errors, client
from soar.actions.aws.ec2_instance import InstanceParams, ensure_may_change, find_instance
from soar.actions.contract import Action, ActionContext, Draft, Planned, StateBefore, action
from soar.actions.errors import Drifted, TargetGone, Unavailable
from soar.model.change import BlastRadius, Change, Result, Target, Verification
from soar.model.terms import Phase, Risk

__all__ = ["DetachInstanceProfile", "roles_of_profile"]


class ProfileBefore(StateBefore):
    """The ARN of the instance profile; empty if there was none."""

    profile_arn: str


def roles_of_profile(ctx: ActionContext, profile_arn: str) -> tuple[str, ...]:
    """The ARNs of the roles (today at most one) in an instance profile; none if the profile is gone."""
    try:
        with aws_errors("iam:GetInstanceProfile"):
            profile = client(ctx, "iam").get_instance_profile(
                InstanceProfileName=profile_arn.rpartition("/")[2]
            )
    except TargetGone:
        return ()
    return tuple(r["Arn"] for r in profile["InstanceProfile"]["Roles"])


def _associations(ctx: ActionContext, instance_id: str) -> list[dict[str, Any]]:
    with aws_errors("ec2:DescribeIamInstanceProfileAssociations"):
        found = client(ctx, "ec2").describe_iam_instance_profile_associations(
            Filters=[{"Name": "instance-id", "Values": [instance_id]}]
        )["IamInstanceProfileAssociations"]
    return [a for a in found if a["State"] in ("associating", "associated")]


@action(
    "aws.ec2.detach_instance_profile",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        "ec2:DescribeInstances",
        "ec2:DescribeIamInstanceProfileAssociations",
        "ec2:DisassociateIamInstanceProfile",
        "ec2:AssociateIamInstanceProfile",
        "iam:GetInstanceProfile",
        "iam:PassRole",
        "sts:GetCallerIdentity",
    ),
)
class DetachInstanceProfile(Action[InstanceParams, ProfileBefore]):
    """Take the instance profile, and with it the role, away from an instance.

    The instance gets no new credentials. Those that it has already stay valid until they expire, for up to six hours:
    revoke them with `aws.iam.revoke_role_sessions` as well.

    Pre-condition: the instance exists and is not tagged `soar:protected`. No profile: nothing is done.

    Verified by reading the instance: it shows no instance profile.

    Undone by attaching the recorded profile again (needs `iam:PassRole` on its role). It refuses if another profile was
    attached since.

    Pitfalls: Session Manager and the CloudWatch agent on the instance stop working: collect memory first.

    Example::

        - id: detach_role
          name: Take the role away from the instance
          do: aws.ec2.detach_instance_profile
          with:
            instance_id: '{{ (alert | resource("aws.ec2.instance")).name }}'
    """

    def plan(self, ctx: ActionContext, params: InstanceParams) -> Draft[ProfileBefore]:
        instance = find_instance(ctx, params.instance_id)
        ensure_may_change(ctx, instance)
        attached = _associations(ctx, instance.id)
        arn = str(attached[0]["IamInstanceProfile"]["Arn"]) if attached else ""
        if not arn:
            return Draft(
                summary=f"{instance.id} has no instance profile",
                targets=(instance.target,),
                changes=(),
                state=ProfileBefore(profile_arn=""),
            )
        roles = roles_of_profile(ctx, arn)
        return Draft(
            summary=f"Take instance profile {arn.rpartition('/')[2]} away from {instance.id}",
            targets=(
                instance.target,
                Target(
                    uid=arn,
                    type="aws.iam.instance_profile",
                    name=arn.rpartition("/")[2],
                    account=instance.account,
                    region=instance.region,
                ),
            ),
            changes=(Change(target=instance.target.uid, field="instance profile", before=arn, after=None),),
            state=ProfileBefore(profile_arn=arn),
            blast_radius=BlastRadius(
                summary="What runs on the instance gets no new credentials.",
                facts=tuple(f"role {role}: other users of it are not touched" for role in roles),
            ),
            warnings=(
                "Credentials that were issued already stay valid for up to six hours: revoke the sessions.",
            ),
            undo="The recorded instance profile is attached again.",
        )

    def apply(self, ctx: ActionContext, planned: Planned[InstanceParams, ProfileBefore]) -> Result:
        wanted = planned.state.profile_arn
        for association in _associations(ctx, planned.params.instance_id):
            arn = association["IamInstanceProfile"]["Arn"]
            if arn != wanted:
                raise Drifted(
                    f"{planned.params.instance_id} has another instance profile than planned",
                    differences=(f"{arn} instead of {wanted}",),
                    hint="plan again",
                )
            with aws_errors("ec2:DisassociateIamInstanceProfile"):
                client(ctx, "ec2").disassociate_iam_instance_profile(
                    AssociationId=association["AssociationId"]
                )
        return Result(summary=f"{wanted} taken away from {planned.params.instance_id}")

    def verify(self, ctx: ActionContext, planned: Planned[InstanceParams, ProfileBefore]) -> Verification:
        arn = find_instance(ctx, planned.params.instance_id).profile_arn
        return Verification(
            verified=not arn,
            seen=f"{planned.params.instance_id} has {arn or 'no instance profile'}",
            method="ec2:DescribeInstances",
        )

    def undo(self, ctx: ActionContext, planned: Planned[InstanceParams, ProfileBefore]) -> Result:
        instance_id, wanted = planned.params.instance_id, planned.state.profile_arn
        attached = [a["IamInstanceProfile"]["Arn"] for a in _associations(ctx, instance_id)]
        if attached and attached != [wanted]:
            raise Drifted(
                f"{instance_id} got another instance profile since",
                differences=tuple(f"{arn} instead of none" for arn in attached),
                hint="decide by hand which profile it is to have",
            )
        if not attached:
            if find_instance(ctx, instance_id).profile_arn:
                raise Unavailable(f"the profile of {instance_id} is still being taken away")
            with aws_errors("ec2:AssociateIamInstanceProfile"):
                client(ctx, "ec2").associate_iam_instance_profile(
                    IamInstanceProfile={"Arn": wanted}, InstanceId=instance_id
                )
        return Result(summary=f"{wanted} is attached to {instance_id} again")
