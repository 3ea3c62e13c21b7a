"""`soar playbook plan`: what would be done, and that nothing is."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.parse
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from rehearse_world import SCENARIOS
from temporalio import activity

from soar.actions.contract import ReadDefinition
from soar.actions.registry import definitions
from soar.cli.main import run
from soar.intake.accept import read_alerts
from soar.model.alert import Alert
from soar.playbook.policy import Policy, load_policy
from soar.playtest.calls import read_call
from soar.playtest.policy import TEST_POLICY
from soar.rehearse.plan import PlanReport, _reads, plan_playbook
from soar.rehearse.prepare import load_subject, throwaway_settings
from soar.rehearse.stage import Ledger, open_stage
from soar.runtime.account import SimulatedAccount, simulated_account
from soar.runtime.parts import Core
from soar.runtime.settings import load_settings
from soar.simulated.company import seed_company
from soar.simulated.scenarios import SCENARIOS as ATTACKS
from soar.sources.registry import sources

pytestmark = pytest.mark.timeout(240)
POLICY = load_policy(TEST_POLICY, file="policy")
READING = ("Get", "List", "Describe", "Lookup", "Head", "Search")


async def planned(playbook: str, policy: Policy | None = POLICY, **more: Any) -> PlanReport:
    subject = load_subject(playbook, load_settings())
    return await plan_playbook(subject, more.pop("alerts", []), policy, **more)


def states(report: PlanReport) -> dict[str, str]:
    return {step.id: step.state for step in report.run.all_steps()}


# ---- the playbooks that ship ---------------------------------------------------------------------------------------


async def test_the_plan_for_a_leaked_key() -> None:
    report = await planned("aws-access-key-compromise", scenario="leaked-key")
    assert states(report) == {
        "check_access": "done",
        "owner": "done",
        "user": "done",
        "role": "skipped",
        "key_events": "done",
        "deactivate_keys": "change",
        "quarantine_user": "change",
        "revoke_sessions": "skipped",
        "made_keys": "done",
        "deactivate_made_key[0]": "change",
        "delete_leaked_key": "unknown",
        "rotate_key": "skipped",
        "lift_quarantine": "unknown",
        "user_afterwards": "done",
        "report": "done",
    }
    assert report.summary == "3 changes: 0 automatic, 3 after approval, 0 forbidden"
    assert report.passed
    steps = {step.id: step for step in report.run.steps}
    keys = steps["deactivate_keys"]
    assert keys.plan is not None
    assert [(c.before, c.after) for c in keys.plan.changes] == [("Active", "Inactive")]
    assert keys.asked is not None
    assert (keys.asked.needed, keys.asked.roles) == (1, ("responder",))
    assert keys.asked.people == ("Irene Castellano", "Jonas Weber", "Priya Raman")
    assert keys.rule.startswith("policy rule 2")
    # The key is active until it is deactivated, and an active one is never deleted.
    assert steps["delete_leaked_key"].depends_on == ("deactivate_keys", "quarantine_user")
    assert "still active" in steps["delete_leaked_key"].reason
    assert steps["lift_quarantine"].depends_on == ("quarantine_user",)
    assert "before deactivate_keys" in steps["user_afterwards"].reason


async def test_the_plan_for_a_mining_instance() -> None:
    report = await planned("aws-ec2-cryptomining", scenario="mining-instance")
    found = states(report)
    assert {step for step, state in found.items() if state == "change"} == {
        "protect",
        "standby",
        "deregister",
        "snapshot",
        "isolate",
        "revoke_sessions",
    }
    assert found["terminate"] == "unknown"
    automatic = {s.id for s in report.run.steps if s.state == "change" and s.asked is None}
    assert automatic == {"protect", "snapshot"}
    assert report.summary == "6 changes: 2 automatic, 4 after approval, 0 forbidden"


async def test_the_plan_for_a_public_bucket() -> None:
    report = await planned("aws-s3-public-bucket", scenario="public-bucket")
    assert states(report)["exposure_after"] == "unknown"  # it is public until it is closed
    assert report.summary == "2 changes: 0 automatic, 2 after approval, 0 forbidden"
    assert report.passed


# ---- nothing is changed --------------------------------------------------------------------------------------------


def activities_of(made: dict[str, list[Callable[..., Any]]]) -> set[str]:
    return {str(activity._Definition.must_from_callable(a).name) for found in made.values() for a in found}


async def test_the_workers_of_a_dry_run_can_read_and_plan_and_nothing_else() -> None:
    served: list[set[str]] = []

    def made(core: Core) -> dict[str, list[Callable[..., Any]]]:
        found = _reads(core, ledger, executor)
        served.append(activities_of(found))
        return found

    ledger = Ledger(POLICY)
    with ThreadPoolExecutor(2) as executor, throwaway_settings() as settings:
        async with open_stage(settings, ledger, made):
            pass
    reads = {name for name, d in definitions().items() if isinstance(d, ReadDefinition)}
    plans = {f"{name}:plan" for name in definitions().keys() - reads}
    assert served == [reads | plans]
    assert reads
    assert plans


async def test_what_is_no_dry_run_is_not_played() -> None:
    subject = load_subject("aws-s3-public-bucket", load_settings())
    ledger = Ledger(POLICY)
    alert = Alert(source="guardduty", uid="1", title="t", severity=3, time=datetime.now(UTC))
    with throwaway_settings() as settings:
        async with open_stage(settings, ledger, lambda _core: {}) as stage:
            real = subject.start("INC-1", [alert]).model_copy(update={"dry_run": False})
            with pytest.raises(ValueError, match="only dry runs"):
                await stage.rehearse(real, [alert], timeout=5)
    assert not ledger.timelines


@pytest.fixture
async def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimulatedAccount]:
    monkeypatch.chdir(tmp_path)  # where it keeps its recording
    async with simulated_account() as made:
        yield made


async def _operations(account: SimulatedAccount) -> set[str]:
    """Every operation that the account was asked for since its recording began."""
    async with httpx.AsyncClient(trust_env=False, base_url=account.endpoint_url) as http:
        text = (await http.get("/moto-api/recorder/download-recording")).text
    found: set[str] = set()
    for line in text.splitlines():
        one = json.loads(line)
        url = urllib.parse.urlsplit(one["url"])
        body = one.get("body") or ""
        raw = base64.b64decode(body) if one.get("body_encoded") else str(body).encode()
        headers = {name.lower(): value for name, value in one["headers"].items()}
        call = read_call(one["method"], url.path, url.query, headers, raw)
        assert call is not None, one
        assert call.operations, one
        found |= call.operations
    return found


@pytest.mark.parametrize("playbook", SCENARIOS)
async def test_only_reads_reach_the_account(
    playbook: str, account: SimulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the way of `--aws`: what stands in for the real account records every call."""
    company = await asyncio.to_thread(seed_company, account.endpoint_url, now=datetime.now(UTC))
    attack = ATTACKS[SCENARIOS[playbook]]
    finding = attack.finding(await asyncio.to_thread(attack.seed, company))
    alerts = read_alerts(sources()["guardduty"], json.dumps(finding).encode())
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SOAR_AWS_ENDPOINT_URL", account.endpoint_url)
    # What a dry run must not touch: these lead nowhere.
    monkeypatch.setenv("SOAR_DATABASE_URL", "postgresql+asyncpg://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("SOAR_TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1")
    async with httpx.AsyncClient(trust_env=False, base_url=account.endpoint_url) as http:
        (await http.post("/moto-api/recorder/start-recording")).raise_for_status()
    report = await planned(playbook, on_aws=True, alerts=alerts)
    assert report.on == "aws"
    assert report.run.count("change") >= 2
    operations = await _operations(account)
    assert operations
    assert not {name for name in operations if not name.startswith(READING)}


# ---- policy --------------------------------------------------------------------------------------------------------


async def test_what_the_policy_forbids_is_told_with_its_rule() -> None:
    text = TEST_POLICY.replace('name: "break-glass*"', "name: kestrel-freight-customer-exports*")
    report = await planned("aws-s3-public-bucket", load_policy(text, file="p"), scenario="public-bucket")
    step = next(s for s in report.run.steps if s.id == "close")
    assert step.state == "forbidden"
    assert "the way back in" in step.reason
    assert step.plan is not None
    assert report.summary == "2 changes: 0 automatic, 0 after approval, 2 forbidden"
    assert not report.passed


async def test_without_a_policy_nobody_may_approve() -> None:
    report = await planned("aws-s3-public-bucket", None, scenario="public-bucket")
    step = next(s for s in report.run.steps if s.id == "close")
    assert step.asked is not None
    assert (step.asked.roles, step.asked.people) == ((), None)


# ---- the whole language --------------------------------------------------------------------------------------------

LANGUAGE = """
name: whole-language
match: {source: guardduty}
correlate_by: [alert.account]
roles: {responder: does it, security-lead: says yes or no}
identification:
  - {id: look, do: aws.iam.describe_principal, with: {name: soar-responder, type: role}}
  - {id: missing, do: aws.iam.describe_principal, with: {name: nobody-at-all, type: user}, on_error: continue}
  - {id: after_missing, do: aws.iam.describe_principal, when: steps.missing.status == "succeeded",
     with: {name: soar-responder, type: role}}
  - {id: call, task: {role: responder, instructions: Call the owner, form: {reached: {type: boolean, label: Reached?}}}}
  - {id: sure, approve: Shall it go on?, approval: {role: security-lead, approvers: 2}}
  - {id: nap, wait: {for: 3d}}
containment:
  - id: way
    if: steps.sure.result.approved
    then:
      - {id: only_if_yes, do: aws.iam.describe_principal, with: {name: soar-responder, type: role}}
    else:
      - {id: only_if_no, do: aws.iam.describe_principal, with: {name: soar-responder, type: role}}
  - {id: told, set: {reached: "{{ steps.call.result.reached | default(false) }}"}}
  - {id: by_name, do: aws.iam.describe_principal, when: vars.reached, with: {name: soar-responder, type: role}}
  - id: known_way
    if: steps.look.status == "succeeded"
    then:
      - {id: taken, do: aws.iam.describe_principal, with: {name: soar-responder, type: role}}
    else:
      - {id: not_taken, do: aws.iam.describe_principal, with: {name: soar-responder, type: role}}
  - id: each
    foreach: "['ci-deployer', 'backup-service']"
    steps:
      - {id: keys, do: aws.iam.deactivate_access_key, with: {user_name: "{{ item }}"}}
  - {id: after_each, do: aws.iam.describe_principal, when: steps.each.result.failed == 0,
     with: {name: soar-responder, type: role}}
"""


async def test_what_depends_on_an_answer_is_not_known_and_the_rest_is(tmp_path: Path) -> None:
    file = tmp_path / "whole.yaml"
    file.write_text(LANGUAGE)
    report = await planned(str(file), scenario="leaked-key")
    found = {step.id: step for step in report.run.steps}
    assert {step: s.state for step, s in found.items()} == {
        "look": "done",
        "missing": "failed",
        "after_missing": "skipped",
        "call": "waits",
        "sure": "waits",
        "nap": "waits",
        "way": "unknown",
        "only_if_yes": "unknown",
        "only_if_no": "unknown",
        "told": "done",
        "by_name": "unknown",
        "known_way": "done",
        "taken": "done",
        "not_taken": "not_reached",
        "each": "done",
        "keys[0]": "change",
        "keys[1]": "change",
        "after_each": "done",
    }
    assert found["way"].depends_on == ("sure",)
    assert found["only_if_no"].depends_on == ("sure",)
    assert found["by_name"].depends_on == ("told",)
    assert found["told"].depends_on == ("call",)
    assert found["after_each"].depends_on == ("each",)
    assert found["not_taken"].reason == "known_way went another way"
    asked = found["sure"].asked
    assert asked is not None
    assert (asked.needed, asked.people) == (2, ("Irene Castellano", "Priya Raman"))
    assert found["call"].asked is not None
    assert found["call"].asked.roles == ("responder",)
    assert found["call"].summary == "Call the owner"
    assert found["nap"].summary == "at most 259200 s"
    assert not report.passed  # a read failed, whatever the playbook makes of it


async def test_called_playbooks_are_planned_with_their_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "child.yaml").write_text("""
name: child
inputs: {user: {type: string, default: ""}}
containment:
  - {id: keys, do: aws.iam.deactivate_access_key, with: {user_name: "{{ inputs.user }}"}}
outputs: {done: steps.keys.status}
""")
    parent = tmp_path / "parent.yaml"
    parent.write_text("""
name: parent
match: {source: guardduty}
correlate_by: [alert.account]
containment:
  - {id: contain, playbook: child, with: {user: ci-deployer}}
  - {id: after, do: aws.iam.describe_principal, when: steps.contain.result.done == "succeeded",
     with: {name: soar-responder, type: role}}
""")
    monkeypatch.setenv("SOAR_PLAYBOOKS", str(tmp_path))
    report = await planned("parent", scenario="leaked-key")
    assert {s.id: s.state for s in report.run.steps} == {"contain": "done", "after": "unknown"}
    [child] = report.run.children
    assert child.playbook == "child"
    assert {s.id: s.state for s in child.steps} == {"keys": "change"}
    assert report.summary == "1 changes: 0 automatic, 1 after approval, 0 forbidden"


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def policy_file(tmp_path: Path) -> str:
    file = tmp_path / "policy.yaml"
    file.write_text(TEST_POLICY)
    return str(file)


