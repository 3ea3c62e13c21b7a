"""deploy/aws: the responder role, as CloudFormation and Terraform make it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import hcl2
import httpx
import pytest
from hcl2 import SerializationOptions
from moto.server import ThreadedMotoServer
from ruamel.yaml import YAML

from soar.actions.aws.sessions import SESSION_SECONDS, session_tags

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/aws"
TEMPLATE_FILE = FOLDER / "responder-role.yaml"
TEMPLATE: dict[str, Any] = YAML(typ="safe").load(TEMPLATE_FILE.read_text())
RESPONDER, ORGANIZATION = FOLDER / "terraform/responder", FOLDER / "terraform/organization"
PLAYBOOKS = sorted(p for p in (ROOT / "playbooks").glob("*.yaml") if not p.name.endswith(".test.yaml"))
SOAR = str(Path(sys.executable).parent / "soar")
WORKER = "arn:aws:iam::111122223333:role/soar-worker"
PARAMETERS = {"WorkerPrincipalArn": WORKER, "ExternalId": "made-up-7f3a", "RoleName": "responder-x"}


def printed(*options: str) -> dict[str, Any]:
    """The policies that the command prints for the shipped playbooks."""
    command = [SOAR, "actions", "iam-policy", "--split", *options, *map(str, PLAYBOOKS)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def blocks(folder: Path) -> dict[tuple[str, ...], Any]:
    """A module's blocks by their kind and labels."""
    options = SerializationOptions(strip_string_quotes=True, with_comments=False)
    found: dict[tuple[str, ...], Any] = {}
    for file in sorted(folder.glob("*.tf")):
        for kind, several in hcl2.loads(file.read_text(), serialization_options=options).items():
            for block in several:
                labels: tuple[str, ...] = ()
                while "__is_block__" not in block:
                    ((label, block),) = block.items()
                    labels += (label,)
                assert (kind, *labels) not in found, f"{file.name}: {labels} is there twice"
                found[kind, *labels] = block
    return found


def test_what_is_committed_is_what_the_command_makes(tmp_path: Path) -> None:
    environment = {**os.environ, "SOAR": SOAR, "OUT": str(tmp_path)}
    subprocess.run([FOLDER / "generate.sh"], check=True, capture_output=True, env=environment)
    made = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert made == [Path("responder-role.yaml"), Path("terraform/responder/policies.tf")]
    for file in made:
        assert (FOLDER / file).read_text() == (tmp_path / file).read_text(), "run deploy/aws/generate.sh"


def test_the_template_is_valid() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "cfn-lint"), "--include-checks", "I", "--", str(TEMPLATE_FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes clients of a simulated account."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "simulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "simulated")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()

    def client(service: str) -> Any:
        return boto3.client(service, endpoint_url=f"http://{host}:{port}", region_name="us-east-1")

    try:
        # Servers in one process share their accounts.
        httpx.post(f"http://{host}:{port}/moto-api/reset", trust_env=False).raise_for_status()
        yield client
    finally:
        server.stop()


def deploy(client: Any, **more: str) -> tuple[Any, dict[str, Any]]:
    """Make a stack: the role, and its policies by name."""
    client("cloudformation").create_stack(
        StackName="responder",
        TemplateBody=TEMPLATE_FILE.read_text(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in {**PARAMETERS, **more}.items()
        ],
    )
    iam = client("iam")
    role = iam.get_role(RoleName="responder-x")["Role"]
    policies = {}
    for attached in iam.list_attached_role_policies(RoleName="responder-x")["AttachedPolicies"]:
        arn = attached["PolicyArn"]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        policies[attached["PolicyName"]] = found
    return role, policies


def test_a_stack_has_the_role_that_the_worker_takes_on(cloudformation: Any) -> None:
    role, policies = deploy(cloudformation)
    assert policies == printed("--role", "responder-x")
    assert role["MaxSessionDuration"] >= SESSION_SECONDS
    taken_on, tagged = role["AssumeRolePolicyDocument"]["Statement"]
    assert taken_on["Action"] == "sts:AssumeRole"
    assert taken_on["Condition"] == {"StringEquals": {"sts:ExternalId": "made-up-7f3a"}}
    assert tagged["Action"] == "sts:TagSession"
    # The tag that is asked for is the one that the worker gives.
    (key,) = [tag["Key"] for tag in session_tags("inc-1")]
    assert tagged["Condition"] == {
        "StringLike": {f"aws:RequestTag/{key}": "?*"},
        "ForAllValues:StringEquals": {"aws:TagKeys": [key]},
    }
    for statement in (taken_on, tagged):
        assert statement["Effect"] == "Allow"
        assert statement["Principal"] == {"AWS": WORKER}
    outputs = cloudformation("cloudformation").describe_stacks(StackName="responder")["Stacks"][0]["Outputs"]
    assert [o["OutputValue"] for o in outputs] == [role["Arn"]]


