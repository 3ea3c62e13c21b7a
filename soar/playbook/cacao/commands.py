"""The commands of CACAO steps, as what our actions and people do. What cannot run is refused, never left out."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Final

from soar.model.base import JsonObject
from soar.model.spec import Catalogue
from soar.playbook.cacao.checks import START_LINE, argument_name, variables_of_step
from soar.playbook.cacao.document import (
    ActionStep,
    AgentTarget,
    CacaoPlaybook,
    Command,
    HttpCommand,
    Variable,
)
from soar.playbook.cacao.substitution import Names, json_template, literal, shell_template, text_template
from soar.playbook.cacao.work import CacaoSettings, Refuse, Work, field_name, form_field
from soar.playbook.document import Path
from soar.playbook.steps import FormField

__all__ = [
    "ACTIONS_PATH",
    "HTTP_READ",
    "HTTP_REQUEST",
    "SERVER",
    "SERVER_ADDRESS",
    "SHELL",
    "Commands",
]

HTTP_READ, HTTP_REQUEST, SHELL = "http.get", "http.request", "ssh.run"
"""The actions that commands become."""

SERVER: Final = "__soar_host__"
"""The variable for the host of this system. What is sent there is not sent, but done."""
SERVER_ADDRESS: Final[Mapping[str, tuple[str, ...]]] = {"dname": (f"{SERVER}:value",)}
"""The address of the agent that stands for this system. The published schemas take no variable in a URL."""
ACTIONS_PATH: Final = "/api/v1/actions/"

OPENC2_TYPE: Final = "application/openc2+json;version=1.0"
"""The media type of OpenC2 over HTTPS (OASIS OpenC2 HTTPS Transfer Specification 1.1)."""

_WHOLE_REPLY = "__soarca_http_api_result__"
"""The variable that the reply is put into by the executor that is met most."""

_OWN_RESULT = re.compile(r"__steps-[a-z0-9_]+-(.+)__")
_OTHERWISE = "make it a manual, an http-api or an openc2-http command, or a step of a person"
_BY_API = "call the service that does it with an http-api command, or make it a manual one"
_NOT_RUN: Final[Mapping[str, tuple[str, str]]] = {
    # A rule that is tried on nothing finds nothing, and that reads as if all were well.
    "sigma": ("whose rule is searched for in logs, and this system holds none", _BY_API),
    "yara": (
        "whose rule scans the files of a host, and this system has no agent there",
        "run the scanner there with an ssh command, or make it a manual one",
    ),
    "elastic": ("whose query is for a search engine that this system does not speak to", _BY_API),
    "kestrel": ("whose hunt needs data sources that this system does not have", _BY_API),
    "jupyter": ("which is a program, and this system executes none", _BY_API),
    "caldera-cmd": ("whose abilities need a Caldera server", _BY_API),
    "powershell": ("and this system speaks no remote PowerShell", _OTHERWISE),
}
"""Why commands of some types are refused, and what to do."""

_SECRET_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_CLIENT_HEADERS = frozenset({"host", "content-length", "connection", "transfer-encoding", "accept-encoding"})
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})


class Commands:
    """Turns the commands of action steps into work.

    Args:
        playbook: The playbook, checked.
        catalogue: The actions that exist.
        refuse: Notes what cannot run.
    """

    def __init__(
        self, playbook: CacaoPlaybook, catalogue: Catalogue, settings: CacaoSettings, refuse: Refuse
    ) -> None:
        self._playbook = playbook
        self._catalogue = catalogue
        self._settings = settings
        self._refuse = refuse
        self._people = {**playbook.target_definitions, **playbook.agent_definitions}

    def works(self, step_id: str, step: ActionStep, keys: Mapping[str, str]) -> list[Work]:
        """What is done for a step, in order: each command, on each target.

        Args:
            step_id: Its id.
            keys: What the variables are called under `vars`.
        """
        scope = variables_of_step(self._playbook, step)
        names = Names({name: variable.type for name, variable in scope.items()}, keys)
        found: list[Work] = []
        for index, command in enumerate(step.commands):
            path: Path = ("workflow", step_id, "commands", index)
            if command.type == "manual":
                found.append(self._manual(step, command, scope, names))
            elif isinstance(command, HttpCommand):
                found += self._http(step_id, step, command, names, path)
            elif command.type in ("ssh", "bash"):
                found += self._shell(step_id, step, command, names, path)
            else:
                why, hint = _NOT_RUN.get(command.type, ("which is no type that runs here", _OTHERWISE))
                message = f"{step_id}: a {command.type[:40]} command, {why}"
                self._refuse((*path, "type"), "command-not-run", message, hint)
        return found

    def _manual(
        self, step: ActionStep, command: Command, scope: Mapping[str, Variable], names: Names
    ) -> Work:
        text = command.command
        if text is None:
            text = base64.b64decode(command.command_b64 or "").decode("utf-8", "replace")
        form: dict[str, FormField] = {}
        results: dict[str, tuple[str, ...]] = {}
        for argument in step.out_args:
            name = argument_name(argument)
            key = field_name(name, form)
            form[key] = form_field(name, scope[name])
            results[name] = (key,)
        told = [text_template(text, names)]
        if command.description:
            told.append(text_template(command.description, names))
        if step.targets:
            described = ", ".join(self._people[t].name or t for t in step.targets)
            told.append(text_template(f"On: {described}", names))
        agent = self._people[step.agent]
        roles = self._settings.roles
        owner = roles.get(step.agent) or roles.get(agent.name or "") or self._settings.manual_role
        return Work(owner=owner, instructions="\n\n".join(told), form=form, results=results)

    def _available(self, action: str, step_id: str, path: Path) -> bool:
        if action in self._catalogue:
            return True
        message = f"{step_id}: this needs the action {action}, which this system does not have"
        self._refuse(path, "command-not-run", message, "install the worker that has it")
        return False

    def _http(
        self, step_id: str, step: ActionStep, command: HttpCommand, names: Names, path: Path
    ) -> Iterator[Work]:
        match = START_LINE.fullmatch((command.command or "").strip())
        assert match is not None  # checked before
        method, target = match[1], match[2]
        if self._people[step.agent].address == SERVER_ADDRESS and target.startswith(ACTIONS_PATH):
            yield from self._own(step_id, step, command, names, path, target.removeprefix(ACTIONS_PATH))
            return
        if method not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            message = f"{step_id}: {method} requests are not sent here"
            self._refuse(
                (*path, "command"), "command-not-run", message, "use GET, POST, PUT, PATCH or DELETE"
            )
            return
        action = HTTP_READ if method in ("GET", "HEAD") else HTTP_REQUEST
        if not self._available(action, step_id, path):
            return
        params: JsonObject = {"method": method}
        headers = self._headers(step_id, command, names, path)
        body = self._body(step_id, command, names, path)
        if body is None or headers is None:
            return
        if action == HTTP_READ and body:
            message = f"{step_id}: a {method} request carries no content"
            self._refuse((*path, "content"), "command-not-run", message, "use POST")
            return
        params.update(body)
        results = self._results(step, params)
        if command.type == "openc2-http" and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = OPENC2_TYPE
        if headers:
            params["headers"] = dict(headers)
        for place_id, place in self._places(step_id, step, target, path):
            auth = self._auth(step_id, place)
            if auth is None:
                continue
            base = self._base(step_id, place_id, place, names, path)
            if base is None:
                continue
            url = {"url": _joined(base, target, names)}
            yield Work(action=action, params={**params, **url, **auth}, results=results)

    def _own(
        self,
        step_id: str,
        step: ActionStep,
        command: HttpCommand,
        names: Names,
        path: Path,
        action: str,
    ) -> Iterator[Work]:
        """A request to this system to do one of its actions: the action itself."""
        if not self._available(action, step_id, path):
            return
        body = self._body(step_id, command, names, path)
        if body is None:
            return
        params = body.get("json", {})
        if not isinstance(params, dict):
            message = f"{step_id}: the arguments of {action} are not a JSON object"
            self._refuse((*path, "content"), "argument", message, "name each of them")
            return
        results = {}
        for name in map(argument_name, step.out_args):
            told = _OWN_RESULT.fullmatch(name)
            results[name] = tuple(told[1].split("-")) if told else (name.strip("_"),)
        yield Work(action=action, params=params, results=results)

    def _places(
        self, step_id: str, step: ActionStep, target: str, path: Path
    ) -> Iterator[tuple[str, AgentTarget]]:
        """Where the requests of a command go: to each target that is an HTTP service, or else to the agent."""
        targets = [(t, self._people[t]) for t in step.targets if self._people[t].type == "http-api"]
        if targets and len(targets) < len(step.targets):
            message = f"{step_id}: some of its targets are HTTP services and some are not"
            self._refuse(path, "targets", message, "split the step by the kind of its targets")
            return
        agent = self._people[step.agent]
        if targets:
            yield from targets
        elif agent.address or _is_absolute(target):
            yield step.agent, agent
        else:
            message = f"{step_id}: neither its agent nor its targets have the address of an HTTP service"
            self._refuse(path, "address", message, "give an http-api target with an address")

    def _base(self, step_id: str, place_id: str, place: AgentTarget, names: Names, path: Path) -> str | None:
        address = {
            kind: values for kind, values in place.address.items() if kind in ("url", "dname", "ipv4", "ipv6")
        }
        if not address:
            return ""
        kind = next(k for k in ("url", "dname", "ipv4", "ipv6") if k in address)
        if len(address[kind]) != 1:
            message = f"{step_id}: {place_id} has {len(address[kind])} addresses of the kind {kind}, and one is needed"
            self._refuse(path, "address", message, "make each address a target of its own")
            return None
        text = str(address[kind][0])
        if kind == "url":
            return text_template(text, names)
        host = text_template(text, names)
        if kind == "ipv6":
            host = f"[{host}]"
        port = place.port or "443"
        # The standard's default is plain HTTP. A command that acts is not sent in the clear unless the port says so.
        scheme = "http" if port == "80" else "https"
        return f"{scheme}://{host}" + ("" if port in ("80", "443") else f":{text_template(port, names)}")

    def _auth(self, step_id: str, place: AgentTarget) -> JsonObject | None:
        if place.authentication_info is None:
            return {}
        info = self._playbook.authentication_info_definitions[place.authentication_info]
        scheme = {"http-basic": "basic", "oauth2": "bearer"}.get(info.type)
        here: Path = ("authentication_info_definitions", place.authentication_info)
        if scheme is None:
            message = f"{step_id}: {info.type[:40]} cannot authenticate an HTTP request"
            self._refuse(here, "authentication", message, "use http-basic or oauth2")
            return None
        if not info.kms or info.kms_key_identifier is None:
            message = f"{step_id}: {place.authentication_info} is not kept in a key store"
            hint = "set kms to true and kms_key_identifier to the secret's name here; no secret stands in a playbook"
            self._refuse(here, "authentication", message, hint)
            return None
        if not _SECRET_NAME.fullmatch(info.kms_key_identifier):
            message = f"{step_id}: {info.kms_key_identifier[:60]!r} is no name of a secret here"
            self._refuse(
                here, "authentication", message, "begin with a small letter; go on with those, digits and _"
            )
            return None
        return {"auth": {"secret": info.kms_key_identifier, "scheme": scheme}}

    def _headers(self, step_id: str, command: HttpCommand, names: Names, path: Path) -> dict[str, str] | None:
        headers: dict[str, str] = {}
        for name, values in command.headers.items():
            here = (*path, "headers", name)
            if name.lower() in _SECRET_HEADERS:
                message = f"{step_id}: the header {name} would carry a secret"
                self._refuse(here, "header", message, "use authentication_info with a key store (kms)")
                return None
            if name.lower() in _CLIENT_HEADERS:
                message = f"{step_id}: the header {name[:40]} is written by whoever sends the request"
                self._refuse(here, "header", message, "remove it")
                return None
            headers[name] = text_template(", ".join(values), names)
        return headers

    def _body(self, step_id: str, command: HttpCommand, names: Names, path: Path) -> JsonObject | None:
        text = command.content
        if command.content_b64 is not None:
            try:
                text = base64.b64decode(command.content_b64).decode("utf-8")
            except UnicodeDecodeError:
                message = f"{step_id}: its content is not text in UTF-8"
                self._refuse((*path, "content_b64"), "command-not-run", message, "only text is sent here")
                return None
        if text is None:
            return {}
        value = json_template(text, names)
        kind = next((v[0] for n, v in command.headers.items() if n.lower() == "content-type" and v), "")
        if value is not None:
            # As a value, so that nothing in a variable ends a text of the JSON.
            return {"json": value}
        if command.type == "openc2-http" or "json" in kind.lower():
            message = f"{step_id}: its content is not JSON, or has a variable in the name of a field"
            self._refuse(path, "command-not-run", message, "correct the content")
            return None
        return {"body": text_template(text, names)}

    def _results(self, step: ActionStep, params: JsonObject) -> dict[str, tuple[str, ...]]:
        results: dict[str, tuple[str, ...]] = {}
        extract: JsonObject = {}
        for argument in step.out_args:
            name = argument_name(argument)
            if name == _WHOLE_REPLY:
                results[name] = ()
                continue
            plain = name.strip("_")
            extract[plain] = {"pointer": "/" + plain, "default": None}
            results[name] = ("extracted", plain)
        if extract:
            params["extract"] = extract
        return results

    def _shell(
        self, step_id: str, step: ActionStep, command: Command, names: Names, path: Path
    ) -> Iterator[Work]:
        if not self._settings.shell:
            message = f"{step_id}: a {command.type} command, and shell commands are not imported here"
            hint = (
                "set SOAR_CACAO_SHELL=true if they may be, and open the hosts in SOAR_SSH_HOSTS; "
                "or make it an http-api or a manual command"
            )
            self._refuse((*path, "type"), "shell", message, hint)
            return
        if not self._available(SHELL, step_id, path):
            return
        text = command.command
        if text is None:
            text = base64.b64decode(command.command_b64 or "").decode("utf-8", "replace")
        try:
            told = shell_template(text, names)
        except ValueError as error:
            self._refuse(
                path, "shell", f"{step_id}: {error}", "write the command so that each is a word of its own"
            )
            return
        results: dict[str, tuple[str, ...]] = {argument_name(a): ("stdout",) for a in step.out_args}
        for place_id in step.targets or (step.agent,):
            place = self._people[place_id]
            kind = next((k for k in ("dname", "ipv4", "ipv6") if k in place.address), "")
            if not kind or len(place.address[kind]) != 1:
                message = f"{step_id}: {place_id} has not exactly one address to connect to"
                self._refuse(path, "address", message, "give one dname, ipv4 or ipv6")
                continue
            params: JsonObject = {
                "host": text_template(str(place.address[kind][0]), names),
                "port": literal(place.port or "22"),
                "command": told,
            }
            if place.authentication_info is not None:
                info = self._playbook.authentication_info_definitions[place.authentication_info]
                if not info.kms or info.kms_key_identifier is None:
                    message = f"{step_id}: {place.authentication_info} is not kept in a key store"
                    here: Path = ("authentication_info_definitions", place.authentication_info)
                    self._refuse(here, "authentication", message, "set kms and kms_key_identifier")
                    continue
                params["secret"] = info.kms_key_identifier
            yield Work(action=SHELL, params=params, results=results)


def _is_absolute(target: str) -> bool:
    return target.startswith(("https://", "http://"))


def _joined(base: str, target: str, names: Names) -> str:
    if not base or _is_absolute(target):
        # A scheme and a host, or a variable that holds them: as they are written.
        return text_template(target, names)
    path = text_template(target, names, "url_part")
    return f"{base.rstrip('/')}/{path.lstrip('/')}"
