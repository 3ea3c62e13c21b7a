"""Cases of the actions on an organization."""

from __future__ import annotations

import json
import re
from typing import Any

from case import Arranged, World, case

EXEMPT = "arn:aws:iam::*:role/soar-responder"
TAGS = {"organizations:TagResource": "asked for by CreatePolicy with tags"}


class Org:
    """An organization with a unit `Workloads`, a unit `Quarantine` and an account `shop`."""

    def __init__(self, world: World) -> None:
        self.client = world.client("organizations")
        self.client.create_organization(FeatureSet="ALL")
        self.root = self.client.list_roots()["Roots"][0]["Id"]
        self.client.enable_policy_type(RootId=self.root, PolicyType="SERVICE_CONTROL_POLICY")
        self.workloads = self.unit("Workloads", self.root)
        self.quarantine = self.unit("Quarantine", self.root)
        made = self.client.create_account(Email="shop@example.com", AccountName="shop")
        self.shop = made["CreateAccountStatus"]["AccountId"]
        self.client.move_account(
            AccountId=self.shop, SourceParentId=self.root, DestinationParentId=self.workloads
        )

    def unit(self, name: str, parent: str) -> str:
        made = self.client.create_organizational_unit(ParentId=parent, Name=name)
        return str(made["OrganizationalUnit"]["Id"])

    def policy(
        self, name: str, *targets: str, content: str = '{"Version":"2012-10-17","Statement":[]}'
    ) -> str:
        made = self.client.create_policy(
            Name=name, Description="", Type="SERVICE_CONTROL_POLICY", Content=content
        )
        number = str(made["Policy"]["PolicySummary"]["Id"])
        for target in targets:
            self.client.attach_policy(PolicyId=number, TargetId=target)
        return number

    def named(self, name: str) -> str:
        """The id of the policy whose name begins so."""
        found = self.client.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
        return next(str(p["Id"]) for p in found if p["Name"].startswith(name))

    def snapshot(self) -> Any:
        """Where the account is, and every policy with what it says and where it hangs; names for ids."""
        names = {
            self.root: "root",
            self.workloads: "Workloads",
            self.quarantine: "Quarantine",
            self.shop: "shop",
        }
        policies = self.client.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
        return {
            "parent": [
                names.get(p["Id"], "another") for p in self.client.list_parents(ChildId=self.shop)["Parents"]
            ],
            "policies": sorted(
                (
                    re.sub(r"-[0-9a-f]{12}$", "", p["Name"]),  # its end depends on the target's number
                    json.loads(self.client.describe_policy(PolicyId=p["Id"])["Policy"]["Content"]),
                    sorted(
                        names.get(t["TargetId"], "another")
                        for t in self.client.list_targets_for_policy(PolicyId=p["Id"])["Targets"]
                    ),
                    self.client.list_tags_for_resource(ResourceId=p["Id"])["Tags"],
                )
                for p in policies
            ),
        }


@case("aws.org.attach_deny_scp", unseen=TAGS)
def to_an_account(world: World) -> Arranged:
    org = Org(world)
    org.policy("baseline", org.shop)
    return Arranged(
        params={"target": org.shop, "exempt_roles": [EXEMPT]},
        snapshot=org.snapshot,
        drift=lambda: org.client.update_policy(
            PolicyId=org.named("soar-deny"), Content='{"Version":"2012-10-17","Statement":[]}'
        ),
    )


@case("aws.org.attach_deny_scp")
def some_actions_to_a_unit(world: World) -> Arranged:
    org = Org(world)
    return Arranged(
        params={"target": org.workloads, "exempt_roles": [EXEMPT], "actions": ["bedrock:*", "ec2:Run*"]},
        snapshot=org.snapshot,
        drift=lambda: org.client.detach_policy(PolicyId=org.named("soar-deny"), TargetId=org.workloads),
    )


@case("aws.org.install_guard", unseen=TAGS)
def on_a_root_without_one(world: World) -> Arranged:
    org = Org(world)
    return Arranged(
        params={"target": org.root, "exempt_roles": [EXEMPT]},
        snapshot=org.snapshot,
        drift=lambda: org.client.detach_policy(PolicyId=org.named("soar-guard"), TargetId=org.root),
    )


@case("aws.org.install_guard")
def on_an_account_where_an_older_one_hangs(world: World) -> Arranged:
    org = Org(world)
    older = json.dumps({"Version": "2012-10-17", "Statement": []})
    guard = org.policy("soar-guard", org.shop, content=older)
    org.client.tag_resource(ResourceId=guard, Tags=[{"Key": "soar:guard", "Value": "standing"}])
    return Arranged(
        params={"target": org.shop, "exempt_roles": [EXEMPT]},
        snapshot=org.snapshot,
        drift=lambda: org.client.detach_policy(PolicyId=guard, TargetId=org.shop),
    )


@case("aws.org.install_guard")
def on_a_unit(world: World) -> Arranged:
    org = Org(world)
    return Arranged(
        params={"target": org.workloads, "exempt_roles": [EXEMPT], "quarantine_policies": ["soar-*"]},
        snapshot=org.snapshot,
    )


@case("aws.org.quarantine_account")
def of_a_unit(world: World) -> Arranged:
    org = Org(world)
    org.policy("deny-all", org.quarantine)
    other = org.unit("Sandbox", org.root)
    return Arranged(
        params={"account_id": org.shop, "quarantine_ou": org.quarantine},
        snapshot=org.snapshot,
        drift=lambda: org.client.move_account(
            AccountId=org.shop, SourceParentId=org.quarantine, DestinationParentId=other
        ),
    )


@case("aws.org.describe_account")
def in_a_unit_with_policies(world: World) -> Arranged:
    org = Org(world)
    org.policy("baseline", org.workloads)
    org.policy("no-leaving", org.root)
    org.client.tag_resource(ResourceId=org.shop, Tags=[{"Key": "owner", "Value": "shop-team"}])
    return Arranged(
        params={"account_id": org.shop},
        snapshot=org.snapshot,
        finds={
            "name": "shop",
            "email": "shop@example.com",
            "management": False,
            "path": "Root/Workloads",
            "tags": {"owner": "shop-team"},
        },
    )
