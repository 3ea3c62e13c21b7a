"""Kestrel Freight, a small company that does not exist, set up in the simulated account by API calls alone."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients
from soar.simulated.trail import TrailWriter

__all__ = ["BREAK_GLASS_ROLE", "RESPONDER_ROLE", "Company", "User", "seed_company"]

RESPONDER_ROLE = "soar-responder"
BREAK_GLASS_ROLE = "break-glass-admin"
OFFICE = "192.0.2.44"
"""The company's own address (TEST-NET-1: nobody's)."""

VPC_RANGE = "10.20.0.0/16"

_PEOPLE = {
    "maya.okafor": "developers",
    "tomas.lindqvist": "developers",
    "irene.castellano": "administrators",
}
_SERVICES = {
    "ci-deployer": "deployers",
    "backup-service": "backups",
    "edi-gateway": "edi",
}
_GROUPS: dict[str, list[str]] = {
    "administrators": ["*"],
    "developers": ["s3:Get*", "s3:List*", "ec2:Describe*", "logs:*", "iam:Get*", "iam:List*"],
    "deployers": [
        "s3:*",
        "ec2:*",
        "autoscaling:*",
        "lambda:*",
        "iam:PassRole",
        "iam:List*",
        "iam:CreateAccessKey",
    ],
    "backups": ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "ec2:CreateSnapshot", "ec2:Describe*"],
    "edi": ["s3:GetObject", "s3:PutObject", "sqs:SendMessage"],
}


@dataclass(frozen=True)
class User:
    """An IAM user of the company with its first access key."""

    name: str
    user_id: str
    arn: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class Company:
    """The company as it was set up.

    Args:
        now: The moment that everything is dated from.
        subnets: Purpose → id: `public-a`, `public-b`, `app-a`, `app-b`.
        security_groups: Name → id: `kestrel-web`, `kestrel-app`, `kestrel-db`.
        instance_profile: Name of the profile that the application's instances have.
        buckets: Purpose → name: `documents`, `backups`, `website`, `trail`.
        secret_id: The secret that the deployer's key is kept in.
        trail: Writes log files of the trail into its bucket.
    """

    clients: AccountClients
    account: str
    region: str
    now: datetime
    users: dict[str, User]
    roles: dict[str, str]
    vpc: str
    subnets: dict[str, str]
    security_groups: dict[str, str]
    instance_profile: str
    buckets: dict[str, str]
    secret_id: str
    trail: TrailWriter

    def client(self, service: str) -> Any:
        """The client for a service in the company's region."""
        return self.clients.client(service)

    def seen_by(self, user: User) -> AccountClients:
        """The account as whoever has a user's key sees it."""
        return AccountClients(
            self.clients.endpoint_url,
            region=self.region,
            access_key_id=user.access_key_id,
            secret_access_key=user.secret_access_key,
        )


def seed_company(endpoint_url: str, *, now: datetime, region: str = "us-east-1") -> Company:
    """Set the company up in an empty simulated account.

    Args:
        now: The moment that everything is dated from, in UTC; the same moment gives the same company, apart from
            the ids that the account itself makes up.

    Returns:
        What was made.
    """
    clients = AccountClients(endpoint_url, region=region)
    account = str(clients.client("sts").get_caller_identity()["Account"])
    _groups(clients)
    users = _users(clients)
    roles = _roles(clients, account)
    vpc, subnets = _network(clients, region)
    security_groups = _security_groups(clients, vpc)
    buckets = _buckets(clients, account, region)
    writer = TrailWriter(clients, buckets["trail"], account, region)
    company = Company(
        clients=clients,
        account=account,
        region=region,
        now=now,
        users=users,
        roles=roles,
        vpc=vpc,
        subnets=subnets,
        security_groups=security_groups,
        instance_profile="kestrel-app",
        buckets=buckets,
        secret_id=_secret(clients, users["ci-deployer"]),
        trail=writer,
    )
    _trail(clients, buckets["trail"])
    _everyday_activity(company)
    return company


