"""How an incident answers people: what every command of `soar.engine.commands` shares."""

from __future__ import annotations

from temporalio.exceptions import ApplicationError

from soar.engine.approvals import role_refusal
from soar.engine.messages import (
    PersonRequest,
    Reply,
)
from soar.engine.run import Run
from soar.engine.scope import base_id
from soar.model.events import (
    AnyEvent,
    RefusalRecorded,
)
from soar.model.people import Responder
from soar.model.timeline import Actor, ActorKind

__all__ = ["Answers", "because", "person_of"]

REFUSALS_RECORDED = 20
"""Refused attempts per approval or step that get an entry of their own; the rest are only answered."""


class Answers:
    """Answers people, and records what they did or may not do.

    A person who may not do something is answered and not thrown an error at; the attempt goes on record. A request
    that makes no sense (an unknown step, an incident without its first alert) is refused before it is in history.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        carry = run.start.carry
        self._refusals: dict[str, int] = dict(carry.refusals) if carry else {}

    def _must_be_open(self) -> None:
        if not self._run.journal.is_open:
            raise ApplicationError("the incident has not received its first alert yet", type="NotReady")

    def _must_know_step(self, step_id: str, *, reached: bool = True) -> None:
        self._must_be_open()
        known = step_id in self._run.incident.steps
        if not known and not (not reached and base_id(step_id) in self._run.graph.nodes):
            raise ApplicationError(f"this incident has no step {step_id}", type="NotFound")

    async def _may_not(self, request: PersonRequest, what: str) -> Reply | None:
        """The refusal of somebody who may not do something; None if the person may."""
        if self._run.incident.status.ended:
            return Reply(accepted=False, message="the incident has ended")
        if refusal := role_refusal(request.responder, *await self._run.deciders()):
            return self._refuse(what, request.responder, what, refusal)
        return None

    def _done(self, event: AnyEvent, request: PersonRequest, words: str) -> Reply:
        """Record what a person did, and say so to that person."""
        text = f"{request.responder.name} {words}"
        self._run.journal.record(event, text, actor=person_of(request.responder))
        return Reply(accepted=True, message=text)

    def _refuse(self, subject: str, responder: Responder, decision: str, why: str) -> Reply:
        count = self._refusals[subject] = self._refusals.get(subject, 0) + 1
        if count <= REFUSALS_RECORDED:
            self._run.journal.record(
                RefusalRecorded(subject=subject, responder=responder.id, decision=decision, reason=why),
                f"Refused: {responder.name} may not {decision}: {why}",
                actor=person_of(responder),
            )
        return Reply(accepted=False, message=why)


def because(reason: str) -> str:
    """The reason that a person gave, for the end of a sentence."""
    return f" — {reason}" if reason else ""


def person_of(responder: Responder) -> Actor:
    """A person as the actor of an entry."""
    return Actor(kind=ActorKind.PERSON, id=responder.id, name=responder.name)
