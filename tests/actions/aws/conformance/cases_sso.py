"""Cases of IAM Identity Center."""

from __future__ import annotations

from typing import Any

from case import Arranged, World, case
from scripted import Scripted

ACCOUNTS = ("111122223333", "444455556666")


class Directory:
    """A user with an e-mail address, two groups and two permission sets."""

    def __init__(self, world: World) -> None:
        self.sso, self.store = world.client("sso-admin"), world.client("identitystore")
        (found,) = self.sso.list_instances()["Instances"]
        self.instance, self.store_id = found["InstanceArn"], found["IdentityStoreId"]
        self.user = self.store.create_user(
            IdentityStoreId=self.store_id,
            UserName="dana",
            DisplayName="Dana",
            Name={"GivenName": "Dana", "FamilyName": "X"},
            Emails=[{"Value": "dana@example.com", "Type": "work", "Primary": True}],
        )["UserId"]
        self.groups = {
            name: self.store.create_group(IdentityStoreId=self.store_id, DisplayName=name)["GroupId"]
            for name in ("staff", "admins")
        }
        for name in self.groups:
            self.join(name)
        self.sets = {
            name: self.sso.create_permission_set(
                InstanceArn=self.instance, Name=name, SessionDuration="PT8H"
            )["PermissionSet"]["PermissionSetArn"]
            for name in ("Administrator", "ReadOnly")
        }

    def join(self, group: str) -> None:
        """Put the user into a group."""
        self.store.create_group_membership(
            IdentityStoreId=self.store_id, GroupId=self.groups[group], MemberId={"UserId": self.user}
        )

    def assign(self, account: str, name: str, *, group: str = "") -> None:
        """Assign a permission set to the user, or to a group."""
        self.sso.create_account_assignment(
            InstanceArn=self.instance,
            TargetId=account,
            TargetType="AWS_ACCOUNT",
            PermissionSetArn=self.sets[name],
            PrincipalType="GROUP" if group else "USER",
            PrincipalId=self.groups[group] if group else self.user,
        )

    def now(self) -> Any:
        """The assignments and memberships, by names."""
        names = {arn: name for name, arn in self.sets.items()}
        found = []
        for kind, who in (("USER", {"dana": self.user}), ("GROUP", self.groups)):
            for name, key in who.items():
                listed = self.sso.list_account_assignments_for_principal(
                    InstanceArn=self.instance, PrincipalId=key, PrincipalType=kind
                )["AccountAssignments"]
                found += [(name, a["AccountId"], names[a["PermissionSetArn"]]) for a in listed]
        groups = {key: name for name, key in self.groups.items()}
        members = self.store.list_group_memberships_for_member(
            IdentityStoreId=self.store_id, MemberId={"UserId": self.user}
        )["GroupMemberships"]
        return {
            "assignments": sorted(map(list, found)),
            "groups": sorted(groups[m["GroupId"]] for m in members),
        }


def slowly(world: World) -> Scripted:
    """Assignments are under way at first, as at AWS; the simulated account has them made at once."""
    service, sso = world.script("sso-admin"), world.client("sso-admin")
    asked: dict[str, int] = {}

    def begun(word: str, reply: dict[str, Any]) -> dict[str, Any]:
        status = dict(reply[f"AccountAssignment{word}Status"])
        return {f"AccountAssignment{word}Status": {**status, "Status": "IN_PROGRESS"}}

    def going(word: str, reply: dict[str, Any]) -> dict[str, Any]:
        status = dict(reply[f"AccountAssignment{word}Status"])
        asked[status["RequestId"]] = asked.get(status["RequestId"], 0) + 1
        done = "SUCCEEDED" if asked[status["RequestId"]] > 1 else "IN_PROGRESS"
        return {f"AccountAssignment{word}Status": {**status, "Status": done}}

    @service.operation("CreateAccountAssignment")
    def create(params: dict[str, Any]) -> dict[str, Any]:
        return begun("Creation", sso.create_account_assignment(**params))

    @service.operation("DeleteAccountAssignment")
    def delete(params: dict[str, Any]) -> dict[str, Any]:
        return begun("Deletion", sso.delete_account_assignment(**params))

    @service.operation("DescribeAccountAssignmentCreationStatus")
    def created(params: dict[str, Any]) -> dict[str, Any]:
        return going("Creation", sso.describe_account_assignment_creation_status(**params))

    @service.operation("DescribeAccountAssignmentDeletionStatus")
    def deleted(params: dict[str, Any]) -> dict[str, Any]:
        return going("Deletion", sso.describe_account_assignment_deletion_status(**params))

    return service


@case("aws.sso.describe_user")
def by_its_address(world: World) -> Arranged:
    directory = Directory(world)
    directory.assign(ACCOUNTS[0], "Administrator")
    directory.assign(ACCOUNTS[1], "ReadOnly", group="staff")

    def assignment(account: str, name: str, group: str) -> dict[str, str]:
        arn = directory.sets[name]
        told = {"permission_set": name, "permission_set_arn": arn, "session_duration": "PT8H"}
        return {"account": account, **told, "group": group}

    return Arranged(
        {"user": "dana@example.com"},
        directory.now,
        finds={
            "user_name": "dana",
            "groups": ["admins", "staff"],
            "accounts": list(ACCOUNTS),
            "assignments": [
                assignment(ACCOUNTS[0], "Administrator", ""),
                assignment(ACCOUNTS[1], "ReadOnly", "staff"),
            ],
        },
    )


@case("aws.sso.remove_assignments")
def of_a_user_while_its_groups_keep_theirs(world: World) -> Arranged:
    directory = Directory(world)
    for account in ACCOUNTS:
        directory.assign(account, "Administrator")
        directory.assign(account, "ReadOnly", group="staff")
    slowly(world)
    return Arranged({"name": "dana"}, directory.now, lambda: directory.assign("777788889999", "ReadOnly"))


@case("aws.sso.remove_assignments")
def of_a_group_in_one_account(world: World) -> Arranged:
    directory = Directory(world)
    for account in ACCOUNTS:
        directory.assign(account, "Administrator", group="admins")
    return Arranged({"type": "group", "name": "admins", "accounts": [ACCOUNTS[0]]}, directory.now)


@case("aws.sso.remove_from_groups")
def out_of_all(world: World) -> Arranged:
    directory = Directory(world)
    return Arranged({"user": directory.user}, directory.now, lambda: directory.join("staff"))


@case("aws.sso.remove_from_groups")
def out_of_one_by_its_name(world: World) -> Arranged:
    directory = Directory(world)
    return Arranged({"user": "dana", "groups": ["admins", "nobody"]}, directory.now)
