"""What the tests of the intake stand on: two playbooks, alerts, and incidents that take what is delivered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from soar.engine.client import EngineUnavailable
from soar.model.alert import Alert, AlertActor
from soar.model.terms import AlertState, Severity
from soar.playbook.library import Library
from soar.playbook.loader import LoadedPlaybook, load_playbook
from soar.store import AlertRow, Store

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

_PLAYBOOK = """\
name: {name}
title: {name}
match:
  source: guardduty
  rule: ["{rule}"]
correlate_by: [alert.account, alert.actor.name]
identification:
  - id: look
    do: aws.iam.find_key_owner
"""


def playbook(name: str, rule: str) -> LoadedPlaybook:
    """A playbook that answers one rule, one incident for each actor."""
    return load_playbook(_PLAYBOOK.format(name=name, rule=rule), file=f"{name}.yaml")


def library() -> Library:
    """`keys` answers `Key:*`; `odd` answers only `Key:Odd`, which thus has two playbooks."""
    return Library([playbook("keys", "Key:*"), playbook("odd", "Key:Odd")])


def alert(
    uid: str,
    actor: str = "alice",
    *,
    rule: str = "Key:Leaked",
    state: AlertState = AlertState.NEW,
    revision: str = "1",
) -> Alert:
    """A finding about somebody."""
    return Alert(
        source="guardduty",
        uid=uid,
        revision=revision,
        state=state,
        title="a finding",
        severity=Severity.HIGH,
        rule=rule,
        time=START,
        account="1",
        actor=AlertActor(name=actor, type="IAMUser"),
    )


async def receive(store: Store, *alerts: Alert) -> None:
    """Commit alerts as `accept` does."""
    for one in alerts:
        await store.receive_alert(
            AlertRow(
                id=one.key,
                source=one.source,
                uid=one.uid,
                received_at=START,
                status="received",
                alert=one,
            )
        )


async def nothing() -> None:
    """Let the others go on."""
    await asyncio.sleep(0)


class Incidents:
    """The other side of `Deliver`, with the engine's promises: one open incident for a key, joining is idempotent.

    Args:
        open: Workflow id → the keys of the alerts that it has.
        down: Every delivery fails.
        delivered: How often each alert was brought to each workflow.
        after: Awaited in each delivery when the incident has the alerts.
    """

    def __init__(self) -> None:
        self.open: dict[str, set[str]] = {}
        self.down = False
        self.refuses: set[str] = set()
        self.delivered: Counter[tuple[str, str]] = Counter()
        self.batches: list[int] = []
        self.after: Callable[[], Awaitable[object]] = nothing

    async def __call__(
        self, loaded: LoadedPlaybook, key: str, alerts: Sequence[Alert], may_open: bool
    ) -> str | None:
        """See `soar.intake.router.Deliver`."""
        await nothing()
        name = loaded.playbook.name
        if self.down or name in self.refuses:
            raise EngineUnavailable("Temporal did not take the alerts: nobody\nanswers")
        workflow = f"incident/{name}/{key}"
        if workflow not in self.open and not may_open:
            return None
        self.open.setdefault(workflow, set()).update(a.key for a in alerts)
        self.delivered.update((workflow, a.key) for a in alerts)
        self.batches.append(len(alerts))
        await self.after()
        return workflow
