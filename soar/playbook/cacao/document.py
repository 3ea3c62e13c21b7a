"""CACAO 2.0 playbooks as types (OASIS CACAO Security Playbooks Version 2.0).

A property that the standard does not know is kept with the object that it stands in, and written again; so are
signatures, markings and extensions. What the types do not catch is in `soar.playbook.cacao.checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
)

from soar.model.base import JsonObject
from soar.playbook.cacao.json_text import parse_json
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.document import Document, validate

__all__ = [
    "EXECUTABLE_ADDRESSES",
    "ActionStep",
    "AgentTarget",
    "AuthenticationInfo",
    "CacaoObject",
    "CacaoPlaybook",
    "Command",
    "EndStep",
    "ExtensionDefinition",
    "ExternalReference",
    "HttpCommand",
    "Identifier",
    "IfStep",
    "ParallelStep",
    "PlaybookActionStep",
    "StartStep",
    "StepBase",
    "SwitchStep",
    "Timestamp",
    "Variable",
    "WhileStep",
    "WorkflowStep",
    "dump",
    "parse_timestamp",
    "pointers",
    "read_cacao",
]

_IDENTIFIER = re.compile(
    r"[a-z][a-z0-9-]*[a-z0-9]--[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
)


def _identifier(value: str) -> str:
    if not _IDENTIFIER.fullmatch(value):
        raise ValueError(f"{value[:80]!r} is no identifier; write type--uuid, the uuid in hexadecimal")
    return value


def parse_timestamp(text: str) -> datetime:
    """Read a timestamp of CACAO, an RFC 3339 time.

    Raises:
        ValueError: It is none.
    """
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})", text, re.ASCII):
        raise ValueError(f"{text[:40]!r} is no point in time; write 2026-01-31T12:00:00.000Z")
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no point in time: no such day or hour") from None


def _timestamp(value: str) -> str:
    parse_timestamp(value)
    return value


def _variable_value(value: JsonValue) -> JsonValue:
    if isinstance(value, (bool, int, float)):
        raise ValueError('a value is written as text, whatever its type: "5", "true"')
    return value


Identifier = Annotated[StrictStr, AfterValidator(_identifier)]
"""`type--uuid`."""

Timestamp = Annotated[StrictStr, AfterValidator(_timestamp)]
"""A point in time, kept as it is written, because signatures cover the text."""

_Score = Annotated[StrictInt, Field(ge=0, le=100)]
_Milliseconds = Annotated[StrictInt, Field(ge=0)]
_Names = tuple[StrictStr, ...]


class CacaoObject(BaseModel):
    """Any object of a CACAO playbook; what the type does not name is in `model_extra`."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class ExternalReference(CacaoObject):
    """Where something outside of the playbook is written. The standard wants a name, and many leave it out."""

    name: StrictStr | None = None
    description: StrictStr | None = None
    source: StrictStr | None = None
    url: StrictStr | None = None
    external_id: StrictStr | None = None
    reference_id: StrictStr | None = None


class Variable(CacaoObject):
    """A variable.

    Args:
        type: From an open vocabulary: `string`, `integer`, `ipv4-addr`, …
        value: Text, whatever the type; an object; or null, which is no value. Lists are met as well.
        constant: It is never changed.
        external: Its value comes from whoever starts the playbook.
    """

    type: StrictStr
    description: StrictStr | None = None
    value: Annotated[JsonValue, AfterValidator(_variable_value)] = None
    constant: StrictBool = False
    external: StrictBool = False


class Command(CacaoObject):
    """A command of any type; what only some have is None where it is not given."""

    type: StrictStr
    description: StrictStr | None = None
    version: StrictStr | None = None
    playbook_activity: StrictStr | None = None
    external_references: tuple[ExternalReference, ...] = ()
    command: StrictStr | None = None
    command_b64: StrictStr | None = None


