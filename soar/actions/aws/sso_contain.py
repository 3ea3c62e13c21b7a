"""Take from a user or group of IAM Identity Center what it may do in accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict, Field

from soar.actions.aws.access import client
from soar.actions.aws.setting import Found, Said, Setting
from soar.actions.aws.sso_common import (
    GROUP_READS,
    USER_READS,
    InstanceParams,
    PermissionSets,
    SsoPrincipal,
    SsoPrincipalParams,
    assigned_to,
    find_principal,
    groups_of,
    sso_errors,
)
from soar.actions.contract import ActionContext, StateBefore, action
from soar.actions.errors import Refused, Unavailable
from soar.model.terms import Phase, Risk

__all__ = ["RemoveAssignments", "RemoveFromGroups"]

MOST_TOLD = 12
AT_ONCE = 10
"""Assignments that may be under way at the same time (quotas of IAM Identity Center)."""
POLL_SECONDS = 1.0
LONGEST_WAIT = 240.0
"""Seconds for one batch of assignments."""


class AssignmentsParams(SsoPrincipalParams):
    """Whose assignments, and in which accounts."""

    accounts: tuple[Annotated[str, Field(pattern=r"^[0-9]{12}$")], ...] = Field(
        default=(), max_length=1000, description="only in these accounts; left out: in all"
    )


class Assignment(BaseModel):
    """A permission set in an account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str
    permission_set: str


class AssignmentsBefore(StateBefore):
    """What is assigned to the principal itself, by account and permission set."""

    assignments: tuple[Assignment, ...] = Field(title="assignments")


@action(
    "aws.sso.remove_assignments",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        *USER_READS,
        *GROUP_READS,
        "sso:ListAccountAssignmentsForPrincipal",
        "sso:DescribePermissionSet",
        "sso:CreateAccountAssignment",
        "sso:DeleteAccountAssignment",
        "sso:DescribeAccountAssignmentCreationStatus",
        "sso:DescribeAccountAssignmentDeletionStatus",
        "sts:GetCallerIdentity",
    ),
    apply_timeout=900,
    plan_timeout=900,
)
class RemoveAssignments(Setting[AssignmentsParams, AssignmentsBefore]):
    """Take from a user or group of IAM Identity Center what it is assigned in accounts.

    Afterwards it gets no new session by them. Nobody can disable a user of IAM Identity Center by an API: this and
    `aws.sso.remove_from_groups` are the way. The assignments are taken away ten at a time, and each is waited for.

    Pre-condition: the step runs in the management account, in the region of IAM Identity Center; the user or group
    exists, and is neither break-glass, nor whom this worker is signed in as. Nothing is assigned to it itself: nothing
    is done.

    Verified by listing what is assigned: nothing of it is, in the accounts in question.

    Undone by assigning exactly the recorded permission sets again. It refuses if somebody assigned something since.

    Pitfalls: sessions of roles live on, up to 12 h; the facts tell how long. No policy can be put on the roles named
    `AWSReservedSSO_…` themselves: until the sessions run out, only a service control policy stops them. What the user
    has by its groups is not touched. Where users and groups come from a login of the company, or assignments from code,
    these put them back. An assignment of the management account can only be changed from there.

    Example::

        - id: shut_out
          name: Take the user's access to all accounts away
          do: aws.sso.remove_assignments
          with:
            name: "{{ alert.actor.session_name }}"
    """

    method = "sso:ListAccountAssignmentsForPrincipal"

    def look(self, ctx: ActionContext, params: AssignmentsParams) -> Found[AssignmentsBefore]:
        principal = find_principal(ctx, params, params.type, params.name)
        assigned = [
            a
            for a in assigned_to(ctx, principal.instance, principal.kind, principal.id)
            if not params.accounts or a.account in params.accounts
        ]
        own = sorted({(a.account, a.permission_set) for a in assigned if not a.group})
        sets = PermissionSets(ctx, principal.instance)
        facts = [
            f"{sets.of(arn)[0]} in {account}; its sessions live {sets.of(arn)[1]}"
            for account, arn in own[:MOST_TOLD]
        ]
        if len(own) > MOST_TOLD:
            facts.append(f"and {len(own) - MOST_TOLD} more")
        by_groups = {a.group for a in assigned if a.group}
        if by_groups:
            facts.append(f"it has more by {len(by_groups)} group(s), which is not touched")
        return Found(
            target=principal.target,
            state=AssignmentsBefore(
                assignments=tuple(Assignment(account=a, permission_set=p) for a, p in own)
            ),
            facts=tuple(facts),
        )

    def wanted(self, params: AssignmentsParams, state: AssignmentsBefore) -> AssignmentsBefore:
        return AssignmentsBefore(assignments=())

    def guard(self, ctx: ActionContext, params: AssignmentsParams, found: Found[AssignmentsBefore]) -> None:
        find_principal(ctx, params, params.type, params.name).ensure_may_change(ctx)

    def say(
        self, params: AssignmentsParams, found: Found[AssignmentsBefore], then: AssignmentsBefore
    ) -> Said:
        count = len(found.state.assignments)
        accounts = {a.account for a in found.state.assignments}
        who = f"{params.type} {found.target.name}"
        whom = "Everybody in it gets" if params.type == "group" else "It gets"
        return Said(
            summary=f"Take {count} assignment(s) in {len(accounts)} account(s) from {who} of IAM Identity Center",
            hits=f"{whom} no new session by them.",
            warnings=("Sessions that exist live on until they run out.",),
            undo="The recorded permission sets are assigned again.",
        )

    def write(
        self, ctx: ActionContext, params: AssignmentsParams, now: AssignmentsBefore, then: AssignmentsBefore
    ) -> None:
        principal = find_principal(ctx, params, params.type, params.name)
        sso = client(ctx, "sso-admin")
        _all(
            ctx,
            principal,
            sorted(set(now.assignments) - set(then.assignments), key=_order),
            _Way("Deletion", sso.delete_account_assignment, sso.describe_account_assignment_deletion_status),
        )
        _all(
            ctx,
            principal,
            sorted(set(then.assignments) - set(now.assignments), key=_order),
            _Way("Creation", sso.create_account_assignment, sso.describe_account_assignment_creation_status),
        )


