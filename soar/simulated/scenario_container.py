"""A taken-over container: somebody has a shell in the tracking service, and the credentials of its role."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, ClassVar

from soar.model.base import JsonObject
from soar.simulated.base import AccountClients, Attack, Check, Scenario, guardduty_envelope, iso
from soar.simulated.company import Company

__all__ = ["CompromisedService"]

ATTACKER = "203.0.113.151"
"""TEST-NET-3: nobody's address."""

CLUSTER, SERVICE, OTHER, ROLE = "kestrel", "kestrel-tracking", "kestrel-quotes", "kestrel-tracking-task"
REPOSITORY, TAG = "kestrel/tracking", "stable"
YARD = "kestrel-yard"
TASK = "5c0ffee05c0ffee05c0ffee05c0ffee0"


class CompromisedService(Scenario):
    """A container of the tracking service has a reverse shell; beside it are another service and an EKS cluster."""

    name: ClassVar[str] = "compromised-service"
    title: ClassVar[str] = "A container of the tracking service has a reverse shell"
    playbook: ClassVar[str] = "aws-container-compromise"

    def seed(self, company: Company) -> Attack:
        """Deploy two services, and a cluster of Kubernetes; then let the role of one look around from elsewhere."""
        ecs, ecr, iam, eks = (company.client(name) for name in ("ecs", "ecr", "iam", "eks"))
        ecr.create_repository(repositoryName=REPOSITORY)
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": f"sha256:{'1' * 64}", "size": 7},
            "layers": [],
        }
        digest = ecr.put_image(repositoryName=REPOSITORY, imageManifest=json.dumps(manifest), imageTag=TAG)[
            "image"
        ]["imageId"]["imageDigest"]
        image = f"{company.account}.dkr.ecr.{company.region}.amazonaws.com/{REPOSITORY}:{TAG}"
        trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}
        role = iam.create_role(
            RoleName=ROLE,
            AssumeRolePolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
            ),
        )["Role"]["Arn"]
        ecs.create_cluster(clusterName=CLUSTER)
        definitions = {name: _service(company, ecs, name, image, role) for name in (SERVICE, OTHER)}
        eks.create_cluster(
            name=YARD,
            roleArn=company.roles["kestrel-app-instance"],
            resourcesVpcConfig={"subnetIds": [company.subnets["app-a"], company.subnets["app-b"]]},
        )
        start = company.now - timedelta(minutes=17)
        company.trail.write(
            [
                company.trail.event(
                    _session(company.account, role, iso(start - timedelta(hours=1))),
                    "secretsmanager",
                    "ListSecrets",
                    start,
                    ATTACKER,
                    error_code="AccessDenied",
                    read_only=True,
                )
            ]
        )
        return Attack(
            scenario=self.name,
            account=company.account,
            region=company.region,
            time=start + timedelta(minutes=1),
            facts={
                "cluster": CLUSTER,
                "cluster_arn": f"arn:aws:ecs:{company.region}:{company.account}:cluster/{CLUSTER}",
                "service": SERVICE,
                "other_service": OTHER,
                "task": TASK,
                "task_arn": f"arn:aws:ecs:{company.region}:{company.account}:task/{CLUSTER}/{TASK}",
                "definition_arn": definitions[SERVICE],
                "role": ROLE,
                "repository": REPOSITORY,
                "image": image,
                "digest": digest,
                "app_group": company.security_groups["kestrel-app"],
                "yard": YARD,
                "yard_arn": f"arn:aws:eks:{company.region}:{company.account}:cluster/{YARD}",
                "source_ip": ATTACKER,
            },
        )

    def finding(self, attack: Attack) -> JsonObject:
        """`Execution:Runtime/ReverseShell`."""
        facts = attack.facts
        container: JsonObject = {
            "id": "c" * 64,
            "name": "tracking",
            "image": facts["image"],
            "containerRuntime": "containerd",
        }
        return guardduty_envelope(
            attack,
            rule="Execution:Runtime/ReverseShell",
            severity=8.0,
            title=f"A reverse shell was opened in a container of ECS cluster {facts['cluster']}.",
            description=f"A process in a task of {facts['service']} has its shell at {facts['source_ip']}.",
            resource={
                "resourceType": "ECSCluster",
                "ecsClusterDetails": {
                    "name": facts["cluster"],
                    "arn": facts["cluster_arn"],
                    "status": "ACTIVE",
                    "taskDetails": {
                        "arn": facts["task_arn"],
                        "definitionArn": facts["definition_arn"],
                        "launchType": "FARGATE",
                        "group": f"service:{facts['service']}",
                        "startedBy": "ecs-svc/1",
                        "containers": [container],
                    },
                },
            },
            action={},
        )

    def check(self, account: AccountClients, attack: Attack) -> list[Check]:
        """Serves the service nobody, goes the other one on, and are the role's sessions of no use any more?"""
        ecs, iam, facts = account.client("ecs"), account.client("iam"), attack.facts
        services = ecs.describe_services(
            cluster=facts["cluster"], services=[facts["service"], facts["other_service"]]
        )["services"]
        taken, other = sorted(services, key=lambda s: s["serviceName"] != facts["service"])
        groups = taken["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"]
        policies = iam.list_role_policies(RoleName=facts["role"])["PolicyNames"]
        return [
            Check(
                name=f"{facts['service']} is cut off or stopped",
                ok=taken["desiredCount"] == 0 or facts["app_group"] not in groups,
                seen=f"{taken['desiredCount']} task(s) wanted, groups {', '.join(groups)}",
            ),
            Check(
                name=f"{facts['other_service']} goes on",
                ok=other["desiredCount"] == 2,
                seen=f"{other['desiredCount']} task(s) wanted",
            ),
            Check(
                name=f"the sessions of {facts['role']} are revoked",
                ok="AWSRevokeOlderSessions" in policies,
                seen=f"inline policies: {', '.join(policies) or 'none'}",
            ),
        ]


def _service(company: Company, ecs: Any, name: str, image: str, role: str) -> str:
    """A service on Fargate.

    Returns:
        The ARN of its task definition.
    """
    definition = str(
        ecs.register_task_definition(
            family=name,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            taskRoleArn=role,
            containerDefinitions=[
                {
                    "name": name.removeprefix("kestrel-"),
                    "image": image,
                    "environment": [{"name": "STAGE", "value": "production"}],
                }
            ],
        )["taskDefinition"]["taskDefinitionArn"]
    )
    ecs.create_service(
        cluster=CLUSTER,
        serviceName=name,
        taskDefinition=definition,
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": [company.subnets["app-a"]],
                "securityGroups": [company.security_groups["kestrel-app"]],
                "assignPublicIp": "DISABLED",
            }
        },
    )
    return definition


def _session(account: str, role_arn: str, since: str) -> JsonObject:
    """The identity of a session of the task's role, as CloudTrail writes it."""
    return {
        "type": "AssumedRole",
        "principalId": f"AROAKESTRELTRACKINGT:{TASK}",
        "arn": f"arn:aws:sts::{account}:assumed-role/{ROLE}/{TASK}",
        "accountId": account,
        "accessKeyId": "ASIAKESTRELTRACKINGX",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAKESTRELTRACKINGT",
                "arn": role_arn,
                "accountId": account,
                "userName": ROLE,
            },
            "attributes": {"creationDate": since, "mfaAuthenticated": "false"},
        },
    }
