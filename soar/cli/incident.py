"""`soar incident …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soar.cli.api import Api, at
from soar.cli.exit_codes import ExitCode
from soar.cli.output import clean, data, fail, line, say, show_json, table

if TYPE_CHECKING:
    from soar.model.incident import Incident, StepRecord
    from soar.model.people import Approval

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Look at incidents, and decide about them.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The incident, INC-…")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it goes on the timeline.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@app.command("list")
def list_incidents(
    status: Annotated[
        str, typer.Option(help="open, waiting, closed, closed_incomplete, cancelled or failed.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: Json = False,
) -> None:
    """List incidents, the latest first.

    Example: soar incident list --status waiting
    """
    found = Api().get("/incidents", status=status, limit=limit)
    if as_json:
        return show_json(found)
    table(
        ["incident", "severity", "status", "phase", "contained", "asks", "title"],
        [
            [
                i["id"],
                _severity(i["severity"]),
                i["status"],
                (i["phase"] or "").replace("_", " "),
                _when(i["contained_at"]) or "no",
                i["open_approvals"] or "",
                i["title"],
            ]
            for i in found
        ],
    )
    return None


@app.command()
def show(incident_id: Id, as_json: Json = False) -> None:
    """Show one incident: what waits for people first, then steps and changes.

    Example: soar incident show INC-7K3F9QXA
    """
    incident = Api().incident(incident_id)
    if as_json:
        return show_json(incident)
    line("incident", f"{incident.id}  {incident.title}", style="bold")
    line("status", incident.status.value + (f": {incident.closed_reason}" if incident.closed_reason else ""))
    line("severity", incident.severity.label)
    line("contained", _contained(incident))
    line("playbook", f"{incident.playbook} ({incident.playbook_digest[:12]})")
    line("account", f"{incident.account} {incident.region}")
    line("alerts", incident.alert_count)
    for approval in incident.open_approvals:
        data().print()
        _show_plan(approval)
    for step in incident.needing_attention:
        data().print()
        line("DECIDE", f"step {step.id}: {step.name}", style="bold")
        if step.error:
            line("error", f"{step.error.type}: {step.error.message}")
            line("permission", step.error.permission or "–")
            line("what to do", step.error.hint)
        line("commands", f"soar incident retry|skip|stop {incident.id} {step.id}")
    data().print()
    table(
        ["phase", "step", "status", "what came of it"],
        [[s.phase.label, s.id, s.status.value, _outcome(s)] for s in incident.steps.values()],
    )
    if incident.effects:
        data().print()
        table(
            ["change", "state", "seen"],
            [
                [e.plan.summary, e.status.value, e.verification.seen if e.verification else ""]
                for effect in incident.effects.values()
                for e in effect.layers
            ],
        )
    return None


def _contained(incident: Incident) -> str:
    from soar.model.change import EffectStatus

    if incident.contained_at is None:
        return "NOT verified"
    changes = [incident.effects[s] for s in incident.contains if s in incident.effects]
    back = sum(effect.status is EffectStatus.UNDONE for effect in changes)
    since = f"; {back} of its {len(changes)} changes put back since" if back else ""
    return f"verified {_when(str(incident.contained_at))}{since}"


def _outcome(step: StepRecord) -> str:
    if step.result is not None:
        return step.result.summary
    return step.reason or (f"{step.error.type}: {step.error.message}" if step.error else "")


@app.command()
def timeline(incident_id: Id, after: Annotated[int, typer.Option(min=0)] = 0, as_json: Json = False) -> None:
    """Show an incident's timeline, in UTC.

    Example: soar incident timeline INC-7K3F9QXA --after 20
    """
    api, entries = Api(), []
    while page := api.get(at("incidents", incident_id, "timeline"), after=after, limit=500):
        entries += page
        after = page[-1]["seq"]
    if as_json:
        return show_json(entries)
    table(
        ["#", "time", "by", "what"],
        [[e["seq"], e["time"][:19], e["actor"]["name"] or e["actor"]["id"], e["summary"]] for e in entries],
    )
    return None


@app.command()
def approve(
    incident_id: Id,
    approval_id: Annotated[
        str, typer.Argument(metavar="[APPROVAL]", help="Needed if several are open.")
    ] = "",
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Approve a plan, after looking at it.

    Example: soar incident approve INC-7K3F9QXA
    """
    _vote(incident_id, approval_id, "approve", reason, yes)


