"""What our exports carry besides what CACAO can say, and when it is believed.

An export carries the playbook as it was written. On the way back it is exported once more, and compared by hashes:
where the CACAO fields are still those that it gives, the playbook, or the step, is what was exported; where they are
not, somebody changed them, and they are what counts. So an edit is never lost, and no other playbook can be slipped in
under CACAO fields that say something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue

from soar.model.base import Digest, JsonObject, canonical_json, digest_of
from soar.model.spec import Catalogue
from soar.playbook.cacao.commands import SERVER, SERVER_ADDRESS
from soar.playbook.cacao.document import CacaoPlaybook, dump
from soar.playbook.cacao.exporter import EXTENSION, Exported, ExportSettings, export_playbook
from soar.playbook.cacao.graph_builder import Carried
from soar.playbook.compiler import Find, compile_playbook
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.document import Document
from soar.playbook.graph import Node, StepGraph, bodies, walk
from soar.playbook.loader import LoadedPlaybook, load_playbook

__all__ = ["Recovered", "native_digest", "recover", "step_digest"]

_ANY_VARIABLE = re.compile(r"__[A-Za-z_][A-Za-z0-9_-]*?__")
_PORT = re.compile("[1-9][0-9]{0,4}")
_FLOW = ("on_completion", "on_success", "on_failure", "on_true", "on_false", "next_steps", "cases")
_ABOUT = ("playbook_extensions", "extension_definitions", "signatures", "modified", "external_references")


@dataclass(frozen=True)
class Recovered:
    """A playbook of ours that came back.

    Args:
        loaded: The playbook as it was exported.
        whole: Nobody changed anything.
        graph: Its graph.
        steps: What is known of each step that nobody changed, by the CACAO id.
        meanings: Our expression that each variable of the export stands for.
    """

    loaded: LoadedPlaybook
    whole: bool
    graph: StepGraph
    steps: Mapping[str, Carried]
    meanings: Mapping[str, str]


def step_digest(step: Mapping[str, JsonValue]) -> Digest:
    """A hash of what a step is by itself, without where it leads, its tags and its extensions."""
    told: dict[str, Any] = {name: value for name, value in step.items() if name not in _FLOW}
    told.pop("step_extensions", None)
    told.pop("external_references", None)
    if isinstance(told.get("commands"), list):
        told["commands"] = [
            {name: value for name, value in command.items() if name != "external_references"}
            for command in told["commands"]
            if isinstance(command, dict)
        ]
    cases = step.get("cases")
    told["cases"] = sorted(cases) if isinstance(cases, dict) else None
    return digest_of(told)


def native_digest(document: Mapping[str, JsonValue]) -> Digest:
    """A hash of what a playbook says in the words of CACAO, without its version, its tags and its extensions."""
    told: dict[str, Any] = {name: value for name, value in document.items() if name not in _ABOUT}
    workflow = told.get("workflow")
    if isinstance(workflow, dict):
        told["workflow"] = {
            step_id: [step_digest(step), {name: step.get(name) for name in _FLOW}]
            for step_id, step in workflow.items()
        }
    return digest_of(told)


def recover(
    playbook: CacaoPlaybook, document: Document, catalogue: Catalogue, find: Find | None
) -> tuple[Recovered | None, list[Diagnostic]]:
    """Find out whether a CACAO playbook is an export of ours, and what of it nobody changed.

    Args:
        find: Our playbooks by name, which its steps may call.

    Returns:
        What was recovered, None if it is no export of ours or cannot be read here; and warnings.
    """
    told = playbook.playbook_extensions.get(EXTENSION)
    if told is None:
        return None, []
    path = ("playbook_extensions", EXTENSION)
    source = told.get("source")
    if not isinstance(source, str):
        message = "the extension carries no playbook; the steps are read by themselves"
        return None, [document.diagnostic(path, "extension", message, severity="warning")]
    try:
        loaded = load_playbook(source, file=document.file)
        graph = compile_playbook(loaded, catalogue, find)
    except PlaybookError as error:
        message = f"the playbook in the extension cannot be used here: {error.diagnostics[0].message}"
        hint = "the steps are read by themselves"
        return None, [document.diagnostic((*path, "source"), "extension", message, hint, severity="warning")]
    again = export_playbook(loaded, catalogue, _as_then(playbook))
    native = dump(playbook)
    if native_digest(again.document) == native_digest(native):
        return Recovered(loaded, True, graph, {}, {}), []
    steps = _unchanged(again, native, graph)
    message = f"it was exported here and edited since; {len(steps)} of its steps are as they were"
    findings = [document.diagnostic(("workflow",), "edited", message, key=True, severity="warning")]
    return Recovered(loaded, False, graph, steps, again.meanings), findings


def _as_then(playbook: CacaoPlaybook) -> ExportSettings:
    server = playbook.playbook_variables.get(SERVER)
    ports = [a.port for a in playbook.agent_definitions.values() if a.address == SERVER_ADDRESS]
    port = ports[0] if ports and ports[0] and _PORT.fullmatch(ports[0]) else "443"
    return ExportSettings(
        created_by=playbook.created_by,
        created=playbook.created,
        modified=playbook.modified,
        server=server.value[:2000] if server is not None and isinstance(server.value, str) else None,
        port=port,
    )


def _unchanged(again: Exported, native: JsonObject, graph: StepGraph) -> dict[str, Carried]:
    before, now = _steps(again.document), _steps(native)
    same = {
        step_id
        for step_id, old in before.items()
        if step_id in now and step_digest(old) == step_digest(now[step_id])
    }
    found: dict[str, Carried] = {}
    for step_id in same:
        origin, old = again.origins[step_id], before[step_id]
        node = graph.nodes.get(origin.step) if origin.step else None
        told: dict[str, Any] = {"phase": origin.phase}
        if origin.inner in same and _around(step_id, origin.inner, again, before, now, same):
            found[step_id] = Carried(inline=True, **told)
        elif origin.expression is not None:
            found[step_id] = Carried(expression=origin.expression, **told)
        elif node is not None:
            target = old.get("on_failure")
            found[step_id] = Carried(
                node=node,
                inner=_inside(graph, node) if old["type"] == "action" else {},
                on_failure=target if isinstance(target, str) else None,
                **told,
            )
    for step_id in same:
        if again.origins[step_id].serves in found:
            found[step_id] = Carried(nothing=True)
    read = _read_by({step_id: step for step_id, step in now.items() if step_id not in found}, native)
    for step_id, carried in found.items():
        told_out = now[step_id].get("out_args", [])
        out = told_out if isinstance(told_out, list) else []
        results = {
            v: again.meanings[v] for v in out if isinstance(v, str) and v in read and v in again.meanings
        }
        found[step_id] = replace(carried, results=results)
    return found


def _read_by(steps: Mapping[str, JsonObject], native: JsonObject) -> set[str]:
    """Every variable that some steps can read."""
    definitions = [native.get("agent_definitions"), native.get("target_definitions")]
    return set(_ANY_VARIABLE.findall(canonical_json([steps, definitions])))


def _steps(document: JsonObject) -> dict[str, JsonObject]:
    workflow = document["workflow"]
    assert isinstance(workflow, dict)
    return {step_id: step for step_id, step in workflow.items() if isinstance(step, dict)}


def _around(
    outer: str,
    inner: str,
    again: Exported,
    before: Mapping[str, JsonObject],
    now: Mapping[str, JsonObject],
    same: set[str],
) -> bool:
    """Whether a step and the condition or approval around it stand as they did, with nothing between them.

    The condition and the approval of one of our steps are steps of their own in CACAO. They become part of the one step
    again only if nobody put anything between.
    """
    here = str(before[outer].get("on_true", ""))
    if _led(now[outer], but="on_completion") != _led(before[outer], but="on_completion"):
        return False
    while here != inner:
        # The approval, and the question before it, stand between a condition and its step.
        if here not in same or _led(now[here]) != _led(before[here]):
            return False
        serves = again.origins[here].serves
        here = serves or str(before[here].get("on_true", ""))
        if not here:
            return False
    return _led(now[inner]) == _led(before[inner])


def _led(step: JsonObject, but: str = "") -> JsonObject:
    return {name: step.get(name) for name in _FLOW if name != but}


def _inside(graph: StepGraph, node: Node) -> dict[str, Node]:
    return {inner.id: inner for entry in bodies(node) for inner in walk(graph, entry)}
