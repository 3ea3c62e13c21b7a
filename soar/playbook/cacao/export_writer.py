"""What an export to CACAO is written with: ids, steps, agents, variables, and the document around them."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

from pydantic import Field

from soar.model.base import Fact, JsonObject, canonical_json
from soar.model.spec import ActionSpec, Catalogue
from soar.model.terms import Phase
from soar.playbook.builtins import UNDO
from soar.playbook.cacao.commands import ACTIONS_PATH, HTTP_READ, HTTP_REQUEST, SERVER, SERVER_ADDRESS, SHELL
from soar.playbook.cacao.conditions import VARIABLE_USE
from soar.playbook.cacao.document import Identifier, Timestamp
from soar.playbook.cacao.native import Natives, ident_of
from soar.playbook.compiler import PlacedStep, placed_steps
from soar.playbook.expressions import is_template
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.steps import (
    ActionStep,
)

__all__ = ["EXTENSION", "NAMESPACE", "ExportSettings", "Exported", "Origin", "Writer"]

NAMESPACE: Final = UUID("6a1f2b0e-8c4d-5f3a-9b7e-2d41c0a8e5f6")
"""The namespace of every id that is made here."""
EXTENSION: Final = f"extension-definition--{uuid5(NAMESPACE, 'extension')}"
"""The id of our extension, the same in every export."""


Port = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}$")]
"""A port as CACAO has it, text."""


class ExportSettings(Fact):
    """What an export says of itself.

    Args:
        created_by: The STIX identity of the organisation.
        created: When the playbook was first made.
        modified: The version.
        server: The host of this system, where other systems may reach it.
        port: Its port there.
    """

    created_by: Identifier
    created: Timestamp
    modified: Timestamp
    server: str | None = Field(default=None, max_length=2000)
    port: Port = "443"


_SERVER_DESCRIPTION: Final = (
    f"The SOAR system that exported this. What is sent to {ACTIONS_PATH}NAME there says which of its actions is meant: "
    "it does the action when it imports this playbook, and has no such service for other systems, which have to put an "
    "action of their own here"
)


@dataclass(frozen=True)
class Origin:
    """What of ours a step of an export stands for. One that says nothing is what CACAO says.

    Args:
        step: The step's id as the compiled graph has it.
        expression: The expression that its condition or its switch stands for.
        inner: The step whose own condition or approval it is, by the CACAO id.
        serves: The step whose condition it only asks a person for, by the CACAO id.
    """

    step: str = ""
    expression: str | None = None
    inner: str = ""
    serves: str = ""
    phase: Phase | None = None


@dataclass(frozen=True)
class Exported:
    """An export.

    Args:
        document: The CACAO playbook, JSON values.
        origins: What each of its steps stands for, by its id.
        meanings: Our expression that each variable stands for, by its name.
    """

    document: JsonObject
    origins: Mapping[str, Origin] = field(default_factory=dict)
    meanings: Mapping[str, str] = field(default_factory=dict)


class Writer:
    """Writes one export.

    Args:
        loaded: A playbook that was written in YAML.
        catalogue: Every action, the engine's own included.
        settings: What the export says of itself.
    """

    def __init__(self, loaded: LoadedPlaybook, catalogue: Catalogue, settings: ExportSettings) -> None:
        self._loaded = loaded
        self._playbook = loaded.playbook
        self._catalogue = catalogue
        self._settings = settings
        self._natives = Natives(loaded.playbook)
        self._placed = {p.path: p for p in placed_steps(loaded)}
        self._workflow: dict[str, JsonObject] = {}
        self._origins: dict[str, Origin] = {}
        self._agents: dict[str, JsonObject] = {}
        self._auth: dict[str, JsonObject] = {}
        self._references: dict[str, JsonObject] = {}
        self._leaves: dict[str, str] = {}

    def _id(self, kind: str, key: str) -> str:
        return ident_of(NAMESPACE, kind, f"{self._playbook.name}/{key}")

    def _put(self, step_id: str, told: Mapping[str, Any], origin: Origin) -> str:
        step = {name: value for name, value in told.items() if value not in (None, (), [], {})}
        if origin.step:
            step["step_extensions"] = {EXTENSION: {"step": origin.step}}
            if step["type"] in ("action", "playbook-action"):
                self._leaves[origin.step] = step_id
        self._workflow[step_id] = step
        self._origins[step_id] = origin
        return step_id

    def _end(self, key: str) -> str:
        return self._put(self._id("end", key), {"type": "end"}, Origin())

    def _manual(
        self,
        placed: PlacedStep,
        key: str,
        text: str,
        role: str,
        after: str,
        out: Iterable[str],
        origin: Origin,
        **more: Any,
    ) -> str:
        return self._put(
            self._id("action", f"{placed.id}/{key}"),
            {
                "type": "action",
                "name": placed.step.name or placed.id,
                "commands": [{"type": "manual", "command": self._natives.text(text)}],
                "agent": self._group(role),
                "out_args": list(out),
                "on_completion": after,
                **more,
            },
            origin,
        )

    def _group(self, role: str) -> str:
        name = role or "responder"
        agent = self._id("group", f"role/{name}")
        self._agents[agent] = {"type": "group", "name": name}
        described = self._playbook.roles.get(name)
        if described:
            self._agents[agent]["description"] = described
        return agent

    def _server(self) -> str:
        agent = self._id("http-api", "server")
        self._natives.declare(SERVER, "string", self._settings.server, _SERVER_DESCRIPTION, external=True)
        address: JsonObject = {kind: list(values) for kind, values in SERVER_ADDRESS.items()}
        self._agents[agent] = {
            "type": "http-api",
            "name": "soar",
            "address": address,
            "port": self._settings.port,
        }
        return agent

    def _request(self, step: ActionStep) -> tuple[str, dict[str, Any]] | None:
        """The agent and the command of an HTTP request that any system can send; None: it is none."""
        params = step.params
        url, auth = params.get("url"), params.get("auth")
        host = _HOST.match(url) if isinstance(url, str) else None
        if step.do not in (HTTP_READ, HTTP_REQUEST) or host is None or not _PLAIN_REQUEST.issuperset(params):
            return None
        scheme = auth.get("scheme", "bearer") if isinstance(auth, dict) else None
        if auth is not None and (scheme not in _AUTH or not isinstance(auth, dict)):
            return None
        agent = self._id("http-api", f"{host[0]}/{canonical_json(auth)}")
        self._agents[agent] = {"type": "http-api", "name": host[1], **address_of(host[0])}
        if isinstance(auth, dict):
            kind = _AUTH[str(scheme)]
            info = self._id(kind, canonical_json(auth))
            told_auth: JsonObject = {"type": kind, "kms": True, "kms_key_identifier": str(auth.get("secret"))}
            # The published schemas want a token, and the standard wants it empty where a key store has it.
            self._auth[info] = told_auth | (_BEARER if kind == "oauth2" else {})
            self._agents[agent]["authentication_info"] = info
        method = params.get("method", "GET" if step.do == HTTP_READ else "POST")
        assert isinstance(url, str)
        command: dict[str, Any] = {
            "command": f"{method} {self._natives.text(url[host.end() :]) or '/'} HTTP/1.1"
        }
        headers = params.get("headers")
        told = (
            {n: [self._natives.text(str(v))] for n, v in headers.items()} if isinstance(headers, dict) else {}
        )
        if params.get("json") is not None:
            command["content"] = self._natives.text(canonical_json(params["json"]))
            if not any(name.lower() == "content-type" for name in told):
                told["Content-Type"] = ["application/json"]
        elif isinstance(params.get("body"), str):
            command["content"] = self._natives.text(str(params["body"]))
        return agent, {**command, **({"headers": told} if told else {})}

    def _shell(self, step: ActionStep) -> tuple[str, dict[str, Any]] | None:
        """The agent and the command of a shell that any system can run; None: it is none.

        One with a variable is none: here each value is put in as one quoted word, and elsewhere nobody may quote it.
        """
        params = step.params
        host, text, port = params.get("host"), params.get("command"), params.get("port", 22)
        if step.do != SHELL or not _PLAIN_SHELL.issuperset(params) or not isinstance(port, int):
            return None
        if not isinstance(host, str) or not isinstance(text, str) or any(map(is_template, (host, text))):
            return None
        if VARIABLE_USE.search(text) or not text:
            return None
        secret = str(params.get("secret") or "")
        agent = self._id("ssh", f"{host}/{port}/{secret}")
        self._agents[agent] = {
            "type": "ssh",
            "name": host,
            "address": {_kind_of(host): [host]},
            "port": str(port),
        }
        if secret:
            info = self._id("user-auth", secret)
            self._auth[info] = {"type": "user-auth", "kms": True, "kms_key_identifier": secret}
            self._agents[agent]["authentication_info"] = info
        if _SIMPLE_LINE.fullmatch(text):
            return agent, {"type": "ssh", "command": text}
        return agent, {"type": "ssh", "command_b64": b64encode(text.encode()).decode()}

    def _undo(self, key: str, name: str, params: JsonObject, after: str) -> str:
        told = {
            "type": "action",
            "name": name,
            "commands": [
                {
                    "type": "http-api",
                    "command": f"POST {ACTIONS_PATH}{UNDO} HTTP/1.1",
                    "headers": {"Content-Type": ["application/json"]},
                    "content": canonical_json(params),
                }
            ],
            "agent": self._server(),
            "on_completion": after,
        }
        return self._put(self._id("action", key), told, Origin())

    def _tags(self, step: ActionStep, spec: ActionSpec | None) -> list[JsonObject]:
        found: list[JsonObject] = []
        if spec is not None and spec.react:
            found.append({"name": "RE&CT", "external_id": spec.react})
        if spec is not None and spec.d3fend:
            found.append({"name": "MITRE D3FEND", "external_id": spec.d3fend})
        if spec is not None and spec.openc2:
            found.append({"name": "OpenC2", "description": spec.openc2})
        found += [_attack(technique) for technique in step.technique or ()]
        self._references.update({canonical_json(reference): reference for reference in found})
        return found

    def _give_results(self) -> None:
        """Tell the steps whose results are read which variables they set."""
        for step_id, origin in self._origins.items():
            step = self._workflow[step_id]
            if origin.step and step["type"] in ("action", "playbook-action"):
                told = step.get("out_args", [])
                assert isinstance(told, list)
                more = [name for name in self._natives.results_of(origin.step) if name not in told]
                if more:
                    step["out_args"] = [*told, *more]

    def _document(self, start: str, exception: str | None) -> JsonObject:
        playbook, settings = self._playbook, self._settings
        for technique in playbook.metadata.techniques:
            reference = _attack(technique)
            self._references[canonical_json(reference)] = reference
        for text in playbook.metadata.references:
            reference = {"name": text[:200], "source": text}
            self._references[canonical_json(reference)] = reference
        told: dict[str, Any] = {
            "type": "playbook",
            "spec_version": "cacao-2.0",
            "id": ident_of(NAMESPACE, "playbook", playbook.name),
            "name": playbook.title or playbook.name,
            "description": playbook.description,
            "created_by": settings.created_by,
            "created": settings.created,
            "modified": settings.modified,
            "external_references": list(self._references.values()),
            "playbook_variables": self._natives.variables(),
            "workflow_start": start,
            "workflow_exception": exception,
            "workflow": dict(reversed(self._workflow.items())),
            "authentication_info_definitions": dict(sorted(self._auth.items())),
            "agent_definitions": dict(sorted(self._agents.items())),
            "extension_definitions": {
                EXTENSION: {
                    "type": "extension-definition",
                    "name": "soar playbook",
                    "description": "The playbook as it was written, and the step that each step stands for.",
                    "created_by": settings.created_by,
                    "schema": _SCHEMA,
                    "version": "1.0.0",
                }
            },
            "playbook_extensions": {
                EXTENSION: {
                    "name": playbook.name,
                    "digest": self._loaded.digest,
                    "source": self._loaded.text,
                }
            },
        }
        return {name: value for name, value in told.items() if value not in (None, "", [], {})}


_SCHEMA: Final = (
    "Of a playbook: name, its name; source, the YAML that it was written in; digest, the SHA-256 of what that says. "
    "Of a step: step, the id of the step in source that it stands for. A step that was changed is what CACAO says."
)

_HOST = re.compile(r"https?://([^/{}?#@\s]+)(?=/|$)")
_PLAIN_REQUEST = frozenset(
    {
        "method",
        "url",
        "headers",
        "json",
        "body",
        "auth",
        "extract",
        "accept",
        "timeout",
        "max_bytes",
        "keep_body",
    }
    | {"evidence", "redirects", "safe_to_repeat", "schema"}
)
_PLAIN_SHELL = frozenset({"host", "port", "command", "secret", "timeout"})
_SIMPLE_LINE = re.compile(r"[A-Za-z0-9 ._/:=@%+,-]+")
"""A command that the standard wants as it is; any other one in Base64."""
_AUTH: Final[Mapping[str, str]] = {"basic": "http-basic", "bearer": "oauth2"}
_BEARER: Final[JsonObject] = {"oauth_header": "Authorization: Bearer", "token": ""}


_URL_TO_SCHEMAS = re.compile(r"[-\w@:%.+~#=/()?]{2,256}\.[a-z]{2,6}\b", re.ASCII)


def address_of(url: str) -> JsonObject:
    """The address and port of a service, in a form that the published schemas of CACAO take wherever there is one.

    Their pattern of a URL refuses names such as `edr.internal` and `localhost`, and all numbers. A name or a number by
    itself says no scheme: it is https, but on port 80 http.

    Args:
        url: A scheme, a host and maybe a port.
    """
    parts = _PARTS.fullmatch(url)
    if _URL_TO_SCHEMAS.search(url) or parts is None:
        return {"address": {"url": [url]}}
    scheme, host, port = parts[1], parts[2], parts[3] or {"http": "80", "https": "443"}[parts[1]]
    if (scheme == "http") != (port == "80"):
        return {"address": {"url": [url]}}
    host = host.strip("[]")
    return {"address": {_kind_of(host): [host]}, "port": port}


def _kind_of(host: str) -> str:
    try:
        return f"ipv{ip_address(host).version}"
    except ValueError:
        return "dname"


_PARTS = re.compile(r"(https?)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::([1-9][0-9]{0,4}))?")


def _attack(technique: str) -> JsonObject:
    url = "https://attack.mitre.org/techniques/" + technique.replace(".", "/")
    return {"name": "MITRE ATT&CK", "external_id": technique, "url": url}
