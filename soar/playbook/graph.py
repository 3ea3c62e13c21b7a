"""The one step graph that the engine interprets. Whatever a playbook is written in compiles to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from soar.model.base import Fact, JsonObject
from soar.model.spec import ActionSpec, Catalogue
from soar.model.terms import Phase, Risk
from soar.playbook.diagnostics import Diagnostic, PlaybookError, nearest
from soar.playbook.loader import LoadedPlaybook, Path
from soar.playbook.schema import ActionStep, ApprovalRule, ParallelStep, Retry

__all__ = [
    "BUILTIN_SPECS",
    "REPORT",
    "UNDO",
    "ActionNode",
    "Node",
    "NodeSpec",
    "ParallelNode",
    "PlacedStep",
    "StepGraph",
    "compile_playbook",
    "placed_steps",
    "with_builtins",
]

UNDO = "incident.undo"
REPORT = "report.write"

BUILTIN_SPECS: dict[str, ActionSpec] = {
    UNDO: ActionSpec(
        name=UNDO,
        title="Undo a change that an earlier step of this incident made.",
        doc="Puts back the state that was recorded before the change; refuses if the target drifted since.",
        example="id: lift_quarantine\ndo: incident.undo\nwith:\n  step: isolate\n",
        risk=Risk.REVERSIBLE,
        phase=Phase.RECOVERY,
        queue="orchestrator",
        params={
            "type": "object",
            "properties": {
                "step": {"type": "string", "description": "The id of the earlier step.", "minLength": 1}
            },
            "required": ["step"],
            "additionalProperties": False,
        },
        result={"type": "object"},
    ),
    REPORT: ActionSpec(
        name=REPORT,
        title="Write the incident's report.",
        example="id: report\ndo: report.write\n",
        risk=Risk.READ,
        phase=Phase.LESSONS_LEARNED,
        queue="orchestrator",
        params={"type": "object", "properties": {}, "additionalProperties": False},
        result={"type": "object"},
    ),
}
"""The actions that the engine itself does; they are in no catalogue."""


class NodeSpec(Fact):
    """What the engine needs to know of an action, fixed when the incident starts.

    Args:
        plan_timeout: Seconds, as the other two.
    """

    risk: Risk
    queue: str
    undoable: bool
    plan_timeout: float
    apply_timeout: float
    verify_timeout: float


class ActionNode(Fact):
    """One action. `next` is the node after it; None ends the phase, or the branch.

    Args:
        params: Templates, unrendered.
        when: A bare expression, or None: always.
        timeout: Seconds for the whole step.
    """

    kind: Literal["action"] = "action"
    id: str
    name: str
    phase: Phase
    next: str | None = None
    action: str
    params: JsonObject = {}
    when: str | None = None
    on_error: Literal["stop", "continue", "ask", "undo"] = "ask"
    timeout: float | None = None
    retry: Retry = Retry()
    approval: ApprovalRule | None = None
    spec: NodeSpec


class ParallelNode(Fact):
    """Branches that run at the same time. `next` goes on when all of them have ended.

    Args:
        branches: The first node of each; a branch ends where its `next` is None.
    """

    kind: Literal["parallel"] = "parallel"
    id: str
    name: str
    phase: Phase
    next: str | None = None
    branches: tuple[str, ...]


Node = Annotated[ActionNode | ParallelNode, Field(discriminator="kind")]


class StepGraph(Fact):
    """All nodes by id, and where each phase begins. A phase without steps has no entry."""

    entries: dict[Phase, str]
    nodes: dict[str, Node]


@dataclass(frozen=True)
class PlacedStep:
    """A step as written, and where: in the file, and among its neighbours.

    Args:
        path: Where in the file's tree.
        id: Its own id, or the one made for parallel branches without one.
        next: The id of the step after it in the same list.
        branches: The id of each branch's first step; only of parallel branches.
        before: The ids of all steps that have ended when this one begins, in order.
    """

    path: tuple[str | int, ...]
    phase: Phase
    id: str
    next: str | None
    step: ActionStep | ParallelStep
    branches: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


def with_builtins(catalogue: Catalogue) -> Catalogue:
    """The catalogue with the engine's own actions."""
    return {**catalogue, **BUILTIN_SPECS}


