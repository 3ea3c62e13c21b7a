"""A function with a back door: its code is overwritten with a stolen key, and strangers may call it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope
from soar.simulated.company import Company
from soar.simulated.stolen_key import api_call, key_check, key_details, key_facts

__all__ = ["BackdooredFunction"]

ATTACKER = "198.51.100.203"
"""TEST-NET-2: nobody's address."""

STRANGER = "777788889999"
FUNCTION, ROLE, QUEUE = "kestrel-invoices", "kestrel-invoice-lambda", "kestrel-invoices-due"


class BackdooredFunction(Scenario):
    """With the deployer's key somebody overwrites a function, and lets an account of his and everybody call it."""

    name: ClassVar[str] = "backdoored-function"
    title: ClassVar[str] = "The invoices' function has a back door"
    playbook: ClassVar[str] = "aws-lambda-backdoor"

    def seed(self, company: Company) -> Attack:
        """Deploy the function and feed it from a queue; then overwrite it and open it."""
        victim = company.users["ci-deployer"]
        thief = company.seen_by(victim).client("lambda")
        functions, sqs = company.client("lambda"), company.client("sqs")
        # A container image: the account hands packages out at an address that is not its own.
        registry = f"{company.account}.dkr.ecr.{company.region}.amazonaws.com"
        good, bad = f"{registry}/kestrel/invoices:release-41", f"{registry}/kestrel/invoices:latest"
        functions.create_function(
            FunctionName=FUNCTION,
            Role=company.roles[ROLE],
            PackageType="Image",
            Code={"ImageUri": good},
            Environment={"Variables": {"STAGE": "production"}},
        )
        version = functions.publish_version(FunctionName=FUNCTION)["Version"]
        functions.add_permission(
            FunctionName=FUNCTION,
            StatementId="nightly",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=f"arn:aws:events:{company.region}:{company.account}:rule/nightly",
        )
        queue = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        functions.create_event_source_mapping(FunctionName=FUNCTION, EventSourceArn=queue_arn["QueueArn"])

        thief.update_function_code(FunctionName=FUNCTION, ImageUri=bad)
        for sid, principal in (("partner-1", STRANGER), ("public-1", "*")):
            thief.add_permission(
                FunctionName=FUNCTION, StatementId=sid, Action="lambda:InvokeFunction", Principal=principal
            )
        thief.create_function_url_config(FunctionName=FUNCTION, AuthType="NONE")
        start = company.now - timedelta(minutes=13)
        did: tuple[tuple[str, JsonObject], ...] = (
            ("UpdateFunctionCode20150331v2", {"functionName": FUNCTION, "imageUri": bad}),
            ("AddPermission20150331v2", _permission("partner-1", STRANGER)),
            ("AddPermission20150331v2", _permission("public-1", "*")),
            ("CreateFunctionUrlConfig", {"functionName": FUNCTION, "authType": "NONE"}),
        )
        company.trail.write(
            [
                company.trail.event(
                    victim, "lambda", name, start + timedelta(seconds=17 * n), ATTACKER, request=request
                )
                for n, (name, request) in enumerate(did)
            ]
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start + timedelta(minutes=1),
            facts={
                "function": FUNCTION,
                "function_arn": f"arn:aws:lambda:{company.region}:{company.account}:function:{FUNCTION}",
                "role": ROLE,
                "role_arn": company.roles[ROLE],
                "good_image": good,
                "good_version": version,
                "stranger": STRANGER,
                **key_facts(victim, ATTACKER),
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`Persistence:Lambda/AccountManipulation`."""
        facts = attack.facts
        return guardduty_envelope(
            attack,
            rule="Persistence:Lambda/AccountManipulation",
            severity=8.0,
            title=f"{facts['user_name']} let account {facts['stranger']} call the function {facts['function']}.",
            description=f"{facts['user_name']} changed who may call {facts['function']}.",
            resource={
                "resourceType": "AccessKey",
                "accessKeyDetails": key_details(facts),
            },
            action=api_call(
                facts, "lambda", "AddPermission", {"AWS::Lambda::Function": facts["function_arn"]}
            ),
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """May no stranger call it, runs the attacker's code no more, and is the key out of use?"""
        functions, facts = account.client("lambda"), attack.facts
        name = facts["function"]
        policy = json.loads(functions.get_policy(FunctionName=name)["Policy"])
        callers = sorted(str(s["Sid"]) for s in policy["Statement"])
        url = functions.get_function_url_config(FunctionName=name)["AuthType"]
        reserved = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        code = functions.get_function_configuration(FunctionName=name)["CodeSha256"]
        versions = functions.list_versions_by_function(FunctionName=name)["Versions"]
        good = [v["CodeSha256"] for v in versions if v["Version"] == facts["good_version"]]
        return [
            Check(
                name="only the company's own rule may call it",
                ok=callers == ["nightly"],
                seen=f"statements: {', '.join(callers) or 'none'}",
            ),
            Check(name="its URL is not open", ok=url == "AWS_IAM", seen=f"the URL asks for {url}"),
            Check(
                name="the attacker's code does not run",
                ok=reserved == 0 or good == [code],
                seen="frozen"
                if reserved == 0
                else f"it runs {'the' if good == [code] else 'other than the'} good code",
            ),
            key_check(account, facts),
        ]


def _permission(sid: str, principal: str) -> JsonObject:
    return {
        "functionName": FUNCTION,
        "statementId": sid,
        "action": "lambda:InvokeFunction",
        "principal": principal,
    }
