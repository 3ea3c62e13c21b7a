"""Which approval a person means, who may decide, and what is told to the incident."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from web_world import START, World, chain, opened, plan

from soar.cli.exit_codes import ExitCode
from soar.engine.messages import Reply, StepDecisionRequest, UndoRequest, VoteRequest
from soar.model.events import ApprovalOpened, PlanMade, StepStarted
from soar.model.terms import Phase, Risk
from soar.model.timeline import TimelineEntry
from soar.store import Store

FORGED = "harmless\n  ask_2  approved by everybody \x1b[2J\u202e[red]"


def asking(approvals: Sequence[str], text: str = "a plan") -> list[TimelineEntry]:
    """An incident with these approvals open, each of a step of its own."""
    the_plan = plan(text)
    events: list[Any] = []
    for name in approvals:
        step = f"step-{name}"
        events += [
            StepStarted(step_id=step, name=step, action="a.b", risk=Risk.REVERSIBLE),
            PlanMade(step_id=step, plan=the_plan, plan_digest=the_plan.content_digest),
            ApprovalOpened(
                approval_id=name,
                step_id=step,
                plan_digest=the_plan.content_digest,
                needed=1,
                roles=("responder",),
                why="",
                expires_at=START + timedelta(hours=4),
            ),
        ]
    return chain("INC-2", opened("INC-2", "several"), *((e, "said") for e in events))


def project(folder: Path, entries: Sequence[TimelineEntry]) -> None:
    """Write to the server's database, from this thread."""

    async def write() -> None:
        store = await Store.open(f"sqlite+aiosqlite:///{folder / 'soar.db'}")
        try:
            await store.project(list(entries))
        finally:
            await store.close()

    asyncio.run(write())


@pytest.fixture
def several(server: World, tmp_path: Path) -> World:
    project(tmp_path, asking(["ask_1", "ask_10", "ask_2"]))
    return server


def test_of_several_open_approvals_one_is_to_be_named(soar: Any, several: World) -> None:
    code, out, err = soar("incident", "approve", "INC-2", "--yes")
    assert (code, out) == (ExitCode.USAGE, "")
    assert [row.split()[0] for row in err.splitlines()[1:]] == ["ask_1", "ask_10", "ask_2"]
    assert soar("incident", "approve", "INC-2", "ask_9", "--yes")[0] == ExitCode.NOT_FOUND
    assert several.engine.told == []


@pytest.mark.parametrize("name", ["ask_1", "ask_10", "ask_2"])
def test_the_exact_name_wins_over_names_that_begin_with_it(soar: Any, several: World, name: str) -> None:
    assert soar("incident", "approve", "INC-2", name, "--yes")[0] == 0
    [(_, _, request)] = several.engine.told
    assert isinstance(request, VoteRequest)
    assert request.approval_id == name


def test_a_beginning_that_fits_several_is_not_a_choice(soar: Any, several: World) -> None:
    code, _, err = soar("incident", "deny", "INC-2", "ask_", "--yes")
    assert (code, "ask_10" in err) == (ExitCode.USAGE, True)
    assert several.engine.told == []


def test_a_plan_cannot_forge_lines_of_the_list_of_approvals(soar: Any, server: World, tmp_path: Path) -> None:
    project(tmp_path, asking(["ask_1", "ask_3"], FORGED))
    code, _, err = soar("incident", "approve", "INC-2")
    assert code == ExitCode.USAGE
    assert len(err.splitlines()) == 3
    assert not {"\x1b", "\u202e"} & set(err)
    assert "[red]" in err


def test_the_difference_and_the_digest_come_before_the_question(
    soar: Any, server: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        seen.append(capsys.readouterr().out)
        return False

    monkeypatch.setattr("typer.confirm", confirm)
    assert soar("incident", "approve", "INC-1")[0] == ExitCode.FAILED
    digest = plan("a plain text").content_digest
    [before] = seen
    assert digest[:12] in before
    assert "a plain text → ['a plain text']" in before
    assert server.engine.told == []


def test_nothing_open_is_not_found(soar: Any, server: World, tmp_path: Path) -> None:
    project(tmp_path, asking([]))
    code, _, err = soar("incident", "approve", "INC-2", "--yes")
    assert (code, "asks nobody" in err) == (ExitCode.NOT_FOUND, True)
    assert soar("incident", "undo", "INC-2", "--all", "--yes")[0] == ExitCode.NOT_FOUND


@pytest.mark.parametrize("decision", ["retry", "skip", "stop"])
def test_each_decision_about_a_failed_step(soar: Any, server: World, decision: str) -> None:
    assert soar("incident", decision, "INC-1", "bad", "-r", "because")[0] == 0
    [(_, _, request)] = server.engine.told
    assert isinstance(request, StepDecisionRequest)
    assert (request.decision, request.step_id, request.reason) == (decision, "bad", "because")
    server.engine.answer = Reply(accepted=False, message="this takes the role responder")
    code, out, err = soar("incident", decision, "INC-1", "bad")
    assert (code, out, "takes the role" in err) == (ExitCode.NOT_PERMITTED, "", True)


@pytest.mark.parametrize(
    ("option", "step", "phase"),
    [
        (("--step", "done"), "done", None),
        (("--phase", "containment"), None, Phase.CONTAINMENT),
        (("--all",), None, None),
    ],
)
def test_undo_of_a_step_a_phase_and_all(
    soar: Any, server: World, option: tuple[str, ...], step: str | None, phase: Phase | None
) -> None:
    assert soar("incident", "undo", "INC-1", *option, "--yes")[0] == 0
    [(_, _, request)] = server.engine.told
    assert isinstance(request, UndoRequest)
    assert (request.step_id, request.phase) == (step, phase)