def test_a_stack_without_changes_only_looks(cloudformation: Any) -> None:
    _, policies = deploy(cloudformation, AllowChanges="false")
    assert list(policies) == ["responder-x-read"]
    assert [s["Sid"] for s in policies["responder-x-read"]["Statement"]] == ["SoarRead"]


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("WorkerPrincipalArn", [WORKER, "arn:aws-cn:iam::111122223333:role/a/b"], ["*", "111122223333"]),
        ("WorkerPrincipalArn", [], ["arn:aws:iam::111122223333:root"]),
        ("ExternalId", ["ab", "a:b/c"], ["a", "", "a b"]),
        ("RoleName", ["soar-responder"], ["a/b", "a" * 51, "x*", ""]),
    ],
)
def test_parameters_are_checked(parameter: str, good: list[str], bad: list[str]) -> None:
    pattern = re.compile(TEMPLATE["Parameters"][parameter]["AllowedPattern"])
    assert all(pattern.fullmatch(value) for value in good)
    assert not any(pattern.fullmatch(value) for value in bad)


def _document(expression: str) -> Any:
    """What a `jsonencode(…)` of the module is, for the role of `PARAMETERS`."""
    inner = re.fullmatch(r"\$\{jsonencode\((.*)\)\}", expression, re.DOTALL)
    assert inner
    text = inner[1].replace("${var.role_name}", "responder-x")
    text = text.replace("${data.aws_partition.current.partition}", "aws")
    options = SerializationOptions(strip_string_quotes=True)
    return hcl2.loads(f"x = {text}\n", serialization_options=options)["x"]


def test_terraforms_policies_are_those_of_the_command() -> None:
    found = blocks(RESPONDER)
    policies = {
        labels[-1]: block for labels, block in found.items() if labels[:2] == ("resource", "aws_iam_policy")
    }
    documents = {
        block["name"].replace("${var.role_name}", "responder-x"): _document(block["policy"])
        for block in policies.values()
    }
    assert documents == printed("--role", "responder-x")
    for label, block in policies.items():
        attachment = found["resource", "aws_iam_role_policy_attachment", label]
        assert attachment["role"] == "${aws_iam_role.responder.name}"
        assert f"aws_iam_policy.{label}" in attachment["policy_arn"]
        assert attachment.get("count") == block.get("count")
        assert ("count" in block) == label.startswith("change")


@pytest.mark.parametrize("folder", [RESPONDER, ORGANIZATION], ids=lambda f: f.name)
def test_what_terraform_refers_to_is_there(folder: Path) -> None:
    found = blocks(folder)
    text = "".join(f.read_text() for f in sorted(folder.glob("*.tf")))
    variables = set(re.findall(r"\bvar\.(\w+)", text))
    assert variables == {labels[1] for labels in found if labels[0] == "variable"}, "all used, and all there"
    for kind, name in re.findall(r"\bdata\.(\w+)\.(\w+)", text):
        assert ("data", kind, name) in found
    for kind, name in re.findall(r"(?<![.\w])(aws_\w+)\.(\w+)", re.sub(r"\bdata\.\w+", "", text)):
        assert ("resource", kind, name) in found
    for path in re.findall(r'file\("\$\{path\.module\}/([^"]+)"\)', text):
        assert (folder / path).resolve() == TEMPLATE_FILE


def test_terraform_trusts_as_the_template_does() -> None:
    trust = blocks(RESPONDER)["data", "aws_iam_policy_document", "trust"]
    filled = {"WorkerPrincipalArn": "${var.worker_principal_arn}", "ExternalId": "${var.external_id}"}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return filled[value["Ref"]] if "Ref" in value else {k: plain(v) for k, v in value.items()}
        return value

    wanted = TEMPLATE["Resources"]["Responder"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert len(trust["statement"]) == len(wanted)
    for statement, other in zip(trust["statement"], map(plain, wanted), strict=True):
        assert statement["sid"] == other["Sid"]
        assert statement["actions"] == [other["Action"]]
        (principal,) = statement["principals"]
        assert {principal["type"]: principal["identifiers"]} == {"AWS": [other["Principal"]["AWS"]]}
        conditions = {c["test"]: {c["variable"]: c["values"]} for c in statement["condition"]}
        assert conditions == {
            test: {key: value if isinstance(value, list) else [value] for key, value in of.items()}
            for test, of in other["Condition"].items()
        }


def test_the_stack_set_gives_what_the_template_takes() -> None:
    found = blocks(ORGANIZATION)
    stack_set = found["resource", "aws_cloudformation_stack_set", "responder"]
    given = set(stack_set["parameters"])
    taken = TEMPLATE["Parameters"]
    assert given == set(taken)
    # Terraform would see a hidden value change at each plan.
    assert not any(parameter.get("NoEcho") for parameter in taken.values())
    assert stack_set["capabilities"] == ["CAPABILITY_NAMED_IAM"]
    defaults = {labels[1]: block.get("default") for labels, block in found.items() if labels[0] == "variable"}
    ours = {
        labels[1]: block.get("default")
        for labels, block in blocks(RESPONDER).items()
        if labels[0] == "variable"
    }
    assert defaults["role_name"] == ours["role_name"] == taken["RoleName"]["Default"]
