"""Routing: each alert in the inbox is brought to the incidents that it belongs to.

An item is done only when Temporal has taken the alert; until then it stays in the inbox, and comes due again when
whoever claimed it dies. Delivering twice is harmless: the incident knows the alerts that it has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import ValidationError

from soar.engine.client import workflow_id
from soar.intake.loop import InboxLoop, backoff
from soar.model.alert import Alert
from soar.model.terms import AlertState
from soar.playbook.expressions import ExpressionError
from soar.playbook.library import Library
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.match import correlation_key
from soar.store import InboxItem, Store

__all__ = ["Deliver", "Router"]

BATCH = 100
LEASE_SECONDS = 60.0
DELIVERY_BYTES = 512 * 1024
"""Of the alerts in one delivery: Temporal refuses messages of 2 MB, however often they are tried."""

_log = logging.getLogger("soar.intake")


class Deliver(Protocol):
    """Brings alerts of one correlation key to their incident."""

    async def __call__(
        self, loaded: LoadedPlaybook, key: str, alerts: Sequence[Alert], may_open: bool
    ) -> str | None:
        """Deliver.

        Returns:
            The workflow's id; None if none is open and none may be opened.
        """
        ...


@dataclass
class _Group:
    """Alerts that go to one incident together."""

    loaded: LoadedPlaybook
    key: str
    items: list[InboxItem] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    may_open: bool = False

    def parts(self) -> Iterator[_Group]:
        """Groups of the same incident, each small enough to be delivered; an alert that is too large is alone."""
        part, size = _Group(self.loaded, self.key, may_open=self.may_open), 0
        for item, alert in zip(self.items, self.alerts, strict=True):
            own = len(alert.model_dump_json().encode())
            if part.items and size + own > DELIVERY_BYTES:
                yield part
                part, size = _Group(self.loaded, self.key, may_open=self.may_open), 0
            size += own
            part.items.append(item)
            part.alerts.append(alert)
        yield part


@dataclass
class _Fate:
    """What became of one alert.

    Args:
        answered: The playbooks that answer it.
        workflows: Playbook → the workflow that took it.
        error: Why it has to be tried again.
    """

    answered: list[str] = field(default_factory=list)
    workflows: dict[str, str] = field(default_factory=dict)
    error: str = ""


class Router(InboxLoop):
    """Works through the inbox; any number of processes may run one.

    Args:
        store: Its inbox and its alerts.
        library: The playbooks.
        deliver: How incidents are reached.
    """

    def __init__(self, store: Store, library: Library, deliver: Deliver) -> None:
        super().__init__()
        self._store, self._library, self._deliver = store, library, deliver

    async def run_once(self) -> int:
        """Route what is due.

        Returns:
            How many alerts that were.
        """
        items = await self._store.claim("alert", limit=BATCH, lease=LEASE_SECONDS)
        fates = {item.id: _Fate() for item in items}
        groups: dict[tuple[str, str], _Group] = {}
        for item in items:
            try:
                await self._place(item, Alert.model_validate(item.body), groups, fates[item.id])
            except (ValidationError, ExpressionError) as error:
                fates[item.id].error = f"it cannot be routed: {error}"
                _log.error("router.unreadable", extra={"alert": item.key, "error": str(error)[:500]})
        for group in groups.values():
            for part in group.parts():
                await self._deliver_group(part, fates)
        for item in items:
            await self._settle(item, fates[item.id])
        return len(items)

    async def _deliver_group(self, group: _Group, fates: dict[int, _Fate]) -> None:
        name = group.loaded.playbook.name
        try:
            workflow = await self._deliver(group.loaded, group.key, group.alerts, group.may_open)
        except Exception as error:  # noqa: BLE001 - whatever it is, the alerts stay in the inbox
            _log.warning(
                "router.delivery_failed",
                extra={"playbook": name, "alerts": len(group.items), "error": str(error)},
            )
            for item in group.items:
                fates[item.id].error = str(error)
            return
        for item in group.items:
            fate = fates[item.id]
            fate.answered.append(name)
            if workflow is not None:
                fate.workflows[name] = workflow

    async def _place(
        self, item: InboxItem, alert: Alert, groups: dict[tuple[str, str], _Group], fate: _Fate
    ) -> None:
        """Put an alert into the groups of the playbooks that answer it."""
        # An update opens an incident if what it updates never reached one: we never saw it, or it still waits here.
        may_open = alert.state is AlertState.NEW or (
            alert.state is AlertState.UPDATED
            and not await self._store.was_routed(alert.source, alert.uid, other_than=item.key)
        )
        for loaded in self._library.find(alert):
            name, key = loaded.playbook.name, correlation_key(loaded.playbook, alert)
            workflow = workflow_id(name, key)
            # Whoever had claimed it before may have delivered it and died; that incident may be over by now.
            if item.attempts > 1 and await self._store.has_alert(workflow, alert.key):
                fate.answered.append(name)
                fate.workflows[name] = workflow
                continue
            group = groups.setdefault((name, key), _Group(loaded, key))
            group.items.append(item)
            group.alerts.append(alert)
            group.may_open |= may_open

    async def _settle(self, item: InboxItem, fate: _Fate) -> None:
        if fate.error:
            await self._store.retry(item.id, fate.error, backoff(item.attempts))
            return
        if fate.workflows:
            playbook, workflow = next(iter(fate.workflows.items()))
            await self._store.set_alert(
                item.key, "routed", playbook=", ".join(fate.workflows), workflow_id=workflow
            )
            await self._store.done(item.id, f"routed: {playbook}")
            return
        reason = "no playbook answers it"
        if fate.answered:
            reason = "it updates or resolves an alert that has no open incident"
        await self._store.set_alert(item.key, "unmatched", playbook=", ".join(fate.answered), reason=reason)
        await self._store.done(item.id, f"unmatched: {reason}")
        _log.info("alert.unmatched", extra={"alert": item.key, "reason": reason})
