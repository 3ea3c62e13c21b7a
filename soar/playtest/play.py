"""One test as it is played: alerts come in, people act at their moments, and the clock skips whatever is waiting."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from soar.intake.accept import read_alerts
from soar.model.alert import Alert
from soar.playbook.expressions import ExpressionError, render
from soar.playtest.files import LoadedTests
from soar.playtest.follow import Follower, Moment
from soar.playtest.people import Person
from soar.playtest.spec import AlertSpec, TestCase, Trigger
from soar.playtest.standing import standing
from soar.playtest.world import World
from soar.sources.contract import BadAlert
from soar.sources.registry import sources
from soar.store import AlertRow

__all__ = ["Play", "Played", "Problem", "WorkflowBroken"]

_SHORT, _LONG = timedelta(seconds=0.02), timedelta(seconds=1)
"""How long the clock is let go at a time while something works: soon at first, so that nothing is waited for."""
_A_LITTLE = timedelta(milliseconds=2)
_APART = timedelta(seconds=1)
"""A timer that is about to fire fires before anybody acts: the test server loses a workflow task that cancels a timer
which fires at the same moment (temporalio/sdk-java#3088)."""
_ROUTING_TRIES = 20
_PATIENCE_SECONDS = 10.0
"""How long a workflow whose tasks fail is tried again: long enough for one that was lost, no use for a broken one."""


class WorkflowBroken(Exception):
    """The workflow's own code fails, again and again; the message says with what."""


@dataclass(frozen=True)
class Problem:
    """What went wrong in a test before anything was compared.

    Args:
        place: Where in the test: keys and indexes.
        key: It is about the whole of what stands there, so its name is pointed at.
    """

    place: tuple[str | int, ...]
    message: str
    key: bool = False


@dataclass
class Played:
    """How a test ended.

    Args:
        followers: The incidents, in the order in which they opened.
        waiting: Whether an incident waits for somebody who does not come.
        alerts: What became of each alert that came in.
        passed: How much time passed on the incident's clock.
    """

    followers: list[Follower]
    problems: list[Problem]
    waiting: bool
    alerts: list[AlertRow]
    passed: timedelta


@dataclass(order=True)
class _Due:
    """Something that happens at a time."""

    at: datetime
    number: int
    what: Person | AlertSpec = field(compare=False)
    place: tuple[str | int, ...] = field(compare=False)
    incident_id: str = field(default="", compare=False)
    step: str = field(default="", compare=False)


class Play:
    """Plays one test in its world."""

    def __init__(self, world: World, tests: LoadedTests, case: TestCase) -> None:
        self._world, self._tests, self._case = world, tests, case
        self._people = [
            Person(index, spec, responder)
            for index, spec in enumerate(case.people)
            if (responder := tests.policy.responder(spec.who)) is not None
        ]
        self._alerts = case.alerts or (AlertSpec(scenario="finding"),)
        self._due: list[_Due] = []
        self._numbered = 0
        self._followers: dict[str, Follower] = {}
        self._workflows: dict[str, None] = {}
        self._seen: Counter[tuple[int, str, str]] = Counter()
        self._rows: list[str] = []
        self._problems: list[Problem] = []
        self._troubles: dict[str, str] = {}

    async def run(self) -> Played:
        """Play until nothing more will happen."""
        world = self._world
        for index, alert in enumerate(self._alerts):
            if alert.when is None:
                self._schedule(world.began, alert.after, alert, ("alerts", index))
        waiting = False
        while True:
            timer = await self._settle()
            now = await world.clock.now()
            self._due.sort()
            if self._due and self._due[0].at <= now:
                if timer is not None and timer <= now + _APART:
                    await world.clock.skip(max(timer - now, timedelta(0)) + _A_LITTLE)
                    continue
                await self._happen(self._due.pop(0))
                continue
            coming = [moment for moment in (timer, self._due[0].at if self._due else None) if moment]
            if not coming:
                waiting = any(not f.incident.status.ended for f in self._followers.values())
                break
            if min(coming) > world.began + timedelta(seconds=self._case.limit):
                self._problems.append(
                    Problem(("limit",), f"it goes on for longer than {self._case.limit:.0f} s")
                )
                break
            await world.clock.skip(max(min(coming) - now, timedelta(0)) + _A_LITTLE)
        return await self._played(waiting)

    def describe(self) -> str:
        """Where the test stands, for somebody who wonders why it does not end."""
        parts = [
            f"{follower.incident.id} is {follower.incident.status.value} at entry {follower.seq} "
            f"({follower.timeline[-1].summary})"
            for follower in self._followers.values()
        ]
        return "; ".join([*parts, *self._troubles.values()]) or "no incident has opened yet"

    async def _played(self, waiting: bool) -> Played:
        for person in self._people:
            if not person.came:
                self._problems.append(
                    Problem(
                        ("people", person.index),
                        f"{person.spec.who} never came to {person.spec.do}: {_words(person.spec.trigger)} never came",
                    )
                )
        # The file's faults are for all of its tests; one of a test's own that nobody meets is a mistake.
        if self._world.faults is not None and self._case.account is not None:
            for index in self._world.faults.unused():
                place = ("account", "faults", index)
                self._problems.append(Problem(place, "this fault met no call of the workers"))
        store = self._world.parts.store
        rows = [row for key in dict.fromkeys(self._rows) if (row := await store.alert(key)) is not None]
        passed = await self._world.clock.now() - self._world.began
        return Played(list(self._followers.values()), self._problems, waiting, rows, passed)

    # ---- time --------------------------------------------------------------------------------------------------

    def _schedule(
        self,
        moment: datetime,
        after: float | None,
        what: Person | AlertSpec,
        place: tuple[str | int, ...],
        incident_id: str = "",
        step: str = "",
    ) -> None:
        self._numbered += 1
        at = moment + timedelta(seconds=after or 0)
        self._due.append(_Due(at, self._numbered, what, place, incident_id, step))

    async def _settle(self) -> datetime | None:
        """Wait until nothing works any more, and read what happened.

        Returns:
            When the next timer of a workflow fires.
        """
        pause, began = _SHORT, time.monotonic()
        while True:
            looks = [await standing(self._world.parts.temporal, w) for w in list(self._workflows)]
            self._troubles = {
                w: f"workflow {w} fails: {look.trouble}"
                for w, look in zip(self._workflows, looks, strict=True)
                if look.trouble
            }
            if not any(look.busy for look in looks):
                # A called playbook is in the store a little later than it runs.
                called = [c for look in looks for c in look.children if c not in self._workflows]
                self._workflows.update(dict.fromkeys(called))
                if not await self._read() and not called:
                    return min((look.next_timer for look in looks if look.next_timer), default=None)
                continue
            if self._troubles and time.monotonic() - began > _PATIENCE_SECONDS:
                raise WorkflowBroken("; ".join(self._troubles.values()))
            # The clock skips the pauses between the tries of an activity, and runs as ours does while one works.
            started = time.monotonic()
            await self._world.clock.skip(pause)
            if time.monotonic() - started < _SHORT.total_seconds() / 2:
                await asyncio.sleep(_SHORT.total_seconds())
            pause = min(pause * 2, _LONG)

    async def _read(self) -> bool:
        """Read new entries of every incident, and note who has something to do because of them.

        Returns:
            Whether there was anything new that leads to a workflow not known yet.
        """
        store, news = self._world.parts.store, False
        for summary in reversed(await store.incidents(limit=100)):
            follower = self._followers.setdefault(summary.id, Follower())
            while entries := await store.timeline(summary.id, after=follower.seq):
                for moment in follower.read(entries):
                    self._note(moment)
            if follower.incident.workflow_id not in self._workflows:
                self._workflows[follower.incident.workflow_id] = None
                news = True
        return news

    def _note(self, moment: Moment) -> None:
        for person in self._people:
            for step in self._meant(person.index, person.spec.trigger, moment):
                place = ("people", person.index)
                self._schedule(moment.time, person.spec.after, person, place, moment.incident_id, step)
        for index, alert in enumerate(self._alerts):
            if alert.when is not None and self._meant(-1 - index, alert.when, moment):
                self._schedule(moment.time, alert.after, alert, ("alerts", index), moment.incident_id)

    def _meant(self, number: int, trigger: Trigger, moment: Moment) -> list[str]:
        """The steps that somebody was waiting for at this moment; an empty text where it is about none."""
        met = []
        for step in moment.steps_of(trigger):
            self._seen[number, moment.incident_id, step] += 1
            if trigger.nth in (None, self._seen[number, moment.incident_id, step]):
                met.append(step)
        return met

    # ---- what happens ------------------------------------------------------------------------------------------

    async def _happen(self, due: _Due) -> None:
        if isinstance(due.what, AlertSpec):
            await self._deliver(due)
            return
        follower = self._followers[due.incident_id]
        before = follower.incident.status.ended
        problem = await due.what.act(self._world, follower, due.step)
        if problem:
            self._problems.append(Problem(due.place, problem))
        elif before and due.what.spec.do == "undo":
            await self._reopened()

    async def _reopened(self) -> None:
        """Wait until a closed incident that is opened again says so: another workflow goes on with it."""
        known = set(self._workflows)
        while set(self._workflows) == known:
            await self._world.clock.skip(_SHORT)
            await self._read()

    async def _deliver(self, due: _Due) -> None:
        assert isinstance(due.what, AlertSpec)
        try:
            alerts = await self._alerts_of(due.what, due.incident_id)
        except (BadAlert, ExpressionError, ValueError, LookupError, TypeError, OSError) as error:
            self._problems.append(Problem(due.place, f"it is not an alert: {error}"))
            return
        for _ in range(due.what.times):
            await self._receive(alerts)

    async def _alerts_of(self, spec: AlertSpec, incident_id: str) -> list[Alert]:
        world = self._world
        variables: dict[str, Any] = {**world.variables, "now": (await world.clock.now()).isoformat()}
        if incident_id:
            variables["incident"] = self._followers[incident_id].incident.model_dump(mode="json")
        of_scenario = world.scenario.source if spec.scenario and world.scenario else ""
        source = spec.source or of_scenario or "guardduty"
        if spec.alert is not None:
            given = _set(render(spec.alert, variables), render(dict(spec.set), variables))
            assert isinstance(given, dict)
            defaults: dict[str, JsonValue] = {
                "source": source,
                "uid": self._case.name,
                "time": variables["now"],
                "account": world.company.account,
                "region": world.company.region,
            }
            return [Alert.model_validate({**defaults, **given})]
        if spec.scenario is not None:
            assert world.scenario is not None
            assert world.attack is not None
            payload: JsonValue = world.scenario.finding(world.attack)
        elif spec.file is not None:
            path: Path = self._tests.path.parent / spec.file
            payload = render(json.loads(await asyncio.to_thread(path.read_bytes)), variables)
        else:
            payload = render(spec.payload, variables)
        changed = _set(payload, render(dict(spec.set), variables))
        return read_alerts(sources()[source], json.dumps(changed).encode())

    async def _receive(self, alerts: Sequence[Alert]) -> None:
        """Put alerts into the inbox and route them, as a verified delivery is."""
        store = self._world.parts.store
        for alert in alerts:
            raw = await self._world.parts.vault.put(alert.model_dump_json().encode())
            kept = alert.model_copy(update={"raw": raw})
            row = AlertRow(
                id=alert.key,
                source=alert.source,
                uid=alert.uid,
                title=alert.title,
                severity=alert.severity,
                received_at=datetime.now(UTC),
                status="received",
                raw_digest=raw.digest,
                alert=kept,
            )
            await store.receive_alert(row)
            self._rows.append(alert.key)
        for _ in range(_ROUTING_TRIES):
            await self._world.router.run_once()
            if not await store.pending("alert"):
                break
            await asyncio.sleep(0.5)
        for alert in alerts:
            found = await store.alert(alert.key)
            if found is not None and found.workflow_id:
                self._workflows.setdefault(found.workflow_id)


def _set(payload: JsonValue, changes: JsonValue) -> JsonValue:
    """Set fields of a payload by dotted paths; a number is an index of a list."""
    changed: Any = json.loads(json.dumps(payload))
    assert isinstance(changes, dict)
    for path, value in changes.items():
        *way, last = path.split(".")
        at = changed
        for part in way:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        at[int(last) if isinstance(at, list) else last] = value
    return changed  # type: ignore[no-any-return]


def _words(trigger: Trigger) -> str:
    """A trigger in words."""
    steps = " or ".join(trigger.step) if trigger.step else "any step"
    what = f"{trigger.kind} of {steps}" if trigger.kind else f"{steps} is {trigger.status}"
    return f"the moment “{what}”" + (f" number {trigger.nth}" if trigger.nth else "")
