"""How `soar actions iam-policy` writes policies for Terraform and CloudFormation.

Both leave the role's name and the partition to be filled in where they are used, and hold what changes in policies of
its own, which a switch leaves out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from soar.actions.aws.least_privilege import Scope

__all__ = ["MARGIN", "cloudformation", "own_parts", "scope_for", "terraform"]

MARGIN = 256
"""Characters kept free in a policy whose role may get a longer name than the placeholder."""
SESSION_TAG = "soar:incident"
"""The only tag that the worker gives to its sessions (`soar.actions.aws.sessions`)."""

_HEAD = "# Made by `soar actions iam-policy --format {format}`: make it anew rather than change it.\n"
_PLACEHOLDERS = {
    "terraform": ("${data.aws_partition.current.partition}", "${var.role_name}"),
    "cloudformation": ("${AWS::Partition}", "${RoleName}"),
}


def own_parts(role: str) -> tuple[str, ...]:
    """What of IAM is the responder itself: its role, and the policies that are named after it."""
    return f"role/{role}", f"policy/{role}*"


def scope_for(form: str, accounts: tuple[str, ...], *, guard: bool) -> Scope:
    """The scope of policies whose role and partition the template fills in.

    Args:
        form: `terraform` or `cloudformation`.
        accounts: As `Scope` has them.
        guard: Whether the responder is kept from changing itself.
    """
    partition, role = _PLACEHOLDERS[form]
    return Scope(accounts, own_parts(role) if guard else (), partition)


def terraform(policies: Mapping[str, Mapping[str, Any]]) -> str:
    """Write policies as a file of the module in `deploy/aws/terraform/responder`.

    Args:
        policies: By the end of their names, `read`, `change-2`. Those that begin with `change` can be switched off.
    """
    blocks = [_HEAD.format(format="terraform")]
    for name, document in policies.items():
        label, optional = name.replace("-", "_"), name.startswith("change")
        count = "  count = var.allow_changes ? 1 : 0\n\n" if optional else ""
        arn = f"aws_iam_policy.{label}[0].arn" if optional else f"aws_iam_policy.{label}.arn"
        blocks.append(
            f'resource "aws_iam_policy" "{label}" {{\n{count}'
            f'  name = "${{var.role_name}}-{name}"\n'
            f"  policy = jsonencode({_hcl(document, 1)})\n}}\n"
        )
        blocks.append(
            f'resource "aws_iam_role_policy_attachment" "{label}" {{\n{count}'
            f"  role       = aws_iam_role.responder.name\n  policy_arn = {arn}\n}}\n"
        )
    return "\n".join(blocks)


def _hcl(value: Any, depth: int) -> str:
    """Write a value as `terraform fmt` would."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, Mapping):
        lines = []
        for flat, run in groupby(value.items(), key=lambda item: not isinstance(item[1], Mapping | list)):
            items = list(run)
            width = max(len(key) for key, _ in items) if flat else 0
            lines += [f"{inner}{key:<{width}} = {_hcl(item, depth + 1)}\n" for key, item in items]
        return "{\n" + "".join(lines) + outer + "}"
    if isinstance(value, list):
        return "[\n" + "".join(f"{inner}{_hcl(v, depth + 1)},\n" for v in value) + outer + "]"
    return json.dumps(value)


def cloudformation(policies: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a template of the responder role with policies, for a stack or a StackSet.

    Args:
        policies: As for `terraform`.
    """
    from ruamel.yaml import YAML

    resources: dict[str, Any] = {"Responder": _responder()}
    for name, document in policies.items():
        resources["".join(word.capitalize() for word in name.split("-")) + "Policy"] = {
            "Type": "AWS::IAM::ManagedPolicy",
            **({"Condition": "ChangesAllowed"} if name.startswith("change") else {}),
            "Properties": {
                "ManagedPolicyName": {"Fn::Sub": f"${{RoleName}}-{name}"},
                "Roles": [{"Ref": "Responder"}],
                "PolicyDocument": _filled_in(document),
            },
        }
    text = io.StringIO()
    text.write(_HEAD.format(format="cloudformation"))
    yaml = YAML()
    yaml.width = 1000
    yaml.indent(mapping=2, sequence=4, offset=2)
    # Anchors are no part of CloudFormation's YAML, and no two nodes here are the same object by intent.
    yaml.representer.ignore_aliases = lambda _: True
    yaml.dump({**_template(), "Resources": resources, "Outputs": _OUTPUTS}, text)
    return text.getvalue()


def _filled_in(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled_in(item) for item in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${" in value else value


def _template() -> dict[str, Any]:
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The role that soar's aws worker takes on in this account, for incidents.",
        "Parameters": {
            "WorkerPrincipalArn": {
                "Type": "String",
                "Description": "The ARN of the role that the aws worker runs as, in the security account.",
                "AllowedPattern": r"^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[\w+=,.@/-]+$",
            },
            "ExternalId": {
                "Type": "String",
                "Description": "What SOAR_AWS_EXTERNAL_ID holds. Who may look at the role can read it.",
                "AllowedPattern": r"^[\w+=,.@:/-]{2,1224}$",
            },
            "RoleName": {
                "Type": "String",
                "Default": "soar-responder",
                "Description": "As SOAR_AWS_ROLE_TEMPLATE names it.",
                "AllowedPattern": r"^[\w+=,.@-]{1,50}$",
            },
            "AllowChanges": {
                "Type": "String",
                "Default": "true",
                "AllowedValues": ["true", "false"],
                "Description": "false leaves a role that only looks.",
            },
            "MaxSessionSeconds": {
                "Type": "Number",
                "Default": 3600,
                "MinValue": 3600,
                "MaxValue": 43200,
                "Description": "The worker asks for 3600.",
            },
            "PermissionsBoundaryArn": {
                "Type": "String",
                "Default": "",
                "Description": "A permissions boundary that your organisation asks of roles. Empty - none.",
            },
        },
        "Conditions": {
            "ChangesAllowed": {"Fn::Equals": [{"Ref": "AllowChanges"}, "true"]},
            "HasBoundary": {"Fn::Not": [{"Fn::Equals": [{"Ref": "PermissionsBoundaryArn"}, ""]}]},
        },
    }


def _responder() -> dict[str, Any]:
    worker = {"AWS": {"Ref": "WorkerPrincipalArn"}}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": {"Ref": "RoleName"},
            "Description": "Taken on by soar's aws worker, for one incident at a time.",
            "MaxSessionDuration": {"Ref": "MaxSessionSeconds"},
            "PermissionsBoundary": {
                "Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]
            },
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": "TheWorker",
                        "Effect": "Allow",
                        "Principal": worker,
                        "Action": "sts:AssumeRole",
                        "Condition": {"StringEquals": {"sts:ExternalId": {"Ref": "ExternalId"}}},
                    },
                    {
                        "Sid": "NamesItsIncident",
                        "Effect": "Allow",
                        "Principal": worker,
                        "Action": "sts:TagSession",
                        "Condition": {
                            "StringLike": {f"aws:RequestTag/{SESSION_TAG}": "?*"},
                            "ForAllValues:StringEquals": {"aws:TagKeys": [SESSION_TAG]},
                        },
                    },
                ],
            },
        },
    }


_OUTPUTS = {
    "RoleArn": {
        "Description": "Set SOAR_AWS_ROLE_TEMPLATE to it, with {account} for the account's number.",
        "Value": {"Fn::GetAtt": ["Responder", "Arn"]},
    }
}
