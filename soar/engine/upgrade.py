"""Moving an open incident to another version of its playbook."""

from __future__ import annotations

from soar.engine.answers import person_of
from soar.engine.messages import IncidentStart, UpgradeRequest
from soar.engine.run import Run
from soar.engine.scope import base_id
from soar.model.course import PlaybookUpgraded
from soar.model.events import ApprovalClosed
from soar.model.incident import Incident
from soar.model.people import ApprovalStatus
from soar.playbook.contains import contained_by
from soar.playbook.graph import Node, StepGraph, walk

__all__ = ["upgraded", "what_forbids"]

_PLACE = {"next", "name"}
"""What may differ of a step that was reached: what follows it, and what people call it."""


def what_forbids(before: StepGraph, after: StepGraph, incident: Incident) -> list[str]:
    """Why the incident cannot go on with another version; empty if it can.

    Every step that was reached must be in the new version as it was, inside the same loops and branches; and nothing
    new may stand where the incident has already been.

    Args:
        before: What runs.
        after: What would run.

    Returns:
        One sentence for each step that stands in the way.
    """
    reached = {base_id(step_id) for step_id in incident.steps} & set(before.nodes)
    reasons = [reason for step_id in sorted(reached) if (reason := _changed(step_id, before, after))]
    if reasons:
        return reasons
    for phase, entry in after.entries.items():
        order = [node.id for node in walk(after, entry)]
        last = max((order.index(i) for i in order if i in reached), default=-1)
        record = incident.phases.get(phase)
        if record is not None and record.ended_at is not None:
            last = len(order)
        for step_id in order[:last]:
            if step_id not in before.nodes:
                reasons.append(f'"{step_id}" is new and stands before what has been done already')
    for phase in incident.phases:
        if phase in before.entries and phase not in after.entries:
            reasons.append(f"the phase {phase.label} was begun and is no longer there")
    return reasons


def _changed(step_id: str, before: StepGraph, after: StepGraph) -> str:
    old, new = before.nodes[step_id], after.nodes.get(step_id)
    if new is None:
        return f'"{step_id}" was reached and is no longer there'
    if new.phase is not old.phase:
        return f'"{step_id}" was reached in {old.phase.label} and is now in {new.phase.label}'
    different = sorted(key for key, value in _content(old).items() if _content(new).get(key) != value)
    if new.kind != old.kind or different:
        return f'"{step_id}" was reached and is not the same: {", ".join(different) or new.kind}'
    return ""


def _content(node: Node) -> dict[str, object]:
    return node.model_dump(mode="json", exclude=_PLACE)


def upgraded(run: Run, request: UpgradeRequest, start: IncidentStart) -> IncidentStart:
    """Record that the incident goes on with another version.

    Args:
        start: What the next run would start with.

    Returns:
        The same, with the new version. Open questions are asked anew in it.
    """
    for approval in run.incident.open_approvals:
        # A vote is for a plan under one version of the playbook.
        run.journal.record(
            ApprovalClosed(
                approval_id=approval.id,
                outcome=ApprovalStatus.SUPERSEDED,
                reason="the playbook was upgraded; it is asked anew",
            ),
            f"Asked anew under the new version: {approval.plan.summary}",
        )
    because = f" — {request.reason}" if request.reason else ""
    run.journal.record(
        PlaybookUpgraded(
            before=start.playbook_digest,
            digest=request.playbook_digest,
            differences=request.differences,
            contains=contained_by(request.graph),
            reason=request.reason,
        ),
        f"{request.responder.name} moved the incident to another version of its playbook{because}",
        actor=person_of(request.responder),
    )
    return start.model_copy(
        update={
            "playbook_text": request.playbook_text,
            "playbook_digest": request.playbook_digest,
            "graph": request.graph,
        }
    )