def placed_steps(loaded: LoadedPlaybook) -> list[PlacedStep]:
    """Every step of a playbook with its place, in the order written; a parallel step stands before its branches."""
    found: list[PlacedStep] = []
    done: tuple[str, ...] = ()
    for phase in Phase:
        steps = loaded.playbook.steps_of(phase)
        placed = list(_place(steps, (phase.value,), phase, done))
        found += placed
        done += tuple(p.id for p in placed)
    return found


def _id_of(step: ActionStep | ParallelStep, path: Path) -> str:
    # A made-up id holds a dot, which a written one cannot.
    return step.id or "parallel." + ".".join(str(part) for part in path)


def _place(
    steps: tuple[ActionStep | ParallelStep, ...], path: Path, phase: Phase, done: tuple[str, ...]
) -> Iterator[PlacedStep]:
    ids = [_id_of(step, (*path, index)) for index, step in enumerate(steps)]
    for index, step in enumerate(steps):
        here = (*path, index)
        following = ids[index + 1] if index + 1 < len(ids) else None
        if isinstance(step, ActionStep):
            yield PlacedStep(path=here, phase=phase, id=ids[index], next=following, step=step, before=done)
            done += (ids[index],)
            continue
        branches = [(branch.steps, (*here, "parallel", branch.key)) for branch in step.branches]
        entries = tuple(_id_of(inner[0], (*where, 0)) for inner, where in branches)
        yield PlacedStep(
            path=here, phase=phase, id=ids[index], next=following, step=step, branches=entries, before=done
        )
        inside = [p for inner, where in branches for p in _place(inner, where, phase, done)]
        yield from inside
        done += (ids[index], *(p.id for p in inside))


def compile_playbook(loaded: LoadedPlaybook, catalogue: Catalogue) -> StepGraph:
    """Compile a playbook to the graph that the engine runs.

    Args:
        loaded: The playbook.
        catalogue: Every action that exists; what a node needs of it is copied in, so that a running incident
            does not change when the catalogue does.

    Returns:
        The graph.

    Raises:
        PlaybookError: An action does not exist, or two steps have one id.
    """
    known = with_builtins(catalogue)
    errors: list[Diagnostic] = []
    nodes: dict[str, ActionNode | ParallelNode] = {}
    entries: dict[Phase, str] = {}
    for placed in placed_steps(loaded):
        step = placed.step
        entries.setdefault(placed.phase, placed.id)
        if placed.id in nodes:
            errors.append(
                loaded.diagnostic(
                    (*placed.path, "id"),
                    "duplicate-id",
                    f'there are two steps with the id "{placed.id}"',
                    "every step of a playbook, in any phase, has its own id",
                )
            )
        elif isinstance(step, ParallelStep):
            nodes[placed.id] = ParallelNode(
                id=placed.id,
                name=step.name or "in parallel",
                phase=placed.phase,
                next=placed.next,
                branches=placed.branches,
            )
        elif step.do not in known:
            errors.append(
                loaded.diagnostic(
                    (*placed.path, "do"),
                    "unknown-action",
                    f'there is no action "{step.do}"',
                    nearest(step.do, known),
                )
            )
        else:
            nodes[placed.id] = _action_node(placed, step, known[step.do])
    if errors:
        raise PlaybookError(errors)
    return StepGraph(entries=entries, nodes=nodes)


def _action_node(placed: PlacedStep, step: ActionStep, spec: ActionSpec) -> ActionNode:
    return ActionNode(
        id=placed.id,
        name=step.name or placed.id.replace("_", " "),
        phase=placed.phase,
        next=placed.next,
        action=step.do,
        params=step.params,
        when=step.when,
        on_error=step.on_error,
        timeout=step.timeout,
        retry=step.retry,
        approval=step.approval,
        spec=NodeSpec(
            risk=spec.risk,
            queue=spec.queue,
            undoable=spec.undoable,
            plan_timeout=spec.plan_timeout,
            apply_timeout=spec.apply_timeout,
            verify_timeout=spec.verify_timeout,
        ),
    )
