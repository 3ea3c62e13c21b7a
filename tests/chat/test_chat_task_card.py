from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from chat_world import START, Story, person
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soar.chat.cards import Links, line_for
from soar.chat.message import Message
from soar.chat.task_card import TaskState, task_card, task_state
from soar.chat.task_form import MAX_FIELDS, answers, asked, fits_a_modal, problems, task_modal
from soar.model.base import JsonObject
from soar.model.course import (
    FormSpec,
    SkipRequested,
    TaskCancelled,
)
from soar.model.events import IncidentClosed, StepSkipped
from soar.model.terms import IncidentStatus
from soar.simulated.workspace.blockkit import check_message
from soar.simulated.workspace.views import check_view

LINKS = Links(console="https://soar.example.com/incidents/1")


def skipped() -> Story:
    story = Story().to_task()
    story.tell(SkipRequested(step_id="assess", by="irene", reason="by Irene: known already"))
    story.tell(TaskCancelled(step_id="assess", reason="left out"))
    return story.tell(StepSkipped(step_id="assess", by="irene", reason="by Irene: known already"))


VALUES: JsonObject = {
    "summary": "two\nfiles",
    "records": 12,
    "personal": True,
    "category": "none",
    "since": None,
}
STATES: dict[TaskState, Story] = {
    TaskState.OPEN: Story().to_task(),
    TaskState.OVERDUE: Story().to_task().overdue(),
    TaskState.DONE: Story().to_task().overdue().did(VALUES),
    TaskState.SKIPPED: skipped(),
    TaskState.WITHDRAWN: Story().to_task().tell(TaskCancelled(step_id="assess", reason="the branch ended")),
    TaskState.ENDED: Story().to_task().tell(IncidentClosed(status=IncidentStatus.CANCELLED)),
}


def words(message: Message) -> str:
    return json.dumps(list(message.blocks), ensure_ascii=False)


def card(story: Story, names: dict[str, str] | None = None) -> Message:
    incident = story.incident
    made = task_card(incident, incident.tasks["assess"], LINKS, names)
    assert check_message(made.text, list(made.blocks)) == []
    return made


def ids(message: Message) -> dict[str, tuple[str, str]]:
    return {
        e["action_id"]: (e["text"]["text"], e["value"])
        for b in message.blocks
        if b["type"] == "actions"
        for e in b["elements"]
        if "value" in e
    }


@pytest.mark.parametrize("state", list(TaskState))
def test_every_state_of_a_task_has_its_card(state: TaskState) -> None:
    incident = STATES[state].incident
    assert task_state(incident, incident.tasks["assess"]) is state
    made = card(STATES[state])
    expected = {"task.open": ("Fill in", "inc-2026-0042:assess")} if state.waits else {}
    assert ids(made) == expected
    assert "Assess what was read" in words(made)
    assert "│ Count the records." in words(made)


def test_the_card_says_who_and_until_when() -> None:
    text = words(card(STATES[TaskState.OPEN]))
    due = START + timedelta(hours=2)
    for part in (
        "`incident-commander`",
        f"<!date^{int(due.timestamp())}",
        "Records concerned",
        "may be left out",
    ):
        assert part in text
    assert "overdue" in words(card(STATES[TaskState.OVERDUE]))


def test_a_done_card_says_by_whom_and_with_what() -> None:
    made = card(STATES[TaskState.DONE], {"irene": "Irene Castellano"})
    text = words(made)
    assert "*Done by* `Irene Castellano`" in text
    for line in (
        "What was found: two files",
        "Records concerned: 12",
        "Personal data: yes",
        "Exposed since: –",
    ):
        assert f"• {line}" in text
    assert "*Done by* `irene`" in words(card(STATES[TaskState.DONE]))


def test_a_skipped_card_says_why() -> None:
    assert "known already" in words(card(STATES[TaskState.SKIPPED]))


def test_a_task_without_a_form_is_done_by_a_button() -> None:
    assert ids(card(Story().to_task(form={})))["task.open"][0] == "Done"


def test_a_form_that_slack_cannot_show_is_filled_in_elsewhere() -> None:
    form = {f"f{i}": FormSpec(type="text") for i in range(MAX_FIELDS + 1)}
    made = card(Story().to_task(form=form))
    assert ids(made) == {}
    assert "in the console" in words(made)


