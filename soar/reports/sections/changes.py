"""What was changed, with what proof, until when, and whether it is still so."""

from __future__ import annotations

from soar.model.base import Digest, Fact, UtcTime
from soar.model.change import Change, EffectStatus, ErrorInfo, Target
from soar.model.terms import Phase

__all__ = ["EffectRow", "ExpiryRow", "Undo", "VerificationRow"]


class VerificationRow(Fact):
    """What the independent read showed."""

    verified: bool
    seen: str
    method: str
    milliseconds: int
    time: UtcTime
    seq: int


class Undo(Fact):
    """A change was put back, or was refused to be.

    Args:
        restored: A new plan found the state that was recorded before the change.
        expired: By itself, because the time of the change was over.
        within: The step that put it back, which says who asked for that.
    """

    done: bool
    restored: bool
    seen: str
    by: str
    expired: bool = False
    within: str = ""
    time: UtcTime
    seq: int
    error: ErrorInfo | None = None


class ExpiryRow(Fact):
    """It was decided when a change is put back by itself.

    Args:
        expires_at: Null: from then on it stays until somebody undoes it.
        by: The person who extended it or kept it; empty: the playbook, or the engine that could not put it back.
    """

    seq: int
    time: UtcTime
    expires_at: UtcTime | None
    by: str
    reason: str


class EffectRow(Fact):
    """A change that was begun: what, on what authority, with what proof, and whether it is still in place.

    Args:
        expires_at: When it is, or was, put back by itself, by the last word on that; null: it stays.
        expiry: Every word on that: the playbook's, and people's who extended it or kept it.
        kept_by: The person who decided that it stays until somebody undoes it; empty: nobody did.
    """

    number: int
    step_id: str
    step_name: str
    phase: Phase | None
    action: str
    summary: str
    account: str
    region: str
    targets: tuple[Target, ...]
    changes: tuple[Change, ...]
    plan_digest: Digest
    status: EffectStatus
    in_place: bool
    approved_by: tuple[str, ...]
    started_at: UtcTime
    started_seq: int
    applied_at: UtcTime | None
    applied_seq: int | None
    result: str
    verification: VerificationRow | None
    error: ErrorInfo | None
    expires_at: UtcTime | None
    expiry: tuple[ExpiryRow, ...]
    kept_by: str
    undo_described: str
    undo: Undo | None