def test_the_command_shows_changes_people_and_the_last_line(
    policy_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        ["playbook", "plan", "aws-s3-public-bucket", "--scenario", "public-bucket", "--policy", policy_file]
    )
    shown = capsys.readouterr()
    assert code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[-1] == "2 changes: 0 automatic, 2 after approval, 0 forbidden"
    assert any("BlockPublicAcls: false -> true" in line for line in lines)
    assert any(
        line.strip().startswith(
            "decided: approval of 1 responder (Irene Castellano, Jonas Weber, Priya Raman); policy rule 2"
        )
        for line in lines
    )
    assert any("risk: disruptive; put back:" in line for line in lines)
    assert "Traceback" not in shown.err


def test_a_forbidden_change_is_exit_code_1_and_json_is_all_that_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(TEST_POLICY.replace("decide: automatic", "decide: never"))
    code = run(
        [
            "playbook",
            "plan",
            "aws-ec2-cryptomining",
            "--scenario=mining-instance",
            "--policy",
            str(policy),
            "--json",
        ]
    )
    shown = capfd.readouterr()
    assert code == 1, shown.err
    told = json.loads(shown.out)
    assert told["summary"] == "6 changes: 0 automatic, 4 after approval, 2 forbidden"
    assert {s["id"] for s in told["run"]["steps"] if s["state"] == "forbidden"} == {"protect", "snapshot"}


