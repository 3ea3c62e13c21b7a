"""What the OASIS standard CACAO 2.0 wants of a playbook, and what its published JSON Schemas take, in our own words.

The importer has rules of its own and is milder than the standard, because others' playbooks are. This is the strict
reading, for what we write: every property is known, has its type and its bounds, and leads to something. Where the
published schemas refuse what the standard allows, this refuses it as well, since other systems check with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from json_rules import Rule, by_type, filled, flag, items, one_of, shaped, table, text, thing, whole

__all__ = ["faults", "taken_as_url"]

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
_ID = re.compile(rf"([a-z][a-z0-9-]+[a-z0-9])--({_UUID})")
_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)\.\d{3}Z"
)
_VARIABLE = re.compile(r"__[a-zA-Z][a-zA-Z0-9_-]{0,199}__")
_EXTENSION_KEY = re.compile(r"[a-z0-9_]{3,250}")
_URL = re.compile(r"[-a-zA-Z0-9@:%._+~#=/()?]{2,256}\.[a-z]{2,6}\b")


def taken_as_url(text: str) -> bool:
    """Whether the published schemas take an address as a URL: it has a dot with two to six small letters after it."""
    return _URL.search(text) is not None


def ident(*kinds: str) -> Rule:
    def check(value: Any) -> Iterator[str]:
        found = _ID.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            yield f"{value!r} is no identifier"
        elif kinds and found[1] not in kinds:
            yield f"{value} is none of {', '.join(kinds)}"

    return check


def as_base64(value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not re.fullmatch(
        r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", value
    ):
        yield "is no Base64"


def as_url(value: Any) -> Iterator[str]:
    if not isinstance(value, str) or not taken_as_url(value):
        yield f"{value!r} is no URL to the published schemas"


def as_value(value: Any) -> Iterator[str]:
    if value is not None:
        yield from text(value)


def reference(value: Any) -> Iterator[str]:
    parts = ("description", "source", "url", "external_id", "reference_id")
    yield from thing({"name": filled}, dict.fromkeys(parts, filled))(value)
    if isinstance(value, dict) and not any(part in value for part in parts):
        yield f"says nothing but a name; one of {', '.join(parts)} is needed"


REFERENCES = items(reference)
VARIABLES = table(
    shaped(_VARIABLE),
    thing({"type": filled}, {"description": text, "value": as_value, "constant": flag, "external": flag}),
)
EXTENSIONS = table(ident("extension-definition"), table(shaped(_EXTENSION_KEY), lambda _: iter(())), 1)
ARGUMENTS = items(shaped(_VARIABLE))
STEP_KINDS = (
    "start",
    "end",
    "action",
    "playbook-action",
    "parallel",
    "if-condition",
    "while-condition",
    "switch-condition",
)
step_id = ident(*STEP_KINDS)

_COMMAND = {
    "description": text,
    "version": text,
    "playbook_activity": text,
    "external_references": REFERENCES,
}
_HEADERS = table(filled, items(text))
COMMAND = by_type(
    {
        "manual": thing({"type": text}, {**_COMMAND, "command": filled, "command_b64": as_base64}),
        "ssh": thing({"type": text}, {**_COMMAND, "command": filled, "command_b64": as_base64}),
        "http-api": thing(
            {"type": text, "command": filled},
            {**_COMMAND, "headers": _HEADERS, "content": text, "content_b64": as_base64},
        ),
    }
)

_COMMON = {
    "name": filled,
    "description": filled,
    "external_references": REFERENCES,
    "delay": whole(1),
    "timeout": whole(0),
    "step_variables": VARIABLES,
    "owner": ident("identity"),
    "step_extensions": EXTENSIONS,
}
_NEXT = {**_COMMON, "on_completion": step_id, "on_success": step_id, "on_failure": step_id}
_ARGS = {"in_args": ARGUMENTS, "out_args": ARGUMENTS}
STEP = by_type(
    {
        "start": thing({"type": text, "on_completion": step_id}, _COMMON),
        "end": thing({"type": text}, _COMMON),
        "action": thing(
            {"type": text, "commands": items(COMMAND), "agent": ident()},
            {**_NEXT, **_ARGS, "targets": items(ident())},
        ),
        "playbook-action": thing(
            {"type": text, "playbook_id": ident("playbook")},
            {**_NEXT, **_ARGS, "playbook_version": shaped(_TIME)},
        ),
        "parallel": thing({"type": text, "next_steps": items(step_id, 2)}, _NEXT),
        "if-condition": thing(
            {"type": text, "condition": filled, "on_true": step_id}, {**_NEXT, "on_false": step_id}
        ),
        "while-condition": thing({"type": text, "condition": filled, "on_true": step_id}, _NEXT),
        "switch-condition": thing(
            {"type": text, "switch": filled, "cases": table(filled, step_id, 1)}, _NEXT
        ),
    }
)

_AGENT = {"type": text, "name": filled}
_ADDRESS = thing(
    {},
    {
        "url": items(as_url),
        "dname": items(filled),
        "ipv4": items(shaped(re.compile(r"\d{1,3}(\.\d{1,3}){3}"))),
        "ipv6": items(shaped(re.compile(r"[0-9a-fA-F:.]*:[0-9a-fA-F:.]*"))),
    },
)
AGENT = by_type(
    {
        "group": thing(_AGENT, {"description": filled}),
        "http-api": thing(
            {**_AGENT, "address": _ADDRESS},
            {
                "description": filled,
                "port": shaped(re.compile(r"[1-9]\d{0,4}")),
                "authentication_info": ident("http-basic", "oauth2"),
            },
        ),
        "ssh": thing(
            {**_AGENT, "address": _ADDRESS},
            {
                "description": filled,
                "port": shaped(re.compile(r"[1-9]\d{0,4}")),
                "authentication_info": ident("user-auth"),
            },
        ),
    }
)
_KEY_STORE = {"kms": flag, "kms_key_identifier": filled}
AUTHENTICATION = by_type(
    {
        "user-auth": thing({"type": text}, {**_KEY_STORE, "name": filled, "description": filled}),
        "http-basic": thing({"type": text}, {**_KEY_STORE, "name": filled, "description": filled}),
        # The schemas want a token even where the standard says that it is not populated: it is empty then.
        "oauth2": thing(
            {"type": text, "oauth_header": filled, "token": one_of("")},
            {**_KEY_STORE, "name": filled, "description": filled},
        ),
    }
)
DEFINITION = thing(
    {
        "type": one_of("extension-definition"),
        "name": filled,
        "created_by": ident("identity"),
        "schema": filled,
        "version": filled,
    },
    {"description": filled, "external_references": REFERENCES},
)
PLAYBOOK = thing(
    {
        "type": one_of("playbook"),
        "spec_version": one_of("cacao-2.0"),
        "id": ident("playbook"),
        "name": filled,
        "created_by": ident("identity"),
        "created": shaped(_TIME),
        "modified": shaped(_TIME),
        "workflow_start": ident("start"),
        "workflow": table(step_id, STEP, 3),
    },
    {
        "description": filled,
        "external_references": REFERENCES,
        "playbook_variables": VARIABLES,
        "workflow_exception": step_id,
        "playbook_extensions": EXTENSIONS,
        "authentication_info_definitions": table(
            ident("http-basic", "oauth2", "user-auth"), AUTHENTICATION, 1
        ),
        "agent_definitions": table(ident("group", "http-api", "ssh"), AGENT, 1),
        "extension_definitions": table(ident("extension-definition"), DEFINITION, 1),
    },
)
"""Only what our exports have: labels, signatures and the like would be a fault until they are added here."""


def faults(document: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with a playbook, each with its place; empty: the standard takes it."""
    return [*(f.lstrip(".") for f in PLAYBOOK(document)), *_of_the_whole(document)]


