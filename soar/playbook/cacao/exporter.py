"""Our playbooks as CACAO 2.0, for other systems to read and run.

What CACAO can say is said in its own words: actions are HTTP requests to this system, people's work is manual,
conditions are STIX comparisons where they can be, and questions to a person where they cannot. The whole playbook as it
was written is carried in one extension; see `soar.playbook.cacao.extension`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from soar.model.base import canonical_json
from soar.model.spec import Catalogue
from soar.model.terms import Phase
from soar.playbook.builtins import with_builtins
from soar.playbook.cacao.commands import ACTIONS_PATH
from soar.playbook.cacao.export_writer import EXTENSION, NAMESPACE, Exported, ExportSettings, Origin, Writer
from soar.playbook.cacao.native import ident_of
from soar.playbook.compiler import PlacedStep
from soar.playbook.loader import LoadedPlaybook
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
)

__all__ = ["EXTENSION", "ExportSettings", "Exported", "Origin", "export_playbook"]


def export_playbook(loaded: LoadedPlaybook, catalogue: Catalogue, settings: ExportSettings) -> Exported:
    """Write one of our playbooks as CACAO 2.0.

    Equal arguments give an equal export: the ids are made of the names of the playbook and of its steps.

    Args:
        loaded: A playbook that was written in YAML.
        catalogue: Every action that exists; the tags of steps come from it.
        settings: What the export says of itself.

    Raises:
        ValueError: The playbook is a CACAO playbook already; its text is the export.
    """
    if loaded.graph is not None:
        raise ValueError(f"{loaded.playbook.name} is a CACAO playbook already; its text is the export")
    return _Exporter(loaded, with_builtins(catalogue), settings).export()


class _Exporter(Writer):
    """Goes through the steps, the last first, because each names the one after it."""

    def export(self) -> Exported:
        start, end = self._id("start", "start"), self._end("end")
        entry = end
        for phase in reversed(Phase):
            entry = self._block((phase.value,), self._playbook.steps_of(phase), entry)
        self._put(start, {"type": "start", "on_completion": entry}, Origin())
        exception = self._exception()
        self._give_results()
        return Exported(self._document(start, exception), self._origins, self._natives.meanings)

    def _block(self, path: tuple[str | int, ...], steps: tuple[AnyStep, ...], after: str) -> str:
        """Write steps in a row.

        Returns:
            The first.
        """
        entry = after
        for index in range(len(steps) - 1, -1, -1):
            entry = self._step(self._placed[(*path, index)], entry)
        return entry

    def _branch(self, placed: PlacedStep, key: tuple[str | int, ...], steps: tuple[AnyStep, ...]) -> str:
        """Write steps that end at an end of their own."""
        end = self._end(f"{placed.id}/{'/'.join(map(str, key))}/end")
        return self._block((*placed.path, *key), steps, end)

    def _step(self, placed: PlacedStep, after: str) -> str:
        step = placed.step
        approval = step.approval if isinstance(step, ActionStep) else None
        if step.when is None and approval is None:
            return self._bare(placed, after)
        end = self._end(f"{placed.id}/end")
        entry = self._bare(placed, end)
        if approval is not None:
            question = f"{step.name or placed.id}: shall it be done?"
            role = approval.role or ""
            # The branch of the condition comes to an end of its own, which is not that of the branch in it.
            then = after if step.when is None else self._end(f"{placed.id}/when/end")
            entry = self._asked(placed, "approval", question, role, entry, then)
        if step.when is not None:
            entry = self._condition(placed, "when", step.when, entry, None, after)
        return entry

    def _asked(self, placed: PlacedStep, key: str, question: str, role: str, entry: str, after: str) -> str:
        """A question to a person, and what is done if the answer is yes."""
        variable = self._natives.own(f"{placed.id}-{key}", "bool", question)
        chosen = self._put(
            self._id("if-condition", f"{placed.id}/{key}"),
            {
                "type": "if-condition",
                "condition": f"{variable}:value = true",
                "on_true": entry,
                "on_completion": after,
            },
            Origin(inner=self._leaves[placed.id], phase=placed.phase),
        )
        return self._manual(
            placed, f"{key}/question", question, role, chosen, (variable,), Origin(serves=chosen)
        )

    def _condition(
        self, placed: PlacedStep, key: str, expression: str, yes: str, no: str | None, after: str, **more: Any
    ) -> str:
        """A condition; as a question to a person, if CACAO cannot say it."""
        step_id = self._id("if-condition", f"{placed.id}/{key}")
        condition = self._natives.condition(expression)
        question = None
        if condition is None:
            question = self._natives.own(f"{placed.id}-{key}", "bool", f"whether this holds: {expression}")
            condition = f"{question}:value = true"
        entry = self._put(
            step_id,
            {
                "type": "if-condition",
                "name": placed.step.name,
                "condition": condition,
                "on_true": yes,
                "on_false": no,
                "on_completion": after,
                **more,
            },
            Origin(
                expression=expression,
                inner=self._leaves.get(placed.id, "") if key == "when" else "",
                phase=placed.phase,
            ),
        )
        if question is None:
            return entry
        text = f"Is it so that {expression} ? Answer true or false."
        return self._manual(placed, f"{key}/question", text, "", entry, (question,), Origin(serves=entry))

    def _bare(self, placed: PlacedStep, after: str) -> str:
        step = placed.step
        origin = Origin(step=placed.id, phase=placed.phase)
        timing = {"timeout": round(step.timeout * 1000) if step.timeout else None}
        match step:
            case ActionStep():
                return self._action(placed, step, after, origin, timing)
            case TaskStep(task=task):
                out = [
                    self._natives.own(
                        f"steps-{placed.id}-{name}",
                        _FORM[form.type],
                        form.label,
                        f"steps.{placed.id}.result.{name}",
                    )
                    for name, form in task.form.items()
                ]
                more = {**timing, **self._follows(placed, after)}
                return self._manual(placed, "task", task.instructions, task.role, after, out, origin, **more)
            case ApproveStep():
                meaning = f"steps.{placed.id}.result.approved"
                variable = self._natives.own(f"steps-{placed.id}-approved", "bool", step.approve, meaning)
                text = "\n\n".join(filter(None, (step.approve, step.details)))
                role = step.approval.role or ""
                more = {**timing, **self._follows(placed, after)}
                return self._manual(placed, "approve", text, role, after, (variable,), origin, **more)
            case WaitStep(wait=wait):
                until = f" until {wait.until or wait.alert}" if wait.seconds is None else ""
                seconds = wait.seconds or wait.limit or 0.0
                text = f"Wait{until}, {seconds:.0f} seconds at most; then go on."
                more = {"timeout" if until else "delay": round(seconds * 1000)}
                return self._manual(placed, "wait", text, "", after, (), origin, **more)
            case SetStep():
                out = [self._natives.own(f"vars-{name}", "string", "", f"vars.{name}") for name in step.set]
                told = "\n".join(f"{name} = {_written(value)}" for name, value in step.set.items())
                text = f"Give these values:\n{told}"
                return self._manual(
                    placed, "set", text, "", after, out, origin, **self._follows(placed, after)
                )
            case PlaybookStep():
                return self._called(placed, step, after, origin, timing)
            case ForeachStep():
                # CACAO's loop has no way to come from one item to the next: all of it is told to a person.
                inner = "\n".join(_told(s) for s in step.steps)
                text = f"For each item of {step.foreach}, as {step.bound}:\n{inner}"
                more = {**timing, **self._follows(placed, after)}
                return self._manual(placed, "foreach", text, "", after, (), origin, **more)
            case _:
                return self._branching(placed, after, timing)

    def _branching(self, placed: PlacedStep, after: str, timing: Mapping[str, Any]) -> str:
        step = placed.step
        common = {"name": step.name, **timing}
        match step:
            case IfStep():
                yes = self._branch(placed, ("then",), step.then)
                no = self._branch(placed, ("else",), step.otherwise) if step.otherwise else None
                return self._condition(placed, "if", step.condition, yes, no, after, **timing)
            case SwitchStep():
                return self._switch(placed, step, after, common)
            case ParallelStep():
                blocks = (
                    [(("parallel", name), block) for name, block in step.parallel.items()]
                    if isinstance(step.parallel, dict)
                    else [(("parallel", index), block) for index, block in enumerate(step.parallel)]
                )
                entries = [self._branch(placed, key, block) for key, block in blocks]
                if len(entries) == 1:
                    entries.append(self._end(f"{placed.id}/nothing"))
                told = {"type": "parallel", **common, "next_steps": entries, "on_completion": after}
                origin = Origin(step=placed.id, phase=placed.phase)
                return self._put(self._id("parallel", placed.id), told, origin)
            case RepeatStep():
                return self._repeat(placed, step, after, common)
        raise TypeError(type(step).__name__)

    def _switch(self, placed: PlacedStep, step: SwitchStep, after: str, common: Mapping[str, Any]) -> str:
        cases = {name: self._branch(placed, ("cases", name), block) for name, block in step.cases.items()}
        if step.default is not None:
            cases["default"] = self._branch(placed, ("default",), step.default)
        variable = self._natives.reference(step.switch)
        question = None
        if variable is None or not self._natives.can_be(variable, step.cases):
            question = self._natives.own(f"{placed.id}-switch", "string", f"the value of: {step.switch}")
            variable = question
        entry = self._put(
            self._id("switch-condition", placed.id),
            {
                "type": "switch-condition",
                **common,
                "switch": f"{variable}:value",
                "cases": cases,
                "on_completion": after,
            },
            Origin(expression=step.switch, phase=placed.phase),
        )
        if question is None:
            return entry
        text = f"What is {step.switch} ? One of: {', '.join(step.cases)}"
        return self._manual(placed, "switch/question", text, "", entry, (question,), Origin(serves=entry))

    def _repeat(self, placed: PlacedStep, step: RepeatStep, after: str, common: Mapping[str, Any]) -> str:
        """A loop that asks after each round. The carried step is the loop itself, with all that is inside it."""
        again = self._natives.own(
            f"{placed.id}-again", "bool", f"whether this does not hold yet: {step.until}"
        )
        self._natives.begin(again, "true")
        end = self._end(f"{placed.id}/repeat/end")
        text = f"Does this hold: {step.until} ? Answer false if it does, and true for another round."
        loop = self._id("while-condition", placed.id)
        asked = self._manual(placed, "again", text, "", end, (again,), Origin(serves=loop))
        told = {
            "type": "while-condition",
            **common,
            "condition": f"{again}:value = true",
            "on_true": self._block((*placed.path, "repeat"), step.repeat, asked),
            "on_completion": after,
        }
        return self._put(
            self._id("while-condition", placed.id), told, Origin(step=placed.id, phase=placed.phase)
        )

    def _called(
        self, placed: PlacedStep, step: PlaybookStep, after: str, origin: Origin, timing: Mapping[str, Any]
    ) -> str:
        variables = {
            f"__{name}__": {"type": "string", "value": self._natives.text(_written(value))}
            for name, value in step.params.items()
        }
        told = {
            "type": "playbook-action",
            "name": step.name or placed.id,
            **timing,
            "playbook_id": ident_of(NAMESPACE, "playbook", step.playbook),
            "step_variables": variables,
            "in_args": list(variables),
            **self._follows(placed, after),
        }
        return self._put(self._id("playbook-action", placed.id), told, origin)

    def _action(
        self, placed: PlacedStep, step: ActionStep, after: str, origin: Origin, timing: Mapping[str, Any]
    ) -> str:
        references = self._tags(step, self._catalogue.get(step.do))
        agent, command = (
            self._request(step)
            or self._shell(step)
            or (
                self._server(),
                {
                    "command": f"POST {ACTIONS_PATH}{step.do} HTTP/1.1",
                    "headers": {"Content-Type": ["application/json"]},
                    "content": self._natives.text(canonical_json(step.params)),
                },
            )
        )
        if references:
            command["external_references"] = references
        told = {
            "type": "action",
            "name": step.name or placed.id,
            "external_references": references,
            **timing,
            "commands": [{"type": "http-api", **command}],
            "agent": agent,
            **self._follows(placed, after),
        }
        return self._put(self._id("action", placed.id), told, origin)

    def _follows(self, placed: PlacedStep, after: str) -> dict[str, str | None]:
        """Where it goes on. What is asked or undone at a failure is said by the extension alone, or a way back."""
        match placed.step.on_error:
            case "continue":
                return {"on_completion": None, "on_success": after, "on_failure": after}
            case "undo":
                way_back = self._way_back(placed)
                if way_back is not None:
                    return {"on_completion": None, "on_success": after, "on_failure": way_back}
        return {"on_completion": after}

    def _way_back(self, placed: PlacedStep) -> str | None:
        """Undo what the phase has changed so far, newest first."""
        changed = [
            p
            for p in self._placed.values()
            if p.phase is placed.phase
            and p.id in placed.before
            and isinstance(p.step, ActionStep)
            and p.step.do in self._catalogue
            and self._catalogue[p.step.do].undoable
        ]
        if not changed:
            return None
        entry = self._end(f"{placed.id}/undone")
        for earlier in changed:
            entry = self._undo(
                f"{placed.id}/undo/{earlier.id}", f"undo {earlier.id}", {"step": earlier.id}, entry
            )
        return entry

    def _exception(self) -> str | None:
        if self._playbook.failure_steps:
            return self._block(("on_failure",), self._playbook.failure_steps, self._end("on_failure/end"))
        if self._playbook.on_failure == "undo":
            return self._undo(
                "on_failure/undo", "undo everything", {"all": True}, self._end("on_failure/end")
            )
        return None


_FORM: Final[Mapping[Literal["text", "number", "boolean", "choice", "time"], str]] = {
    "text": "string",
    "number": "float",
    "boolean": "bool",
    "choice": "string",
    "time": "string",
}


def _told(step: AnyStep) -> str:
    return canonical_json(step.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def _written(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)
