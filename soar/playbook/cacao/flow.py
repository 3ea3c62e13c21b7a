"""The workflow of a CACAO playbook as a graph: whether every way through it begins, ends, and comes only once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from soar.playbook.cacao.document import (
    CacaoPlaybook,
    EndStep,
    ParallelStep,
    StartStep,
    StepBase,
    WhileStep,
    pointers,
)
from soar.playbook.document import Path

__all__ = ["MAX_STEPS", "Add", "branches", "check_flow", "failing", "following"]


MAX_STEPS = 1000


class Add(Protocol):
    """Notes a finding (see `Document.diagnostic`)."""

    def __call__(self, path: Path, rule: str, message: str, hint: str = "", *, key: bool = ...) -> None: ...


def following(step: StepBase) -> str | None:
    """The step after one that has succeeded; after a branching step, when its branches have ended."""
    return step.on_completion or step.on_success


def failing(step: StepBase) -> str | None:
    """The step after one that has failed; None: the playbook's `workflow_exception`.

    The standard leaves open what follows a failure under `on_completion`. Here that pointer is for success alone.
    """
    return step.on_failure


def branches(step: StepBase) -> Iterator[tuple[Path, str]]:
    """The first step of each branch, and where the pointer to it stands."""
    follows = ("on_completion", "on_success", "on_failure")
    return ((place, target) for place, target in pointers(step) if place[0] not in follows)


def check_flow(playbook: CacaoPlaybook, add: Add) -> None:
    """Check the pointers of the steps.

    Args:
        playbook: The playbook.
        add: Notes what is wrong.
    """
    flow = _Flow(playbook, add)
    if len(playbook.workflow) > MAX_STEPS:
        message = f"the workflow has {len(playbook.workflow)} steps; at most {MAX_STEPS} are read"
        flow.wrong(("workflow",), "too-large", message, "split it over playbooks", key=True)
        return
    flow.beginnings()
    for step_id, step in playbook.workflow.items():
        flow.pointers(step_id, step)
    if flow.sound:
        # The rest would only repeat in other words what is said already.
        flow.circles()
    if flow.sound:
        flow.reached()
        flow.once()


class _Flow:
    def __init__(self, playbook: CacaoPlaybook, add: Add) -> None:
        self.playbook = playbook
        self.steps = playbook.workflow
        self.add = add
        self.sound = True
        self.rounds: set[tuple[str, str]] = set()

    def wrong(self, path: Path, rule: str, message: str, hint: str, *, key: bool = False) -> None:
        self.sound = False
        self.add(path, rule, message, hint, key=key)

    def beginnings(self) -> None:
        start, exception = self.playbook.workflow_start, self.playbook.workflow_exception
        if start not in self.steps:
            self.wrong(("workflow_start",), "dangling", f"there is no step {start}", "correct the id")
        elif not isinstance(self.steps[start], StartStep):
            self.wrong(("workflow_start",), "start", f"{start} is no start step", "point at the start step")
        if exception is not None and exception not in self.steps:
            self.wrong(("workflow_exception",), "dangling", f"there is no step {exception}", "correct the id")
        if not any(isinstance(step, EndStep) for step in self.steps.values()):
            self.wrong(("workflow",), "no-end", "no step of the workflow is an end", "add one", key=True)

    def pointers(self, step_id: str, step: StepBase) -> None:
        path: Path = ("workflow", step_id)
        for place, target in pointers(step):
            here = (*path, *place)
            if target not in self.steps:
                self.wrong(here, "dangling", f"there is no step {target}", "add it, or correct the id")
            elif isinstance(self.steps[target], StartStep):
                self.wrong(here, "start", "nothing leads to a start step", "point at the step after it")
        if step.on_completion is not None and (step.on_success is not None or step.on_failure is not None):
            message = "on_completion stands beside on_success or on_failure"
            self.wrong((*path, "on_completion"), "pointers", message, "keep one or the other", key=True)
        if isinstance(step, EndStep):
            for name in ("on_completion", "on_success", "on_failure"):
                if getattr(step, name) is not None:
                    self.wrong(
                        (*path, name), "pointers", "nothing follows an end step", "remove it", key=True
                    )
            return
        if isinstance(step, StartStep) and (step.on_success is not None or step.on_failure is not None):
            message = "a start step neither succeeds nor fails"
            self.wrong((*path, "type"), "pointers", message, "write on_completion")
        if following(step) is None:
            message = f"nothing follows the {step.type} step {step.name or step_id!r}, so this way never ends"
            self.wrong(path, "no-end", message, "point on_completion or on_success at an end step", key=True)
        if isinstance(step, ParallelStep) and len(set(step.next_steps)) < len(step.next_steps):
            message = "a branch is named twice, and would run twice"
            self.wrong((*path, "next_steps"), "parallel", message, "name each branch once")

    def circles(self) -> None:
        """Find ways that lead back. A round of a while loop ends at an end step, or by pointing at the loop."""
        done: set[str] = set()
        begun: dict[str, None] = {}
        for first in self.steps:
            # Depth first by hand: a hostile workflow is as deep as it is long.
            if first in done:
                continue
            begun[first] = None
            stack: list[tuple[str, Iterator[tuple[Path, str]]]] = [(first, pointers(self.steps[first]))]
            while stack:
                here, rest = stack[-1]
                place, target = next(rest, ((), ""))
                if not target:
                    stack.pop()
                    begun.pop(here)
                    done.add(here)
                elif target in begun:
                    if self.round(here, target):
                        self.rounds.add((here, target))
                    else:
                        name = self.steps[target].name or target
                        message = f"this leads back to {name!r}, which has run already"
                        hint = "use a while-condition for what repeats, and end each branch at an end step"
                        self.wrong(("workflow", here, *place), "circle", message, hint)
                elif target not in done:
                    begun[target] = None
                    stack.append((target, pointers(self.steps[target])))

    def round(self, step_id: str, loop_id: str) -> bool:
        """Whether a pointer from a step to a loop only ends the loop's round."""
        loop = self.steps[loop_id]
        return isinstance(loop, WhileStep) and step_id in self.same_level(loop.on_true, {loop_id})

    def same_level(self, entry: str, closed: set[str]) -> set[str]:
        """The steps of one branch, without those inside its branching steps."""
        found: set[str] = set()
        waiting = [entry]
        while waiting:
            step_id = waiting.pop()
            if step_id in found or step_id in closed:
                continue
            found.add(step_id)
            step = self.steps[step_id]
            waiting += [target for target in (following(step), failing(step)) if target is not None]
        return found

    def within(self, *entries: str | None) -> set[str]:
        """Every step that some steps can come to, those inside branching steps included."""
        found: set[str] = set()
        waiting = [entry for entry in entries if entry is not None]
        while waiting:
            step_id = waiting.pop()
            if step_id not in found:
                found.add(step_id)
                to = (target for _, target in pointers(self.steps[step_id]))
                waiting += [target for target in to if (step_id, target) not in self.rounds]
        return found

    def reached(self) -> None:
        found = self.within(self.playbook.workflow_start, self.playbook.workflow_exception)
        for step_id, step in self.steps.items():
            # An end that nothing needs does no harm.
            if step_id not in found and not isinstance(step, EndStep):
                message = f"nothing leads to the {step.type} step {step.name or step_id!r}"
                self.wrong(
                    ("workflow", step_id), "unreachable", message, "point at it, or remove it", key=True
                )

    def once(self) -> None:
        """Find branches that lead on to what follows their branching step, which would run it a second time."""
        for step_id, step in self.steps.items():
            after = {target for target in (following(step), failing(step)) if target is not None}
            for place, entry in branches(step):
                twice = [t for t in after & self.within(entry) if not isinstance(self.steps[t], EndStep)]
                if twice:
                    name = min(self.steps[t].name or t for t in twice)
                    message = f"this branch leads on to {name!r}, which runs again after the {step.type} step"
                    hint = "end the branch at an end step; what follows the branching step runs then"
                    self.wrong(("workflow", step_id, *place), "runs-twice", message, hint)