class HttpCommand(Command):
    """`http-api` and `openc2-http`.

    Args:
        command: An HTTP start line, `POST /hosts/isolate HTTP/1.1`.
        headers: Each with its values.
    """

    type: Literal["http-api", "openc2-http"]
    headers: dict[str, tuple[StrictStr, ...]] = {}
    content: StrictStr | None = None
    content_b64: StrictStr | None = None


def _command_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "http-command" if kind in ("http-api", "openc2-http") else "other-command"


AnyCommand = Annotated[
    Annotated[HttpCommand, Tag("http-command")] | Annotated[Command, Tag("other-command")],
    Discriminator(_command_kind),
]


EXECUTABLE_ADDRESSES = ("dname", "ipv4", "ipv6", "l2mac", "vlan", "url")
"""The kinds of addresses that an agent or a target may have."""


class AgentTarget(CacaoObject):
    """Who executes commands, or on what they are executed: an agent or a target of any type.

    Args:
        address: Of `http-api`, `linux`, `ssh` and `net-address`: addresses by kind.
        port: A number, as text.
        authentication_info: The id of how to authenticate.
    """

    type: StrictStr
    name: StrictStr | None = None
    description: StrictStr | None = None
    agent_target_extensions: dict[str, Any] = {}
    address: dict[str, tuple[StrictStr | StrictInt, ...]] = {}
    port: StrictStr | None = None
    category: _Names = ()
    authentication_info: Identifier | None = None


class AuthenticationInfo(CacaoObject):
    """How to authenticate: `http-basic`, `oauth2`, `user-auth`. Secrets belong into a key store (`kms`).

    Args:
        kms: The secret is in the key store under `kms_key_identifier`.
        oauth_header: Of `oauth2`.
        token: Of `oauth2`; empty where a key store has it.
    """

    type: StrictStr
    name: StrictStr | None = None
    description: StrictStr | None = None
    kms: StrictBool = False
    kms_key_identifier: StrictStr | None = None
    oauth_header: StrictStr | None = None
    token: StrictStr | None = None
    authentication_info_extensions: dict[str, Any] = {}


class ExtensionDefinition(CacaoObject):
    """What the data under an extension's id mean."""

    type: Literal["extension-definition"]
    name: StrictStr
    created_by: Identifier
    # `schema` is a name that pydantic itself used to own.
    schema_: StrictStr = Field(alias="schema")
    version: StrictStr
    description: StrictStr | None = None
    external_references: tuple[ExternalReference, ...] = ()


class StepBase(CacaoObject):
    """What every step has.

    Args:
        delay: Milliseconds before it begins.
        timeout: Milliseconds after which it has failed.
    """

    type: StrictStr
    name: StrictStr | None = None
    description: StrictStr | None = None
    external_references: tuple[ExternalReference, ...] = ()
    delay: _Milliseconds | None = None
    timeout: _Milliseconds | None = None
    step_variables: dict[str, Variable] = {}
    owner: Identifier | None = None
    on_completion: Identifier | None = None
    on_success: Identifier | None = None
    on_failure: Identifier | None = None
    step_extensions: dict[str, JsonObject] = {}


class StartStep(StepBase):
    type: Literal["start"]


class EndStep(StepBase):
    type: Literal["end"]


class ActionStep(StepBase):
    """Commands that an agent executes on targets, one after the other."""

    type: Literal["action"]
    commands: Annotated[tuple[AnyCommand, ...], Field(min_length=1)]
    agent: Identifier
    targets: tuple[Identifier, ...] = ()
    in_args: _Names = ()
    out_args: _Names = ()


class PlaybookActionStep(StepBase):
    """Another playbook."""

    type: Literal["playbook-action"]
    playbook_id: Identifier
    playbook_version: Timestamp | None = None
    in_args: _Names = ()
    out_args: _Names = ()


class ParallelStep(StepBase):
    """Branches that run at the same time."""

    type: Literal["parallel"]
    next_steps: Annotated[tuple[Identifier, ...], Field(min_length=1)]


