"""Whether a planned change may be made: policy first, then people where policy asks them."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from temporalio import workflow

from soar.engine.activities import StepFailure
from soar.engine.messages import PolicyInForce, ReserveRequest
from soar.engine.run import Run, forbidden
from soar.engine.scope import Scope
from soar.model.change import ErrorInfo, Plan
from soar.model.events import ApprovalClosed, ApprovalOpened, ApprovalReminded, PolicyDecided, StepDenied
from soar.model.people import Approval, ApprovalStatus
from soar.playbook.builtins import UNDO
from soar.playbook.graph import ActionNode, AskNode
from soar.playbook.policy import ApprovalTimes, PolicyDecision
from soar.playbook.steps import ApprovalRule

__all__ = ["Gate"]


class Gate:
    """Every change passes here between its plan and its application, and every question of a playbook's own."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._budgets = False

    async def permitted(
        self,
        node: ActionNode,
        plan: Plan,
        scope: Scope,
        found: PolicyInForce | None = None,
        supersedes: str = "",
        drift: tuple[str, ...] = (),
    ) -> str | None:
        """Ask policy, and people where policy says so.

        Args:
            found: The policy as it was when the plan was made, just now; None: it is asked for.
            supersedes: The approval of an earlier plan, whose votes are void.
            drift: What changed since that plan.

        Returns:
            The approval's id, "" where none was needed, None where people said no (which is then on record).

        Raises:
            StepFailure: Policy forbids it, or nobody decided in time.
            Stopped, LeftOut: The wait for people was ended.
        """
        run = self._run
        approval = self._open_before(node.id, plan)
        if approval is None:
            async with run.busy():
                found = found or await run.in_force()
                decision = run.decide(found, plan=plan, node=node)
                self._record_policy(node, decision, found)
                if decision.outcome == "automatic":
                    return ""
                excluded = run.implicated(found.policy)
                approval = self._open_approval(node, plan, decision, excluded, supersedes, drift)
        await self._decided(approval, node.id, scope)
        if approval.status is ApprovalStatus.APPROVED:
            return approval.id
        if approval.status is ApprovalStatus.EXPIRED:
            raise StepFailure(_EXPIRED)
        vote = approval.votes[-1]
        run.journal.record(
            StepDenied(step_id=node.id, approval_id=approval.id, reason=vote.reason),
            f"Denied by {vote.name}: {node.name}",
            phase=node.phase,
        )
        return None

    def place(self, node: ActionNode, plan: Plan, *, aged: bool) -> ReserveRequest | None:
        """The place in the policy's budgets that a permitted change takes; with it, a halt since then is seen.

        Args:
            aged: Time has passed since policy decided: people were asked, or it had come along ahead.
        """
        if node.action == UNDO or not (aged or self._budgets) or self._run.start.engine < 2:
            return None
        return self._run.place_for(node, plan)

    async def look(self, node: ActionNode, plan: Plan) -> PolicyDecision:
        """Say what policy says, record it, and ask nobody.

        Raises:
            StepFailure: Policy forbids it.
        """
        found = await self._run.in_force()
        decision = self._run.decide(found, plan=plan, node=node)
        self._record_policy(node, decision, found)
        return decision

    async def answer(self, node: AskNode, plan: Plan, scope: Scope) -> Approval:
        """Ask people a question of the playbook's own.

        Returns:
            The approval, approved or denied.

        Raises:
            StepFailure: Nobody answered in time.
            Stopped, LeftOut: The wait for people was ended.
        """
        run = self._run
        approval = self._open_before(node.id, plan)
        if approval is None:
            async with run.busy():
                found = await run.in_force()
                times = found.policy.approvals if found.policy else ApprovalTimes()
                decision = question(times, node.approval)
                approval = self._open_approval(node, plan, decision, run.implicated(found.policy), "", ())
        await self._decided(approval, node.id, scope)
        if approval.status is ApprovalStatus.EXPIRED:
            raise StepFailure(_EXPIRED)
        return approval

    def _open_before(self, step_id: str, plan: Plan) -> Approval | None:
        """The approval of this very plan that an earlier run opened and that is not used up; None: there is none."""
        digest = plan.digest(self._run.incident.playbook_digest)
        effect = self._run.incident.effects.get(step_id)
        used = effect.started_at if effect else None
        for approval in reversed(self._run.incident.approvals.values()):
            if approval.step_id == step_id and approval.plan_digest == digest:
                # After a failure people are asked anew: what they said was for that try.
                waits = approval.status is ApprovalStatus.PENDING or (
                    approval.status is ApprovalStatus.APPROVED
                    and self._run.incident.steps[step_id].error is None
                )
                return approval if waits and (used is None or approval.opened_at > used) else None
        return None

    def _record_policy(self, node: ActionNode, decision: PolicyDecision, found: PolicyInForce) -> None:
        self._budgets = bool(found.policy and found.policy.budgets)
        self._run.journal.record(
            PolicyDecided(
                step_id=node.id,
                outcome=decision.outcome,
                rule=decision.rule,
                policy_digest=found.policy.digest if found.policy else None,
            ),
            f"Policy: {decision.outcome} — {decision.rule}",
            phase=node.phase,
        )
        if decision.outcome == "forbidden":
            raise StepFailure(forbidden(decision.rule))

    def _open_approval(
        self,
        node: ActionNode | AskNode,
        plan: Plan,
        decision: PolicyDecision,
        excluded: dict[str, str],
        supersedes: str,
        drift: tuple[str, ...],
    ) -> Approval:
        now = workflow.now()
        approval_id = f"apr_{workflow.uuid4().hex}"
        remind = decision.remind_after
        self._run.journal.record(
            ApprovalOpened(
                approval_id=approval_id,
                step_id=node.id,
                plan_digest=plan.digest(self._run.incident.playbook_digest),
                needed=decision.needed,
                roles=decision.roles,
                why=decision.rule,
                excluded=excluded,
                expires_at=now + timedelta(seconds=decision.expires_after),
                remind_at=now + timedelta(seconds=remind) if remind else None,
                supersedes=supersedes,
                drift=drift,
            ),
            f"Approval asked: {plan.summary}",
            phase=node.phase,
        )
        return self._run.incident.approvals[approval_id]

    async def _decided(self, approval: Approval, step_id: str, scope: Scope) -> None:
        """Wait for people; remind them, and expire."""
        run, journal = self._run, self._run.journal
        while approval.status is ApprovalStatus.PENDING:
            now = workflow.now()
            if (ended := run.interruption(scope, step_id)) is not None:
                journal.record(
                    ApprovalClosed(
                        approval_id=approval.id, outcome=ApprovalStatus.CANCELLED, reason=str(ended)
                    ),
                    f"Approval withdrawn: {ended}",
                )
                raise ended
            if now >= approval.expires_at:
                journal.record(
                    ApprovalClosed(approval_id=approval.id, outcome=ApprovalStatus.EXPIRED),
                    f"Approval expired: {approval.plan.summary}",
                )
                return
            if approval.remind_at is not None and now >= approval.remind_at:
                interval = (approval.remind_at - approval.opened_at) / (approval.reminders + 1)
                journal.record(
                    ApprovalReminded(approval_id=approval.id, remind_at=now + interval),
                    f"Still undecided: {approval.plan.summary}",
                )
            ends = (approval.expires_at, approval.remind_at, scope.deadline)
            wake = min(t for t in ends if t is not None)
            with contextlib.suppress(TimeoutError):  # a reminder or an end is due
                await workflow.wait_condition(
                    lambda: (
                        approval.status is not ApprovalStatus.PENDING
                        or run.interruption(scope, step_id) is not None
                    ),
                    timeout=wake - now,
                )


_EXPIRED = ErrorInfo(
    type="Expired",
    message="nobody who may decide did so in time; nothing was changed",
    hint="retry to ask again, or skip the step",
)


def question(times: ApprovalTimes, rule: ApprovalRule) -> PolicyDecision:
    """How a playbook's own question is asked: of the role that it names, for no longer than policy allows."""
    reminders = [t for t in (times.remind, rule.remind) if t is not None]
    return PolicyDecision(
        outcome="approval",
        needed=rule.approvers,
        roles=(rule.role,) if rule.role else (),
        rule="the playbook asks",
        expires_after=min(times.expires, rule.expires or times.expires),
        remind_after=min(reminders, default=None),
    )
