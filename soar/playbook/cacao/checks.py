"""What a CACAO playbook can say that is well-formed and cannot be meant.

The JSON schemas of the standard do not see it: they know no graph, no conditions, and no variables. What is found here
refuses the playbook, but for warnings, because what would happen instead is that steps are silently left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from soar.playbook.cacao.conditions import (
    VARIABLE_USE,
    ConditionError,
    compile_case,
    compile_condition,
)
from soar.playbook.cacao.document import (
    EXECUTABLE_ADDRESSES,
    ActionStep,
    AgentTarget,
    CacaoObject,
    CacaoPlaybook,
    Command,
    HttpCommand,
    IfStep,
    PlaybookActionStep,
    StepBase,
    SwitchStep,
    Variable,
    WhileStep,
    dump,
    parse_timestamp,
)
from soar.playbook.cacao.flow import check_flow
from soar.playbook.diagnostics import Diagnostic, nearest
from soar.playbook.document import Document, Path

__all__ = ["START_LINE", "argument_name", "check_cacao", "variables_in", "variables_of_step"]

START_LINE = re.compile(r"([A-Z]{1,20}) +(\S.*?)(?: +(HTTP/?[0-9](?:\.[0-9])?))?")
"""An HTTP start line: method, request target, version. The target may hold variables; the version is often left out."""

_NAME = re.compile(r"__[A-Za-z][A-Za-z0-9_-]*__")
_MAX_NAME = 250
_BARE_USE = re.compile(r"(__[A-Za-z_][A-Za-z0-9_-]{0,240}?__)(?![A-Za-z0-9_:])")
_ENCODED_ONLY = ("elastic", "jupyter", "kestrel", "sigma", "yara")
_DEFINITIONS = (
    "authentication_info_definitions",
    "agent_definitions",
    "target_definitions",
    "extension_definitions",
    "data_marking_definitions",
)


def check_cacao(playbook: CacaoPlaybook, document: Document, *, now: datetime) -> list[Diagnostic]:
    """Check what the types do not.

    Args:
        playbook: The playbook.
        document: Where everything in it stands.
        now: The time at which it would run.

    Returns:
        What is wrong, in the order of the file; of severity `error` what refuses the playbook.
    """
    checker = _Checker(playbook, document)
    checker.validity(now)
    checker.identifiers()
    checker.definitions()
    for step_id, step in playbook.workflow.items():
        checker.step(step_id, step)
    check_flow(playbook, checker.add)
    return sorted(checker.found, key=lambda d: (d.line, d.column, d.message))


def variables_of_step(playbook: CacaoPlaybook, step: StepBase) -> Mapping[str, Variable]:
    """The variables that a step sees: its own, and the playbook's where it does not hide them."""
    return {**playbook.playbook_variables, **step.step_variables}


def argument_name(argument: str) -> str:
    """The variable of an `in_args` or `out_args` entry, which is met with and without `:value`."""
    return argument.removesuffix(":value")


def variables_in(
    value: JsonValue, path: Path = (), *, use: re.Pattern[str] = VARIABLE_USE
) -> Iterator[tuple[Path, str]]:
    """Every use of a variable in the texts of a value, with its place."""
    if isinstance(value, str):
        for match in use.finditer(value):
            yield path, match[1]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from variables_in(item, (*path, index), use=use)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from variables_in(item, (*path, key), use=use)


