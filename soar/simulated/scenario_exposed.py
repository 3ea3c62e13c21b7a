"""An open host: with a stolen key somebody opens the dispatch server's SSH to the world, and the world knocks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope
from soar.simulated.company import OFFICE, Company
from soar.simulated.stolen_key import api_call, key_check, key_details, key_facts

__all__ = ["ExposedHost"]

ATTACKER = "198.51.100.31"
"""TEST-NET-2: nobody's address."""

EVERYBODY = "0.0.0.0/0"
GROUP = "kestrel-dispatch"


class ExposedHost(Scenario):
    """With the deployer's key somebody opens SSH of a host that the internet reaches for its website only."""

    name: ClassVar[str] = "exposed-host"
    title: ClassVar[str] = "The dispatch server's SSH is open to the world"
    playbook: ClassVar[str] = "aws-network-exposure"

    def seed(self, company: Company) -> Attack:
        """Put a host on the internet, for its website and for the office; then open its SSH to everybody."""
        victim = company.users["ci-deployer"]
        thief = company.seen_by(victim).client("ec2")
        ec2 = company.client("ec2")
        group = ec2.create_security_group(
            GroupName=GROUP, Description="Kestrel Freight dispatch", VpcId=company.vpc
        )["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[_rule(443, EVERYBODY), _rule(22, f"{OFFICE}/32")]
        )
        _route_to_the_internet(ec2, company)
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        host = ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            SubnetId=company.subnets["public-a"],
            SecurityGroupIds=[group],
            InstanceType="t3.small",
        )["Instances"][0]["InstanceId"]
        address = ec2.allocate_address(Domain="vpc")
        ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=host)

        thief.authorize_security_group_ingress(GroupId=group, IpPermissions=[_rule(22, EVERYBODY)])
        start = company.now - timedelta(minutes=21)
        company.trail.write(
            [
                company.trail.event(
                    victim, "ec2", "AuthorizeSecurityGroupIngress", start, ATTACKER, request=_request(group)
                )
            ]
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start + timedelta(minutes=2),
            facts={
                "instance_id": host,
                "address": address["PublicIp"],
                "group": group,
                **key_facts(victim, ATTACKER),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`Persistence:EC2/ExternalRemoteServices`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="Persistence:EC2/ExternalRemoteServices",
            severity=5.0,
            title=f"{facts['user_name']} opened a remote service of {facts['group']} to the world.",
            description=f"{facts['user_name']} called AuthorizeSecurityGroupIngress on {facts['group']}.",
            resource={
                "resourceType": "AccessKey",
                "accessKeyDetails": key_details(facts),
            },
            action=api_call(
                facts, "ec2", "AuthorizeSecurityGroupIngress", {"AWS::EC2::SecurityGroup": facts["group"]}
            ),
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Is SSH closed to the world, and does the office come in as before, the customers, and no longer the key?"""
        ec2, facts = account.client("ec2"), attack.facts
        found = ec2.describe_security_groups(GroupIds=[facts["group"]])["SecurityGroups"][0]
        allowed = sorted(
            f"{p.get('FromPort')} from {r['CidrIp']}" for p in found["IpPermissions"] for r in p["IpRanges"]
        )
        return [
            Check(
                name="only the website is open to the world, and SSH to the office",
                ok=allowed == [f"22 from {OFFICE}/32", f"443 from {EVERYBODY}"],
                seen=f"{facts['group']} allows {'; '.join(allowed) or 'nothing'}",
            ),
            key_check(account, facts),
        ]


def _rule(port: int, source: str) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": source}]}


def _request(group: str) -> JsonObject:
    """`requestParameters` as CloudTrail writes them."""
    rule: JsonObject = {
        "ipProtocol": "tcp",
        "fromPort": 22,
        "toPort": 22,
        "groups": {},
        "ipRanges": {"items": [{"cidrIp": EVERYBODY}]},
        "ipv6Ranges": {},
        "prefixListIds": {},
    }
    return {"groupId": group, "ipPermissions": {"items": [rule]}}


def _route_to_the_internet(ec2: Any, company: Company) -> None:
    """The company's public subnet has a route to the gateway."""
    gateway = ec2.describe_internet_gateways(
        Filters=[{"Name": "attachment.vpc-id", "Values": [company.vpc]}]
    )["InternetGateways"][0]["InternetGatewayId"]
    table = ec2.create_route_table(VpcId=company.vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=EVERYBODY, GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=company.subnets["public-a"])
