"""`soar incident …`: what people tell a running incident."""

from __future__ import annotations

from typing import Annotated

import typer

from soar.cli.api import Api, at
from soar.cli.exit_codes import ExitCode
from soar.cli.incident import Id, Json, Reason, Yes, app
from soar.cli.output import fail, line, say, show_json, table

__all__ = ["app"]

Step = Annotated[str, typer.Argument(metavar="STEP", help="The step, `isolate`; in a loop, `isolate[3]`.")]


def _tell(incident_id: str, *path: str, **body: object) -> None:
    say(Api().post(at("incidents", incident_id, *path), body)["message"])


@app.command()
def pause(incident_id: Id, reason: Reason = "") -> None:
    """Let nothing new begin; what has begun comes to its end, and questions stay open.

    Example: soar incident pause INC-7K3F9QXA --reason "wait for the owner"
    """
    _tell(incident_id, "pause", reason=reason)


@app.command()
def resume(incident_id: Id, reason: Reason = "") -> None:
    """Go on after a pause.

    Example: soar incident resume INC-7K3F9QXA
    """
    _tell(incident_id, "resume", reason=reason)


@app.command()
def cancel(incident_id: Id, reason: Reason = "", yes: Yes = False) -> None:
    """End an incident early; what has begun is brought to its end and recorded.

    A second time, while changes are put back because of the first: leave them as they are.

    Example: soar incident cancel INC-7K3F9QXA --reason "false alarm"
    """
    if not yes and not typer.confirm(f"end {incident_id} now?", err=True):
        fail("nothing was changed")
    _tell(incident_id, "cancel", reason=reason)


@app.command("retry-step")
def retry_step(incident_id: Id, step: Step, reason: Reason = "") -> None:
    """Try a failed step again.

    Example: soar incident retry-step INC-7K3F9QXA isolate
    """
    _tell(incident_id, "steps", step, "retry", reason=reason)


@app.command("skip-step")
def skip_step(incident_id: Id, step: Step, reason: Reason = "") -> None:
    """Leave a step out: one that failed, one that waits, or one that is not reached yet.

    Example: soar incident skip-step INC-7K3F9QXA isolate --reason "done by hand"
    """
    _tell(incident_id, "steps", step, "skip", reason=reason)


@app.command("set-severity")
def set_severity(
    incident_id: Id,
    severity: Annotated[str, typer.Argument(help="informational, low, medium, high, critical or fatal.")],
    reason: Reason = "",
) -> None:
    """Set the severity; alerts and rules leave it alone from then on.

    Example: soar incident set-severity INC-7K3F9QXA critical --reason "customer data"
    """
    _tell(incident_id, "severity", severity=severity, reason=reason)


@app.command()
def assign(
    incident_id: Id,
    responder: Annotated[
        str, typer.Argument(metavar="[RESPONDER]", help="A responder's id; none: nobody.")
    ] = "",
    reason: Reason = "",
) -> None:
    """Put somebody in charge.

    Example: soar incident assign INC-7K3F9QXA alice
    """
    _tell(incident_id, "assignee", responder=responder or None, reason=reason)


@app.command()
def extend(
    incident_id: Id,
    step: Step,
    duration: Annotated[
        str, typer.Option("--for", help="From now on, `4h`; none: until somebody undoes it.")
    ] = "",
    reason: Reason = "",
) -> None:
    """Let a change that would be put back by itself stay for longer.

    Example: soar incident extend INC-7K3F9QXA isolate --for 1d --reason "still looking"
    """
    from soar.playbook.fields import parse_duration

    try:
        seconds = parse_duration(duration) if duration else None
    except ValueError as error:
        fail(f"--for {duration}: {error}", ExitCode.USAGE)
    _tell(incident_id, "steps", step, "extend", seconds=seconds, reason=reason)


@app.command()
def tasks(incident_id: Id, as_json: Json = False) -> None:
    """List the tasks that wait for somebody, and what they ask for.

    Example: soar incident tasks INC-7K3F9QXA
    """
    incident = Api().incident(incident_id)
    if as_json:
        return show_json([t.model_dump(mode="json") for t in incident.open_tasks])
    for task in incident.open_tasks:
        line("task", f"{task.step_id}: {task.name}", style="bold")
        line("do", task.instructions)
        line("who", " or ".join(task.roles))
        line("due", str(task.due_at or "no time given"))
        for name, field in task.form.items():
            options = f" ({', '.join(field.options)})" if field.options else ""
            line(
                "fill in",
                f"{name}: {field.label}, {field.type}{options}{'' if field.required else ', if known'}",
            )
    if not incident.open_tasks:
        say(f"{incident.id} has no open task")
    return None


@app.command("task-done")
def task_done(
    incident_id: Id,
    step: Step,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]…", help="What the form asks for.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Say that a task is done, with what its form asks for.

    Example: soar incident task-done INC-7K3F9QXA call_owner reached=yes remark="it was not her"
    """
    filled: dict[str, str] = {}
    for value in values or []:
        name, separator, text = value.partition("=")
        if not separator:
            fail(f"{value}: write NAME=VALUE", ExitCode.USAGE)
        filled[name] = text
    _tell(incident_id, "tasks", step, "done", values=filled, reason=reason)


@app.command()
def clocks(incident_id: Id, as_json: Json = False) -> None:
    """List an incident's deadlines.

    Example: soar incident clocks INC-7K3F9QXA
    """
    found = Api().incident(incident_id).clocks.values()
    if as_json:
        return show_json([c.model_dump(mode="json") for c in found])
    table(
        ["clock", "what", "due", "status"],
        [[c.name, c.label, f"{c.due_at:%Y-%m-%d %H:%M} UTC", c.status.value] for c in found],
    )
    return None


@app.command("clock-met")
def clock_met(incident_id: Id, clock: str, reason: Reason = "") -> None:
    """Say that what a deadline asks for was done.

    Example: soar incident clock-met INC-7K3F9QXA regulator --reason "case 4711"
    """
    _tell(incident_id, "clocks", clock, "met", reason=reason)


@app.command()
def upgrade(incident_id: Id, reason: Reason = "", yes: Yes = False) -> None:
    """Move an open incident to the version of its playbook that is in force.

    Only if what has been done is the same in it; the answer says what differs. Open questions are asked anew.

    Example: soar incident upgrade INC-7K3F9QXA --reason "the new version also covers roles"
    """
    if not yes and not typer.confirm(f"move {incident_id} to the playbook in force?", err=True):
        fail("nothing was changed")
    _tell(incident_id, "upgrade", reason=reason)
