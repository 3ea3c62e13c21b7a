"""The app over a real store and vault, with an engine that writes down what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import httpx
from pydantic import BaseModel, JsonValue

from soar.actions.registry import catalogue
from soar.engine.client import Command
from soar.engine.messages import (
    IncidentStart,
    NoteRequest,
    PersonRequest,
    Reply,
    StepDecisionRequest,
    UndoRequest,
    VoteRequest,
)
from soar.evidence import LocalVault
from soar.model.alert import Alert
from soar.model.base import digest_of
from soar.model.change import (
    BlastRadius,
    Change,
    ErrorInfo,
    EvidenceRef,
    Plan,
    Result,
    Target,
    Verification,
)
from soar.model.events import (
    AlertJoined,
    AnyEvent,
    ApprovalOpened,
    EffectApplied,
    EffectStarted,
    EffectVerified,
    IncidentOpened,
    NoteAdded,
    PhaseStarted,
    PlanMade,
    ReportWritten,
    StepNeedsAttention,
    StepStarted,
    StepSucceeded,
)
from soar.model.people import Responder
from soar.model.terms import Phase, Risk, Severity
from soar.model.timeline import ENGINE, TimelineEntry, append, genesis
from soar.playbook.library import Library
from soar.playbook.policy import Policy
from soar.sources.auth import verify_shared_secret
from soar.sources.contract import BadAlert, Source, SourceRequest
from soar.sources.registry import sources
from soar.store import Store, migrate
from soar.web.app import create_app
from soar.web.identity import token_digest
from soar.web.services import Services

SECRET = "a-source-secret-of-thirty-two-bytes!"
SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TOKEN = "irene-token"
IRENE = Responder(id="irene", name="Irene", roles=("responder",))
MAYA = Responder(id="maya", name="Maya", roles=("developer",))
START = datetime.now(UTC).replace(microsecond=250_000) - timedelta(minutes=30)
HTML = {"accept": "text/html"}
REPORT = b"<!doctype html><title>Report</title>"


class TestSource(Source):
    """One alert per delivery: its title."""

    __test__ = False
    name: ClassVar[str] = "test"
    title: ClassVar[str] = "Test"
    docs: ClassVar[str] = ""

    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        verify_shared_secret(request, secrets, setting="TEST")

    def normalise(self, payload: JsonValue) -> list[Alert]:
        if not isinstance(payload, dict) or not isinstance(payload.get("title"), str):
            raise BadAlert("$.title", "is missing")
        return [
            Alert(source="test", uid="u-1", title=str(payload["title"]), severity=Severity.HIGH, time=START)
        ]


@dataclass
class RecordingCommands:
    """Stands in for the engine."""

    told: list[tuple[str, str, BaseModel]] = field(default_factory=list)
    answer: Reply = field(default_factory=lambda: Reply(accepted=True, message="your vote is counted"))
    error: Exception | None = None

    def _tell(self, name: str, workflow: str, request: BaseModel) -> Reply:
        if self.error is not None:
            raise self.error
        self.told.append((name, workflow, request))
        return self.answer

    async def vote(self, workflow: str, request: VoteRequest, *, request_id: str) -> Reply:
        return self._tell("vote", workflow, request)

    async def decide_step(self, workflow: str, request: StepDecisionRequest, *, request_id: str) -> Reply:
        return self._tell("decide", workflow, request)

    async def note(self, workflow: str, request: NoteRequest, *, request_id: str) -> Reply:
        return self._tell("note", workflow, request)

    async def tell(
        self, workflow: str, command: Command, request: PersonRequest, *, request_id: str
    ) -> Reply:
        return self._tell(command, workflow, request)

    async def undo(
        self, workflow: str, request: UndoRequest, *, request_id: str, closed: IncidentStart | None = None
    ) -> Reply:
        return self._tell("undo", workflow, request)

    async def start_of(self, workflow: str, run_id: str) -> IncidentStart:
        raise AssertionError("not asked in these tests")


@dataclass
class World:
    """The app and what is behind it; `nudges` counts how often somebody was told that something came in."""

    services: Services
    store: Store
    vault: LocalVault
    engine: RecordingCommands
    nudges: list[str]
    ready: list[bool]
    roster: list[Responder]
    http: httpx.AsyncClient

    async def log_in(self, token: str = TOKEN) -> str:
        """Log in, and return the CSRF token of the session."""
        form = await self.http.get("/login", headers=HTML)
        sent = {"csrf": csrf_of(form.text), "token": token, "next": "/"}
        reply = await self.http.post("/login", data=sent, headers=HTML)
        assert reply.status_code == 303, reply.text
        return csrf_of((await self.http.get("/", headers=HTML)).text)


def csrf_of(page: str) -> str:
    return page.split('name="csrf" value="', 1)[1].split('"', 1)[0]


@asynccontextmanager
async def web_world(folder: Path, **options: Any) -> AsyncIterator[World]:
    """The app, for the length of a block."""
    url = f"sqlite+aiosqlite:///{folder / 'soar.db'}"
    await migrate(url)
    store, vault = await Store.open(url, synchronous="NORMAL"), LocalVault(folder / "vault")
    engine, nudges, ready, roster = RecordingCommands(), list[str](), [True], [IRENE, MAYA]

    async def temporal_ready() -> bool:
        return ready[0]

    given: dict[str, Any] = {
        "store": store,
        "vault": vault,
        "library": Library.load(Path(__file__).parents[2] / "playbooks"),
        "catalogue": catalogue(),
        "policy": lambda: Policy(version=1, responders=tuple(roster)),
        "sources": {**sources(), "test": TestSource()},
        "secrets": lambda _name: (SECRET,),
        "engine": engine,
        "nudge_alerts": lambda: nudges.append("alert"),
        "nudge_clicks": lambda: nudges.append("click"),
        "session_key": b"k" * 32,
        "temporal_ready": temporal_ready,
        "slack_signing_secret": SLACK_SECRET,
        **options,
    }
    services = Services(**given)
    await store.add_token("irene", token_digest(TOKEN), "test")
    await store.add_token("maya", token_digest("maya-token"), "test")
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://console.test") as http:
        yield World(services, store, vault, engine, nudges, ready, roster, http)
    await store.close()


def chain(
    incident_id: str, *steps: tuple[AnyEvent, str], evidence: Sequence[EvidenceRef] = ()
) -> list[TimelineEntry]:
    """A timeline; the evidence belongs to its last entry."""
    entries: list[TimelineEntry] = []
    for seq, (event, summary) in enumerate(steps, start=1):
        entries.append(
            append(
                incident_id=incident_id,
                seq=seq,
                prev_hash=entries[-1].hash if entries else genesis(incident_id),
                time=START + timedelta(seconds=seq),
                phase=Phase.CONTAINMENT,
                actor=ENGINE,
                summary=summary,
                event=event,
                evidence=tuple(evidence) if seq == len(steps) else (),
            )
        )
    return entries


def opened(incident_id: str, title: str) -> tuple[AnyEvent, str]:
    event = IncidentOpened(
        incident_id=incident_id,
        workflow_id=f"incident/test/{incident_id}",
        run_id="r",
        title=title,
        severity=Severity.HIGH,
        playbook="test",
        playbook_digest=digest_of("p"),
        account="123456789012",
        contains=("s", "done"),
    )
    return event, f"opened: {title}"


def plan(text: str) -> Plan:
    """A plan in which every text is the given one."""
    return Plan(
        action="aws.iam.deactivate_access_key",
        params={text: text},
        account=text,
        region=text,
        summary=text,
        targets=(Target(uid=text, type=text, name=text + "!", tags={text: text}),),
        changes=(Change(target=text, field=text, before=text, after=[text]),),
        state={text: text},
        blast_radius=BlastRadius(summary=text, facts=(text,)),
        warnings=(text,),
        undo=text,
    )


def busy(
    incident_id: str = "INC-1", text: str = "a text", *, approval: str = "apr_1", **vault: str
) -> list[TimelineEntry]:
    """An incident with an approval, a step that failed, a change in place, alerts and evidence.

    Args:
        vault: Format → digest of reports.
    """
    the_plan = plan(text)
    digest = the_plan.content_digest
    error = ErrorInfo(type="PermissionMissing", message=text, hint=text, permission=text)
    alert = Alert.model_validate(
        {
            "source": "test",
            "uid": text,
            "title": text,
            "description": text,
            "severity": 4,
            "rule": text,
            "time": START,
            "first_seen": START - timedelta(minutes=5),
            "resources": [{"uid": text, "type": "t", "name": text}],
            "actor": {"name": text, "type": text, "uid": text, "access_key_id": text},
            "observables": [{"type": "domain", "value": text}],
            "links": ["javascript:alert(1)"],
            "raw": {"digest": digest_of("raw"), "size": 12},
        }
    )
    events: list[AnyEvent] = [
        AlertJoined(alert=alert),
        PhaseStarted(phase=Phase.CONTAINMENT),
        StepStarted(step_id="done", name=text, action="aws.iam.deactivate_access_key", risk=Risk.REVERSIBLE),
        PlanMade(step_id="done", plan=the_plan, plan_digest=digest),
        EffectStarted(step_id="done", plan_digest=digest),
        EffectApplied(step_id="done", result=Result(summary=text)),
        EffectVerified(step_id="done", verification=Verification(verified=True, seen=text, method=text)),
        StepSucceeded(step_id="done", changed=True, result=Result(summary=text)),
        StepStarted(step_id="bad", name=text, action="a.b", risk=Risk.DISRUPTIVE),
        StepNeedsAttention(step_id="bad", error=error, roles=("responder",)),
        StepStarted(step_id="s", name=text, action="a.b", risk=Risk.REVERSIBLE),
        PlanMade(step_id="s", plan=the_plan, plan_digest=digest),
        ApprovalOpened(
            approval_id=approval,
            step_id="s",
            plan_digest=digest,
            needed=2,
            roles=("responder",),
            why=text,
            excluded={"priya": text},
            expires_at=START + timedelta(hours=4),
            supersedes="apr_0",
            drift=(text,),
        ),
        NoteAdded(text=text),
    ]
    if vault:
        events.append(ReportWritten(digests=dict(vault)))
    kept = EvidenceRef(
        digest=digest_of("e"),
        size=2048,
        media_type="application/json",
        name=text,
        source=text,
        collected_at=START,
    )
    return chain(incident_id, opened(incident_id, text), *((e, text) for e in events), evidence=[kept])
