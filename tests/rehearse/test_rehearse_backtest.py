"""`soar playbook backtest`: recorded incidents against other versions of their playbooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from rehearse_world import SHIPPED, played, rewritten, run_incident, store_of

from soar.cli.main import run
from soar.model.base import JsonObject
from soar.model.timeline import TimelineEntry, verify_chain
from soar.playbook.policy import Policy, load_policy
from soar.playtest.files import load_tests
from soar.playtest.policy import TEST_POLICY
from soar.rehearse.backtest import Backtest, NoSuchIncident, backtest, incidents_of
from soar.rehearse.compare import Row
from soar.rehearse.prepare import load_subject
from soar.runtime.settings import load_settings
from soar.store import Store

pytestmark = pytest.mark.timeout(240)
POLICY = load_policy(TEST_POLICY, file="policy")
BUCKET, KEY, MINER = "aws-s3-public-bucket", "aws-access-key-compromise", "aws-ec2-cryptomining"
Timelines = Mapping[str, list[TimelineEntry]]


@pytest.fixture(scope="module")
def incidents() -> Timelines:
    """Incidents that really ran, once: the happy way of each shipped playbook, and a denial."""
    found: dict[str, list[TimelineEntry]] = {}
    for name in (BUCKET, KEY, MINER):
        file = SHIPPED / f"{name}.test.yaml"
        found[name] = run_incident(file, load_tests(file).file.tests[0].name)
    cases = load_tests(SHIPPED / f"{BUCKET}.test.yaml").file.tests
    denied = next(c.name for c in cases if any(p.do == "deny" for p in c.people))
    found["denied"] = rewritten(run_incident(SHIPPED / f"{BUCKET}.test.yaml", denied), "INC-DENIED")
    return found


@pytest.fixture
def url(incidents: Timelines, tmp_path: Path) -> str:
    """A store with these incidents."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    asyncio.run(store_of(url, list(incidents.values())))
    return url


async def replayed(
    url: str, playbook: str, incident: str, policy: Policy = POLICY, inputs: Path | None = None
) -> Backtest:
    subject = load_subject(playbook, load_settings(), inputs=inputs)
    store = await Store.open(url)
    try:
        [result] = await backtest(subject, store, [incident], policy)
    finally:
        await store.close()
    assert not result.error
    return result


def rows(result: Backtest) -> dict[str, Row]:
    return {row.step: row for row in result.rows}


def changed_bucket(tmp_path: Path, *changes: tuple[str, str]) -> str:
    text = (SHIPPED / f"{BUCKET}.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / f"{BUCKET}.yaml"
    file.write_text(text)
    return str(file)


# ---- the version that ran ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inputs", "unknown"),
    [
        (BUCKET, "{}", set()),
        (KEY, "{secret_id: kestrel/ci-deployer/aws-key}", {"lift_quarantine"}),
        (MINER, "{replace_instance: true}", set()),
    ],
)
async def test_the_version_that_ran_would_do_the_same(
    incidents: Timelines, url: str, tmp_path: Path, name: str, inputs: str, unknown: set[str]
) -> None:
    values = tmp_path / "inputs.yaml"
    values.write_text(f"{name}: {inputs}")
    result = await replayed(url, name, incidents[name][0].incident_id, inputs=values)
    assert {r.step for r in result.rows if r.verdict != "same"} == unknown
    assert not result.differs
    assert result.version_was == result.version_now
    assert result.status_was == "closed"
    assert result.status_now.startswith("closed, if everything is approved")
    assert {r.was for r in result.rows if r.now == "would change"} == {"changed"}
    assert not result.notes


async def test_a_denial_is_of_people_and_not_of_the_playbook(url: str) -> None:
    result = await replayed(url, BUCKET, "INC-DENIED")
    assert not result.differs
    assert rows(result)["close"].was == "denied"
    assert rows(result)["close"].now == "would change"


async def test_an_incident_is_replayed_with_the_inputs_that_it_ran_with(
    incidents: Timelines, url: str
) -> None:
    """They are not those in force, with which a step would plan something else."""
    result = await replayed(url, MINER, incidents[MINER][0].incident_id)
    assert not any("inputs" in note for note in result.notes)
    assert not result.differs


