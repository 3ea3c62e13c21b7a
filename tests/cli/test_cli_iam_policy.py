"""`soar actions iam-policy`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from soar.actions.contract import registered
from soar.actions.registry import catalogue
from soar.cli.exit_codes import ExitCode

SHIPPED = Path(__file__).parents[2] / "playbooks"
CALLED = (
    "name: called\ninputs: {user: {type: string, default: ''}}\n"
    "identification:\n  - {id: key, do: aws.iam.find_key_owner, with: {access_key_id: AKIA1234567890123456}}\n"
)
CALLER = """
name: caller
match: {source: guardduty}
correlate_by: [alert.account]
identification:
  - {id: call, playbook: called, with: {user: alice}}
  - id: either
    if: alert.account == "1"
    then:
      - {id: stop, do: aws.ec2.stop_instance, with: {instance_id: i-0123456789abcdef0}}
    else:
      - id: both
        parallel:
          one:
            - {id: who, do: http.get, with: {url: "https://example.org/"}}
          two:
            - id: each
              foreach: '["a"]'
              as: one
              steps:
                - {id: versions, do: aws.s3.enable_versioning, with: {bucket: "{{ one }}"}}
on_failure:
  - {id: last, do: aws.autoscaling.group_health, with: {instance_id: i-0123456789abcdef0}}
