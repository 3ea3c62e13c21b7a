from __future__ import annotations

import json
from typing import Any

import pytest
from chat_world import ALERT, PLAN, PLAYBOOK, START, Story
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soar.chat.approval_card import ApprovalState, approval_card, approval_state
from soar.chat.cards import (
    Links,
    announcement,
    attention_card,
    closing_message,
    line_for,
    topic,
)
from soar.chat.message import BUDGET, Message
from soar.chat.summary_card import summary_card
from soar.model.change import BlastRadius, Change, ErrorInfo, Result, Target
from soar.model.events import EffectFailed, EffectUndone, StepNeedsAttention, UndoRefused
from soar.model.incident import Incident
from soar.model.people import ApprovalStatus, Decision
from soar.simulated.workspace.blockkit import check_message

LINKS = Links(
    console="https://soar.example.com/incidents/1", report="https://soar.example.com/incidents/1/report"
)
HOSTILE = st.text(
    alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("&<>`*_~|:@#!\n\u202e")),
    min_size=1,
    max_size=2000,
)
ATTACK = (
    "<!channel> `x` *✅ done*\n✅ Contained <https://evil.example|Approve> <@U0IRENE001> :ok: \u202e&amp;"
)


def buttons(message: Message) -> list[dict[str, Any]]:
    return [e for b in message.blocks if b["type"] == "actions" for e in b["elements"]]


def words(message: Message) -> str:
    return json.dumps(list(message.blocks), ensure_ascii=False)


def good(message: Message) -> Message:
    assert check_message(message.text, list(message.blocks)) == []
    assert len(words(message)) <= BUDGET + 1000
    assert message.text
    return message


def error(nothing: bool = False) -> ErrorInfo:
    return ErrorInfo(type="Unavailable", message="IAM did not answer", nothing_done=nothing)


def undone(story: Story) -> Story:
    return story.tell(EffectUndone(step_id="deactivate", result=Result(summary="put back"), restored=True))


STATES: dict[ApprovalState, Story] = {
    ApprovalState.PENDING: Story().to_approval(),
    ApprovalState.PARTIAL: Story().to_approval(needed=2).vote(),
    ApprovalState.APPROVED: Story().approved(),
    ApprovalState.EXECUTING: Story().started(),
    ApprovalState.SUCCEEDED: Story().verified(),
    ApprovalState.UNVERIFIED: Story().verified(good=False),
    ApprovalState.FAILED: Story().started().tell(EffectFailed(step_id="deactivate", error=error())),
    ApprovalState.UNDONE: undone(Story().verified()),
    ApprovalState.DENIED: Story().to_approval().vote(Decision.DENY).close_approval(ApprovalStatus.DENIED),
    ApprovalState.EXPIRED: Story().to_approval().close_approval(ApprovalStatus.EXPIRED),
    ApprovalState.CANCELLED: Story().to_approval().close_approval(ApprovalStatus.CANCELLED),
    ApprovalState.SUPERSEDED: Story()
    .to_approval()
    .close_approval(ApprovalStatus.SUPERSEDED)
    .ask(PLAN.model_copy(update={"state": {"status": "new"}}), number=2, supersedes="ap-1"),
}


@pytest.mark.parametrize("state", list(ApprovalState))
def test_every_state_of_an_approval_has_its_card(state: ApprovalState) -> None:
    incident = STATES[state].incident
    approval = incident.approvals["ap-1"]
    assert approval_state(incident, approval) is state
    card = good(approval_card(incident, approval, LINKS))
    pending = state in (ApprovalState.PENDING, ApprovalState.PARTIAL)
    decisions = {b["action_id"]: b["value"] for b in buttons(card) if "value" in b}
    assert decisions == ({"vote.approve": "ap-1", "vote.deny": "ap-1"} if pending else {})
    assert approval.plan_digest[:12] in words(card)
    assert "Inactive" in words(card)


def test_the_card_says_what_why_and_until_when() -> None:
    incident = STATES[ApprovalState.PENDING].incident
    text = words(approval_card(incident, incident.approvals["ap-1"], LINKS))
    for part in (
        PLAN.summary,
        "`Active` → `Inactive`",
        "198.51.100.23",
        PLAN.undo,
        "incident-commander",
        "<!date^",
    ):
        assert part in text
    assert "0 of 1 needed" in text


def test_approved_is_never_shown_as_done() -> None:
    for state in (
        ApprovalState.APPROVED,
        ApprovalState.EXECUTING,
        ApprovalState.UNVERIFIED,
        ApprovalState.FAILED,
    ):
        incident = STATES[state].incident
        assert "✅" not in words(approval_card(incident, incident.approvals["ap-1"], LINKS))


def test_contained_is_said_only_when_verified() -> None:
    before, after = Story().verified(good=False).incident, Story().contained().incident
    assert "not yet: 0 of 1" in words(good(summary_card(before, LINKS)))
    assert "yes, verified" in words(good(summary_card(after, LINKS)))
    assert "not contained" in topic(before)