def _policy(*actions: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _trust(*, service: str = "", account: str = "") -> str:
    principal = {"Service": service} if service else {"AWS": f"arn:aws:iam::{account}:root"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _groups(clients: AccountClients) -> None:
    iam = clients.client("iam")
    for name, actions in _GROUPS.items():
        iam.create_group(GroupName=name)
        iam.put_group_policy(GroupName=name, PolicyName=f"{name}-access", PolicyDocument=_policy(*actions))


def _users(clients: AccountClients) -> dict[str, User]:
    iam = clients.client("iam")
    made = {}
    for name, group in {**_PEOPLE, **_SERVICES}.items():
        kind = "person" if name in _PEOPLE else "service"
        tags = [{"Key": "kind", "Value": kind}, {"Key": "company", "Value": "kestrel-freight"}]
        user = iam.create_user(UserName=name, Tags=tags)["User"]
        iam.add_user_to_group(GroupName=group, UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        made[name] = User(name, user["UserId"], user["Arn"], key["AccessKeyId"], key["SecretAccessKey"])
    iam.create_login_profile(UserName="irene.castellano", Password="Correct-Horse-1")  # noqa: S106 - of the simulated account
    return made


def _roles(clients: AccountClients, account: str) -> dict[str, str]:
    iam = clients.client("iam")
    wanted = {
        "kestrel-app-instance": (_trust(service="ec2.amazonaws.com"), ["s3:GetObject", "sqs:*", "ssm:*"]),
        "kestrel-invoice-lambda": (_trust(service="lambda.amazonaws.com"), ["s3:PutObject", "logs:*"]),
        RESPONDER_ROLE: (_trust(account=account), ["*"]),
        BREAK_GLASS_ROLE: (_trust(account=account), ["*"]),
    }
    made = {}
    for name, (trust, actions) in wanted.items():
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
        iam.put_role_policy(RoleName=name, PolicyName=f"{name}-access", PolicyDocument=_policy(*actions))
        made[name] = str(role["Arn"])
    iam.create_instance_profile(InstanceProfileName="kestrel-app")
    iam.add_role_to_instance_profile(InstanceProfileName="kestrel-app", RoleName="kestrel-app-instance")
    return made


def _named(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def _network(clients: AccountClients, region: str) -> tuple[str, dict[str, str]]:
    ec2 = clients.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=VPC_RANGE, TagSpecifications=_named("vpc", "kestrel"))["Vpc"]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ranges = ipaddress.ip_network(VPC_RANGE).subnets(new_prefix=24)
    subnets = {}
    for name in ("public-a", "public-b", "app-a", "app-b"):
        subnets[name] = ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=str(next(ranges)),
            AvailabilityZone=f"{region}{name[-1]}",
            TagSpecifications=_named("subnet", f"kestrel-{name}"),
        )["Subnet"]["SubnetId"]
    return vpc, subnets


def _security_groups(clients: AccountClients, vpc: str) -> dict[str, str]:
    ec2 = clients.client("ec2")
    open_to = {
        "kestrel-web": (443, "0.0.0.0/0"),
        "kestrel-app": (8080, VPC_RANGE),
        "kestrel-db": (5432, VPC_RANGE),
    }
    made = {}
    for name, (port, source) in open_to.items():
        made[name] = ec2.create_security_group(
            GroupName=name,
            Description=f"Kestrel Freight {name.removeprefix('kestrel-')} tier",
            VpcId=vpc,
            TagSpecifications=_named("security-group", name),
        )["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=made[name],
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": source}]}
            ],
        )
    return made


def _buckets(clients: AccountClients, account: str, region: str) -> dict[str, str]:
    s3 = clients.client("s3")
    names = {
        "documents": f"kestrel-freight-documents-{account}",
        "backups": f"kestrel-freight-backups-{account}",
        "website": f"kestrel-freight-website-{account}",
        "trail": f"kestrel-freight-trail-{account}",
    }
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    for purpose, name in names.items():
        s3.create_bucket(Bucket=name, **where)
        if purpose != "website":
            s3.put_public_access_block(
                Bucket=name,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
    s3.put_bucket_versioning(Bucket=names["documents"], VersioningConfiguration={"Status": "Enabled"})
    for number in range(1041, 1046):
        body = f"Kestrel Freight, waybill {number}\n".encode()
        s3.put_object(Bucket=names["documents"], Key=f"waybills/2026/{number}.txt", Body=body)
    s3.put_object(Bucket=names["website"], Key="index.html", Body=b"<h1>Kestrel Freight</h1>")
    return names


def _secret(clients: AccountClients, deployer: User) -> str:
    name = "kestrel/ci-deployer/aws-key"
    value = {"AccessKeyId": deployer.access_key_id, "SecretAccessKey": deployer.secret_access_key}
    clients.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(value))
    return name


def _trail(clients: AccountClients, bucket: str) -> None:
    cloudtrail = clients.client("cloudtrail")
    cloudtrail.create_trail(Name="kestrel-trail", S3BucketName=bucket, IsMultiRegionTrail=True)
    cloudtrail.start_logging(Name="kestrel-trail")


def _everyday_activity(company: Company) -> None:
    """A working day before `now`: deployments, backups and a person reading a bucket."""
    events: list[JsonObject] = []
    deployer, backup = company.users["ci-deployer"], company.users["backup-service"]
    person = company.users["maya.okafor"]
    for hours in (22, 17, 9, 5):
        at = company.now - timedelta(hours=hours)
        events += [
            company.trail.event(deployer, "sts", "GetCallerIdentity", at, OFFICE, read_only=True),
            company.trail.event(
                deployer, "s3", "ListBuckets", at + timedelta(seconds=40), OFFICE, read_only=True
            ),
        ]
    for hours in (20, 8):
        at = company.now - timedelta(hours=hours)
        events.append(company.trail.event(backup, "ec2", "DescribeVolumes", at, "192.0.2.61", read_only=True))
    at = company.now - timedelta(hours=6, minutes=12)
    events.append(
        company.trail.event(
            person,
            "s3",
            "GetBucketLocation",
            at,
            OFFICE,
            request={"bucketName": company.buckets["documents"]},
            read_only=True,
        )
    )
    company.trail.write(events)
