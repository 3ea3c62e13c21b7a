"""Comparing what is expected with what came: each difference at its line, with what was there instead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import JsonValue, ValidationError

from soar.actions.contract import ActionContext, ReadDefinition
from soar.actions.errors import ActionError
from soar.actions.registry import definitions
from soar.model.base import JsonObject
from soar.model.incident import Incident, StepRecord
from soar.model.people import Approval
from soar.model.timeline import TimelineEntry
from soar.playbook.document import Path as Place
from soar.playbook.expressions import ExpressionError, evaluate, render
from soar.playbook.policy import Policy
from soar.playtest.play import Played, Problem
from soar.playtest.spec import (
    ApprovalExpectation,
    Expectations,
    IncidentExpectation,
    ReadExpectation,
    ReportExpectation,
    StepExpectation,
)
from soar.playtest.world import World

__all__ = ["compare"]

_SHOWN = 300


async def compare(world: World, policy: Policy, expect: Expectations, played: Played) -> list[Problem]:
    """Compare.

    Args:
        policy: Whose people could have been asked.

    Returns:
        What is otherwise than expected, at its place in the test.
    """
    return await _Comparison(world, policy, expect, played).whole()


class _Comparison:
    def __init__(self, world: World, policy: Policy, expect: Expectations, played: Played) -> None:
        self._world, self._policy, self._expect, self._played = world, policy, expect, played
        self.problems: list[Problem] = []

    def _wrong(self, place: Place, expected: object, actual: object) -> None:
        message = f"{_dotted(place)}: expected {_text(expected)}, was {_text(actual)}"
        self.problems.append(Problem(("expect", *place), message))

    def _same(self, place: Place, expected: object, actual: object) -> None:
        if expected is not None and expected != actual:
            self._wrong(place, expected, actual)

    def _has(self, place: Place, part: str | None, texts: Iterable[str]) -> None:
        found = [text for text in texts if text]
        if part is not None and not any(part in text for text in found):
            self._wrong(place, f"words with “{part}”", "; ".join(found) or "nothing")

    async def whole(self) -> list[Problem]:
        expect, followers = self._expect, self._played.followers
        self._same(("incidents",), expect.incidents, len(followers))
        if not followers:
            if expect.incidents != 0:
                reasons = "; ".join(f"{row.status}: {row.reason}" for row in self._played.alerts)
                message = f"the alerts gave no incident ({reasons or 'none came in'})"
                self.problems.append(Problem(("expect",), message, key=True))
            return self.problems
        incident, timeline = followers[0].incident, followers[0].timeline
        self._incident(expect.incident, incident)
        for step, wanted in expect.steps.items():
            self._step(("steps", step), wanted, incident.steps.get(step))
        if expect.reached is not None and set(expect.reached) != set(incident.steps):
            self._wrong(("reached",), sorted(expect.reached), sorted(incident.steps))
        self._order(("order",), expect.order, _began(timeline), "steps began")
        self._order(("timeline",), expect.timeline, [e.kind for e in timeline], "timeline")
        for index, kind in enumerate(expect.never):
            entries = [entry.seq for entry in timeline if entry.kind == kind]
            if entries:
                self._wrong(("never", index), f"no {kind}", f"entry {', '.join(map(str, entries))}")
        if expect.approvals is not None:
            self._approvals(expect.approvals, list(incident.approvals.values()))
        for index, read in enumerate(expect.account):
            await self._read(("account", index), read, incident)
        if expect.checks is not None:
            await self._checks(expect.checks)
        if expect.report is not None:
            await self._report(expect.report, incident)
        return self.problems

    def _incident(self, wanted: IncidentExpectation | None, incident: Incident) -> None:
        if self._played.waiting and (wanted is None or wanted.status is None):
            waits = _waits_for(incident)
            self.problems.append(
                Problem(("people",), f"the incident waits, and nobody in the script comes: {waits}", key=True)
            )
        if wanted is None:
            return
        place = ("incident",)
        if wanted.status is not None and wanted.status is not incident.status:
            reason = incident.closed_reason or _waits_for(incident)
            actual = incident.status.value + (f" ({reason})" if reason else "")
            self._wrong((*place, "status"), wanted.status.value, actual)
        self._same((*place, "contained"), wanted.contained, incident.contained_at is not None)
        self._same((*place, "alerts"), wanted.alerts, incident.alert_count)
        self._same((*place, "severity"), wanted.severity, incident.severity.label)
        self._has((*place, "says"), wanted.says, [incident.closed_reason])
        if wanted.within is not None:
            open_for = self._played.passed.total_seconds()
            if incident.closed_at is not None:
                open_for = (incident.closed_at - incident.opened_at).total_seconds()
            if incident.closed_at is None or open_for > wanted.within:
                self._wrong(
                    (*place, "within"), f"closed within {wanted.within:.0f} s", f"{open_for:.0f} s open"
                )

    def _step(self, place: Place, wanted: StepExpectation, step: StepRecord | None) -> None:
        if step is None or wanted.status == "absent":
            if step is not None or wanted.status != "absent":
                actual = "absent: it was never reached" if step is None else _told(step)
                self._wrong(place, wanted.status or "a step that was reached", actual)
            return
        if wanted.status is not None and wanted.status != step.status.value:
            self._wrong(place, str(wanted.status), _told(step))
        self._same((*place, "error"), wanted.error, step.error.type if step.error else "no error")
        said = [
            step.error.message if step.error else "",
            step.reason,
            step.result.summary if step.result else "",
        ]
        self._has((*place, "says"), wanted.says, said)
        if wanted.result:
            found = step.result.data if step.result is not None else {}
            self._values((*place, "result"), wanted.result, found)

    def _values(self, place: Place, wanted: JsonObject, found: JsonObject) -> None:
        for expression, template in wanted.items():
            where = (*place, expression)
            try:
                expected = render(template, self._world.variables)
                actual = evaluate(expression, {**self._world.variables, **found, "result": found})
            except ExpressionError as error:
                self._wrong(where, template, f"not to be had ({error.message})")
                continue
            if expected != actual:
                self._wrong(where, expected, actual)

    def _order(self, place: Place, wanted: Sequence[str], found: Sequence[str], what: str) -> None:
        """Whether names come in this order, others between them."""
        rest = iter(found)
        for index, name in enumerate(wanted):
            if name not in rest:
                after = f" after {wanted[index - 1]}" if index else ""
                shown = ", ".join(dict.fromkeys(found))
                self._wrong((*place, index), f"{name}{after}", f"none there; {what}: {shown}")
                return

    def _approvals(self, wanted: Sequence[ApprovalExpectation], found: Sequence[Approval]) -> None:
        if [w.step for w in wanted] != [a.step_id for a in found]:
            actual = [f"{a.step_id} ({a.status.value})" for a in found]
            self._wrong(("approvals",), [w.step for w in wanted], actual)
            return
        for index, (expected, approval) in enumerate(zip(wanted, found, strict=True)):
            self._approval(("approvals", index), expected, approval)

    def _approval(self, place: Place, wanted: ApprovalExpectation, approval: Approval) -> None:
        outcome = wanted.outcome.value if wanted.outcome else None
        self._same((*place, "outcome"), outcome, approval.status.value)
        self._same((*place, "needed"), wanted.needed, approval.needed)
        roles = sorted(wanted.roles) if wanted.roles is not None else None
        self._same((*place, "roles"), roles, sorted(approval.roles))
        asked = sorted(
            person.id
            for person in self._policy.responders
            if set(person.roles) & set(approval.roles) and person.id not in approval.excluded
        )
        self._same((*place, "asked"), sorted(wanted.asked) if wanted.asked is not None else None, asked)
        by = list(wanted.by) if wanted.by is not None else None
        self._same((*place, "by"), by, [vote.responder for vote in approval.votes])
        self._same((*place, "refused"), wanted.refused, approval.refusals)
        if wanted.reminders is not None and approval.reminders < wanted.reminders:
            self._wrong((*place, "reminders"), f"at least {wanted.reminders}", approval.reminders)

    async def _read(self, place: Place, wanted: ReadExpectation, incident: Incident) -> None:
        found, error = {}, ""
        try:
            found = await asyncio.to_thread(self._run_read, wanted, incident)
        except ActionError as problem:
            error = f"{type(problem).__name__}: {problem}"
        except ValidationError as problem:
            error = "BadInput: " + "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors()
            )
        except ExpressionError as problem:
            error = f"BadInput: {problem}"
        if wanted.error is not None:
            if not error.startswith(f"{wanted.error}: "):
                self._wrong((*place, "error"), wanted.error, error or "no error")
        elif error:
            self._wrong((*place, "read"), f"{wanted.read} to see it", error)
        else:
            self._values((*place, "expect"), wanted.expect, found)

    def _run_read(self, wanted: ReadExpectation, incident: Incident) -> JsonObject:
        definition = definitions()[wanted.read]
        assert isinstance(definition, ReadDefinition)
        steps = {s.id: {"result": s.result.data if s.result else {}} for s in incident.steps.values()}
        variables: dict[str, Any] = {**self._world.variables, "steps": steps}
        params = definition.params.model_validate(render(wanted.data, variables))
        context = ActionContext(
            services=self._world.services(),
            incident_id=incident.id,
            step_id="expect",
            account=incident.account,
            region=incident.region,
        )
        return definition.function(context, params).model_dump(mode="json")

    async def _checks(self, wanted: bool) -> None:
        scenario, attack = self._world.scenario, self._world.attack
        assert scenario is not None
        assert attack is not None
        checks = await asyncio.to_thread(scenario.check, self._world.company.clients, attack)
        failed = [f"{check.name}: {check.seen}" for check in checks if not check.ok]
        if wanted and failed:
            self._wrong(("checks",), "every check of the scenario to hold", "; ".join(failed))
        if not wanted and not failed:
            self._wrong(("checks",), "a check of the scenario not to hold", "all hold")

    async def _report(self, wanted: ReportExpectation, incident: Incident) -> None:
        place = ("report",)
        if not incident.reports:
            self._wrong(place, "a report", "none")
            return
        missing = [name for name in wanted.formats if name not in incident.reports]
        if missing:
            self._wrong((*place, "formats"), sorted(wanted.formats), sorted(incident.reports))
        vault = self._world.parts.vault
        report: dict[str, JsonValue] = json.loads(await vault.get(incident.reports["json"]))
        for index, name in enumerate(wanted.sections):
            if not report.get(name):
                self._wrong((*place, "sections", index), f"{name} to hold something", report.get(name))
        for index, name in enumerate(wanted.empty):
            if report.get(name):
                self._wrong((*place, "empty", index), f"nothing in {name}", report[name])
        if wanted.says:
            text = (await vault.get(incident.reports["md"])).decode()
            for index, part in enumerate(wanted.says):
                if part not in text:
                    self._wrong((*place, "says", index), f"“{part}” in the report", "not there")


def _began(timeline: Sequence[TimelineEntry]) -> list[str]:
    return [str(e.event.step_id) for e in timeline if e.event.kind == "step.started"]


def _told(step: StepRecord) -> str:
    why = (step.error.message if step.error else "") or step.reason
    return step.status.value + (f" ({why})" if why else "")


def _waits_for(incident: Incident) -> str:
    parts = [f"approval of {a.step_id}" for a in incident.open_approvals]
    parts += [
        f"a decision about {s.id}, which failed" + (f": {s.error.message}" if s.error else "")
        for s in incident.needing_attention
    ]
    return ", ".join(parts)


def _dotted(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
