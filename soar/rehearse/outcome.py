"""What a dry run found: what every step would do, and what nobody can know before people have answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from soar.engine.changes import wire_id
from soar.model.alert import Alert
from soar.model.base import Fact, JsonObject
from soar.model.change import Plan
from soar.model.terms import IncidentStatus, Phase, Risk
from soar.model.timeline import TimelineEntry
from soar.playbook.builtins import REPORT, UNDO
from soar.playbook.graph import ActionNode, Node, StepGraph, walk
from soar.playbook.policy import Policy, implicated
from soar.rehearse.depends import Dependencies
from soar.rehearse.seen import StepSeen, steps_seen
from soar.rehearse.stage import Ledger

__all__ = ["NOT_RECORDED", "DryRun", "DryStep", "State", "read_dry_run"]

NOT_RECORDED = "NotRecorded"
"""The type of the error of a read, or a plan, that a record has no answer for."""

_ABOUT_THE_STATE = {"Refused", "TargetGone", "Drifted"}
"""Types of errors that say that a target is not in the state that a change needs."""

State = Literal[
    "done", "change", "unchanged", "forbidden", "waits", "skipped", "failed", "unknown", "not_reached"
]
"""`done`: a read, or a decision of the playbook's own. `change`: it would be made, after the approval if one is asked.
`waits`: for people, for time, for something to happen. `not_reached`: it stands in a way that was not taken."""


class Asked(Fact):
    """Whom a step asks.

    Args:
        needed: How many must agree; 0: it is not for agreement.
        roles: One of these is needed; empty: nobody may.
        people: Who has one and is not in the alert, by name. None: there is no roster.
    """

    needed: int
    roles: tuple[str, ...]
    people: tuple[str, ...] | None


class DryStep(Fact):
    """One step.

    Args:
        id: With its rounds, `isolate[3]`.
        action: The action; of a step of another kind, the kind.
        summary: What it found, or would do; what people would be asked or told.
        reason: Why it is skipped, failed, forbidden or not known.
        plan: The change.
        rule: Which rule of the policy decided.
        asked: The approval, or who has the task.
        depends_on: The steps on whose outcome it depends whether, or how, it is done.
        child: The incident of the playbook that it calls.
    """

    id: str
    name: str
    phase: Phase
    action: str
    risk: Risk
    state: State
    summary: str = ""
    reason: str = ""
    plan: Plan | None = None
    rule: str = ""
    asked: Asked | None = None
    depends_on: tuple[str, ...] = ()
    child: str = ""


class DryRun(Fact):
    """One incident that was run dry.

    Args:
        status: How it ended.
        steps: In the order in which they were reached; those that were not come where they stand.
        children: The incidents of called playbooks.
    """

    incident_id: str
    playbook: str
    status: IncidentStatus | None
    steps: tuple[DryStep, ...]
    children: tuple[DryRun, ...] = ()

    def all_steps(self) -> Iterator[DryStep]:
        """The steps, also of called playbooks."""
        yield from self.steps
        for child in self.children:
            yield from child.all_steps()

    def count(self, state: State) -> int:
        """How many steps stand so."""
        return sum(step.state == state for step in self.all_steps())

    @property
    def automatic(self) -> int:
        """How many changes would be made without asking anybody."""
        return sum(step.state == "change" and step.asked is None for step in self.all_steps())

    @property
    def approved(self) -> int:
        """How many changes would be made after an approval."""
        return sum(step.state == "change" and step.asked is not None for step in self.all_steps())


def read_dry_run(
    ledger: Ledger, incident_id: str, playbook: str, graph: StepGraph, *, live: bool = True
) -> DryRun:
    """Read a dry run from its timeline.

    Args:
        graph: Of its playbook, with those of the playbooks that it calls.
        live: Its reads found things as they are, that is before every change; not as they were on record.
    """
    entries = ledger.timelines.get(incident_id, [])
    seen = steps_seen(entries)
    children = {
        step.child: read_dry_run(
            ledger, step.child, node.playbook, graph.children[node.playbook].graph, live=live
        )
        for step in seen.values()
        if step.child and (node := graph.nodes[step.base]).kind == "playbook"
    }
    return _Reader(ledger, incident_id, graph, entries, seen, children, live=live).read(playbook)


class _Reader:
    def __init__(
        self,
        ledger: Ledger,
        incident_id: str,
        graph: StepGraph,
        entries: Sequence[TimelineEntry],
        seen: Mapping[str, StepSeen],
        children: Mapping[str, DryRun],
        *,
        live: bool,
    ) -> None:
        self._ledger, self._incident_id, self._graph = ledger, incident_id, graph
        self._entries, self._seen, self._children = entries, seen, children
        self._alerts = [e.event.alert for e in entries if e.event.kind == "alert.joined"]
        self._touched = self._plans_in_order() if live else {}
        self._dependencies = Dependencies(graph)
        self._unsure = self._dependencies.unsure(frozenset(s.base for s in seen.values() if self._open(s)))

    def read(self, playbook: str) -> DryRun:
        status = next((e.event.status for e in self._entries if e.event.kind == "incident.closed"), None)
        return DryRun(
            incident_id=self._incident_id,
            playbook=playbook,
            status=status,
            steps=tuple(self._steps()),
            children=tuple(self._children.values()),
        )

    def _steps(self) -> Iterator[DryStep]:
        told: set[str] = set()
        reached = {step.base for step in self._seen.values()}
        for node in _in_order(self._graph):
            if node.kind == "parallel" and node.id not in reached:
                continue  # it tells of itself only where it has a condition or a limit of its own
            if node.id not in reached:
                yield self._not_reached(node)
            for step in self._seen.values():
                if step.base == node.id and step.id not in told:
                    told.add(step.id)
                    yield self._step(step, node)

    # ---- what nobody can know ----------------------------------------------------------------------------------

    def _open(self, step: StepSeen) -> bool:
        """Whether the outcome of a step is open: it was not done, only planned, or could not be looked at."""
        if step.end == "planned" or self._missing(step) or self._before(step):
            return True
        child = self._children.get(step.child)
        return child is not None and any(s.state in ("change", "waits", "unknown") for s in child.all_steps())

    def _missing(self, step: StepSeen) -> bool:
        return step.error is not None and step.error.type == NOT_RECORDED

    def _plans_in_order(self) -> dict[str, list[str]]:
        """For each step, the steps with a change before it that was planned, and not made."""
        before: list[str] = []
        found: dict[str, list[str]] = {}
        for step in self._seen.values():
            found[step.id] = list(before)
            if step.end == "planned" and step.plan is not None:
                before.append(step.id)
        return found

    def _before(self, step: StepSeen) -> list[str]:
        """The earlier changes, planned and not made, of what an action asks about.

        What is read is as it is before them; and what is refused may be so because of that: a key must be deactivated
        before it can be deleted.
        """
        if step.end == "succeeded" or (step.error is not None and step.error.type in _ABOUT_THE_STATE):
            mine = _words(self._params(step.id)) if step.outcome != "forbidden" else set()
            return [
                other for other in self._touched.get(step.id, ()) if mine & _targets(self._seen[other].plan)
            ]
        return []

    def _params(self, step_id: str) -> JsonObject:
        call = self._ledger.calls.get((self._incident_id, wire_id(step_id)))
        return call.params if call is not None else {}

    # ---- one step ----------------------------------------------------------------------------------------------

    def _not_reached(self, node: Node) -> DryStep:
        unsure = self._unsure.get(node.id, ())
        step = StepSeen(node.id, node.name, _action(node), _risk(node), node.phase)
        if unsure:
            return _told(step, "unknown", depends_on=unsure, reason=_depends(unsure))
        around = [n for n in self._seen.values() if node.id in self._dependencies.inside[n.base]]
        why = f"{around[-1].base} went another way" if around and around[-1].way else "nothing leads there"
        return _told(step, "not_reached", reason=why)

    def _step(self, step: StepSeen, node: Node) -> DryStep:
        unsure = self._unsure.get(step.base, ())
        earlier = tuple(self._before(step))
        if earlier and step.end == "failed":
            error = step.error.message if step.error else ""
            why = f"before {', '.join(earlier)} is done, it is refused: {error}"
            return _told(step, "unknown", depends_on=earlier, reason=why)
        if step.action == UNDO and unsure:
            why = f"it would put back what {', '.join(unsure)} changed"
            return _told(step, "unknown", depends_on=unsure, reason=why)
        if self._missing(step):
            return _told(step, "unknown", depends_on=unsure, reason=step.error.message if step.error else "")
        if unsure and step.end in ("skipped", "failed"):
            return _told(step, "unknown", depends_on=unsure, reason=_depends(unsure))
        known = self._known(step, node)
        if earlier:
            known = known.model_copy(update={"reason": f"as it is before {', '.join(earlier)} is done"})
        return known.model_copy(update={"depends_on": unsure})

    def _known(self, step: StepSeen, node: Node) -> DryStep:
        result = step.result.summary if step.result else ""
        match step.end:
            case "planned" if step.plan is not None and step.planned is not None:
                asked = None
                if step.planned.outcome == "approval":
                    asked = self._asked(step.planned.needed, step.planned.roles)
                return _told(step, "change", summary=step.plan.summary, rule=step.rule, asked=asked)
            case "planned" if step.planned is not None:
                roles = tuple(role for role in step.planned.roles if role)
                asked = self._asked(step.planned.needed, roles) if roles or step.planned.needed else None
                return _told(step, "waits", summary=_words_of(node), asked=asked)
            case "unchanged":
                return _told(step, "unchanged", summary=result)
            case "succeeded":
                return _told(step, "done", summary="" if step.action == REPORT else result)
            case "skipped":
                return _told(step, "skipped", reason=step.reason)
            case "failed" if step.outcome == "forbidden":
                return _told(step, "forbidden", reason=step.rule, rule=step.rule)
            case _:
                error = step.error.message if step.error else "it did not end"
                hint = f" ({step.error.hint})" if step.error and step.error.hint else ""
                return _told(step, "failed", reason=f"{error}{hint}")

    def _asked(self, needed: int, roles: tuple[str, ...]) -> Asked:
        policy = self._ledger.policy
        return Asked(needed=needed, roles=roles, people=_people(policy, roles, self._alerts))


def _told(step: StepSeen, state: State, **more: object) -> DryStep:
    return DryStep.model_validate(
        {
            "id": step.id,
            "name": step.name,
            "phase": step.phase,
            "action": step.action,
            "risk": step.risk,
            "state": state,
            "plan": step.plan,
            "child": step.child,
            **more,
        }
    )


def _depends(steps: Sequence[str]) -> str:
    return f"it depends on the outcome of {', '.join(steps)}"


def _people(policy: Policy | None, roles: Sequence[str], alerts: Sequence[Alert]) -> tuple[str, ...] | None:
    if policy is None:
        return None
    excluded = implicated(policy, alerts)
    return tuple(r.name for r in policy.responders if set(r.roles) & set(roles) and r.id not in excluded)


def _in_order(graph: StepGraph) -> Iterator[Node]:
    told: set[str] = set()
    for entry in (graph.entries[phase] for phase in Phase if phase in graph.entries):
        for node in walk(graph, entry):
            if node.id not in told:
                told.add(node.id)
                yield node


def _action(node: Node) -> str:
    return node.action if isinstance(node, ActionNode) else node.kind


def _risk(node: Node) -> Risk:
    return node.spec.risk if isinstance(node, ActionNode) else Risk.READ


def _words_of(node: Node) -> str:
    """What people would read; its templates are filled in only when it comes to that."""
    match node.kind:
        case "task":
            return node.instructions
        case "approve":
            return node.question
        case "wait":
            what = node.until or node.alert
            return f"at most {node.seconds:.0f} s" + (f", until {what}" if what else "")
    return ""


def _targets(plan: Plan | None) -> set[str]:
    """What the targets of a change are called."""
    return {word for t in plan.targets for word in (t.uid, t.name) if word} if plan else set()


def _words(value: object) -> set[str]:
    """The texts in parameters that can name a thing."""
    match value:
        case str():
            return {value}
        case Mapping():
            return {word for item in value.values() for word in _words(item)}
        case list():
            return {word for item in value for word in _words(item)}
    return set()