def _order(assignment: Assignment) -> tuple[str, str]:
    return assignment.account, assignment.permission_set


class _Way:
    """How an assignment is made or taken away: a request, and how it is going.

    Args:
        word: `Creation` or `Deletion`, as AWS names the fields.
    """

    def __init__(self, word: str, start: Callable[..., Any], status: Callable[..., Any]) -> None:
        verb = {"Creation": "Create", "Deletion": "Delete"}[word]
        self.word, self._start, self._status = word, start, status
        self._started, self._asked = (
            f"sso:{verb}AccountAssignment",
            f"sso:DescribeAccountAssignment{word}Status",
        )

    def start(self, principal: SsoPrincipal, one: Assignment) -> dict[str, Any]:
        """Begin; returns the status. What is gone already is done."""
        with sso_errors(self._started):
            try:
                reply = self._start(
                    InstanceArn=principal.instance.arn,
                    TargetId=one.account,
                    TargetType="AWS_ACCOUNT",
                    PermissionSetArn=one.permission_set,
                    PrincipalType=principal.kind.upper(),
                    PrincipalId=principal.id,
                )
            except ClientError as error:
                gone = error.response.get("Error", {}).get("Code") == "ResourceNotFoundException"
                if self.word == "Deletion" and gone:
                    return {"Status": "SUCCEEDED"}
                raise
        status: dict[str, Any] = reply[f"AccountAssignment{self.word}Status"]
        return status

    def ask(self, principal: SsoPrincipal, request: str) -> dict[str, Any]:
        """How far a request is."""
        with sso_errors(self._asked):
            reply = self._status(
                InstanceArn=principal.instance.arn, **{f"AccountAssignment{self.word}RequestId": request}
            )
        status: dict[str, Any] = reply[f"AccountAssignment{self.word}Status"]
        return status


def _all(ctx: ActionContext, principal: SsoPrincipal, todo: Iterable[Assignment], way: _Way) -> None:
    """Make or take away assignments, some at a time.

    Raises:
        Refused: AWS says that one failed.
        Unavailable: They are still under way after a while; another try finds what is left.
    """
    left = list(todo)
    for first in range(0, len(left), AT_ONCE):
        batch = left[first : first + AT_ONCE]
        running = {one: way.start(principal, one) for one in batch}
        waited = 0.0
        while True:
            for one, status in running.items():
                if status.get("Status") == "IN_PROGRESS":
                    running[one] = way.ask(principal, status["RequestId"])
            busy = [one for one, status in running.items() if status.get("Status") == "IN_PROGRESS"]
            if not busy:
                break
            if waited >= LONGEST_WAIT or not ctx.wait(POLL_SECONDS):
                raise Unavailable(f"{len(busy)} assignment(s) of {principal.words} are still under way")
            waited += POLL_SECONDS
            ctx.report(f"{first + len(batch) - len(busy)} of {len(left)} assignment(s) done")
        failed = [(one, s) for one, s in running.items() if s.get("Status") != "SUCCEEDED"]
        if failed:
            one, status = failed[0]
            raise Refused(
                f"{way.word.lower()} of {len(failed)} assignment(s) of {principal.words} failed; first in account "
                f"{one.account}: {status.get('FailureReason', 'AWS gives no reason')}",
                hint="put right what AWS names, then retry the step; it goes on with those that are left",
            )


