"""A mining instance: one of the application's servers digs for somebody else, and asks a pool's name for work."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any, ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope, iso
from soar.simulated.company import Company

__all__ = ["MiningInstance"]

POOL = "pool.example-miner.test"
"""A name under `.test`: nobody's."""

ATTACKER = "203.0.113.77"
"""TEST-NET-3: nobody's address."""

IMAGE = "ami-12c6146b"
GROUP = "kestrel-app"
PORT = 8080

_USER_DATA = "#!/bin/sh\nsystemctl enable --now kestrel-app\n"


class MiningInstance(Scenario):
    """An instance of the application mines, with its role's credentials at hand."""

    name: ClassVar[str] = "mining-instance"
    title: ClassVar[str] = "An instance of the application mines cryptocurrency"
    playbook: ClassVar[str] = "aws-ec2-cryptomining"

    def seed(self, company: Company) -> Attack:
        """Start the application's group behind its load balancer, and let one of its instances be taken over."""
        group_arn = _serve(company)
        instance = _members(company)[0]
        instance_id = str(instance["InstanceId"])
        ec2 = company.client("ec2")
        # Members have the profile from their launch template; this account forgets it, so it is attached once more.
        for member in _members(company):
            if not member.get("IamInstanceProfile"):
                ec2.associate_iam_instance_profile(
                    IamInstanceProfile={"Name": company.instance_profile}, InstanceId=member["InstanceId"]
                )
        ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "Name", "Value": "kestrel-app"}])
        # The second interface, in the database's network, is what a hasty isolation forgets.
        second = ec2.create_network_interface(
            SubnetId=instance["SubnetId"],
            Groups=[company.security_groups["kestrel-db"]],
            Description="database",
        )["NetworkInterface"]["NetworkInterfaceId"]
        ec2.attach_network_interface(NetworkInterfaceId=second, InstanceId=instance_id, DeviceIndex=1)
        self._write_trail(company, instance_id)
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=company.now - timedelta(minutes=4),
            facts={
                "instance_id": instance_id,
                "auto_scaling_group": GROUP,
                "target_group_arn": group_arn,
                "role_name": "kestrel-app-instance",
                "instance_profile": company.instance_profile,
                "domain": POOL,
                "source_ip": ATTACKER,
            },
        )

    def _write_trail(self, company: Company, instance_id: str) -> None:
        role = company.roles["kestrel-app-instance"]
        start = company.now - timedelta(minutes=31)
        identity: JsonObject = {
            "type": "AssumedRole",
            "principalId": f"AROAKESTRELAPPINSTAN:{instance_id}",
            "arn": f"arn:aws:sts::{company.account}:assumed-role/kestrel-app-instance/{instance_id}",
            "accountId": company.account,
            "accessKeyId": "ASIAKESTRELAPPSESSIO",
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": "AROAKESTRELAPPINSTAN",
                    "arn": role,
                    "accountId": company.account,
                    "userName": "kestrel-app-instance",
                },
                "attributes": {"creationDate": iso(start - timedelta(hours=2)), "mfaAuthenticated": "false"},
                "ec2RoleDelivery": "1.0",
            },
        }
        calls = (
            (0, "sts", "GetCallerIdentity", ""),
            (14, "s3", "ListBuckets", "AccessDenied"),
            (33, "ec2", "DescribeInstances", "Client.UnauthorizedOperation"),
            (71, "ec2", "RunInstances", "Client.UnauthorizedOperation"),
            (95, "ssm", "DescribeInstanceInformation", ""),
        )
        company.trail.write(
            [
                company.trail.event(
                    identity,
                    service,
                    name,
                    start + timedelta(seconds=seconds),
                    ATTACKER,
                    user_agent="aws-cli/1.18.69 Python/3.8.10 Linux",
                    error_code=error,
                    read_only=name != "RunInstances",
                )
                for seconds, service, name, error in calls
            ]
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`CryptoCurrency:EC2/BitcoinTool.B!DNS`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="CryptoCurrency:EC2/BitcoinTool.B!DNS",
            severity=8.0,
            title=f"Bitcoin-related domain name queried by EC2 instance {facts['instance_id']}.",
            description=(
                f"EC2 instance {facts['instance_id']} is querying a domain name that is associated with "
                "Bitcoin-related activity."
            ),
            resource={
                "resourceType": "Instance",
                "instanceDetails": {
                    "instanceId": facts["instance_id"],
                    "instanceType": "t3.large",
                    "launchTime": iso(attack.time - timedelta(days=9)),
                    "platform": None,
                    "productCodes": [],
                    "iamInstanceProfile": {
                        "arn": f"arn:aws:iam::{attack.account}:instance-profile/{facts['instance_profile']}",
                        "id": "AIPAKESTRELAPPPROFIL",
                    },
                    "networkInterfaces": [],
                    "tags": [{"key": "Name", "value": "kestrel-app"}],
                    "instanceState": "running",
                    "availabilityZone": f"{attack.region}a",
                    "imageId": IMAGE,
                    "imageDescription": None,
                },
            },
            action={
                "actionType": "DNS_REQUEST",
                "dnsRequestAction": {
                    "domain": facts["domain"],
                    "protocol": "UDP",
                    "blocked": False,
                    "domainWithSuffix": facts["domain"],
                },
            },
            resource_role="ACTOR",
            count=31,
            first_seen=attack.time - timedelta(minutes=22),
            additional={"threatListName": "", "domain": facts["domain"]},
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Cut off on every interface, or gone; its disks kept; out of service; its role's sessions revoked."""
        ec2, facts = account.client("ec2"), attack.facts
        found = ec2.describe_instances(InstanceIds=[facts["instance_id"]])["Reservations"][0]["Instances"][0]
        gone = found["State"]["Name"] == "terminated"
        return [
            _isolated(ec2, facts["instance_id"], gone=gone),
            _disks_kept(ec2, facts["instance_id"]),
            _out_of_service(account, facts),
            _sessions_revoked(account, facts["role_name"]),
        ]


def _serve(company: Company) -> str:
    """A load balancer, a target group and an auto-scaling group of three instances from a launch template."""
    ec2, elb, scaling = (company.client(s) for s in ("ec2", "elbv2", "autoscaling"))
    public = [company.subnets["public-a"], company.subnets["public-b"]]
    balancer = elb.create_load_balancer(
        Name="kestrel-web", Subnets=public, SecurityGroups=[company.security_groups["kestrel-web"]]
    )["LoadBalancers"][0]["LoadBalancerArn"]
    group = elb.create_target_group(Name="kestrel-app", Protocol="HTTP", Port=PORT, VpcId=company.vpc)
    group_arn = str(group["TargetGroups"][0]["TargetGroupArn"])
    elb.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group_arn}],
    )
    template = ec2.create_launch_template(
        LaunchTemplateName=GROUP,
        LaunchTemplateData={
            "ImageId": IMAGE,
            "InstanceType": "t3.large",
            "SecurityGroupIds": [company.security_groups["kestrel-app"]],
            "IamInstanceProfile": {"Name": company.instance_profile},
            "UserData": base64.b64encode(_USER_DATA.encode()).decode(),
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
        MinSize=1,
        MaxSize=6,
        DesiredCapacity=3,
        VPCZoneIdentifier=",".join((company.subnets["app-a"], company.subnets["app-b"])),
        TargetGroupARNs=[group_arn],
    )
    return group_arn


def _members(company: Company) -> list[dict[str, Any]]:
    group = company.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
    ids = [i["InstanceId"] for i in group["AutoScalingGroups"][0]["Instances"]]
    reservations = company.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
    found = [i for r in reservations for i in r["Instances"]]
    return sorted(found, key=lambda i: ids.index(i["InstanceId"]))


def _isolated(ec2: Any, instance_id: str, *, gone: bool) -> Check:
    name = f"{instance_id} is cut off on every interface, or gone"
    if gone:
        return Check(name=name, ok=True, seen="it is terminated")
    filters = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
    interfaces = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    groups = sorted({g["GroupId"] for i in interfaces for g in i["Groups"]})
    found = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": groups}])
    rules = len(found["SecurityGroupRules"])
    return Check(
        name=name,
        ok=bool(interfaces) and bool(groups) and rules == 0,
        seen=f"{len(interfaces)} interface(s) in {', '.join(groups)} with {rules} rule(s)",
    )


def _disks_kept(ec2: Any, instance_id: str) -> Check:
    filters = [{"Name": "tag:soar:instance", "Values": [instance_id]}]
    snapshots = ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
    done = [s["SnapshotId"] for s in snapshots if s["State"] == "completed"]
    return Check(
        name=f"the disks of {instance_id} are kept as snapshots",
        ok=bool(done) and len(done) == len(snapshots),
        seen=", ".join(done) or "no snapshot",
    )


def _out_of_service(account: AccountClients, facts: dict[str, str]) -> Check:
    group = account.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[facts["auto_scaling_group"]]
    )["AutoScalingGroups"][0]
    state = {i["InstanceId"]: i["LifecycleState"] for i in group["Instances"]}.get(
        facts["instance_id"], "gone"
    )
    health = account.client("elbv2").describe_target_health(TargetGroupArn=facts["target_group_arn"])
    targets = [
        t["Target"]["Id"]
        for t in health["TargetHealthDescriptions"]
        if t["TargetHealth"]["State"] not in ("draining", "unused")
    ]
    listed = facts["instance_id"] in targets
    others = set(targets) - {facts["instance_id"]}
    where = f"{state} in its group, {'still' if listed else 'not'} in its target group"
    return Check(
        name=f"{facts['instance_id']} serves nobody any more",
        ok=state != "InService" and not listed,
        seen=f"{where}, {len(others)} others serve",
    )


def _sessions_revoked(account: AccountClients, role: str) -> Check:
    names = account.client("iam").list_role_policies(RoleName=role)["PolicyNames"]
    return Check(
        name=f"the sessions of role {role} are revoked",
        ok="AWSRevokeOlderSessions" in names,
        seen=f"inline policies: {', '.join(sorted(names)) or 'none'}",
    )
