"""Secrets read in bulk: with a stolen key somebody reads one secret after the other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope
from soar.simulated.company import Company
from soar.simulated.stolen_key import api_call, key_check, key_details, key_facts

__all__ = ["ReadSecrets"]

ATTACKER = "198.51.100.172"
"""TEST-NET-2: nobody's address."""

SECRETS = ("kestrel/customers-db", "kestrel/partner-api", "kestrel/mail-relay")


class ReadSecrets(Scenario):
    """With a developer's key somebody reads the company's secrets, and the password of an instance."""

    name: ClassVar[str] = "read-secrets"
    title: ClassVar[str] = "The company's secrets are read in bulk"
    playbook: ClassVar[str] = "aws-secrets-mass-read"

    def seed(self, company: Company) -> Attack:
        """Make the secrets, and read them with a key that is not the reader's."""
        victim, manager = company.users["tomas.lindqvist"], company.client("secretsmanager")
        thief = company.seen_by(victim).client("secretsmanager")
        start = company.now - timedelta(minutes=4)
        for name in SECRETS:
            manager.create_secret(Name=name, SecretString=f"of {name}, nobody's")
            thief.get_secret_value(SecretId=name)
        company.trail.write(
            [
                company.trail.event(
                    victim,
                    "secretsmanager",
                    "GetSecretValue",
                    start + timedelta(seconds=3 * n),
                    ATTACKER,
                    request={"secretId": name},
                    read_only=True,
                )
                for n, name in enumerate(SECRETS)
            ]
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start,
            facts={
                **{f"secret_{n}": name for n, name in enumerate(SECRETS, 1)},
                **key_facts(victim, ATTACKER),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`CredentialAccess:EC2/UnsecuredCredentials`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="CredentialAccess:EC2/UnsecuredCredentials",
            severity=5.0,
            title=f"{facts['user_name']} reads credentials as never before.",
            description=f"{facts['user_name']} reads secrets and the passwords of instances from {ATTACKER}.",
            resource={
                "resourceType": "AccessKey",
                "accessKeyDetails": key_details(facts),
            },
            action=api_call(facts, "secretsmanager", "GetSecretValue"),
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Is the key out of use, and can the applications read the secrets again?"""
        manager, facts = account.client("secretsmanager"), attack.facts
        shut = [name for name in SECRETS if _policy(manager, name)]
        return [
            key_check(account, facts),
            Check(name="no secret is still shut", ok=not shut, seen=f"shut: {', '.join(shut) or 'none'}"),
        ]


def _policy(manager: Any, name: str) -> str:
    return str(manager.get_resource_policy(SecretId=name).get("ResourcePolicy", ""))