def test_hostile_alerts_control_no_terminal(
    tmp_path: Path, policy_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07 done\u202e [bold]0 changes[/bold]\r\nx: y"
    playbook = tmp_path / "show.yaml"
    playbook.write_text("""
name: show
match: {source: guardduty}
correlate_by: [alert.account]
identification:
  - {id: named, set: {title: "{{ alert.title }}"}}
  - {id: look, do: aws.iam.describe_principal, with: {name: "{{ alert.title }}", type: user}}
""")
    finding = {
        "detail-type": "GuardDuty Finding",
        "source": "aws.guardduty",
        "account": "123456789012",
        "region": "us-east-1",
        "time": "2026-01-01T00:00:00Z",
        "detail": {
            "schemaVersion": "2.0",
            "accountId": "123456789012",
            "region": "us-east-1",
            "id": "1" * 32,
            "type": "Policy:S3/BucketAnonymousAccessGranted",
            "severity": 5,
            "title": evil,
            "description": evil,
            "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-01-01T00:00:00Z",
            "resource": {"resourceType": "S3Bucket"},
            "service": {"count": 1},
        },
    }
    alert = tmp_path / "alert.json"
    alert.write_text(json.dumps(finding))
    code = run(["playbook", "plan", str(playbook), "--alert", str(alert), "--policy", policy_file])
    shown = capsys.readouterr()
    assert code == 1, shown.err  # there is no such user
    assert not {c for c in shown.out + shown.err if ord(c) < 32 and c != "\n"}
    assert "\u202e" not in shown.out
    assert "[bold]" in shown.out  # as text
    assert shown.out.splitlines()[-1] == "0 changes: 0 automatic, 0 after approval, 0 forbidden"
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["aws-s3-public-buckets", "--scenario", "public-bucket"], 3, 'did you mean "aws-s3-public-bucket"?'),
        (["aws-s3-public-bucket"], 2, "give --alert FILE, or --scenario NAME"),
        (
            ["aws-s3-public-bucket", "--scenario", "flood"],
            2,
            "there is no scenario flood; there are: backdoor-user",
        ),
        (["aws-s3-public-bucket", "--aws", "--scenario", "public-bucket"], 2, "one of --aws and --scenario"),
        (["aws-s3-public-bucket", "--alert", "none.json"], 3, "none.json cannot be read"),
        (["aws-s3-public-bucket", "--scenario", "leaked-key"], 1, "does not answer"),
    ],
)
def test_what_cannot_be_planned_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert run(["playbook", "plan", *arguments]) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