def test_the_modal_has_an_input_for_each_field_and_carries_only_ids() -> None:
    incident = STATES[TaskState.OPEN].incident
    task = incident.tasks["assess"]
    view = task_modal(incident, task, "C0SIM00001")
    assert check_view(view) == []
    assert view["private_metadata"] == f"C0SIM00001 {asked(incident, task)} inc-2026-0042:assess"
    inputs = {b["label"]["text"]: b for b in view["blocks"] if b["type"] == "input"}
    kinds = {label: b["element"]["type"] for label, b in inputs.items()}
    assert kinds == {
        "What was found": "plain_text_input",
        "Records concerned": "number_input",
        "Personal data": "radio_buttons",
        "Kind of data": "static_select",
        "Exposed since": "datetimepicker",
        "Note": "plain_text_input",
    }
    assert [b["optional"] for b in inputs.values()] == [False, False, False, False, True, True]
    for block in inputs.values():
        assert block["block_id"] == "note" or block["block_id"].startswith("field.")


def test_an_asking_anew_is_another_one() -> None:
    first = Story().to_task()
    before = asked(first.incident, first.incident.tasks["assess"])
    again = first.tell(TaskCancelled(step_id="assess", reason="timed out")).to_task()
    assert asked(again.incident, again.incident.tasks["assess"]) != before


def test_many_options_are_grouped() -> None:
    options = tuple(f"host {i}" for i in range(250))
    incident = Story().to_task({"host": FormSpec(type="choice", options=(*options, "host 1"))}).incident
    task = incident.tasks["assess"]
    view = task_modal(incident, task, "C0SIM00001")
    assert check_view(view) == []
    [block] = [b for b in view["blocks"] if b.get("block_id", "").startswith("field.")]
    sent = block["element"]["option_groups"][2]["options"][49]
    assert answers(task, {block["block_id"]: sent["value"]}) == {"host": "host 249"}


def test_each_wrong_field_is_named() -> None:
    task = STATES[TaskState.OPEN].incident.tasks["assess"]
    found = problems(task, {"summary": "x", "records": "many", "personal": "true", "category": "other"})
    assert found == [
        "Records concerned: write a number",
        f"Kind of data: choose one of none, health {'x' * 200}",
    ]


HOSTILE = st.text(
    alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("&<>`*_~|:@#!\n\u202e")), max_size=800
)
SPECS = st.builds(
    FormSpec,
    type=st.sampled_from(["text", "number", "boolean", "time"]),
    label=HOSTILE.map(lambda t: t[:200]),
    required=st.booleans(),
) | st.builds(
    FormSpec,
    type=st.just("choice"),
    label=HOSTILE.map(lambda t: t[:200]),
    options=st.lists(HOSTILE, min_size=1, max_size=130).map(tuple),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True), SPECS, max_size=6),
    HOSTILE,
    HOSTILE,
)
def test_hostile_text_makes_no_block_that_slack_refuses(
    form: dict[str, FormSpec], name: str, instructions: str
) -> None:
    story = Story().to_task(form, name=name or "x", instructions=instructions)
    incident = story.incident
    task = incident.tasks["assess"]
    made = card(story)
    assert "<!channel>" not in words(made)
    if fits_a_modal(task):
        view = task_modal(incident, task, "C0SIM00001")
        assert check_view(view) == []
        assert len(json.dumps(view)) < 250_000
    done = story.did(dict.fromkeys(form, instructions))
    assert check_message("x", list(card(done).blocks)) == []


def test_a_forged_line_stays_part_of_the_instructions() -> None:
    made = card(Story().to_task(instructions="Look.\n☑️ Done by Irene\n<!channel> *x*"))
    [block] = [b for b in made.blocks if "Look." in str(b)]
    assert block["text"]["type"] == "plain_text"
    assert all(line.startswith("│ ") for line in block["text"]["text"].splitlines())


def test_what_people_do_is_told_in_the_thread() -> None:
    story = STATES[TaskState.DONE]
    lines = [line for e in story.entries if (line := line_for(e)) is not None]
    marks: list[Any] = [line.split(" ")[0] for line in lines]
    assert marks == ["▶️", "📋", "⏰", "☑️"]
    assert person("Irene").name in lines[-1]
