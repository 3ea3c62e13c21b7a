"""From a playbook as it is written to the step graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from soar.model.spec import ActionSpec, Catalogue
from soar.model.terms import Phase
from soar.playbook.beside import planned_ahead, read_beside
from soar.playbook.builtins import with_builtins
from soar.playbook.diagnostics import Diagnostic, PlaybookError, nearest
from soar.playbook.graph import (
    ActionNode,
    AskNode,
    BranchNode,
    Case,
    ChildPlaybook,
    ClockRule,
    ForeachNode,
    Node,
    NodeSpec,
    ParallelNode,
    PlaybookNode,
    RaiseRule,
    RepeatNode,
    SetNode,
    StepGraph,
    TaskNode,
    WaitNode,
)
from soar.playbook.loader import LoadedPlaybook, Path
from soar.playbook.schema import Playbook
from soar.playbook.steps import (
    ActionStep,
    AnyStep,
    ApproveStep,
    ForeachStep,
    IfStep,
    ParallelStep,
    PlaybookStep,
    RepeatStep,
    SetStep,
    SwitchStep,
    TaskStep,
    WaitStep,
    blocks_of,
)

__all__ = ["Find", "PlacedStep", "compile_playbook", "placed_steps"]

Find = Callable[[str], LoadedPlaybook]
"""The playbook of a name; raises KeyError, with a hint, if there is none."""


@dataclass(frozen=True)
class PlacedStep:
    """A step as written, and where: in the file, and among its neighbours.

    Args:
        path: Where in the file's tree.
        id: Its own id, or the one made for a step without one.
        next: The id of the step after it in the same list.
        entries: The id of the first step of each list inside it, in the order of `blocks_of`.
        before: The ids of the steps that can have ended when this one begins, in order. What is inside a loop is seen
            only from inside of it.
        surely: Those of them that lie on every way to this one. (Their conditions may still not have held.)
        loops: The loops around it, the outermost first.
        failure: Whether it belongs to `on_failure`.
    """

    path: Path
    phase: Phase
    id: str
    next: str | None
    step: AnyStep
    entries: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    surely: frozenset[str] = frozenset()
    loops: tuple[ForeachStep | RepeatStep, ...] = ()
    failure: bool = False


@dataclass(frozen=True)
class _Place:
    """Where a list of steps stands, and what has ended when it begins."""

    phase: Phase
    path: Path
    before: tuple[str, ...] = ()
    surely: frozenset[str] = frozenset()
    loops: tuple[ForeachStep | RepeatStep, ...] = ()
    failure: bool = False


def placed_steps(loaded: LoadedPlaybook) -> list[PlacedStep]:
    """Every step of a playbook with its place, in the order written; a step stands before those inside it."""
    found: list[PlacedStep] = []
    before: tuple[str, ...] = ()
    surely: frozenset[str] = frozenset()
    for phase in Phase:
        steps = loaded.playbook.steps_of(phase)
        place = _Place(phase, (phase.value,), before, surely)
        placed, before, surely = _place(steps, place)
        found += placed
    failure = loaded.playbook.failure_steps
    # It may begin after any step, so of none is it sure that it has ended.
    found += _place(failure, _Place(Phase.RECOVERY, ("on_failure",), before, failure=True))[0]
    return found


def _id_of(step: AnyStep, path: Path) -> str:
    # A made-up id holds a dot, which a written one cannot.
    return step.id or "step." + ".".join(str(part) for part in path)


def _place(
    steps: tuple[AnyStep, ...], place: _Place
) -> tuple[list[PlacedStep], tuple[str, ...], frozenset[str]]:
    """Place a list of steps.

    Returns:
        The steps, and what can and what surely has ended after the list.
    """
    ids = [_id_of(step, (*place.path, index)) for index, step in enumerate(steps)]
    before, surely = place.before, place.surely
    found: list[PlacedStep] = []
    for index, step in enumerate(steps):
        here = (*place.path, index)
        inner = list(blocks_of(step))
        entries = tuple(_id_of(b.steps[0], (*here, *b.key, 0)) for b in inner)
        found.append(
            PlacedStep(
                path=here,
                phase=place.phase,
                id=ids[index],
                next=ids[index + 1] if index + 1 < len(ids) else None,
                step=step,
                entries=entries,
                before=before,
                surely=surely,
                loops=place.loops,
                failure=place.failure,
            )
        )
        loop = isinstance(step, (ForeachStep, RepeatStep))
        loops = (*place.loops, step) if isinstance(step, (ForeachStep, RepeatStep)) else place.loops
        after, certain = before, surely
        for block in inner:
            inside, reached, sure = _place(
                block.steps,
                _Place(place.phase, (*here, *block.key), before, surely, loops, place.failure),
            )
            found += inside
            if not loop:
                after += tuple(i for i in reached if i not in after)
            if isinstance(step, ParallelStep):
                certain |= sure
        before, surely = (*after, ids[index]), certain | {ids[index]}
    return found, before, surely


def compile_playbook(loaded: LoadedPlaybook, catalogue: Catalogue, find: Find | None = None) -> StepGraph:
    """Compile a playbook to the graph that the engine runs.

    Args:
        loaded: The playbook.
        catalogue: Every action that exists; what a node needs of it is copied in, so that a running incident
            does not change when the catalogue does.
        find: The other playbooks, which its steps may call; they are copied in as well.

    Returns:
        The graph.

    Raises:
        PlaybookError: An action or a called playbook does not exist, two steps have one id, or playbooks call each
            other in a circle.
    """
    if loaded.graph is not None:
        return loaded.graph
    return _Compiler(with_builtins(catalogue), find).compile(loaded, ())


class _Compiler:
    def __init__(self, catalogue: Catalogue, find: Find | None) -> None:
        self._catalogue, self._find = catalogue, find

    def compile(self, loaded: LoadedPlaybook, callers: tuple[str, ...]) -> StepGraph:
        errors: list[Diagnostic] = []
        nodes: dict[str, Node] = {}
        entries: dict[Phase, str] = {}
        children: dict[str, ChildPlaybook] = {}
        failure: str | None = None
        callers = (*callers, loaded.playbook.name)
        for placed in placed_steps(loaded):
            step = placed.step
            if placed.failure:
                failure = failure or placed.id
            else:
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
                continue
            if isinstance(step, ActionStep) and step.do not in self._catalogue:
                errors.append(
                    loaded.diagnostic(
                        (*placed.path, "do"),
                        "unknown-action",
                        f'there is no action "{step.do}"',
                        nearest(step.do, self._catalogue),
                    )
                )
                continue
            if isinstance(step, PlaybookStep) and step.playbook not in children:
                try:
                    children[step.playbook] = self._child(loaded, placed, step, callers)
                except PlaybookError as error:
                    errors += error.diagnostics
            nodes[placed.id] = _node(placed, self._catalogue)
        if errors:
            raise PlaybookError(errors)
        return _graph(loaded.playbook, entries, nodes, failure, children)

    def _child(
        self, loaded: LoadedPlaybook, placed: PlacedStep, step: PlaybookStep, callers: tuple[str, ...]
    ) -> ChildPlaybook:
        path = (*placed.path, "playbook")
        if step.playbook in callers:
            around = " → ".join((*callers[callers.index(step.playbook) :], step.playbook))
            raise PlaybookError(
                [loaded.diagnostic(path, "playbook-circle", f"playbooks call each other: {around}")]
            )
        try:
            if self._find is None:
                raise KeyError(f'the playbook "{step.playbook}" is not at hand')
            child = self._find(step.playbook)
        except KeyError as error:
            raise PlaybookError([loaded.diagnostic(path, "unknown-playbook", str(error.args[0]))]) from None
        unknown = sorted(set(step.params) - set(child.playbook.inputs))
        if unknown:
            raise PlaybookError(
                [
                    loaded.diagnostic(
                        (*placed.path, "with", name),
                        "unknown-input",
                        f'{step.playbook} has no input "{name}"',
                        nearest(name, child.playbook.inputs),
                        key=True,
                    )
                    for name in unknown
                ]
            )
        return ChildPlaybook(
            text=child.text,
            digest=child.digest,
            title=child.playbook.title,
            defaults=child.playbook.default_inputs,
            graph=self.compile(child, callers),
        )


def _graph(
    playbook: Playbook,
    entries: dict[Phase, str],
    nodes: dict[str, Node],
    failure: str | None,
    children: dict[str, ChildPlaybook],
) -> StepGraph:
    return StepGraph(
        entries=entries,
        nodes=nodes,
        failure=failure,
        undo_on_failure=playbook.on_failure == "undo",
        undo_on_cancel=playbook.on_cancel == "undo",
        outputs=dict(playbook.outputs),
        severity=tuple(RaiseRule(when=r.when, severity=r.severity) for r in playbook.severity),
        clocks={
            name: ClockRule(
                label=clock.label or name.replace("_", " "),
                due=clock.due,
                starts=clock.starts,
                when=clock.when,
                met_by=clock.met_by,
                warn=clock.warn,
            )
            for name, clock in playbook.clocks.items()
        },
        children=children,
        beside=read_beside(nodes),
        ahead=planned_ahead(nodes, entries),
    )


_NAMES = {
    BranchNode: "which way?",
    ParallelNode: "in parallel",
    SetNode: "set names",
}


def _node(placed: PlacedStep, catalogue: Catalogue) -> Node:
    step = placed.step
    common: dict[str, Any] = {
        "id": placed.id,
        "name": step.name or (step.id or "").replace("_", " "),
        "phase": placed.phase,
        "next": placed.next,
        "when": step.when,
        "on_error": step.on_error,
        "timeout": step.timeout,
        "role": step.role,
        "technique": step.technique or (),
        "notify": step.notify,
    }
    node = _kind(step, placed, common, catalogue)
    if not node.name:
        node = node.model_copy(update={"name": _NAMES.get(type(node), node.kind)})
    return node


def _kind(step: AnyStep, placed: PlacedStep, common: dict[str, Any], catalogue: Catalogue) -> Node:
    entries = placed.entries
    match step:
        case ActionStep():
            return ActionNode(
                **common,
                action=step.do,
                params=step.params,
                account=step.account or "",
                region=step.region or "",
                retry=step.retry,
                approval=step.approval,
                expires=step.expires,
                spec=_spec(catalogue[step.do]),
            )
        case TaskStep(task=task):
            return TaskNode(
                **common, owner=task.role, instructions=task.instructions, due=task.due, form=task.form
            )
        case ApproveStep():
            return AskNode(
                **common, question=step.approve, details=step.details or "", approval=step.approval
            )
        case WaitStep(wait=wait):
            return WaitNode(
                **common, seconds=wait.seconds or wait.limit or 0.0, until=wait.until, alert=wait.alert
            )
        case SetStep():
            return SetNode(**common, values=step.set)
        case PlaybookStep():
            return PlaybookNode(**common, playbook=step.playbook, params=step.params)
        case IfStep():
            case = Case(label="then", condition=step.condition, entry=entries[0])
            return BranchNode(**common, cases=(case,), default=entries[1] if len(entries) > 1 else None)
        case SwitchStep():
            cases = tuple(
                Case(label=name, condition=f"(({step.switch}) | string) == {_quoted(name)}", entry=entry)
                for name, entry in zip(step.cases, entries, strict=False)
            )
            default = entries[-1] if step.default is not None else None
            return BranchNode(**common, cases=cases, default=default)
        case ParallelStep():
            return ParallelNode(**common, branches=entries, concurrency=step.concurrency)
        case ForeachStep():
            return ForeachNode(
                **common,
                items=step.foreach,
                bound=step.bound,
                body=entries[0],
                concurrency=step.concurrency,
                collect=step.collect,
            )
        case RepeatStep():
            return RepeatNode(
                **common, body=entries[0], until=step.until, attempts=step.attempts, every=step.every
            )


def _quoted(text: str) -> str:
    """Text as a literal of an expression. Whatever could end it is escaped."""
    return "'" + "".join(c if c.isalnum() or c in " -_.:/@" else f"\\U{ord(c):08x}" for c in text) + "'"


def _spec(spec: ActionSpec) -> NodeSpec:
    return NodeSpec(
        risk=spec.risk,
        queue=spec.queue,
        undoable=spec.undoable,
        plan_timeout=spec.plan_timeout,
        apply_timeout=spec.apply_timeout,
        verify_timeout=spec.verify_timeout,
    )
