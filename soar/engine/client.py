"""How the rest of the system talks to running incidents. Each call may be repeated without harm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, TypeVar

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from soar.engine.messages import (
    ORCHESTRATOR_QUEUE,
    WORKFLOW_TYPE,
    IncidentStart,
    NoteRequest,
    PersonRequest,
    Reply,
    StepDecisionRequest,
    UndoRequest,
    VoteRequest,
)
from soar.engine.workflow import ACCOUNT, PHASE, PLAYBOOK, SEVERITY, STATUS, IncidentWorkflow
from soar.model.alert import Alert
from soar.model.incident import Incident
from soar.model.terms import IncidentStatus, Phase

__all__ = ["Command", "EngineUnavailable", "IncidentEnded", "IncidentEngine", "workflow_id"]

Command = Literal[
    "pause",
    "resume",
    "cancel",
    "retry_step",
    "skip_step",
    "set_severity",
    "assign",
    "extend",
    "complete_task",
    "meet_clock",
    "upgrade",
]
"""The updates that take a `PersonRequest`."""
WITH_START = 20
"""Alerts that come with the start of an incident; further ones follow by signal. Temporal takes 2 MiB in one piece."""
LATELY = 1_000
"""Incidents that were open lately."""
UPDATE_TIMEOUT = timedelta(seconds=10)
T = TypeVar("T", bound=BaseModel)


class IncidentEnded(Exception):
    """The incident's workflow is not running: it has ended, or never was."""


class EngineUnavailable(Exception):
    """Temporal, or the worker that runs the incident, did not answer in time."""


def workflow_id(playbook: str, correlation_key: str) -> str:
    """The id of the workflow that answers this key: at most one is open at a time."""
    return f"incident/{playbook}/{correlation_key}"


