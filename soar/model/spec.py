"""What is declared about an action, apart from its code.

The playbook language, the linter, the engine, the docs and the cards know actions only by this.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from soar.model.base import Fact, JsonObject
from soar.model.terms import Phase, Risk

__all__ = ["ActionSpec", "Catalogue"]


class ActionSpec(Fact):
    """The declaration of one action.

    Args:
        name: `aws.iam.deactivate_access_key`.
        title: The docstring's first line.
        doc: The docstring's rest: pre-condition, how it is verified, how it is undone, pitfalls.
        example: A step that uses it, in YAML; a test runs it through the linter.
        params: JSON Schema of `with`.
        result: JSON Schema of what `steps.<id>.result` holds.
        queue: The task queue, that is the credential boundary, that runs it.
        permissions: What the worker's principal needs, `iam:UpdateAccessKey`.
        d3fend: MITRE D3FEND technique, where one exists.
        react: RE&CT action id, where one exists.
        openc2: OpenC2 action and target, where they exist.
        plan_timeout: Seconds that one planning, reading or undoing attempt may take.
        apply_timeout: Seconds that one attempt to apply may take.
        verify_timeout: Seconds that verification polls at most.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$")
    title: str
    doc: str = ""
    example: str = ""
    risk: Risk
    phase: Phase
    queue: str
    params: JsonObject
    result: JsonObject
    permissions: tuple[str, ...] = ()
    d3fend: str = ""
    react: str = ""
    openc2: str = ""
    undoable: bool = False
    plan_timeout: float = 60
    apply_timeout: float = 120
    verify_timeout: float = 120


Catalogue = Mapping[str, ActionSpec]
"""Every action that exists, by name."""