async def test_the_inputs_of_an_older_record_are_not_known(incidents: Timelines, tmp_path: Path) -> None:
    """They are what made this step plan something else than is on record."""
    older = rewritten(incidents[MINER], "INC-OLDER", drop="inputs")
    verify_chain(older, "INC-OLDER")
    url = f"sqlite+aiosqlite:///{tmp_path / 'older.db'}"
    await store_of(url, [older])
    result = await replayed(url, MINER, "INC-OLDER")
    assert any("the record does not say with which ones it ran" in note for note in result.notes)
    standby = rows(result)["standby"]
    assert standby.verdict == "unknown"
    assert "with replace: true → false" in standby.details[0]


# ---- another version -----------------------------------------------------------------------------------------------


async def test_more_approvers_a_step_that_is_gone_and_one_that_is_new(
    incidents: Timelines, url: str, tmp_path: Path
) -> None:
    file = changed_bucket(tmp_path, ("  - id: inventory\n", "  - id: stock\n"))
    policy = load_policy(TEST_POLICY.replace("approvers: 1", "approvers: 2"), file="p")
    result = await replayed(url, file, incidents[BUCKET][0].incident_id, policy)
    found = rows(result)
    assert found["close"].verdict == "changed"
    assert found["close"].details == ("asked: 1 responder → 2 responder",)
    assert (found["inventory"].verdict, found["inventory"].was, found["inventory"].now) == (
        "gone",
        "done",
        "",
    )
    # What another step had asked with the same parameters answers the renamed step.
    assert (found["stock"].verdict, found["stock"].now) == ("new", "done")
    assert result.differs
    assert result.version_was != result.version_now


async def test_of_two_answers_none_is_guessed(incidents: Timelines, url: str, tmp_path: Path) -> None:
    """The record has what the user was before containment, and afterwards."""
    text = (SHIPPED / f"{KEY}.yaml").read_text()
    file = tmp_path / f"{KEY}.yaml"
    file.write_text(text.replace("  - id: user_afterwards\n", "  - id: user_at_the_end\n"))
    result = await replayed(url, str(file), incidents[KEY][0].incident_id)
    found = rows(result)
    assert (found["user_at_the_end"].verdict, found["user_at_the_end"].now) == ("unknown", "not known")
    assert (
        "different answers to this, those of the steps user, user_afterwards"
        in (found["user_at_the_end"].details[0])
    )
    assert found["user"].verdict == "same"
    assert found["user_afterwards"].verdict == "gone"


async def test_what_was_not_read_is_unknown_and_so_is_what_depends_on_it(
    incidents: Timelines, url: str, tmp_path: Path
) -> None:
    file = changed_bucket(
        tmp_path,
        (
            "containment:\n",
            "containment:\n"
            "  - id: owner\n    do: aws.iam.describe_principal\n    with: {name: data-owner, type: role}\n"
            "    on_error: continue\n"
            "  - id: theirs\n    do: aws.s3.enable_versioning\n    when: steps.owner.status == 'succeeded'\n"
            "    with:\n      bucket: \"{{ (alert | resource('aws.s3.bucket')).name }}\"\n"
            "  - id: not_theirs\n    do: aws.iam.describe_principal\n    when: steps.owner.status != 'succeeded'\n"
            '    with: {name: "{{ inputs.responder_role }}", type: role}\n',
        ),
    )
    result = await replayed(url, file, incidents[BUCKET][0].incident_id)
    found = rows(result)
    assert found["owner"].verdict == found["theirs"].verdict == "unknown"
    assert found["owner"].details == ("not on record: it was not read so in this incident",)
    assert found["theirs"].details == ("it depends on the outcome of owner",)
    # It ran in the dry run, because its condition holds of what is not known; that is said.
    assert found["not_theirs"].details == ("depends on the outcome of owner",)
    assert found["close"].verdict == "same"
    assert "step(s) not known" in result.status_now


async def test_an_alert_that_is_no_longer_answered(incidents: Timelines, url: str, tmp_path: Path) -> None:
    file = changed_bucket(
        tmp_path,
        ("source: [guardduty, securityhub]", "source: [guardduty, securityhub]\n  severity: critical"),
    )
    result = await replayed(url, file, incidents[BUCKET][0].incident_id)
    assert result.status_now == "not opened"
    assert "it would not be answered" in result.notes[0]
    assert {row.verdict for row in result.rows} == {"gone"}