@app.command()
def deny(
    incident_id: Id,
    approval_id: Annotated[
        str, typer.Argument(metavar="[APPROVAL]", help="Needed if several are open.")
    ] = "",
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Deny a plan: nothing of it is done.

    Example: soar incident deny INC-7K3F9QXA --reason "a planned test"
    """
    _vote(incident_id, approval_id, "deny", reason, yes)


def _vote(incident_id: str, approval_id: str, decision: str, reason: str, yes: bool) -> None:
    api = Api()
    incident = api.incident(incident_id)
    approval = _chosen(incident, approval_id)
    _show_plan(approval)
    if not yes and not typer.confirm(f"{decision} this plan?", err=True):
        fail("nothing was decided")
    reply = api.post(
        at("incidents", incident.id, "approvals", approval.id, "votes"),
        {"decision": decision, "plan_digest_prefix": approval.plan_digest, "reason": reason},
    )
    say(reply["message"])


def _chosen(incident: Incident, approval_id: str) -> Approval:
    waiting = incident.open_approvals
    if approval_id:
        named = [a for a in waiting if a.id == approval_id]
        waiting = named or [a for a in waiting if a.id.startswith(approval_id)]
        if not waiting:
            fail(f"{incident.id} has no open approval {approval_id}", ExitCode.NOT_FOUND)
    if not waiting:
        fail(f"{incident.id} asks nobody at the moment", ExitCode.NOT_FOUND)
    if len(waiting) > 1:
        names = "\n".join(f"  {a.id}  {clean(a.plan.summary)}" for a in waiting)
        fit = f" that begin with {approval_id}" if approval_id else ""
        fail(f"{incident.id} has {len(waiting)} open approvals{fit}; name one:\n{names}", ExitCode.USAGE)
    return waiting[0]


def _show_plan(approval: Approval) -> None:
    plan = approval.plan
    line("APPROVE?", plan.summary, style="bold")
    line("approval", approval.id)
    line("plan", f"{approval.plan_digest[:12]} ({plan.action})")
    for target in plan.targets:
        line("target", f"{target.type} {target.name} {target.uid}")
    for change in plan.changes:
        line("change", f"{change.target} {change.field}: {clean(change.before)} → {clean(change.after)}")
    for fact in filter(None, (plan.blast_radius.summary, *plan.blast_radius.facts)):
        line("affects", fact)
    for warning in plan.warnings:
        line("warning", warning, style="yellow")
    for moved in approval.drift:
        line("changed", moved, style="yellow")
    line("undo", plan.undo or "cannot be undone")
    line("decided by", f"{approval.needed} of role {' or '.join(approval.roles) or 'nobody'}: {approval.why}")
    line("votes", ", ".join(f"{v.name}: {v.decision.value}" for v in approval.votes) or "none yet")
    line("expires", _when(str(approval.expires_at)))


@app.command()
def retry(incident_id: Id, step_id: str, reason: Reason = "") -> None:
    """Try a failed step again.

    Example: soar incident retry INC-7K3F9QXA isolate
    """
    _decide(incident_id, step_id, "retry", reason)


@app.command()
def skip(incident_id: Id, step_id: str, reason: Reason = "") -> None:
    """Leave a failed step out; the incident goes on, and is not complete.

    Example: soar incident skip INC-7K3F9QXA isolate --reason "done by hand"
    """
    _decide(incident_id, step_id, "skip", reason)


@app.command()
def stop(incident_id: Id, step_id: str, reason: Reason = "") -> None:
    """End the incident at a failed step; the report is written.

    Example: soar incident stop INC-7K3F9QXA isolate --reason "handled elsewhere"
    """
    _decide(incident_id, step_id, "stop", reason)


def _decide(incident_id: str, step_id: str, decision: str, reason: str) -> None:
    path = at("incidents", incident_id, "steps", step_id, "decisions")
    say(Api().post(path, {"decision": decision, "reason": reason})["message"])


@app.command()
def undo(
    incident_id: Id,
    step: Annotated[str, typer.Option(help="The changes of this step.")] = "",
    phase: Annotated[str, typer.Option(help="The changes of this phase, `containment`.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every change that is in place.")] = False,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Put changes back, newest first, to the states recorded before. It is planned and approved like any change.

    Example: soar incident undo INC-7K3F9QXA --step isolate --reason "false alarm"
    """
    from soar.model.terms import Phase

    if sum((bool(step), bool(phase), everything)) != 1:
        fail("say what to put back: --step STEP, --phase PHASE or --all", ExitCode.USAGE)
    phases = [p.value for p in Phase]
    if phase and phase not in phases:
        fail(f"there is no phase {phase!r}; there are {', '.join(phases)}", ExitCode.USAGE)
    api = Api()
    incident = api.incident(incident_id)
    mine = [
        e
        for e in incident.residual
        if everything or e.step_id == step or incident.steps[e.step_id].phase.value == phase
    ]
    if not mine:
        fail(f"nothing of ours is in place there in {incident.id}", ExitCode.NOT_FOUND)
    for effect in mine:
        line("put back", effect.plan.summary)
        line("how", effect.plan.undo or "cannot be undone")
    if not yes and not typer.confirm("put this back?", err=True):
        fail("nothing was changed")
    body: dict[str, object] = {"step_id": step or None, "phase": phase or None, "reason": reason}
    say(api.post(at("incidents", incident.id, "undo"), body)["message"])


@app.command()
def note(incident_id: Id, text: str) -> None:
    """Put words on the timeline.

    Example: soar incident note INC-7K3F9QXA "called the owner; it was not him"
    """
    say(Api().post(at("incidents", incident_id, "notes"), {"text": text})["message"])


@app.command()
def report(
    incident_id: Id,
    form: Annotated[str, typer.Option("--format", "-f", help="json, html or md.")] = "md",
    out: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
) -> None:
    """Get an incident's report as it was last written.

    Example: soar incident report INC-7K3F9QXA --format html --out report.html
    """
    content = Api().get_bytes(at("incidents", incident_id, "report"), format=form)
    if out is None:
        typer.echo(clean(content.decode("utf-8"), lines=True))
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}")
    say(f"written to {out}")


def _severity(value: int) -> str:
    from soar.model.terms import Severity

    return Severity(value).label


def _when(value: str | None) -> str:
    return value[:19].replace("T", " ") + " UTC" if value else ""