class GroupsParams(InstanceParams):
    """Which user, out of which groups."""

    user: str = Field(
        min_length=1,
        max_length=1024,
        description="the user's name, e-mail address or id in IAM Identity Center",
    )
    groups: tuple[Annotated[str, Field(min_length=1, max_length=1024)], ...] | None = Field(
        default=None, min_length=1, max_length=100, description="only these, by name or id; left out: all"
    )


class GroupsBefore(StateBefore):
    """The ids of the groups in question that the user is in."""

    groups: tuple[str, ...] = Field(title="groups")


@action(
    "aws.sso.remove_from_groups",
    risk=Risk.DISRUPTIVE,
    phase=Phase.CONTAINMENT,
    permissions=(
        *USER_READS,
        "identitystore:DescribeGroup",
        "identitystore:ListGroupMembershipsForMember",
        "identitystore:CreateGroupMembership",
        "identitystore:DeleteGroupMembership",
        "sts:GetCallerIdentity",
    ),
)
class RemoveFromGroups(Setting[GroupsParams, GroupsBefore]):
    """Take a user of IAM Identity Center out of its groups, and so from what it is assigned by them.

    Pre-condition: the step runs in the account and region of IAM Identity Center; the user exists, and is neither
    break-glass, nor whom this worker is signed in as. In none of the groups: nothing is done.

    Verified by listing the user's groups: none of those is among them.

    Undone by adding the user to the recorded groups again. It refuses if somebody added it since; it fails where a
    group was deleted.

    Pitfalls: sessions of roles that were made before live on, up to 12 h. What is assigned to the user itself stays:
    `aws.sso.remove_assignments`. Applications that are assigned to the groups are lost as well. Where users and groups
    come from the company's own login, it puts the user back at its next run: take the user out there.

    Example::

        - id: out_of_groups
          name: Take the user out of all groups
          do: aws.sso.remove_from_groups
          with:
            user: "{{ alert.actor.session_name }}"
    """

    method = "identitystore:ListGroupMembershipsForMember"

    def look(self, ctx: ActionContext, params: GroupsParams) -> Found[GroupsBefore]:
        user = find_principal(ctx, params, "user", params.user)
        every = groups_of(ctx, user)
        ours = {
            group: name
            for group, (name, _) in every.items()
            if params.groups is None or group in params.groups or name in params.groups
        }
        facts = [f"in group {name} ({group})" for group, name in list(ours.items())[:MOST_TOLD]]
        if len(ours) > MOST_TOLD:
            facts.append(f"and {len(ours) - MOST_TOLD} more")
        if len(every) > len(ours):
            facts.append(f"it stays in {len(every) - len(ours)} other group(s)")
        return Found(target=user.target, state=GroupsBefore(groups=tuple(sorted(ours))), facts=tuple(facts))

    def wanted(self, params: GroupsParams, state: GroupsBefore) -> GroupsBefore:
        return GroupsBefore(groups=())

    def guard(self, ctx: ActionContext, params: GroupsParams, found: Found[GroupsBefore]) -> None:
        find_principal(ctx, params, "user", params.user).ensure_may_change(ctx)

    def say(self, params: GroupsParams, found: Found[GroupsBefore], then: GroupsBefore) -> Said:
        return Said(
            summary=f"Take user {found.target.name} of IAM Identity Center out of {len(found.state.groups)} group(s)",
            hits=f"User {found.target.name} loses what only these groups are assigned: accounts and applications.",
            warnings=("Sessions that exist live on until they run out.",),
            undo="The user is added to the recorded groups again.",
        )

    def write(self, ctx: ActionContext, params: GroupsParams, now: GroupsBefore, then: GroupsBefore) -> None:
        user = find_principal(ctx, params, "user", params.user)
        store, memberships = client(ctx, "identitystore"), groups_of(ctx, user)
        for group in sorted(set(now.groups) - set(then.groups)):
            if group in memberships:
                with sso_errors("identitystore:DeleteGroupMembership"):
                    store.delete_group_membership(
                        IdentityStoreId=user.instance.store, MembershipId=memberships[group][1]
                    )
        for group in sorted(set(then.groups) - set(now.groups)):
            with sso_errors("identitystore:CreateGroupMembership"):
                store.create_group_membership(
                    IdentityStoreId=user.instance.store, GroupId=group, MemberId={"UserId": user.id}
                )