def _of_the_whole(document: Mapping[str, Any]) -> Iterator[str]:
    """What no property can be asked for by itself."""
    if document["modified"] < document["created"]:
        yield "modified is before created"
    parts = ("workflow", "agent_definitions", "authentication_info_definitions", "extension_definitions")
    every = [document["id"], *(name for part in parts for name in document.get(part, {}))]
    if len({name.partition("--")[2] for name in every}) < len(every):
        yield "two objects have one UUID"
    told_above = document.get("external_references", [])
    workflow = document["workflow"]
    for name, step in workflow.items():
        if name.partition("--")[0] != step["type"]:
            yield f"{name} is of the type {step['type']}"
        if UUID(name.partition("--")[2]).version != 4:
            yield f"{name} has no UUID of version 4"
        if "on_completion" in step and ("on_success" in step or "on_failure" in step):
            yield f"{name} has both on_completion and on_success or on_failure"
        if step["type"] != "end" and not {"on_completion", "on_success"} & step.keys():
            yield f"{name} leads nowhere"
        yield from (f"{name} leads to {to}, which is not there" for to in _led(step) if to not in workflow)
        if "agent" in step and step["agent"] not in document.get("agent_definitions", {}):
            yield f"{name} has an agent that is not there"
        cited = [r for c in (step, *step.get("commands", ())) for r in c.get("external_references", ())]
        yield from (f"{name} cites what the playbook does not: {r}" for r in cited if r not in told_above)
        for command in step.get("commands", ()):
            if command["type"] in ("manual", "ssh") and ("command" in command) == ("command_b64" in command):
                yield f"{name} has not exactly one of command and command_b64"
        known = {**document.get("playbook_variables", {}), **step.get("step_variables", {})}
        used = [*step.get("in_args", ()), *step.get("out_args", ())]
        yield from (f"{name} names {v}, which is no variable" for v in used if v not in known)
    for name, agent in document.get("agent_definitions", {}).items():
        info = agent.get("authentication_info")
        if info is not None and info not in document.get("authentication_info_definitions", {}):
            yield f"{name} authenticates with what is not there"
    for name in _extensions(document):
        if name not in document.get("extension_definitions", {}):
            yield f"{name} is used and not defined"
    reached = _reached(workflow, [document["workflow_start"], document.get("workflow_exception")])
    yield from (f"{name} is reached from nowhere" for name in workflow if name not in reached)
    yield from _shared_ends(workflow)