class IfStep(StepBase):
    type: Literal["if-condition"]
    condition: StrictStr
    on_true: Identifier
    on_false: Identifier | None = None


class WhileStep(StepBase):
    type: Literal["while-condition"]
    condition: StrictStr
    on_true: Identifier


class SwitchStep(StepBase):
    """One of several branches; the case `default` is taken where no other fits."""

    type: Literal["switch-condition"]
    switch: StrictStr
    cases: Annotated[dict[str, Identifier], Field(min_length=1)]


WorkflowStep = Annotated[
    StartStep | EndStep | ActionStep | PlaybookActionStep | ParallelStep | IfStep | WhileStep | SwitchStep,
    Field(discriminator="type"),
]


class CacaoPlaybook(CacaoObject):
    """A CACAO 2.0 playbook. Its version is `modified`."""

    type: Literal["playbook"]
    spec_version: Literal["cacao-2.0"]
    id: Identifier
    name: StrictStr
    description: StrictStr | None = None
    playbook_types: _Names = ()
    playbook_activities: _Names = ()
    playbook_processing_summary: dict[str, Any] | None = None
    created_by: Identifier
    created: Timestamp
    modified: Timestamp
    revoked: StrictBool = False
    valid_from: Timestamp | None = None
    valid_until: Timestamp | None = None
    derived_from: tuple[Identifier, ...] = ()
    related_to: tuple[Identifier, ...] = ()
    priority: _Score | None = None
    severity: _Score | None = None
    impact: _Score | None = None
    industry_sectors: _Names = ()
    labels: _Names = ()
    external_references: tuple[ExternalReference, ...] = ()
    markings: tuple[Identifier, ...] = ()
    playbook_variables: dict[str, Variable] = {}
    workflow_start: Identifier
    workflow_exception: Identifier | None = None
    workflow: Annotated[dict[Identifier, WorkflowStep], Field(min_length=1)]
    playbook_extensions: dict[str, JsonObject] = {}
    authentication_info_definitions: dict[Identifier, AuthenticationInfo] = {}
    agent_definitions: dict[Identifier, AgentTarget] = {}
    target_definitions: dict[Identifier, AgentTarget] = {}
    extension_definitions: dict[Identifier, ExtensionDefinition] = {}
    data_marking_definitions: dict[Identifier, JsonObject] = {}
    signatures: tuple[JsonObject, ...] = ()


def read_cacao(text: str, *, file: str) -> tuple[CacaoPlaybook, Document]:
    """Read a CACAO playbook. It is well-formed then; `soar.playbook.cacao.checks` tells whether it can be meant.

    Args:
        text: JSON.
        file: The name for messages.

    Returns:
        The playbook, and where everything in it stands.

    Raises:
        PlaybookError: It is no CACAO 2.0 playbook; each diagnostic has line and column.
    """
    document = parse_json(text, file=file)
    try:
        return validate(document, CacaoPlaybook), document
    except PlaybookError as error:
        # What is a tuple to the types is a list to whoever writes JSON.
        raise PlaybookError(
            d.model_copy(update={"message": d.message.replace("valid tuple", "valid list")})
            for d in error.diagnostics
        ) from None


def dump(thing: CacaoObject) -> JsonObject:
    """An object as JSON values, with exactly the properties that it was given, unknown ones included."""
    return thing.model_dump(mode="json", by_alias=True, exclude_unset=True)


def pointers(step: StepBase) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every step that a step points to, with the place of the pointer below it: its branches, then what follows."""
    match step:
        case ParallelStep():
            for index, target in enumerate(step.next_steps):
                yield ("next_steps", index), target
        case IfStep() | WhileStep():
            yield ("on_true",), step.on_true
            if isinstance(step, IfStep) and step.on_false is not None:
                yield ("on_false",), step.on_false
        case SwitchStep():
            for case, target in step.cases.items():
                yield ("cases", case), target
    for name in ("on_completion", "on_success", "on_failure"):
        target = getattr(step, name)
        if target is not None:
            yield (name,), target