def test_a_superseded_card_says_what_changed() -> None:
    incident = STATES[ApprovalState.SUPERSEDED].incident
    assert "AKIA2" in words(approval_card(incident, incident.approvals["ap-1"], LINKS))
    assert "AKIA2" in words(approval_card(incident, incident.approvals["ap-2"], LINKS))


def test_an_undo_that_was_refused_is_on_the_card() -> None:
    incident = Story().verified().tell(UndoRefused(step_id="deactivate", error=error())).incident
    assert "Putting it back was refused" in words(approval_card(incident, incident.approvals["ap-1"], LINKS))


def test_more_than_five_targets_are_counted() -> None:
    many = tuple(Target(uid=f"arn:{i}", type="aws.iam.user", name=f"user-{i}") for i in range(9))
    incident = Story().to_approval(PLAN.model_copy(update={"targets": many})).incident
    text = words(good(approval_card(incident, incident.approvals["ap-1"], LINKS)))
    assert "user-4" in text
    assert "user-5" not in text
    assert "and 4 more" in text


def test_the_attention_card_offers_three_ways_and_names_the_permission() -> None:
    incident = Story().attention().incident
    card = good(attention_card(incident, incident.steps["deactivate"]))
    assert {b["action_id"] for b in buttons(card)} == {"step.retry", "step.skip", "step.stop"}
    assert {b["value"] for b in buttons(card)} == {"inc-2026-0042:deactivate"}
    assert "iam:UpdateAccessKey" in words(card)
    done = Story().contained().incident
    assert buttons(good(attention_card(done, done.steps["deactivate"]))) == []


def test_the_closing_message_names_the_end() -> None:
    card = good(closing_message(Story().closed().incident, LINKS))
    assert "closed" in card.text


def test_lines_are_told_for_what_matters_only() -> None:
    told = [e.kind for e in Story().closed().entries if line_for(e) is not None]
    assert told == [
        "alert.joined",
        "phase.started",
        "phase.started",
        "approval.vote",
        "approval.closed",
        "effect.applied",
        "effect.verified",
        "incident.closed",
    ]


def hostile_incident(text: str, count: int) -> Incident:
    plan = PLAN.model_copy(
        update={
            "summary": text,
            "targets": tuple(Target(uid=f"{text}{i}", type=text, name=text) for i in range(count)),
            "changes": tuple(
                Change(target=text, field=text, before=text, after={text: [text]}) for _ in range(count)
            ),
            "warnings": (text,) * count,
            "undo": text,
            "blast_radius": BlastRadius(summary=text, facts=(text,) * count),
        }
    )
    story = Story(title=text).to_approval(plan, alert=ALERT.model_copy(update={"title": text, "rule": text}))
    bad = ErrorInfo(type="Refused", message=text, hint=text, permission=text)
    return story.tell(
        StepNeedsAttention(step_id="deactivate", error=bad, roles=(text,) * count), text
    ).incident


def outside_code(value: Any) -> str:
    """Everything that Slack would read as mrkdwn, without code spans and our own dates."""
    import re

    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            return re.sub(
                r"`[^`]*`|<!date\^\d+\^[^<>|]*\|[^<>|]*>|<#C\w+>|<https://soar\.[^<>]*>", "", value["text"]
            )
        return "".join(outside_code(v) for v in value.values())
    if isinstance(value, list | tuple):
        return "".join(outside_code(v) for v in value)
    return ""


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(HOSTILE, st.integers(1, 60))
def test_hostile_incidents_make_good_cards(text: str, count: int) -> None:
    incident = hostile_incident(text, count)
    approval, step = incident.approvals["ap-1"], incident.steps["deactivate"]
    messages = [
        approval_card(incident, approval, LINKS),
        attention_card(incident, step),
        summary_card(incident, LINKS),
        announcement(incident, "C0SIM00001"),
        closing_message(incident, LINKS),
    ]
    for message in messages:
        good(message)
        assert "<" not in outside_code(message.blocks)
        assert "`" not in outside_code(message.blocks)
        assert "<" not in message.text
    assert len(topic(incident)) <= 250
    assert all(b["value"] == "ap-1" for b in buttons(messages[0]) if "value" in b)
    assert {b["action_id"] for b in buttons(messages[0])} >= {"vote.approve", "vote.deny"}


def test_an_attack_in_words_stays_words() -> None:
    incident = hostile_incident(ATTACK, 3)
    for message in (
        approval_card(incident, incident.approvals["ap-1"], LINKS),
        summary_card(incident, LINKS),
    ):
        loose = outside_code(message.blocks)
        assert "channel" not in loose
        assert "evil" not in loose
        assert ":ok:" not in loose
        assert "<!channel>" not in message.text


def test_a_digest_of_another_message_differs() -> None:
    assert STATES[ApprovalState.PENDING].incident.approvals["ap-1"].plan_digest == PLAN.digest(PLAYBOOK)
    one, two = Message(text="a"), Message(text="b")
    assert one.digest != two.digest
    assert START.tzinfo is not None
