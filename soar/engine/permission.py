"""Whether a planned change may be made: policy first, then people where policy asks them."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow

from soar.engine.run import Run, StepFailure, Stopped
from soar.model.change import ErrorInfo, Plan
from soar.model.events import ApprovalClosed, ApprovalOpened, ApprovalReminded, PolicyDecided, StepDenied
from soar.model.people import Approval, ApprovalStatus
from soar.playbook.graph import ActionNode
from soar.playbook.policy import PolicyDecision, implicated

__all__ = ["Gate"]


class Gate:
    """Every change passes here between its plan and its application."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def permitted(
        self, node: ActionNode, plan: Plan, supersedes: str, drift: tuple[str, ...]
    ) -> str | None:
        """Ask policy, and people where policy says so.

        Returns:
            The approval's id, "" where none was needed, None where people said no (which is then on record).

        Raises:
            StepFailure: Policy forbids it, or nobody decided in time.
            Stopped: The incident was stopped while it waited.
        """
        run, journal = self._run, self._run.journal
        policy = await run.policy()
        decision = run.decide(policy, risk=node.spec.risk, phase=node.phase, plan=plan, node=node)
        journal.record(
            PolicyDecided(
                step_id=node.id,
                outcome=decision.outcome,
                rule=decision.rule,
                policy_digest=policy.digest if policy else None,
            ),
            f"Policy: {decision.outcome} — {decision.rule}",
            phase=node.phase,
        )
        if decision.outcome == "forbidden":
            raise StepFailure(
                ErrorInfo(
                    type="Refused",
                    message=f"policy forbids it: {decision.rule}",
                    hint="change the policy, or skip the step",
                )
            )
        if decision.outcome == "automatic":
            return ""
        excluded = implicated(policy, run.incident.alerts) if policy else {}
        approval = self._open_approval(node, plan, decision, excluded, supersedes, drift)
        await self._decided(approval)
        match approval.status:
            case ApprovalStatus.APPROVED:
                return approval.id
            case ApprovalStatus.DENIED:
                vote = approval.votes[-1]
                journal.record(
                    StepDenied(step_id=node.id, approval_id=approval.id, reason=vote.reason),
                    f"Denied by {vote.name}: {node.name}",
                    phase=node.phase,
                )
                return None
            case ApprovalStatus.EXPIRED:
                raise StepFailure(
                    ErrorInfo(
                        type="Expired",
                        message="nobody who may decide did so in time; nothing was changed",
                        hint="retry to ask again, or skip the step",
                    )
                )
        raise Stopped(run.stop_reason)

    def _open_approval(
        self,
        node: ActionNode,
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
                plan_digest=plan.digest(self._run.start.playbook_digest),
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

    async def _decided(self, approval: Approval) -> None:
        """Wait for people; remind them, and expire."""
        run, journal = self._run, self._run.journal
        while approval.status is ApprovalStatus.PENDING:
            now = workflow.now()
            if run.stop is not None:
                journal.record(
                    ApprovalClosed(
                        approval_id=approval.id, outcome=ApprovalStatus.CANCELLED, reason=run.stop_reason
                    ),
                    f"Approval withdrawn: {run.stop_reason}",
                )
                return
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
            wake = min(approval.expires_at, approval.remind_at or approval.expires_at)
            try:
                await workflow.wait_condition(
                    lambda: approval.status is not ApprovalStatus.PENDING or run.stop is not None,
                    timeout=wake - now,
                )
            except TimeoutError:
                continue  # a reminder or the expiry is due