"""


def _actions(document: Any, sid: str) -> list[str]:
    return [a for s in document["Statement"] if s["Sid"] == sid for a in s["Action"]]


def _permissions(*names: str) -> set[str]:
    return {p for name in names for p in catalogue()[name].permissions}


def test_an_action(soar: Any) -> None:
    code, out, err = soar("actions", "iam-policy", "aws.iam.deactivate_access_key")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "SoarRead",
                "Effect": "Allow",
                "Action": [
                    "iam:GetAccessKeyLastUsed",
                    "iam:GetUser",
                    "iam:ListAccessKeys",
                    "sts:GetCallerIdentity",
                ],
                "Resource": "*",
            },
            {"Sid": "SoarChange", "Effect": "Allow", "Action": ["iam:UpdateAccessKey"], "Resource": "*"},
        ],
    }
    assert soar("actions", "iam-policy", "--json", "aws.iam.deactivate_access_key")[1] == out


def test_a_playbook_by_name_and_by_file(soar: Any) -> None:
    name = "aws-s3-public-bucket"
    code, out, err = soar("actions", "iam-policy", name)
    assert code == 0
    assert "needs no AWS permission: report.write" in err
    assert soar("actions", "iam-policy", str(SHIPPED / f"{name}.yaml"))[1] == out
    assert _actions(json.loads(out), "SoarChange") == [
        "s3:DeleteBucketPolicy",
        "s3:PutBucketPolicy",
        "s3:PutBucketPublicAccessBlock",
    ]


def test_every_action_counts_wherever_it_stands(soar: Any, tmp_path: Path) -> None:
    (tmp_path / "called.yaml").write_text(CALLED)
    (tmp_path / "caller.yaml").write_text(CALLER)
    code, out, err = soar("actions", "iam-policy", str(tmp_path / "caller.yaml"))
    assert code == 0, err
    assert "needs no AWS permission: http.get" in err
    document = json.loads(out)
    assert {*_actions(document, "SoarRead"), *_actions(document, "SoarChange")} == _permissions(
        "aws.iam.find_key_owner",
        "aws.ec2.stop_instance",
        "aws.s3.enable_versioning",
        "aws.autoscaling.group_health",
    )


def test_without_names_it_is_every_aws_action(soar: Any) -> None:
    code, out, err = soar("actions", "iam-policy", "--split")
    assert code == 0
    found = json.loads(out)
    # More than a managed policy takes is divided, and that is told; nothing else is.
    assert err.splitlines() == [
        f"divided by service into {len(found)} policies: a managed policy takes 6,144 characters"
    ]
    assert all(len(json.dumps(document, separators=(",", ":"))) <= 6_144 for document in found.values())
    reading = [d for name, d in found.items() if name.startswith("soar-responder-read")]
    changing = [d for name, d in found.items() if name.startswith("soar-responder-change")]
    assert reading
    assert changing
    assert len(reading) + len(changing) == len(found)
    told = {a for d in reading for a in _actions(d, "SoarRead")}
    told |= {a for d in changing for a in _actions(d, "SoarChange")}
    assert told == _permissions(*(n for n, s in catalogue().items() if s.queue == "aws"))
    assert all(_actions(d, "SoarChange") == [] for d in reading)
    assert all(_actions(d, "SoarRead") == [] for d in changing)


def test_the_guard_names_the_role_and_can_be_left_out(soar: Any) -> None:
    ask = ("actions", "iam-policy", "aws.iam.revoke_role_sessions")
    (deny,) = [s for s in json.loads(soar(*ask)[1])["Statement"] if s["Effect"] == "Deny"]
    assert deny["Action"] == ["iam:DeleteRolePolicy", "iam:PutRolePolicy"]
    assert deny["Resource"] == "arn:aws:iam::*:role/soar-responder"
    given = soar(*ask, "--role", "security/responder", "--account", "111122223333")[1]
    assert "arn:aws:iam::111122223333:role/security/responder" in given
    assert "Deny" not in soar(*ask, "--no-guard")[1]


def test_accounts_limit_changes(soar: Any) -> None:
    ask = (
        "actions",
        "iam-policy",
        "aws.iam.quarantine_user",
        "--account",
        "222222222222",
        "--account",
        "111122223333",
    )
    document = json.loads(soar(*ask)[1])
    (change,) = [s for s in document["Statement"] if s["Sid"] == "SoarChangeIam"]
    assert change["Resource"] == ["arn:aws:iam::111122223333:*", "arn:aws:iam::222222222222:*"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("aws.iam.deactivate_acess_key", "aws.iam.deactivate_access_key"),
        ("aws-s3-public-buckets", "aws-s3-public-bucket"),
        ("nowhere.yaml", ""),
        ("\x1b[31mred", ""),
        ("a" * 5000, ""),
        ("a" * 5000 + ".yaml", ""),
    ],
)
def test_a_name_that_is_none(soar: Any, name: str, near: str) -> None:
    code, out, err = soar("actions", "iam-policy", name)
    assert (code, out) == (ExitCode.NOT_FOUND, "")
    assert near in err
    assert "\x1b" not in err
    assert "unexpectedly" not in err


@pytest.mark.parametrize(
    "options",
    [
        ("--account", "12"),
        ("--account", "١١١١٢٢٢٢٣٣٣٣"),
        ("--role", "${evil}"),
        ("--role", ""),
        ("--json", "--format", "terraform"),
        ("--format", "pulumi"),
    ],
)
def test_wrong_options(soar: Any, options: tuple[str, ...]) -> None:
    code, out, _ = soar("actions", "iam-policy", "aws.s3.bucket_exposure", *options)
    assert (code, out) == (ExitCode.USAGE, "")


def test_a_broken_playbook_says_where(soar: Any, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x\nidentification:\n  - {id: a, do: aws.iam.nothing}\n")
    code, out, err = soar("actions", "iam-policy", str(tmp_path / "x.yaml"))
    assert (code, out) == (ExitCode.FAILED, "")
    assert "x.yaml" in err
    assert "aws.iam.nothing" in err


def test_nothing_to_allow_is_no_policy(soar: Any) -> None:
    code, out, err = soar("actions", "iam-policy", "http.get")
    assert (code, out) == (ExitCode.FAILED, "")
    assert "http.get" in err


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an action of another package, which declares what it likes."""

    def declare(*permissions: str) -> str:
        definition: Any = catalogue()["aws.s3.object_inventory"]
        known = dict(catalogue())
        known["acme.look"] = definition.model_copy(update={"name": "acme.look", "permissions": permissions})
        monkeypatch.setattr("soar.actions.registry.catalogue", lambda: known)
        return "acme.look"

    return declare


def test_what_iam_does_not_know_counts_as_a_change(soar: Any, foreign: Any) -> None:
    code, out, err = soar("actions", "iam-policy", foreign("s3:GetFromTheMoon", "s3:GetObject"))
    assert code == 0
    assert "s3:GetFromTheMoon" in err
    document = json.loads(out)
    assert _actions(document, "SoarChange") == ["s3:GetFromTheMoon"]
    assert _actions(document, "SoarRead") == ["s3:GetObject"]


def test_more_than_a_managed_policy_takes_is_said(soar: Any, foreign: Any) -> None:
    name = foreign(
        *(f"ec2:DescribeThing{n:04}" for n in range(120)), *(f"s3:GetThing{n:04}" for n in range(200))
    )
    code, out, err = soar("actions", "iam-policy", name)
    assert code == 0
    assert list(json.loads(out)) == ["soar-responder-1", "soar-responder-2"]
    assert "divided by service into 2 policies" in err
    code, out, err = soar(
        "actions", "iam-policy", foreign(*(f"ec2:DescribeThing{n:05}" for n in range(4000)))
    )
    assert code == 0
    assert "a role takes 10 managed policies" in err
    assert registered  # the real catalogue is untouched
    assert "acme.look" not in registered
