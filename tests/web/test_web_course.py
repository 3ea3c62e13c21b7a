"""The console: tasks, deadlines, temporary changes, and what people do with an incident as a whole."""

from __future__ import annotations

from datetime import timedelta

import pytest
from web_world import HTML, IRENE, MAYA, START, World, chain, csrf_of, opened, plan

from soar.engine.messages import (
    AssignRequest,
    ClockRequest,
    ExtendRequest,
    PersonRequest,
    SeverityRequest,
    SkipRequest,
    TaskRequest,
    UpgradeRequest,
)
from soar.model.change import Result, Verification
from soar.model.course import (
    Assigned,
    ClockStarted,
    EffectExpirySet,
    FormSpec,
    IncidentPaused,
    TaskOpened,
    WaitStarted,
)
from soar.model.events import (
    AnyEvent,
    EffectApplied,
    EffectStarted,
    EffectVerified,
    PhaseStarted,
    PlanMade,
    StepStarted,
    StepSucceeded,
)
from soar.model.people import VoteChannel
from soar.model.terms import Phase, Risk, Severity

HOSTILE = '"><script>alert(1)</script>'
FORM = {
    "verdict": FormSpec(type="choice", options=("real", HOSTILE)),
    "hosts": FormSpec(type="number", label="How many hosts"),
    "reported": FormSpec(type="boolean", label="Was it reported?"),
    "since": FormSpec(type="time", required=False),
    "words": FormSpec(type="text", required=False),
}


def course(text: str = "a text") -> list[tuple[AnyEvent, str]]:
    the_plan = plan(text)
    digest = the_plan.content_digest
    events: list[AnyEvent] = [
        PhaseStarted(phase=Phase.CONTAINMENT),
        StepStarted(step_id="done", name=text, action="aws.iam.deactivate_access_key", risk=Risk.REVERSIBLE),
        PlanMade(step_id="done", plan=the_plan, plan_digest=digest),
        EffectStarted(step_id="done", plan_digest=digest),
        EffectApplied(step_id="done", result=Result(summary=text)),
        EffectVerified(step_id="done", verification=Verification(verified=True, seen=text, method=text)),
        StepSucceeded(step_id="done", changed=True, result=Result(summary=text)),
        EffectExpirySet(step_id="done", expires_at=START + timedelta(hours=9), reason="the playbook says so"),
        StepStarted(step_id="look", name=text, action="task", risk=Risk.READ),
        TaskOpened(
            step_id="look",
            instructions=text,
            roles=("responder",),
            excluded={"priya": text},
            form=FORM,
            due_at=START + timedelta(minutes=5),
        ),
        StepStarted(step_id="later", name=text, action="wait", risk=Risk.READ),
        WaitStarted(step_id="later", until=START + timedelta(hours=2)),
        ClockStarted(
            clock="authority", label=text, due_at=START + timedelta(hours=72), started_at=START, warn_at=None
        ),
        Assigned(responder="maya", name="Maya"),
        IncidentPaused(reason=text),
    ]
    return [(event, text) for event in events]


@pytest.fixture
async def shown(world: World) -> World:
    await world.store.project(chain("INC-1", opened("INC-1", "t"), *course()))
    return world


async def page(world: World, path: str = "/incidents/INC-1") -> str:
    reply = await world.http.get(path, headers=HTML)
    assert reply.status_code == 200, reply.text
    return reply.text


async def test_the_page_says_what_people_have_to_know(shown: World) -> None:
    await shown.log_in()
    text = await page(shown)
    for words in (
        "Paused: nothing new begins",
        "In charge: <strong>Maya</strong>",
        "Task for responder",
        "overdue",
        "it is put back by itself",
        "Deadlines",
        "Was it reported?",
        "waits until",
        "Manage this incident",
    ):
        assert words in text, words
    assert "Another version of this playbook" not in text, "there is none"


async def test_every_text_of_the_course_is_escaped(world: World) -> None:
    await world.store.project(chain("INC-1", opened("INC-1", HOSTILE), *course(HOSTILE)))
    await world.log_in()
    for path in ("/incidents/INC-1", "/incidents/INC-1/tasks/look"):
        assert "<script>alert" not in await page(world, path)


@pytest.mark.parametrize(
    ("path", "fields", "command", "expected"),
    [
        ("pause", {"reason": "wait"}, "pause", PersonRequest),
        ("resume", {}, "resume", PersonRequest),
        ("cancel", {"reason": "a test"}, "cancel", PersonRequest),
        ("severity", {"severity": "critical"}, "set_severity", SeverityRequest),
        ("assignee", {"responder": "maya"}, "assign", AssignRequest),
        ("assignee", {"responder": ""}, "assign", AssignRequest),
        ("steps/done/extend", {"stays": "day"}, "extend", ExtendRequest),
        ("steps/done/extend", {"stays": "undone"}, "extend", ExtendRequest),
        ("steps/look/skip", {"reason": "no"}, "skip_step", SkipRequest),
        ("clocks/authority/met", {"reason": "told them"}, "meet_clock", ClockRequest),
    ],
)
async def test_a_form_is_one_command_in_the_persons_name(
    shown: World, path: str, fields: dict[str, str], command: str, expected: type[PersonRequest]
) -> None:
    csrf = await shown.log_in()
    reply = await shown.http.post(f"/incidents/INC-1/{path}", data={"csrf": csrf, **fields}, headers=HTML)
    assert (reply.status_code, reply.headers["location"]) == (303, "/incidents/INC-1")
    [(told, workflow, request)] = shown.engine.told
    assert (told, workflow) == (command, "incident/test/INC-1")
    assert isinstance(request, expected)
    assert (request.responder, request.channel) == (IRENE, VoteChannel.CONSOLE)
    assert request.reason == fields.get("reason", "")
    match request:
        case SeverityRequest():
            assert request.severity is Severity.CRITICAL
        case AssignRequest():
            assert request.assignee == (MAYA if fields["responder"] else None)
        case ExtendRequest():
            assert request.seconds == (86400 if fields["stays"] == "day" else None)