def _branches(step: Mapping[str, Any]) -> list[str]:
    single = [step[key] for key in ("on_true", "on_false") if key in step]
    return [*single, *step.get("next_steps", ()), *step.get("cases", {}).values()]


def _after(step: Mapping[str, Any]) -> list[str]:
    return [step[key] for key in ("on_completion", "on_success", "on_failure") if key in step]


def _led(step: Mapping[str, Any]) -> list[str]:
    return [*_branches(step), *_after(step)]


def _extensions(document: Mapping[str, Any]) -> Iterator[str]:
    yield from document.get("playbook_extensions", {})
    for step in document["workflow"].values():
        yield from step.get("step_extensions", {})


def _reached(workflow: Mapping[str, Any], starts: list[str | None]) -> set[str]:
    seen: set[str] = set()
    waiting = [name for name in starts if name in workflow]
    while waiting:
        name = waiting.pop()
        if name is not None and name not in seen:
            seen.add(name)
            waiting += [to for to in _led(workflow[name]) if to in workflow]
    return seen


def _ends(workflow: Mapping[str, Any], name: str) -> set[str]:
    """The ends that a branch comes to by itself, which are not those of the branches in it."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        here = waiting.pop()
        if here in workflow and here not in seen:
            seen.add(here)
            waiting += _after(workflow[here])
    return {here for here in seen if workflow[here]["type"] == "end"}


def _shared_ends(workflow: Mapping[str, Any]) -> Iterator[str]:
    """Branches that do not come to an end of their own: nobody could tell which of them is done."""
    owners: dict[str, str] = {}
    for name, step in workflow.items():
        for branch in _branches(step):
            ends = _ends(workflow, branch)
            if not ends:
                yield f"a branch of {name} comes to no end"
            for end in ends:
                if owners.setdefault(end, f"{name} by {branch}") != f"{name} by {branch}":
                    yield f"{end} ends a branch of {name} and one of {owners[end]}"
