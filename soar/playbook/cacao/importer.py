"""CACAO playbooks as playbooks that run here. Nothing in them is left out: what cannot run refuses the playbook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from soar.model.base import JsonObject, canonical_json, digest_of
from soar.model.spec import Catalogue
from soar.model.terms import Phase
from soar.playbook.builtins import with_builtins
from soar.playbook.cacao.checks import check_cacao
from soar.playbook.cacao.conditions import kind_of_type, quoted
from soar.playbook.cacao.document import (
    ActionStep,
    CacaoPlaybook,
    HttpCommand,
    PlaybookActionStep,
    Variable,
    parse_timestamp,
    read_cacao,
)
from soar.playbook.cacao.extension import Recovered, recover
from soar.playbook.cacao.graph_builder import GraphBuilder, input_name, slug
from soar.playbook.cacao.substitution import as_written
from soar.playbook.cacao.work import CacaoSettings
from soar.playbook.compiler import Find, compile_playbook
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.document import Document, Path
from soar.playbook.expressions import is_template
from soar.playbook.graph import ChildPlaybook, PlaybookNode
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.schema import InputSpec, Playbook
from soar.playbook.steps import SetStep

__all__ = ["FindCacao", "Imported", "import_cacao"]

FindCacao = Callable[[str], LoadedPlaybook]
"""The playbook of a CACAO id; raises KeyError if there is none."""

_PHASES: Mapping[str, Phase] = {
    "detection": Phase.IDENTIFICATION,
    "investigation": Phase.IDENTIFICATION,
    "notification": Phase.IDENTIFICATION,
    "mitigation": Phase.CONTAINMENT,
    "prevention": Phase.CONTAINMENT,
    "remediation": Phase.ERADICATION,
}


@dataclass(frozen=True)
class Imported:
    """A CACAO playbook that can run.

    Args:
        loaded: It, as every other playbook.
        cacao: As it was read.
        warnings: What in it may be other than meant.
        ours: Whether it is an export of ours that nobody changed; then `loaded` is the playbook that was exported.
    """

    loaded: LoadedPlaybook
    cacao: CacaoPlaybook
    warnings: tuple[Diagnostic, ...] = ()
    ours: bool = False


def import_cacao(
    text: str,
    *,
    file: str,
    catalogue: Catalogue,
    now: datetime,
    settings: CacaoSettings | None = None,
    find: Find | None = None,
    find_cacao: FindCacao | None = None,
) -> Imported:
    """Read a CACAO playbook and compile it.

    An untouched export of ours is the playbook that was exported. In an edited one, each step that nobody touched is
    still the step that was exported, and the others are what they say.

    Args:
        text: JSON.
        file: The name for messages.
        catalogue: The actions that exist. HTTP commands need `http.get` and `http.request`.
        now: The time: a playbook that is not valid then is refused.
        settings: What the organisation allows.
        find: Our playbooks by name, which the steps of our exports may call.
        find_cacao: The playbooks that `playbook-action` steps call, by their CACAO id.

    Returns:
        The playbook. In `playbook.inputs` of `loaded` stand its external variables; its steps are in `graph` alone, and
        one step that does nothing stands for them in `playbook`.

    Raises:
        PlaybookError: It cannot be used, or something in it cannot run here; each diagnostic has line and column, and
            names the step.
    """
    playbook, document = read_cacao(text, file=file)
    findings = check_cacao(playbook, document, now=now)
    errors = [d for d in findings if d.severity == "error"]
    if errors:
        raise PlaybookError(errors)
    warnings = [d for d in findings if d.severity != "error"]
    recovered, more = recover(playbook, document, catalogue, find)
    warnings += more
    if recovered is not None and recovered.whole:
        return Imported(recovered.loaded, playbook, tuple(warnings), ours=True)
    importer = _Importer(playbook, document, with_builtins(catalogue), settings or CacaoSettings())
    importer.find, importer.find_cacao, importer.recovered = find, find_cacao, recovered
    return Imported(importer.loaded(text, file), playbook, tuple(warnings))


class _Importer:
    def __init__(
        self,
        playbook: CacaoPlaybook,
        document: Document,
        catalogue: Catalogue,
        settings: CacaoSettings,
    ) -> None:
        self._playbook = playbook
        self._document = document
        self._catalogue = catalogue
        self._settings = settings
        self.find: Find | None = None
        self.find_cacao: FindCacao | None = None
        self.recovered: Recovered | None = None
        self._errors: list[Diagnostic] = []

    def _refuse(self, path: Path, rule: str, message: str, hint: str) -> None:
        self._errors.append(self._document.diagnostic(path, rule, message, hint))

    def loaded(self, text: str, file: str) -> LoadedPlaybook:
        source, recovered = self._playbook, self.recovered
        names = self._names()
        known = recovered.meanings if recovered is not None else {}
        variables = source.playbook_variables
        inputs = {names[n]: _input(v) for n, v in variables.items() if v.external and n not in known}
        outputs = {
            names[n]: f"vars[{quoted(n)}]" for n, v in source.playbook_variables.items() if not v.constant
        }
        base = recovered.loaded.playbook if recovered is not None else None
        if base is not None:
            # What CACAO has no words for, and whose expressions read by these names.
            inputs = {**inputs, **base.inputs}
            outputs = {**outputs, **base.outputs}
        phase = next((_PHASES[t] for t in source.playbook_types if t in _PHASES), Phase.CONTAINMENT)
        builder = GraphBuilder(
            source,
            self._catalogue,
            self._settings,
            self._refuse,
            phase=phase,
            carried=recovered.steps if recovered is not None else {},
            child_of=self._child,
        )
        graph = builder.build(self._first(names, known), outputs)
        self._left_over()
        if self._errors or graph is None:
            raise PlaybookError(self._errors)
        if recovered is not None:
            frame = recovered.graph
            update = {"severity": frame.severity, "clocks": frame.clocks}
            graph = graph.model_copy(update={**update, "undo_on_cancel": frame.undo_on_cancel})
        playbook = self._frame(base, inputs, outputs)
        return LoadedPlaybook(playbook, file, text, digest_of(self._document.data), self._document, graph)

    def _left_over(self) -> None:
        """Refuse an edited step of an export that still has an expression that CACAO could not say."""
        if self.recovered is None:
            return
        for step_id, step in self._playbook.workflow.items():
            if step_id in self.recovered.steps or not isinstance(step, ActionStep):
                continue
            for index, command in enumerate(step.commands):
                content = command.content if isinstance(command, HttpCommand) else None
                if any(is_template(text or "") for text in (command.command, content)):
                    message = f"{step_id} was edited, and has an expression in {{{{ }}}}, which is only text in CACAO"
                    path: Path = ("workflow", step_id, "commands", index)
                    self._refuse(
                        path,
                        "expression",
                        message,
                        "write a value or a variable, or leave the step as it was",
                    )

    def _frame(
        self, base: Playbook | None, inputs: Mapping[str, InputSpec], outputs: Mapping[str, str]
    ) -> Playbook:
        source = self._playbook
        stand_in = SetStep(
            id="workflow", name="The workflow of the CACAO playbook", set={"cacao_id": source.id}
        )
        title = source.name.replace("{{", "").replace("{%", "")[:200]
        told = {
            "name": slug(source.name, 60).replace("_", "-") or f"cacao-{source.id[-12:].lower()}",
            "title": title,
            "description": (source.description or "")[:16384],
            "inputs": dict(inputs),
            "outputs": dict(outputs),
            "identification": (stand_in,),
        }
        if base is not None:
            kept = ("name", "match", "correlate_by", "roles", "severity", "clocks", "metadata", "on_cancel")
            told |= {name: getattr(base, name) for name in kept}
        try:
            return Playbook(**told)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(part) for part in problem["loc"])
            message = f"it cannot be used here: {at}: {problem['msg']}"[:300]
            raise PlaybookError([self._document.diagnostic(("name",), "playbook", message)]) from None

    def _names(self) -> dict[str, str]:
        """The input and output names of the playbook's variables."""
        names: dict[str, str] = {}
        for variable in self._playbook.playbook_variables:
            name = input_name(variable)
            if name in names.values():
                message = f"{variable} has the name {name!r} here, and so has another variable"
                path: Path = ("playbook_variables", variable)
                self._refuse(path, "variable-name", message, "names here have no capitals; rename it")
            names[variable] = name
        return names

    def _first(self, names: Mapping[str, str], known: Mapping[str, str]) -> JsonObject:
        """What the variables are when it begins.

        Args:
            known: Our expressions for those of an export of ours.
        """
        values: JsonObject = {}
        for variable, declared in self._playbook.playbook_variables.items():
            if not declared.external:
                values[variable] = as_written(declared.value)
                continue
            if variable in known:
                values[variable] = f"{{{{ {known[variable]} | default(none) }}}}"
                continue
            given = f"inputs.{names[variable]}"
            # An input has always a value, and an external variable may have none.
            empty = f"none if {given} == '' else {given}" if declared.value is None else given
            values[variable] = f"{{{{ {empty} }}}}"
        return values

    def _child(self, step: PlaybookActionStep) -> tuple[str, ChildPlaybook] | None:
        step_id = next(i for i, s in self._playbook.workflow.items() if s is step)
        path: Path = ("workflow", step_id, "playbook_id")
        carried = self.recovered.steps.get(step_id) if self.recovered is not None else None
        if self.recovered is not None and carried is not None and isinstance(carried.node, PlaybookNode):
            return carried.node.playbook, self.recovered.graph.children[carried.node.playbook]
        try:
            if self.find_cacao is None:
                raise KeyError
            child = self.find_cacao(step.playbook_id)
            graph = compile_playbook(child, self._catalogue, self.find)
        except KeyError:
            message = f"{step_id} calls {step.playbook_id}, which is not at hand"
            self._refuse(path, "unknown-playbook", message, "import that playbook first")
            return None
        modified = child.positions.data.get("modified") if isinstance(child.positions.data, dict) else None
        if (
            step.playbook_version is not None
            and isinstance(modified, str)
            and _differ(modified, step.playbook_version)
        ):
            message = f"{step_id} wants the version of {step.playbook_version}, and the one at hand is of {modified}"
            self._refuse(
                ("workflow", step_id, "playbook_version"), "playbook-version", message, "import that version"
            )
        arguments = [argument.removesuffix(":value") for argument in step.in_args]
        for argument in arguments:
            if input_name(argument) not in child.playbook.inputs:
                message = f"{step_id}: {child.playbook.name} takes no {argument}"
                known = ", ".join(sorted(child.playbook.inputs)[:10]) or "none"
                self._refuse(
                    ("workflow", step_id, "in_args"), "unknown-input", message, f"its inputs: {known}"
                )
        for argument in (a.removesuffix(":value") for a in step.out_args):
            if input_name(argument) not in child.playbook.outputs:
                message = f"{step_id}: {child.playbook.name} gives no {argument}"
                known = ", ".join(sorted(child.playbook.outputs)[:10]) or "none"
                self._refuse(
                    ("workflow", step_id, "out_args"), "unknown-output", message, f"its outputs: {known}"
                )
        found = ChildPlaybook(
            text=child.text,
            digest=child.digest,
            title=child.playbook.title,
            defaults=child.playbook.default_inputs,
            graph=graph,
        )
        return child.playbook.name, found


def _differ(one: str, other: str) -> bool:
    try:
        return parse_timestamp(one) != parse_timestamp(other)
    except ValueError:
        return True


def _input(variable: Variable) -> InputSpec:
    """An external variable as an input: text, as CACAO has it, but for lists."""
    description = variable.description or ""
    if isinstance(variable.value, list):
        return InputSpec(type="list", default=variable.value, description=description)
    if isinstance(variable.value, str):
        return InputSpec(type="string", default=variable.value, description=description)
    if kind_of_type(variable.type) == "list":
        return InputSpec(type="list", default=[], description=description)
    if isinstance(variable.value, dict):
        return InputSpec(type="string", default=canonical_json(variable.value), description=description)
    return InputSpec(type="string", default="", description=description)