class IncidentEngine:
    """The commands to incidents, over a Temporal client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lately: dict[str, None] = {}

    def _remember(self, wid: str) -> None:
        self._lately[wid] = None
        if len(self._lately) > LATELY:
            del self._lately[next(iter(self._lately))]

    async def deliver(
        self, start: IncidentStart, alerts: Sequence[Alert], *, may_open: bool = True
    ) -> str | None:
        """Bring alerts to the open incident of their key, or open one.

        Args:
            start: What a new incident would be started with.
            may_open: False: only join; an update of an old alert opens nothing.

        Returns:
            The workflow's id; None if nothing was open and none may be opened.

        Raises:
            EngineUnavailable: Temporal cannot be reached; try again.
        """
        wid = workflow_id(start.playbook, start.correlation_key)
        # Whether it is open is a guess, and either is right in the end: most alerts after the first join.
        join_first = not may_open or wid in self._lately
        try:
            while True:
                if not join_first and await self._open(wid, start, alerts):
                    alerts = alerts[WITH_START:]
                if not alerts or await self._join(wid, alerts) is not None:
                    self._remember(wid)
                    return wid
                if not may_open:
                    return None
                join_first = False
        except RPCError as error:
            raise EngineUnavailable(f"Temporal did not take the alerts: {error.message}") from error

    async def _open(self, wid: str, start: IncidentStart, alerts: Sequence[Alert]) -> bool:
        """Open an incident; false: there is an open one."""
        try:
            await self._client.start_workflow(
                WORKFLOW_TYPE,
                start.model_copy(update={"alerts": tuple(alerts[:WITH_START])}),
                id=wid,
                task_queue=ORCHESTRATOR_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                memo={"incident": start.incident_id, "title": start.title},
                search_attributes=_attributes(start, alerts),
                # A workflow task that dies with its worker is given out again after this; the default of 10 s
                # is the longest gap that a killed worker can cause.
                task_timeout=timedelta(seconds=5),
                static_summary=start.title[:200],
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def _join(self, wid: str, alerts: Sequence[Alert]) -> str | None:
        try:
            await self._client.get_workflow_handle(wid).signal("alerts", list(alerts))
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return wid

    async def vote(self, workflow: str, request: VoteRequest, *, request_id: str) -> Reply:
        """Cast a vote; see `IncidentWorkflow.vote`."""
        return await self._update(workflow, "vote", request, request_id)

    async def decide_step(self, workflow: str, request: StepDecisionRequest, *, request_id: str) -> Reply:
        """Decide about a failed step; see `IncidentWorkflow.decide_step`."""
        return await self._update(workflow, "decide_step", request, request_id)

    async def note(self, workflow: str, request: NoteRequest, *, request_id: str) -> Reply:
        """Put words on the timeline."""
        return await self._update(workflow, "note", request, request_id)

    async def tell(
        self, workflow: str, command: Command, request: PersonRequest, *, request_id: str
    ) -> Reply:
        """Tell an incident one of the things that `soar.engine.commands` takes, by the update's name."""
        return await self._update(workflow, command, request, request_id)

    async def undo(
        self, workflow: str, request: UndoRequest, *, request_id: str, closed: IncidentStart | None = None
    ) -> Reply:
        """Begin to put changes back.

        Args:
            closed: How to open the incident again if it has ended: its start, with the state to go on from.
        """
        try:
            return await self._update(workflow, "undo", request, request_id)
        except IncidentEnded:
            if closed is None:
                raise
        try:
            await self._client.start_workflow(
                WORKFLOW_TYPE,
                closed.model_copy(update={"undo": request, "alerts": ()}),
                id=f"incident-undo/{closed.incident_id}",
                task_queue=ORCHESTRATOR_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            )
        except WorkflowAlreadyStartedError:
            return Reply(accepted=False, message="an undo of this incident is running already")
        except RPCError as error:
            raise EngineUnavailable(f"Temporal did not take the request: {error.message}") from error
        return Reply(
            accepted=True, message="the incident is opened again for the undo; it may ask for approval"
        )

    async def state(self, workflow: str) -> Incident:
        """The state of a running (or lately ended) incident, from the workflow itself."""
        return await self._handle(workflow).query(IncidentWorkflow.state)

    async def start_of(self, workflow: str, run_id: str) -> IncidentStart:
        """The input that an incident was started with, from its history.

        Raises:
            IncidentEnded: Temporal does not keep its history any more.
            EngineUnavailable: Temporal did not answer.
        """
        handle = self._client.get_workflow_handle(workflow, run_id=run_id)
        try:
            async for event in handle.fetch_history_events(page_size=1):
                payloads = event.workflow_execution_started_event_attributes.input.payloads
                values = await self._client.data_converter.decode(payloads, [IncidentStart])
                start: IncidentStart = values[0]
                return start
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise EngineUnavailable(f"Temporal did not answer: {error.message}") from error
        raise IncidentEnded(f"{workflow} has no history any more")

    def _handle(self, workflow: str) -> WorkflowHandle[IncidentWorkflow, str]:
        return self._client.get_workflow_handle_for(IncidentWorkflow.run, workflow)

    async def _update(self, workflow: str, name: str, request: BaseModel, request_id: str) -> Reply:
        handle = self._client.get_workflow_handle(workflow)
        try:
            reply: Reply = await handle.execute_update(
                name, request, id=request_id, result_type=Reply, rpc_timeout=UPDATE_TIMEOUT
            )
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            message = cause.message if isinstance(cause, ApplicationError) else str(cause)
            return Reply(accepted=False, message=message)
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise EngineUnavailable("the incident's worker did not answer in time; try again") from error
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise IncidentEnded(f"{workflow} is not running") from error
            raise EngineUnavailable(f"Temporal did not answer: {error.message}") from error
        return reply


def _attributes(start: IncidentStart, alerts: Sequence[Alert]) -> TypedSearchAttributes:
    pairs: list[SearchAttributePair[str] | SearchAttributePair[int]] = [
        SearchAttributePair(STATUS, IncidentStatus.OPEN.value),
        SearchAttributePair(PLAYBOOK, start.playbook),
        SearchAttributePair(SEVERITY, int(max(a.severity for a in alerts))),
    ]
    first = next((phase for phase in Phase if phase in start.graph.entries), None)
    if first is not None:
        pairs.append(SearchAttributePair(PHASE, first.value))
    if alerts[0].account:
        pairs.append(SearchAttributePair(ACCOUNT, alerts[0].account))
    return TypedSearchAttributes(pairs)