async def test_a_record_that_does_not_say_what_reads_asked_answers_the_same_step(
    incidents: Timelines, tmp_path: Path
) -> None:
    older = rewritten(incidents[BUCKET], "INC-OLDER", drop="params")
    verify_chain(older, "INC-OLDER")
    url = f"sqlite+aiosqlite:///{tmp_path / 'older.db'}"
    await store_of(url, [older])
    result = await replayed(url, BUCKET, "INC-OLDER")
    assert not result.differs
    assert not result.count("unknown")
    [note] = [n for n in result.notes if n.startswith("answered because step and action are the same")]
    assert "inventory" in note
    renamed = changed_bucket(tmp_path, ("  - id: inventory\n", "  - id: stock\n"))
    result = await replayed(url, renamed, "INC-OLDER")
    assert rows(result)["stock"].verdict == "unknown"


def test_inputs_on_record_win_unless_others_are_given(incidents: Timelines, tmp_path: Path) -> None:
    alerts = [e.event.alert for e in incidents[MINER] if e.event.kind == "alert.joined"]
    recorded: JsonObject = {"replace_instance": True, "of an older version": 1}
    subject = load_subject(MINER, load_settings())
    assert subject.start("INC-1", alerts).inputs["replace_instance"] is False
    start = subject.start("INC-1", alerts, inputs=recorded)
    assert start.inputs["replace_instance"] is True
    assert "of an older version" not in start.inputs
    other = tmp_path / "inputs.yaml"
    other.write_text(f"{MINER}: {{replace_instance: false}}")
    chosen = load_subject(MINER, load_settings(), inputs=other)
    assert chosen.start("INC-1", alerts, inputs=recorded).inputs["replace_instance"] is False


# ---- the whole language --------------------------------------------------------------------------------------------

PARENT = """
name: parent
match: {source: guardduty}
correlate_by: [alert.account]
roles: {responder: does it}
identification:
  - {id: call, task: {role: responder, instructions: Call, form: {reached: {type: boolean, label: Reached?}}}}
  - {id: sure, approve: Shall it go on?, approval: {role: responder}}
  - {id: nap, wait: {for: 1h}}
containment:
  - id: each
    foreach: "['ci-deployer', 'backup-service']"
    steps:
      - {id: user, do: aws.iam.describe_principal, with: {name: "{{ item }}", type: user}}
      - {id: keys, do: aws.iam.deactivate_access_key, with: {user_name: "{{ item }}"}, expires: 2h}
  - {id: contain, playbook: child, with: {user: ci-deployer}}
"""
CHILD = """
name: child
inputs: {user: {type: string, default: ""}}
containment:
  - {id: deny, do: aws.iam.quarantine_user, with: {user_name: "{{ inputs.user }}"}}
"""
PARENT_TESTS = """
account: {scenario: leaked-key}
tests:
  - name: all of it
    people:
      - who: jonas
        do: update
        update: complete_task
        with: {step_id: call, values: {reached: true}}
        when: {kind: task.opened}
        after: 1m
      - {who: jonas, do: approve, step: [sure, "keys*", "deny*"], after: 1m}
    expect: {incidents: 2}
"""


