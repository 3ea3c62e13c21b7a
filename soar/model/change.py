"""Plans and effects: what an action would change, and what it did."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, JsonValue

from soar.model.base import Digest, Fact, JsonObject, State, UtcTime, digest_of

__all__ = [
    "BlastRadius",
    "Change",
    "Effect",
    "EffectStatus",
    "ErrorInfo",
    "EvidenceRef",
    "Plan",
    "Result",
    "Target",
    "Verification",
]


class EvidenceRef(Fact):
    """A piece of evidence in the vault.

    Args:
        name: A file name for people, `cloudtrail-events.json`.
        source: What was read to get it, `cloudtrail:LookupEvents`.
    """

    digest: Digest
    size: int = Field(ge=0, description="bytes")
    media_type: str
    name: str
    source: str = ""
    collected_at: UtcTime


class Target(Fact):
    """A thing that a plan touches; policy protects targets by `uid`, `name` and `tags`."""

    uid: str
    type: str
    name: str = ""
    account: str = ""
    region: str = ""
    tags: dict[str, str] = {}


class Change(Fact):
    """One difference that a plan makes: a field of a target, before and after."""

    target: str
    field: str
    before: JsonValue
    after: JsonValue


class BlastRadius(Fact):
    """Who and what else is hit. Not part of the digest: last-used times move by themselves.

    Args:
        group: The auto-scaling group that loses a member in service; empty: none does.
        group_share: Which part of its members in service that is; None: not known, or no group.

    Where no group loses anything, neither is written: entries of timelines that are older than both keep their hash
    when they are written again.
    """

    summary: str = ""
    facts: tuple[str, ...] = ()
    group: str = Field(default="", exclude_if=lambda value: not value)
    group_share: float | None = Field(default=None, ge=0, le=1, exclude_if=lambda value: value is None)


class Plan(Fact):
    """What an action would change, with the state before; made without changing anything.

    Args:
        summary: One sentence for the card: what will be done to what.
        changes: The exact difference. Empty: the target is already as wanted.
        state: All that undo needs, as the action's own state type writes it. Holds nothing that moves
            by itself, because it is part of the digest.
        undo: How the change is put back, in words; empty if it cannot be.
    """

    action: str
    params: JsonObject
    account: str = ""
    region: str = ""
    summary: str
    targets: tuple[Target, ...] = ()
    changes: tuple[Change, ...] = ()
    state: JsonObject = {}
    blast_radius: BlastRadius = BlastRadius()
    warnings: tuple[str, ...] = ()
    undo: str = ""

    @property
    def content_digest(self) -> Digest:
        """What the plan does to what from which state: equal digests are the same plan."""
        return digest_of(
            {
                "action": self.action,
                "params": self.params,
                "account": self.account,
                "region": self.region,
                "targets": [t.uid for t in self.targets],
                "changes": [c.model_dump(mode="json") for c in self.changes],
                "state": self.state,
            }
        )

    def differences(self, newer: Plan) -> tuple[str, ...]:
        """In words, what a newer plan for the same step has that this one had not, and the other way round."""

        def lines(plan: Plan) -> list[str]:
            changes = [f"{c.target} {c.field}: {c.before!r} → {c.after!r}" for c in plan.changes]
            return changes + [f"state {key}: {value!r}" for key, value in sorted(plan.state.items())]

        before, after = lines(self), lines(newer)
        gone = [f"no longer: {line}" for line in before if line not in after]
        come = [f"now: {line}" for line in after if line not in before]
        return tuple(line[:500] for line in gone + come)[:20]

    def digest(self, playbook_digest: Digest) -> Digest:
        """What an approval binds a person's vote to: this plan, under this playbook's version."""
        return digest_of([self.content_digest, playbook_digest])


class Result(Fact):
    """What applying or undoing a plan returned, or what a read-only action found."""

    summary: str
    data: JsonObject = {}
    evidence: tuple[EvidenceRef, ...] = ()


class Verification(Fact):
    """What an independent read showed after the change.

    Args:
        seen: What was seen, in words.
        method: The read that was made, `iam:ListAccessKeys`.
        seconds: How long it took until the effect was seen, or until the limit passed.
    """

    verified: bool
    seen: str
    method: str
    seconds: float = Field(default=0, ge=0)
    data: JsonObject = {}


class ErrorInfo(Fact):
    """An error as it travels from the service to the timeline.

    Args:
        type: `BadInput`, `PermissionMissing`, `Throttled`, `TargetGone`, `Refused`, `Drifted`, `Unavailable`,
            `BadReply`, `NotSent`, `InDoubt`, `TimedOut`, `NotVerified`,
            `Expired` or `Unexpected`.
        message: What happened, to what.
        hint: What to do now.
        permission: The permission that is missing, where that is the cause.
        nothing_done: Certainly nothing was changed before the error.
    """

    type: str
    message: str
    hint: str = ""
    permission: str = ""
    nothing_done: bool = False


class EffectStatus(StrEnum):
    """`applying` is on record before the first call is made: after a crash, it says what may have been done.

    `failed` means in doubt: a part of the change may be in place. `not_applied` means certainly nothing is.
    """

    APPLYING = "applying"
    APPLIED = "applied"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    FAILED = "failed"
    NOT_APPLIED = "not_applied"
    UNDONE = "undone"
    UNDO_REFUSED = "undo_refused"

    @property
    def in_place(self) -> bool:
        """Whether something that we changed may still be changed."""
        return self not in (EffectStatus.UNDONE, EffectStatus.NOT_APPLIED)


class Effect(State):
    """What an action did change, its verification, and how to undo it.

    Args:
        expires_at: When it is put back by itself; None: it stays.
        earlier: Changes that the same step had begun before this one, oldest first: the target drifted or a try
            failed half-way, and what was left was planned and approved anew. Undoing goes back through all of them.
    """

    step_id: str
    plan: Plan
    plan_digest: Digest
    status: EffectStatus
    started_at: UtcTime
    applied_at: UtcTime | None = None
    verified_at: UtcTime | None = None
    undone_at: UtcTime | None = None
    expires_at: UtcTime | None = None
    result: Result | None = None
    verification: Verification | None = None
    error: ErrorInfo | None = None
    earlier: list[Effect] = []

    @property
    def layers(self) -> list[Effect]:
        """This effect and the earlier ones, newest first: the order in which they are undone."""
        return [self, *reversed(self.earlier)]
