"""A database that the internet reaches: somebody tries passwords until one fits."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope
from soar.simulated.company import Company

__all__ = ["ForcedDatabase"]

ATTACKER = "198.51.100.203"
"""TEST-NET-2: nobody's address."""

DATABASE, PASSWORD_SECRET = "kestrel-orders", "kestrel/orders-db"


class ForcedDatabase(Scenario):
    """The orders' database got a public address by mistake, and somebody guessed the master password."""

    name: ClassVar[str] = "forced-database"
    title: ClassVar[str] = "A stranger guessed a database's password"
    playbook: ClassVar[str] = "aws-rds-exposure"

    def seed(self, company: Company) -> Attack:
        """Make the database, with an address and a rule that let everybody in, and keep its password in a secret."""
        rds, ec2 = company.client("rds"), company.client("ec2")
        rds.create_db_subnet_group(
            DBSubnetGroupName="kestrel-orders",
            DBSubnetGroupDescription="the orders",
            SubnetIds=[company.subnets["app-a"], company.subnets["app-b"]],
        )
        group = company.security_groups["kestrel-db"]
        ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": 5432,
                    "ToPort": 5432,
                    "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
                }
            ],
        )
        made = rds.create_db_instance(
            DBInstanceIdentifier=DATABASE,
            DBInstanceClass="db.t3.medium",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="kestrel",
            MasterUserPassword="guess-me-1",
            PubliclyAccessible=True,
            DBSubnetGroupName="kestrel-orders",
            VpcSecurityGroupIds=[group],
        )["DBInstance"]
        company.client("secretsmanager").create_secret(
            Name=PASSWORD_SECRET, SecretString='{"username": "kestrel", "password": "guess-me-1"}'
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=company.now - timedelta(minutes=6),
            facts={
                "database": DATABASE,
                "database_arn": made["DBInstanceArn"],
                "group": group,
                "password_secret": PASSWORD_SECRET,
                "source_ip": ATTACKER,
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`CredentialAccess:RDS/AnomalousBehavior.SuccessfulBruteForce`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="CredentialAccess:RDS/AnomalousBehavior.SuccessfulBruteForce",
            severity=8.0,
            title=f"Somebody signed in to {facts['database']} after many failed attempts.",
            description=f"{facts['source_ip']} signed in to {facts['database']} as kestrel after 412 failed attempts.",
            resource={
                "resourceType": "RDSDBInstance",
                "rdsDbInstanceDetails": {
                    "dbInstanceIdentifier": facts["database"],
                    "dbInstanceArn": facts["database_arn"],
                    "engine": "postgres",
                },
                "rdsDbUserDetails": {"user": "kestrel", "database": "orders"},
            },
            action={
                "actionType": "RDS_LOGIN_ATTEMPT",
                "rdsLoginAttemptAction": {
                    "remoteIpDetails": {"ipAddressV4": facts["source_ip"]},
                    "loginAttributes": [{"user": "kestrel", "failedLoginAttempts": 412}],
                },
            },
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Is it off the internet, kept, in its own group again, and is its password another one?"""
        rds, facts = account.client("rds"), attack.facts
        found = rds.describe_db_instances(DBInstanceIdentifier=facts["database"])["DBInstances"][0]
        kept = rds.describe_db_snapshots(DBInstanceIdentifier=facts["database"], SnapshotType="manual")
        groups = [g["VpcSecurityGroupId"] for g in found["VpcSecurityGroups"]]
        secret = account.client("secretsmanager").get_secret_value(
            SecretId=facts["password_secret"], VersionStage="AWSCURRENT"
        )
        return [
            Check(
                name=f"{facts['database']} has no public address",
                ok=not found["PubliclyAccessible"],
                seen="it is public" if found["PubliclyAccessible"] else "it is private",
            ),
            Check(
                name="there is a snapshot of it",
                ok=bool(kept["DBSnapshots"]),
                seen=f"{len(kept['DBSnapshots'])}",
            ),
            Check(
                name="the applications reach it again",
                ok=groups == [facts["group"]],
                seen=f"groups: {', '.join(groups)}",
            ),
            Check(
                name="the guessed password is not the current one",
                ok="guess-me-1" not in secret["SecretString"],
                seen="the old one" if "guess-me-1" in secret["SecretString"] else "another one",
            ),
        ]