async def test_loops_tasks_questions_and_called_playbooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    (folder / "child.yaml").write_text(CHILD)
    (folder / "parent.yaml").write_text(PARENT)
    (folder / "parent.test.yaml").write_text(PARENT_TESTS)
    timelines = await played(folder / "parent.test.yaml", "all of it")
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    await store_of(url, timelines)
    monkeypatch.setenv("SOAR_PLAYBOOKS", str(folder))
    incident = next(t[0].incident_id for t in timelines if t[0].data["playbook"] == "parent")
    result = await replayed(url, "parent", incident)
    found = {step: (row.verdict, row.was, row.now) for step, row in rows(result).items()}
    assert found == {
        "call": ("same", "done", "would wait"),
        "sure": ("same", "done", "would wait"),
        "nap": ("same", "done", "would wait"),
        "each": ("same", "done", "done"),
        "user[0]": ("same", "done", "done"),
        "user[1]": ("same", "done", "done"),
        "keys[0]": ("same", "changed", "would change"),
        "keys[1]": ("same", "changed", "would change"),
        "contain": ("same", "done", "done"),
        "contain/deny": ("same", "changed", "would change"),
    }
    # The called playbook's own incident, by itself.
    child = next(t[0].incident_id for t in timelines if t[0].data["playbook"] == "child")
    alone = await replayed(url, "child", child)
    assert any(note.startswith("it was called by") for note in alone.notes)
    # Another version asks another role, and calls nothing.
    (folder / "parent.yaml").write_text(
        PARENT.replace("task: {role: responder", "task: {role: lead")
        .replace("roles: {responder: does it}", "roles: {responder: does it, lead: calls}")
        .replace("  - {id: contain, playbook: child, with: {user: ci-deployer}}\n", "")
    )
    result = await replayed(url, "parent", incident)
    changed = rows(result)
    assert changed["call"].details == ("asked: responder → lead",)
    assert (changed["contain"].verdict, changed["contain"].was) == ("gone", "done")
    assert {r.step for r in result.rows if r.verdict != "same"} == {"call", "contain"}


# ---- which incidents, and the command ------------------------------------------------------------------------------


async def test_the_latest_ended_incidents_of_the_playbook_are_taken(incidents: Timelines, url: str) -> None:
    store = await Store.open(url)
    try:
        month = timedelta(days=30)
        both = await incidents_of(store, BUCKET, since=month, limit=10)
        assert set(both) == {incidents[BUCKET][0].incident_id, "INC-DENIED"}
        assert await incidents_of(store, BUCKET, since=month, limit=1) == both[:1]
        assert await incidents_of(store, BUCKET, since=timedelta(0), limit=10) == []
        with pytest.raises(NoSuchIncident, match="INC-NONE"):
            await backtest(load_subject(BUCKET, load_settings()), store, ["INC-NONE"], POLICY)
    finally:
        await store.close()


@pytest.fixture
def command(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the command."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(TEST_POLICY)
    monkeypatch.setenv("SOAR_DATABASE_URL", url)
    monkeypatch.setenv("SOAR_POLICY_FILE", str(policy))


@pytest.mark.usefixtures("command")
def test_the_command_shows_what_is_otherwise(
    incidents: Timelines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tmp_path / "store.db").read_bytes()
    file = changed_bucket(tmp_path, ("  - id: inventory\n", "  - id: stock\n"))
    code = run(["playbook", "backtest", file, "--since", "30d"])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert incidents[BUCKET][0].incident_id in shown.out
    lines = shown.out.splitlines()
    assert any(line.split()[:3] == ["+", "stock", "–"] for line in lines)
    assert any(line.split()[:3] == ["-", "inventory", "done"] for line in lines)
    assert not any(line.split()[:1] == ["exposure_after"] for line in lines)  # it is the same
    assert lines[-1].startswith("2 incident(s): 2 would have gone differently")
    assert (tmp_path / "store.db").read_bytes() == before


@pytest.mark.usefixtures("command")
def test_json_is_all_that_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["playbook", "backtest", BUCKET, "--incident", "INC-DENIED", "--json"]) == 0
    [result] = json.loads(capfd.readouterr().out)
    assert result["incident_id"] == "INC-DENIED"
    assert {row["verdict"] for row in result["rows"]} == {"same"}


@pytest.mark.usefixtures("command")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([BUCKET, "--incident", "INC-\x1b[2JNONE"], 3, "there is no incident INC-\ufffd[2JNONE"),
        ([BUCKET, "--since", "soon"], 2, "--since soon"),
        (["aws-s3-public-buckets"], 3, "did you mean"),
        ([BUCKET, "--since", "1s"], 0, "no incident of aws-s3-public-bucket has ended within 1s"),
    ],
)
def test_what_cannot_be_replayed_is_told_in_a_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert run(["playbook", "backtest", *arguments]) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err


def test_a_store_that_is_not_there_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOAR_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path / 'none.db'}")
    assert run(["playbook", "backtest", BUCKET]) == 3
    assert "there is no store at" in capsys.readouterr().err
    assert not (tmp_path / "none.db").exists()
