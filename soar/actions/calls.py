"""What travels between the engine and the activities of an action."""

from __future__ import annotations

from typing import Protocol

from soar.model.base import Fact, JsonObject
from soar.model.change import ErrorInfo, Plan, Result, Verification

__all__ = [
    "TOGETHER",
    "ActionCall",
    "ApplyCall",
    "Committed",
    "NamedCall",
    "Outcome",
    "PolicyDesk",
    "Proposal",
    "UndoCall",
    "UndoReply",
]

TOGETHER = "together"
"""The activity that does several reads, or plans, of one task queue at once."""


class PolicyDesk(Protocol):
    """The organisation's policy, for a worker that reaches it.

    A worker of its own for one cloud reaches no database, and has none; the engine then asks by activities of its own.
    What is asked and answered is the engine's: actions hand it on and do not see it.
    """

    async def in_force(self) -> JsonObject:
        """The policy, the halt and what was spent, as they are now."""
        ...

    async def reserve(self, request: JsonObject) -> str:
        """Take a place in the budgets; returns why there is none, or nothing."""
        ...


class ActionCall(Fact):
    """Run a read, or make a plan.

    Args:
        params: As the playbook gives them, rendered; the action validates them.
        decide: With a plan, also tell the policy in force, if the worker reaches it: the answer is a `Proposal`.
    """

    incident_id: str
    step_id: str
    account: str = ""
    region: str = ""
    params: JsonObject
    decide: bool = False


class Proposal(Fact):
    """A plan, and by which policy it is decided on.

    Args:
        in_force: Of the engine; None: the worker does not reach it.
    """

    plan: Plan
    in_force: JsonObject | None = None


class NamedCall(Fact):
    """One of several reads that are done at once.

    Args:
        activity: The read's own activity, or that of a change's plan.
        patience: Seconds that it waits for slower ones once the first has ended; None: as long as it takes.
    """

    activity: str
    call: ActionCall
    patience: float | None = None


class Outcome(Fact):
    """What became of one of several reads.

    Args:
        result: What it found; None: nothing.
        proposal: What it planned, where it was a plan.
        error: Why there is neither; None too: it is too large to travel with the others, or took too long for them.
        again: Trying again may help.
        after: Seconds that the service asks to wait before that.
    """

    result: Result | None = None
    proposal: Proposal | None = None
    error: ErrorInfo | None = None
    again: bool = False
    after: float = 0.0


class ApplyCall(Fact):
    """Apply or verify a plan.

    Args:
        look: Verify at once, for a few seconds; the answer is a `Committed`.
        reserve: The engine's request for a place in the budgets, to be taken before anything is changed.
    """

    incident_id: str
    step_id: str
    plan: Plan
    look: bool = False
    reserve: JsonObject | None = None


class Committed(Fact):
    """A change that was applied, and looked at.

    Args:
        result: None: nothing was changed.
        verification: None: it was not yet seen to have taken effect; verify it.
        refused: Why there was no place in the budgets.
        unasked: The worker does not reach the budgets; take a place first.
    """

    result: Result | None = None
    verification: Verification | None = None
    refused: str = ""
    unasked: bool = False


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
