"""The workflow of a CACAO playbook as our step graph.

* A step that fails goes on at its `on_failure`. Without one, a failure inside a branching step that has an
  `on_failure` ends the branch, and what follows is that one; else the playbook's `workflow_exception` runs, and the
  incident has failed. `on_completion` is for success alone.
* Steps that several ways lead to are one node where only one of these ways can be taken, and copies where several can,
  because each run of a step is told apart.
* A loop looks at its condition before each round, and fails after a bound of rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from soar.model.base import JsonObject
from soar.playbook.cacao.checks import argument_name, variables_of_step
from soar.playbook.cacao.conditions import ConditionError, compile_case, compile_condition, quoted
from soar.playbook.cacao.document import (
    ActionStep,
    IfStep,
    ParallelStep,
    PlaybookActionStep,
    StartStep,
    StepBase,
    SwitchStep,
    WhileStep,
)
from soar.playbook.cacao.flow import failing
from soar.playbook.cacao.graph_frame import Carried, ChildOf, GraphFrame, Place, input_name, slug
from soar.playbook.cacao.substitution import as_written
from soar.playbook.cacao.work import Work
from soar.playbook.graph import (
    ActionNode,
    BranchNode,
    Case,
    Node,
    NodeSpec,
    ParallelNode,
    PlaybookNode,
    RepeatNode,
    SetNode,
    TaskNode,
    WaitNode,
)

__all__ = ["Carried", "ChildOf", "GraphBuilder", "input_name", "slug"]


class GraphBuilder(GraphFrame):
    """Builds the graph of one playbook, step by step; see `GraphFrame` for its arguments."""

    def _step(self, step_id: str, place: Place, after: str | None) -> str | None:
        step = self._playbook.workflow[step_id]
        carried = self._carried.get(step_id)
        if isinstance(step, StartStep):
            return after
        if carried is not None and carried.nothing:
            return after
        if carried is not None and carried.inline and isinstance(step, IfStep):
            inside = replace(place, key=(*place.key, step_id), after=after, loop="", depth=place.depth + 1)
            return self._chain(step.on_true, inside)
        node_id = self._node_id(step_id)
        common: dict[str, Any] = {
            "id": node_id,
            "name": step.name or step.type.replace("-", " "),
            "phase": carried.phase if carried is not None and carried.phase is not None else self._phase,
            "timeout": self._timeout(step_id, step),
        }
        keys = {name: f"{node_id}:{name}" for name in step.step_variables}
        match step:
            case ActionStep():
                entry = self._action(step_id, step, place, after, common, keys)
            case PlaybookActionStep():
                entry = self._playbook_step(step_id, step, place, after, common, keys)
            case _:
                entry = self._branching(step_id, step, place, after, common, keys)
        return self._before(step, entry, common, keys)

    def _before(self, step: StepBase, entry: str, common: Mapping[str, Any], keys: Mapping[str, str]) -> str:
        """What stands before a step: its delay, and its own variables."""
        told = {"name": common["name"], "phase": common["phase"]}
        if step.step_variables:
            values: JsonObject = {
                keys[name]: as_written(variable.value) for name, variable in step.step_variables.items()
            }
            entry = self._add(SetNode(id=f"{common['id']}.variables", **told, next=entry, values=values))
        if step.delay:
            seconds = step.delay / 1000
            entry = self._add(WaitNode(id=f"{common['id']}.delay", **told, next=entry, seconds=seconds))
        return entry

    def _action(
        self,
        step_id: str,
        step: ActionStep,
        place: Place,
        after: str | None,
        common: dict[str, Any],
        keys: Mapping[str, str],
    ) -> str:
        carried = self._carried.get(step_id)
        if carried is not None and carried.node is not None:
            return self._as_it_was(step_id, step, place, after, common, carried, carried.node)
        works = self._commands.works(step_id, step, keys)
        if not works:
            return self._add(SetNode(**common, values={}))  # refused; the graph is never used
        if len(works) > 1 and common["timeout"] is not None:
            return self._timed(step, works, place, after, common, keys)
        return self._row(step, works, place, after, common, keys)

    def _row(
        self,
        step: StepBase,
        works: list[Work],
        place: Place,
        after: str | None,
        common: dict[str, Any],
        keys: Mapping[str, str],
    ) -> str:
        """Works one after the other; the first that fails ends the row."""
        entry = after
        for index in range(len(works) - 1, -1, -1):
            work = works[index]
            node_id = common["id"] if len(works) == 1 else f"{common['id']}.{index + 1}"
            here = {**common, "id": node_id}
            values = self._results(work, node_id, keys)
            if values:
                told = {"name": common["name"], "phase": common["phase"]}
                entry = self._add(SetNode(id=f"{node_id}.results", **told, next=entry, values=values))
            on_error, follows = self._after_failure(step, place, entry, here)
            entry = self._add(self._work(work, {**here, "on_error": on_error, "next": follows}))
        assert entry is not None  # there is at least one work
        return entry

    def _work(self, work: Work, told: dict[str, Any]) -> Node:
        if not work.action:
            return TaskNode(**told, owner=work.owner, instructions=work.instructions, form=work.form)
        spec = NodeSpec.model_validate(self._catalogue[work.action], from_attributes=True)
        return ActionNode(**told, action=work.action, params=work.params, spec=spec)

    def _timed(
        self,
        step: ActionStep,
        works: list[Work],
        place: Place,
        after: str | None,
        common: dict[str, Any],
        keys: Mapping[str, str],
    ) -> str:
        """Several works within one time: they stand inside a node, which has it."""
        flag, inner = self._inner(step, place, common)
        bare = step.model_copy(update={"on_failure": None})
        told = {**common, "id": f"{common['id']}.commands", "timeout": None}
        entry = self._row(bare, works, inner, None, told, keys)
        on_error, follows = self._after_failure(step, place, after, common, flag)
        node = ParallelNode(**common, branches=(entry,), on_error=on_error, next=follows)
        return self._answering(step, self._add(node), common)

    def _as_it_was(
        self,
        step_id: str,
        step: StepBase,
        place: Place,
        after: str | None,
        common: dict[str, Any],
        carried: Carried,
        node: Node,
    ) -> str:
        """A node that one of our exports carries. Only what follows it is taken from the workflow."""
        if carried.inner and common["id"] != node.id:
            message = (
                f"several ways lead to the loop {node.id!r}, of which each would have to be one of its own"
            )
            self._refuse(("workflow", step_id), "carried", message, "let one way lead to it")
        self._nodes.update(carried.inner)
        if carried.results:
            values: JsonObject = {
                name: f"{{{{ {expression} | default(none) }}}}"
                for name, expression in carried.results.items()
            }
            told = {"name": common["name"], "phase": common["phase"]}
            after = self._add(SetNode(id=f"{common['id']}.results", **told, next=after, values=values))
        update: dict[str, Any] = {"id": common["id"], "next": after}
        if step.on_failure != carried.on_failure:
            on_error, follows = self._after_failure(step, place, after, common)
            update |= {"on_error": on_error, "next": follows}
        return self._add(node.model_copy(update=update))

    def _playbook_step(
        self,
        step_id: str,
        step: PlaybookActionStep,
        place: Place,
        after: str | None,
        common: dict[str, Any],
        keys: Mapping[str, str],
    ) -> str:
        carried = self._carried.get(step_id)
        found = self._child_of(step)
        if found is None:
            return self._add(SetNode(**common, values={}))  # refused; the graph is never used
        name, self._children[found[0]] = found
        if carried is not None and carried.node is not None:
            return self._as_it_was(step_id, step, place, after, common, carried, carried.node)
        params: JsonObject = {
            input_name(variable): f"{{{{ vars[{quoted(keys.get(variable, variable))}] }}}}"
            for variable in map(argument_name, step.in_args)
        }
        entry = after
        work = Work(results={v: (input_name(v),) for v in map(argument_name, step.out_args)})
        values = self._results(work, common["id"], keys)
        if values:
            told = {"name": common["name"], "phase": common["phase"]}
            entry = self._add(SetNode(id=f"{common['id']}.results", **told, next=entry, values=values))
        on_error, follows = self._after_failure(step, place, entry, common)
        return self._add(
            PlaybookNode(**common, playbook=name, params=params, on_error=on_error, next=follows)
        )

    def _inner(self, step: StepBase, place: Place, common: Mapping[str, Any]) -> tuple[str, Place]:
        """The variable that tells of a failure inside a step, if it is answered, and the place inside."""
        flag = f"{common['id']}:failed" if failing(step) is not None else place.escape
        return flag, replace(place, escape=flag, depth=place.depth + 1, loop="", after=None)

    def _answering(self, step: StepBase, entry: str, common: Mapping[str, Any]) -> str:
        """Before a step that answers the failures inside it: there is none yet."""
        if failing(step) is None:
            return entry
        values: JsonObject = {f"{common['id']}:failed": False}
        told = {"name": common["name"], "phase": common["phase"]}
        return self._add(SetNode(id=f"{common['id']}.begin", **told, next=entry, values=values))

    def _branching(
        self,
        step_id: str,
        step: StepBase,
        place: Place,
        after: str | None,
        common: dict[str, Any],
        keys: Mapping[str, str],
    ) -> str:
        scope = variables_of_step(self._playbook, step)
        types = {name: variable.type for name, variable in scope.items()}
        carried = self._carried.get(step_id)
        flag, inner = self._inner(step, place, common)
        on_error, follows = self._after_failure(step, place, after, common, flag)
        if carried is not None and carried.node is not None and follows == after:
            on_error = carried.node.on_error
        told = {**common, "on_error": on_error, "next": follows}
        # Its branches do not follow each other, but for those that run at the same time or again.
        own = replace(inner, key=(*place.key, common["id"]))
        node: Node
        match step:
            case ParallelStep():
                entries = [
                    self._chain(target, replace(own, key=(*own.key, str(index))))
                    for index, target in enumerate(step.next_steps)
                ]
                branches = tuple(entry for entry in entries if entry is not None)
                was = carried.node if carried is not None else None
                most = was.concurrency if isinstance(was, ParallelNode) else None
                node = (
                    ParallelNode(**told, branches=branches, concurrency=most)
                    if branches
                    else SetNode(**told, values={})
                )
            case IfStep():
                expression = carried.expression if carried is not None else None
                condition = expression or self._condition(step_id, step.condition, types, keys)
                case = Case(label="true", condition=condition, entry=self._chain(step.on_true, own))
                node = BranchNode(**told, cases=(case,), default=self._chain(step.on_false, own))
            case SwitchStep():
                cases = tuple(
                    Case(
                        label=value,
                        condition=self._case(step_id, step, value, types, keys, carried),
                        entry=self._chain(target, own),
                    )
                    for value, target in step.cases.items()
                    if value != "default"
                )
                node = BranchNode(**told, cases=cases, default=self._chain(step.cases.get("default"), own))
            case WhileStep() if carried is not None and isinstance(carried.node, RepeatNode):
                body = self._chain(step.on_true, replace(own, loop=step_id))
                kept = {"body": body} if body is not None else {}
                node = carried.node.model_copy(update={**told, **kept})
            case WhileStep():
                condition = self._condition(step_id, step.condition, types, keys)
                node = self._loop(step_id, step, own, condition, flag, told)
            case _:
                raise TypeError(step.type)
        return self._answering(step, self._add(node), common)

    def _condition(
        self, step_id: str, condition: str, types: Mapping[str, str], keys: Mapping[str, str]
    ) -> str:
        try:
            return compile_condition(condition, types, keys)
        except ConditionError as error:
            # It was read before; with the names that its variables have here it may be too long.
            self._refuse(("workflow", step_id, "condition"), "condition", f"{step_id}: {error}", "")
            return "false"

    def _case(
        self,
        step_id: str,
        step: SwitchStep,
        value: str,
        types: Mapping[str, str],
        keys: Mapping[str, str],
        carried: Carried | None,
    ) -> str:
        if carried is not None and carried.expression is not None:
            return f"(({carried.expression}) | string) == {quoted(value)}"
        try:
            return compile_case(step.switch, value, types, keys)
        except ConditionError as error:
            self._refuse(("workflow", step_id, "cases", value), "condition", f"{step_id}: {error}", "")
            return "false"

    def _loop(
        self, step_id: str, step: WhileStep, place: Place, condition: str, flag: str, told: dict[str, Any]
    ) -> Node:
        """A loop that looks before its first round: whether to begin at all, and after each round whether to end."""
        body = self._chain(step.on_true, replace(place, loop=step_id))
        if body is None:
            message = f"{step_id}: the loop does nothing, and so would never end"
            self._refuse(("workflow", step_id, "on_true"), "empty-loop", message, "let it do something")
            return SetNode(**told, values={})
        until = f"not ({condition})" + (f" or vars[{quoted(flag)}] | default(false)" if flag else "")
        again = RepeatNode(
            id=f"{told['id']}.rounds",
            name=told["name"],
            phase=told["phase"],
            # A loop that never comes to its end is this step's failure, and so is answered by what answers that.
            on_error="continue" if flag else "stop",
            next=None,
            body=body,
            until=until,
            attempts=self._settings.max_rounds,
        )
        entry = self._add(again)
        if flag:
            failed = f"steps[{quoted(again.id)}].status in ['failed', 'denied']"
            noted = self._escape(flag, again.id, told["phase"])
            check = BranchNode(
                id=f"{again.id}.outcome",
                name=f"{told['name']}: done?",
                phase=told["phase"],
                cases=(Case(label="failed", condition=failed, entry=noted),),
                on_error="stop",
            )
            self._nodes[again.id] = again.model_copy(update={"next": self._add(check)})
        return BranchNode(**told, cases=(Case(label="true", condition=condition, entry=entry),))
