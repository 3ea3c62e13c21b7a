"""What is done for the commands of CACAO steps, and what an organisation says about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import Field

from soar.model.base import Fact, JsonObject
from soar.playbook.cacao.document import Variable
from soar.playbook.document import Path
from soar.playbook.fields import RoleName
from soar.playbook.steps import FormField

__all__ = ["CacaoSettings", "Refuse", "Work", "field_name", "form_field"]


class CacaoSettings(Fact):
    """What an organisation says about playbooks that come from elsewhere.

    Args:
        shell: Whether `ssh` and `bash` commands may be imported at all.
        manual_role: Who does what is `manual`.
        roles: Who does it instead, by the name or the id of the agent.
        max_rounds: How often the body of a while loop runs at most; it fails then.
    """

    shell: bool = False
    manual_role: RoleName = "responder"
    roles: dict[str, RoleName] = {}
    max_rounds: int = Field(default=100, ge=1, le=1000)


@dataclass(frozen=True)
class Work:
    """One thing that is done for a command.

    Args:
        action: The action; empty: a person does it.
        params: Its arguments, templates.
        owner: Who does it, if a person does.
        form: What comes back from that person.
        results: Which field of the step's result each variable gets, as the path below `result`.
    """

    action: str = ""
    params: JsonObject = field(default_factory=dict)
    owner: str = ""
    instructions: str = ""
    form: dict[str, FormField] = field(default_factory=dict)
    results: dict[str, tuple[str, ...]] = field(default_factory=dict)


Refuse = Callable[[Path, str, str, str], None]
"""Notes why a part of the playbook cannot be imported: where, the rule, the message, the hint."""


def field_name(variable: str, taken: Mapping[str, object]) -> str:
    """What a variable is called in a form."""
    name = re.sub(r"[^a-z0-9_]+", "_", variable.strip("_").lower()).strip("_")[:60] or "value"
    name = name if name[0].isalpha() else f"v{name}"
    return name if name not in taken else f"{name[:56]}_{len(taken) + 1}"


def form_field(name: str, variable: Variable) -> FormField:
    """What a person fills in for a variable."""
    kinds: dict[str, FormField] = {
        "integer": FormField(type="number"),
        "long": FormField(type="number"),
        "float": FormField(type="number"),
        "bool": FormField(type="boolean"),
        "boolean": FormField(type="boolean"),
    }
    label = (variable.description or name.strip("_").replace("_", " "))[:200]
    return kinds.get(variable.type, FormField()).model_copy(update={"label": label})