@pytest.mark.parametrize(
    "path", ["pause", "cancel", "severity", "tasks/look", "upgrade", "steps/done/extend"]
)
async def test_a_form_from_elsewhere_does_nothing(shown: World, path: str) -> None:
    await shown.log_in()
    reply = await shown.http.post(
        f"/incidents/INC-1/{path}", data={"csrf": "x", "severity": "low"}, headers=HTML
    )
    assert reply.status_code == 403
    assert shown.engine.told == []


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("severity", {"severity": "dreadful"}, 422),
        ("steps/done/extend", {"stays": "for ever"}, 422),
        ("steps/nothing/extend", {"stays": "day"}, 404),
        ("clocks/nothing/met", {}, 404),
        ("tasks/nothing", {}, 404),
        ("pause", {"reason": "x" * 2001}, 422),
    ],
)
async def test_what_makes_no_sense_is_told_in_a_page(
    shown: World, path: str, fields: dict[str, str], status: int
) -> None:
    csrf = await shown.log_in()
    reply = await shown.http.post(f"/incidents/INC-1/{path}", data={"csrf": csrf, **fields}, headers=HTML)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert shown.engine.told == []


async def test_nobody_from_outside_the_roster_is_put_in_charge(shown: World) -> None:
    csrf = await shown.log_in()
    data = {"csrf": csrf, "responder": HOSTILE}
    reply = await shown.http.post("/incidents/INC-1/assignee", data=data, headers=HTML, follow_redirects=True)
    assert "roster" in reply.text
    assert "<script>alert" not in reply.text
    assert shown.engine.told == []


async def test_a_task_comes_back_with_its_types(shown: World) -> None:
    csrf = await shown.log_in()
    filled = {
        "value.verdict": "real",
        "value.hosts": "3",
        "value.reported": "no",
        "value.since": "2026-11-23T08:30",
        "value.words": "",
    }
    reply = await shown.http.post(
        "/incidents/INC-1/tasks/look", data={"csrf": csrf, **filled, "reason": "seen"}, headers=HTML
    )
    assert reply.status_code == 303
    [(told, _, request)] = shown.engine.told
    assert told == "complete_task"
    assert isinstance(request, TaskRequest)
    assert request.values["since"] == "2026-11-23T08:30Z"
    assert (request.values["hosts"], request.values["reported"], request.reason) == ("3", "no", "seen")


async def test_what_does_not_fit_is_said_at_its_field_and_nothing_is_lost(shown: World) -> None:
    csrf = await shown.log_in()
    filled = {
        "value.verdict": "perhaps",
        "value.hosts": "many",
        "value.since": "yesterday",
        "value.words": f"long words {HOSTILE}",
        "reason": "my remark",
    }
    reply = await shown.http.post("/incidents/INC-1/tasks/look", data={"csrf": csrf, **filled}, headers=HTML)
    assert reply.status_code == 422
    assert shown.engine.told == []
    for words in ("choose one of", "write a number", "Was it reported? is missing", "a time with its zone"):
        assert words in reply.text, words
    assert "long words &#34;" in reply.text
    assert "my remark" in reply.text
    assert "<script>alert" not in reply.text


async def test_who_lacks_the_role_is_told_so_and_sees_no_form(shown: World) -> None:
    await shown.log_in("maya-token")
    text = await page(shown)
    assert "Not your task:" in text
    assert "It is done" not in text
    assert "Cancel the incident" not in text


async def test_another_version_in_force_is_offered_with_what_differs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "aws-s3-public-bucket"
    event, summary = opened("INC-1", "t")
    entries = chain("INC-1", (event.model_copy(update={"playbook": name}), summary))
    await world.store.project(entries)
    loaded = world.services.library.get(name)
    from soar.engine.messages import IncidentStart
    from soar.playbook.compiler import compile_playbook

    graph = compile_playbook(loaded, world.services.catalogue)
    last = next(reversed(graph.nodes))
    older = graph.model_copy(update={"nodes": {k: v for k, v in graph.nodes.items() if k != last}})

    async def start_of(_workflow: str, _run: str) -> IncidentStart:
        return IncidentStart(
            incident_id="INC-1",
            title="t",
            playbook=name,
            playbook_text="",
            playbook_digest=event.playbook_digest,  # type: ignore[union-attr]
            graph=older,
        )

    monkeypatch.setattr(world.engine, "start_of", start_of)
    csrf = await world.log_in()
    assert "Another version of this playbook is in force" in await page(world)
    offer = await page(world, "/incidents/INC-1/upgrade")
    assert f"new in {graph.nodes[last].phase.label}: {last}" in offer
    reply = await world.http.post("/incidents/INC-1/upgrade", data={"csrf": csrf}, headers=HTML)
    assert reply.status_code == 303
    [(told, _, request)] = world.engine.told
    assert told == "upgrade"
    assert isinstance(request, UpgradeRequest)
    assert request.playbook_digest == loaded.digest
    assert csrf_of(offer)
