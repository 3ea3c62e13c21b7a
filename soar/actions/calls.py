"""What travels between the engine and the activities of an action."""

from __future__ import annotations

from soar.model.base import Fact, JsonObject
from soar.model.change import Plan, Result

__all__ = ["ActionCall", "ApplyCall", "UndoCall", "UndoReply"]


class ActionCall(Fact):
    """Run a read, or make a plan.

    Args:
        params: As the playbook gives them, rendered; the action validates them.
    """

    incident_id: str
    step_id: str
    account: str = ""
    region: str = ""
    params: JsonObject


class ApplyCall(Fact):
    """Apply or verify a plan."""

    incident_id: str
    step_id: str
    plan: Plan


class UndoCall(Fact):
    """Put a change back.

    Args:
        in_doubt: Applying it did not end well, so that only a part of it may be in place: the check that the
            whole effect is still there is left out.
    """

    incident_id: str
    step_id: str
    plan: Plan
    in_doubt: bool = False


class UndoReply(Fact):
    """What undoing did.

    Args:
        restored: A new plan found the very state that was recorded before the change.
        seen: What it found, in words.
    """

    result: Result
    restored: bool
    seen: str