class _Checker:
    def __init__(self, playbook: CacaoPlaybook, document: Document) -> None:
        self.playbook = playbook
        self.document = document
        self.found: list[Diagnostic] = []

    def add(self, path: Path, rule: str, message: str, hint: str = "", **more: Any) -> None:
        self.found.append(self.document.diagnostic(path, rule, message, hint, **more))

    def validity(self, now: datetime) -> None:
        playbook = self.playbook
        if playbook.revoked:
            message = "its creator has revoked this playbook"
            self.add(("revoked",), "revoked", message, "ask for its successor")
        if playbook.valid_until is not None and parse_timestamp(playbook.valid_until) <= now:
            message = f"it was valid until {playbook.valid_until}"
            self.add(("valid_until",), "expired", message, "ask its creator for a newer version")
        if playbook.valid_from is not None and parse_timestamp(playbook.valid_from) > now:
            message = f"it is not valid before {playbook.valid_from}"
            self.add(("valid_from",), "not-yet-valid", message, "import it then")
        if (
            playbook.valid_from is not None
            and playbook.valid_until is not None
            and parse_timestamp(playbook.valid_until) <= parse_timestamp(playbook.valid_from)
        ):
            self.add(
                ("valid_until",), "validity", "it ends to be valid before it begins", "correct the times"
            )
        if parse_timestamp(playbook.modified) < parse_timestamp(playbook.created):
            self.add(("modified",), "validity", "it was modified before it was created", "correct the times")

    def identifiers(self) -> None:
        playbook = self.playbook
        self.prefix(("id",), playbook.id, "playbook")
        self.prefix(("created_by",), playbook.created_by, "identity")
        self.prefix(("workflow_start",), playbook.workflow_start, "start")
        owners: dict[str, str] = {}
        for step_id, step in playbook.workflow.items():
            self.prefix(("workflow", step_id), step_id, step.type, key=True)
            uuid = step_id.rpartition("--")[2].lower()
            if uuid in owners:
                message = f"{step_id} has the uuid of {owners[uuid]}"
                self.add(("workflow", step_id), "duplicate-id", message, "give each object its own", key=True)
            owners.setdefault(uuid, step_id)
        for collection in _DEFINITIONS:
            for key, definition in getattr(playbook, collection).items():
                kind = definition.get("type") if isinstance(definition, dict) else definition.type
                # Nothing depends on it, and producers with agent types of their own do not keep to it.
                self.prefix((collection, key), key, str(kind), key=True, severity="warning")
        for key in playbook.agent_definitions.keys() & playbook.target_definitions.keys():
            if playbook.agent_definitions[key] != playbook.target_definitions[key]:
                message = f"the agent and the target {key} differ"
                hint = "give each its own id"
                self.add(("target_definitions", key), "duplicate-id", message, hint, key=True)

    def prefix(self, path: Path, identifier: str, kind: str, **more: Any) -> None:
        if identifier.rpartition("--")[0] != kind:
            message = f"{identifier} is the id of something else than a {kind}"
            self.add(path, "id-prefix", message, f"it begins with {kind}--", **more)

    def definitions(self) -> None:
        playbook = self.playbook
        self.declared(playbook.playbook_variables, ("playbook_variables",))
        for collection in ("agent_definitions", "target_definitions"):
            definitions: Mapping[str, AgentTarget] = getattr(playbook, collection)
            for key, definition in definitions.items():
                self.agent(definition, (collection, key))
        for index, marking in enumerate(playbook.markings):
            self.known(("markings", index), marking, playbook.data_marking_definitions, "data marking")
        for extension in playbook.playbook_extensions:
            path = ("playbook_extensions", extension)
            self.known(path, extension, playbook.extension_definitions, "extension", key=True)

    def declared(self, variables: Mapping[str, Variable], path: Path) -> None:
        for name in variables:
            if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
                message = f'"{name[:80]}" is no name of a variable'
                hint = "write __name__: two underscores, a letter, then letters, digits, _ and -"
                self.add((*path, name), "variable-name", message, hint, key=True)

    def agent(self, agent: AgentTarget, path: Path) -> None:
        for kind in agent.address:
            if kind not in EXECUTABLE_ADDRESSES:
                message = f'"{kind[:40]}" is no kind of address'
                self.add(
                    (*path, "address", kind),
                    "address",
                    message,
                    nearest(kind, EXECUTABLE_ADDRESSES),
                    key=True,
                )
        port = agent.port
        if port is not None and not VARIABLE_USE.search(port) and not re.fullmatch("[0-9]{1,5}", port):
            self.add((*path, "port"), "port", f"{port[:40]!r} is no port", "write a number, in quotes")
        if agent.authentication_info is not None:
            known = self.playbook.authentication_info_definitions
            here = (*path, "authentication_info")
            self.known(here, agent.authentication_info, known, "authentication info")

    def known(self, path: Path, identifier: str, known: Mapping[str, Any], what: str, **more: Any) -> None:
        if identifier not in known:
            message = f"there is no {what} {identifier}"
            self.add(path, "dangling", message, "define it, or correct the id", **more)

    def step(self, step_id: str, step: StepBase) -> None:
        path: Path = ("workflow", step_id)
        self.declared(step.step_variables, (*path, "step_variables"))
        for name in step.step_variables.keys() & self.playbook.playbook_variables.keys():
            message = f"{name} hides the playbook's variable of that name in this step"
            here = (*path, "step_variables", name)
            self.add(here, "hidden-variable", message, "give it another name", key=True, severity="warning")
        for extension in step.step_extensions:
            here = (*path, "step_extensions", extension)
            self.known(here, extension, self.playbook.extension_definitions, "extension", key=True)
        scope = variables_of_step(self.playbook, step)
        types = {name: variable.type for name, variable in scope.items()}
        match step:
            case ActionStep():
                self.action(step, path, scope)
            case PlaybookActionStep():
                self.prefix((*path, "playbook_id"), step.playbook_id, "playbook")
                self.arguments(step, path, scope)
            case IfStep() | WhileStep():
                try:
                    compile_condition(step.condition, types)
                except ConditionError as error:
                    self.add((*path, "condition"), "condition", str(error))
            case SwitchStep():
                for case in step.cases:
                    if case == "default":
                        continue
                    try:
                        compile_case(step.switch, case, types)
                    except ConditionError as error:
                        self.add(
                            (*path, "cases", case), "condition", f'case "{case[:60]}": {error}', key=True
                        )

    def action(self, step: ActionStep, path: Path, scope: Mapping[str, Variable]) -> None:
        playbook = self.playbook
        # An agent may do with being its own target, and a target with being an agent.
        everybody = {**playbook.target_definitions, **playbook.agent_definitions}
        self.known((*path, "agent"), step.agent, everybody, "agent")
        for index, target in enumerate(step.targets):
            self.known((*path, "targets", index), target, everybody, "target")
        self.arguments(step, path, scope)
        for index, command in enumerate(step.commands):
            self.command(command, (*path, "commands", index), scope)
        for identifier in dict.fromkeys((step.agent, *step.targets)):
            if identifier in everybody:
                self.uses(everybody[identifier], (*path, "agent"), scope, f"{identifier} uses ")

    def arguments(
        self, step: ActionStep | PlaybookActionStep, path: Path, scope: Mapping[str, Variable]
    ) -> None:
        for kind in ("in_args", "out_args"):
            for index, argument in enumerate(getattr(step, kind)):
                name = argument_name(argument)
                here = (*path, kind, index)
                if name not in scope:
                    self.undeclared(here, name, scope)
                elif kind == "out_args" and scope[name].constant:
                    message = f"{name} is constant, and this step writes it"
                    self.add(here, "constant-written", message, "write another variable")

    def undeclared(self, path: Path, name: str, scope: Mapping[str, Variable], before: str = "") -> None:
        hint = nearest(name, scope) or "declare it in playbook_variables"
        self.add(path, "undeclared-variable", f"{before}{name[:80]}, which is not declared".strip(), hint)

    def uses(self, thing: CacaoObject, path: Path, scope: Mapping[str, Variable], before: str = "") -> None:
        exact = not before
        told: JsonValue = dump(thing)
        for place, name in variables_in(told):
            if name not in scope:
                self.undeclared((*path, *place) if exact else path, name, scope, before)
        for place, name in variables_in(told, use=_BARE_USE):
            if name in scope and exact:
                message = f"{name} without :value is taken as it is written"
                hint = f"write {name}:value for the variable"
                self.add((*path, *place), "bare-variable", message, hint, severity="warning")

    def command(self, command: Command, path: Path, scope: Mapping[str, Variable]) -> None:
        self.uses(command, path, scope)
        encoded = {"command_b64": command.command_b64}
        if isinstance(command, HttpCommand):
            encoded["content_b64"] = command.content_b64
            self.http(command, path)
        elif command.type in _ENCODED_ONLY and command.command_b64 is None:
            self.add(path, "command", f"a {command.type} command needs command_b64", "give it in Base64")
        elif command.command is None and command.command_b64 is None:
            self.add(
                path, "command", f"this {command.type} command does nothing", "give command or command_b64"
            )
        for name, value in encoded.items():
            if value is None:
                continue
            try:
                text = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                self.add(
                    (*path, name), "encoding", f"{name} is not Base64", "encode it (RFC 4648, section 4)"
                )
                continue
            for _, used in variables_in(text.decode("utf-8", "replace")):
                if used not in scope:
                    self.undeclared((*path, name), used, scope)

    def http(self, command: HttpCommand, path: Path) -> None:
        if command.command is None:
            message = f"this {command.type} command has no command"
            self.add(path, "command", message, "give the start line: POST /path HTTP/1.1")
            return
        match = START_LINE.fullmatch(command.command.strip())
        if match is None:
            message = f"{command.command[:60]!r} is no HTTP start line"
            self.add(
                (*path, "command"),
                "command",
                message,
                "write method, target and version: POST /path HTTP/1.1",
            )
        elif match[3] is None or "/" not in match[3]:
            message = "the start line does not end with the version, HTTP/1.1"
            self.add((*path, "command"), "command", message, "write it", severity="warning")
        if match is not None and command.type == "openc2-http" and match[1] != "POST":
            self.add((*path, "command"), "command", "OpenC2 over HTTP is sent with POST", "write POST")
        if command.type == "openc2-http" and command.content_b64 is None:
            self.add(
                path, "command", "this openc2-http command has no content_b64", "give the OpenC2 command"
            )
        if command.content is not None and command.content_b64 is not None:
            self.add(
                (*path, "content"), "command", "both content and content_b64 are given", "keep one of them"
            )
