"""Cases of the actions on EKS."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from case import Arranged, World, case
from scripted import ScriptedError

DEPLOY = "arn:aws:iam::123456789012:role/deploy"
NODES = "arn:aws:iam::123456789012:role/nodes"
ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
VIEW = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"


def cluster(world: World, *, tags: Any = None) -> Any:
    eks, ec2 = world.client("eks"), world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")[
            "Subnet"
        ]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    eks.create_cluster(
        name="shop",
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={
            "subnetIds": subnets,
            "endpointPublicAccess": True,
            "endpointPrivateAccess": False,
            "publicAccessCidrs": ["0.0.0.0/0"],
        },
        logging={
            "clusterLogging": [
                {"types": ["api"], "enabled": True},
                {"types": ["audit", "authenticator", "controllerManager", "scheduler"], "enabled": False},
            ]
        },
        **({"tags": tags} if tags else {}),
    )
    return eks


def logs(eks: Any) -> Any:
    setup = eks.describe_cluster(name="shop")["cluster"]["logging"]["clusterLogging"]
    return sorted((t, entry["enabled"]) for entry in setup for t in entry["types"])


def endpoint(eks: Any) -> Any:
    setup = eks.describe_cluster(name="shop")["cluster"]["resourcesVpcConfig"]
    return setup["endpointPublicAccess"], setup["endpointPrivateAccess"], setup["publicAccessCidrs"]


@case("aws.eks.enable_audit_logs")
def with_one_of_three(world: World) -> Arranged:
    eks = cluster(world)
    off = {"clusterLogging": [{"types": ["audit"], "enabled": False}, {"types": ["api"], "enabled": True}]}
    return Arranged(
        params={"cluster": "shop"},
        snapshot=lambda: logs(eks),
        drift=lambda: eks.update_cluster_config(
            name="shop",
            logging={"clusterLogging": [*off["clusterLogging"], {"types": ["scheduler"], "enabled": True}]},
        ),
    )


@case("aws.eks.restrict_endpoint")
def open_to_everybody(world: World) -> Arranged:
    eks = cluster(world)
    other = {
        "endpointPublicAccess": True,
        "endpointPrivateAccess": True,
        "publicAccessCidrs": ["198.51.100.0/24", "203.0.113.0/24"],
    }
    return Arranged(
        params={"cluster": "shop", "cidrs": ["198.51.100.0/24"], "responders": ["198.51.100.7"]},
        snapshot=lambda: endpoint(eks),
        drift=lambda: eks.update_cluster_config(name="shop", resourcesVpcConfig=other),
    )


def entries(world: World) -> dict[str, dict[str, Any]]:
    """Access entries: a deployer with two policies, and the nodes."""
    service = world.script("eks")
    kept: dict[str, dict[str, Any]] = {
        DEPLOY: {
            "type": "STANDARD",
            "username": "deployer",
            "groups": ["builders"],
            "tags": {"team": "shop"},
            "policies": {
                ADMIN: {"type": "namespace", "namespaces": ["shop"]},
                VIEW: {"type": "cluster", "namespaces": []},
            },
        },
        NODES: {
            "type": "EC2_LINUX",
            "username": "nodes",
            "groups": ["system:nodes"],
            "tags": {},
            "policies": {},
        },
    }

    def one(params: dict[str, Any]) -> dict[str, Any]:
        if params["principalArn"] not in kept:
            raise ScriptedError("ResourceNotFoundException", status=404)
        return kept[params["principalArn"]]

    def shown(arn: str) -> dict[str, Any]:
        entry = kept[arn]
        return {
            "accessEntry": {
                "clusterName": "shop",
                "principalArn": arn,
                "type": entry["type"],
                "username": entry["username"],
                "kubernetesGroups": entry["groups"],
                "tags": entry["tags"],
            }
        }

    @service.operation("ListAccessEntries")
    def list_(params: dict[str, Any]) -> dict[str, Any]:
        return {"accessEntries": list(kept)}

    @service.operation("DescribeAccessEntry")
    def describe(params: dict[str, Any]) -> dict[str, Any]:
        one(params)
        return shown(params["principalArn"])

    @service.operation("ListAssociatedAccessPolicies")
    def policies(params: dict[str, Any]) -> dict[str, Any]:
        found = one(params)["policies"]
        return {"associatedAccessPolicies": [{"policyArn": a, "accessScope": s} for a, s in found.items()]}

    @service.operation("DeleteAccessEntry")
    def delete(params: dict[str, Any]) -> dict[str, Any]:
        one(params)
        del kept[params["principalArn"]]
        return {}

    @service.operation("CreateAccessEntry")
    def create(params: dict[str, Any]) -> dict[str, Any]:
        if params["principalArn"] in kept:
            raise ScriptedError("ResourceInUseException", status=409)
        kept[params["principalArn"]] = {
            "type": params["type"],
            "username": params["username"],
            "groups": params["kubernetesGroups"],
            "tags": params["tags"],
            "policies": {},
        }
        return shown(params["principalArn"])

    @service.operation("AssociateAccessPolicy")
    def associate(params: dict[str, Any]) -> dict[str, Any]:
        scope = {"namespaces": [], **params["accessScope"]}
        one(params)["policies"][params["policyArn"]] = scope
        return {}

    return kept


@case(
    "aws.eks.delete_access_entry", unseen={"eks:TagResource": "for the tags that an entry is made again with"}
)
def of_a_deployer(world: World) -> Arranged:
    cluster(world)
    kept = entries(world)

    def drift() -> None:
        kept[DEPLOY] = {"type": "STANDARD", "username": "mallory", "groups": [], "tags": {}, "policies": {}}

    return Arranged(
        params={"cluster": "shop", "principal": DEPLOY}, snapshot=lambda: deepcopy(kept), drift=drift
    )


@case("aws.eks.describe_cluster")
def with_two_entries(world: World) -> Arranged:
    eks = cluster(world)
    entries(world)
    return Arranged(
        params={"cluster": "shop"},
        snapshot=lambda: (logs(eks), endpoint(eks)),
        finds={
            "open_to_the_world": True,
            "logs": ["api"],
            "not_read": [],
            "entries": [
                {
                    "principal": DEPLOY,
                    "type": "STANDARD",
                    "username": "deployer",
                    "groups": ["builders"],
                    "tags": {"team": "shop"},
                    "policies": [
                        {"arn": ADMIN, "scope": "namespace", "namespaces": ["shop"]},
                        {"arn": VIEW, "scope": "cluster", "namespaces": []},
                    ],
                },
                {
                    "principal": NODES,
                    "type": "EC2_LINUX",
                    "username": "nodes",
                    "groups": ["system:nodes"],
                    "tags": {},
                    "policies": [],
                },
            ],
        },
    )
