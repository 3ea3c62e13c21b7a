"""The activity that the engine calls to bring chat up to date."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from soar.chat.client import ChatClient, SlackRefused, SlackThrottled, SlackUnavailable
from soar.chat.refs import ChatRefs
from soar.chat.settings import ChatSettings
from soar.chat.summary_card import Paused
from soar.chat.sync import sync_incident, told_up_to
from soar.engine.messages import ChatSyncRequest
from soar.model.course import IncidentPaused, Notified
from soar.model.incident import Incident
from soar.model.people import Responder
from soar.model.timeline import TimelineEntry
from soar.playbook.policy import DEFAULT_ROLE, Policy

__all__ = ["ChatActivities", "IncidentReader", "PolicyLoader", "who_is_invited"]

log = logging.getLogger(__name__)
PolicyLoader = Callable[[], Awaitable[Policy | None]]
SLOWLY = timedelta(minutes=1)
"""How soon a call is tried again that Slack refused: a person has to fix something first."""


class IncidentReader(Protocol):
    """What is read from the store."""

    async def incident(self, incident_id: str) -> Incident | None:
        """The state as stored."""

    async def timeline(self, incident_id: str, *, after: int = 0) -> Sequence[TimelineEntry]:
        """The entries after a `seq`, in order."""


def who_is_invited(
    incident: Incident, policy: Policy | None, tail: Sequence[TimelineEntry] = ()
) -> list[Responder]:
    """The responders whom this incident needs.

    They are whoever may decide or is to do something in it, whoever is told something by the entries of `tail`, and
    the incident commanders.

    Whoever is implicated is not invited.
    """
    if policy is None:
        return []
    roles = {DEFAULT_ROLE}
    for approval in incident.approvals.values():
        roles |= set(approval.roles)
    for step in incident.steps.values():
        roles |= set(step.attention_roles)
    for task in incident.tasks.values():
        roles |= set(task.roles)
    for entry in tail:
        if isinstance(entry.event, Notified):
            roles |= set(entry.event.roles)
    excluded = _excluded(incident)
    return [p for p in policy.responders if p.slack and p.id not in excluded and roles & set(p.roles)]


def _excluded(incident: Incident) -> set[str]:
    found: set[str] = set()
    for approval in incident.approvals.values():
        found |= set(approval.excluded)
    for task in incident.tasks.values():
        found |= set(task.excluded)
    return found


def _roster(incident: Incident, policy: Policy | None) -> list[Responder]:
    """Everybody of the policy; whoever is implicated has no Slack identity here, and so is not mentioned."""
    excluded = _excluded(incident)
    people = policy.responders if policy is not None else ()
    return [p.model_copy(update={"slack": ""}) if p.id in excluded else p for p in people]


class ChatActivities:
    """`chat.sync`, for the worker of the queue `chat`."""

    def __init__(
        self,
        incidents: IncidentReader,
        refs: ChatRefs,
        client: ChatClient,
        settings: ChatSettings,
        policy: PolicyLoader,
    ) -> None:
        self._incidents, self._refs, self._client = incidents, refs, client
        self._settings, self._policy = settings, policy
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @activity.defn(name="chat.sync")
    async def sync(self, request: ChatSyncRequest) -> None:
        """Bring the incident's channel up to at least the given timeline entry.

        Raises:
            ApplicationError: `Throttled` (again when Slack says), `Refused` (again, slowly: a revoked token can be
                replaced), `Unavailable` (again), `NotStoredYet` (again: the store is behind).
        """
        incident = await self._incidents.incident(request.incident_id)
        if incident is None or incident.head_seq < request.seq:
            raise ApplicationError(
                f"{request.incident_id} is not stored up to entry {request.seq} yet", type="NotStoredYet"
            )
        lock = self._locks.setdefault(request.incident_id, asyncio.Lock())
        async with lock:
            await self._sync(incident)

    async def _paused(self, incident: Incident) -> Paused | None:
        """Who paused it: the timeline says so, the state says only why."""
        if incident.paused is None:
            return None
        after, found = 0, None
        while entries := await self._incidents.timeline(incident.id, after=after):
            for entry in entries:
                if isinstance(entry.event, IncidentPaused) and entry.seq <= incident.head_seq:
                    found = Paused(by=entry.actor.name or entry.actor.id, since=entry.time)
            after = entries[-1].seq
        return found

    async def _sync(self, incident: Incident) -> None:
        policy = await self._policy()
        tail = await self._incidents.timeline(incident.id, after=await told_up_to(incident.id, self._refs))
        try:
            await sync_incident(
                incident,
                tail,
                self._refs,
                self._client,
                self._settings,
                people=who_is_invited(incident, policy, tail),
                roster=_roster(incident, policy),
                paused=await self._paused(incident),
            )
        except SlackThrottled as error:
            raise ApplicationError(
                str(error), type="Throttled", next_retry_delay=timedelta(seconds=error.retry_after)
            ) from error
        except SlackRefused as error:
            log.error("chat of %s: %s", incident.id, error)
            raise ApplicationError(str(error), type="Refused", next_retry_delay=SLOWLY) from error
        except SlackUnavailable as error:
            raise ApplicationError(str(error), type="Unavailable") from error
