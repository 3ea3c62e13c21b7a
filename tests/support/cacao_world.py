"""CACAO playbooks for tests: small ones to change, written as JSON."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
_SPACE = UUID("0f6a9d39-4c8b-4d5e-9b7e-6f1f3ad0c2aa")


def ident(kind: str, name: str) -> str:
    """The id of a thing that tests call by a name."""
    return f"{kind}--{UUID(bytes=uuid5(_SPACE, name).bytes, version=4)}"


START, END = ident("start", "start"), ident("end", "end")
AGENT, TARGET = ident("http-api", "agent"), ident("http-api", "target")


def http_step(name: str, after: str = END, **more: Any) -> dict[str, Any]:
    """An action step with one HTTP command."""
    return {
        "type": "action",
        "name": name,
        "commands": [{"type": "http-api", "command": f"POST /{name} HTTP/1.1"}],
        "agent": AGENT,
        "on_completion": after,
        **more,
    }


def playbook(steps: dict[str, dict[str, Any]] | None = None, first: str = "", **more: Any) -> dict[str, Any]:
    """A playbook: start, the steps given (or one HTTP action), end."""
    only = ident("action", "only")
    steps = {only: http_step("only")} if steps is None else steps
    made = {
        "type": "playbook",
        "spec_version": "cacao-2.0",
        "id": ident("playbook", "playbook"),
        "name": "Isolate a host",
        "created_by": ident("identity", "creator"),
        "created": "2026-01-31T12:00:00.000Z",
        "modified": "2026-02-01T12:00:00.000Z",
        "workflow_start": START,
        "workflow": {
            START: {"type": "start", "on_completion": first or next(iter(steps), END)},
            **steps,
            END: {"type": "end"},
        },
        "agent_definitions": {
            AGENT: {"type": "http-api", "name": "edr", "address": {"url": ["https://edr.example/api"]}}
        },
        **more,
    }
    return copy.deepcopy(made)


def written(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=2)
