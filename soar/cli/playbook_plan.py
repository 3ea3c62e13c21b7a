"""`soar playbook plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, say, show_json, write

if TYPE_CHECKING:
    from soar.model.change import Plan
    from soar.rehearse.outcome import Asked, DryRun, DryStep
    from soar.rehearse.plan import PlanReport

__all__ = ["plan_playbook"]

_MARKS = {
    "done": " ",
    "change": "~",
    "unchanged": "=",
    "forbidden": "x",
    "waits": "?",
    "skipped": "-",
    "failed": "!",
    "unknown": "?",
    "not_reached": "-",
}
_LONGEST = 300
"""Characters of a value: a whole bucket policy would hide the rest. `--json` has all of it."""


def plan_playbook(
    playbook: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A playbook in force, or a file with one.")
    ],
    alert: Annotated[
        str,
        typer.Option(
            "--alert", metavar="FILE", help="The alert; - is standard input. Default: the scenario's finding."
        ),
    ] = "",
    source: Annotated[str, typer.Option(help="The source whose format the alert has.")] = "guardduty",
    on_aws: Annotated[
        bool,
        typer.Option("--aws", help="Read the real account, as a worker of the queue aws would. Only reads."),
    ] = False,
    scenario: Annotated[
        str, typer.Option(metavar="NAME", help="What was done to the simulated account before.")
    ] = "",
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another policy than the one in force.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Other values for inputs than those in force.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that it may really take.")] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a playbook would do about an alert: every change, before it is made, and whom it would ask.

    Everything is read for real; nothing is changed, and nobody is asked. Exit code 1 if a step fails or is forbidden.

    Example: soar playbook plan aws-s3-public-bucket --scenario public-bucket
    """
    from soar.cli.alert import alerts_in
    from soar.cli.dry_run import played, policy_in, subject_of
    from soar.rehearse.plan import plan_playbook as run
    from soar.runtime.settings import load_settings
    from soar.simulated.scenarios import SCENARIOS

    if on_aws and scenario:
        fail("give one of --aws and --scenario: nothing is done to a real account", ExitCode.USAGE)
    if scenario and scenario not in SCENARIOS:
        fail(f"there is no scenario {scenario}; there are: {', '.join(SCENARIOS)}", ExitCode.USAGE)
    if not alert and not scenario:
        fail("no alert: give --alert FILE, or --scenario NAME, whose finding it is then", ExitCode.USAGE)
    settings = load_settings()
    subject = subject_of(playbook, settings, inputs)
    rules = policy_in(policy, settings)
    alerts = alerts_in(alert, source) if alert else []
    report = played(run(subject, alerts, rules, on_aws=on_aws, scenario=scenario, timeout=timeout))
    if as_json:
        show_json({**report.model_dump(mode="json"), "summary": report.summary})
    else:
        _show(report)
    if not report.passed:
        raise typer.Exit(ExitCode.FAILED)


def _show(report: PlanReport) -> None:
    write(f"{report.playbook}, version {report.version[:12]}")
    place = "the real account" if report.on == "aws" else "a simulated account"
    place += f" after {report.scenario}" if report.scenario else ""
    write(
        f"{report.title} ({report.severity}), account {report.account or '–'}, {report.region or '–'}; {place}"
    )
    if not report.policy:
        write(
            "There is no policy: every change asks, and nobody may approve. Give --policy, or SOAR_POLICY_FILE."
        )
    if report.left_out:
        say(f"{report.left_out} alert(s) would not go to this incident, and are left out")
    _show_run(report.run)
    open_ones = report.run.count("unknown")
    write("")
    if open_ones:
        write(f"{open_ones} step(s) cannot be known before those are done that they depend on.")
    failed = report.run.count("failed")
    if failed:
        write(f"{failed} step(s) failed.")
    write(report.summary)


def _show_run(run: DryRun) -> None:
    phase = ""
    for step in run.steps:
        if step.phase.label != phase:
            phase = step.phase.label
            write("")
            write(phase.upper())
        _show_step(step)
    for child in run.children:
        caller = next((step.id for step in run.steps if step.child == child.incident_id), "")
        write("")
        write(f"{child.playbook}, called by {caller}:")
        _show_run(child)


def _show_step(step: DryStep) -> None:
    what = {
        "unknown": "not known: ",
        "failed": "failed: ",
        "forbidden": "forbidden: ",
        "skipped": "skipped: ",
    }
    words = "; ".join(text for text in (step.summary, what.get(step.state, "") + step.reason) if text)
    if step.state == "unchanged":
        words = f"nothing to change: {words}"
    write(f"  {_MARKS[step.state]} {step.id} ({step.action}): {step.name}")
    if words:
        write(f"      {words}")
    if step.plan is not None and step.state in ("change", "forbidden"):
        _show_plan(step, step.plan)
    if step.state == "waits" and step.asked is not None:
        write(f"      asks: {_people(step.asked)}")
    if step.state != "unknown" and step.depends_on:
        write(f"      whether and how depends on: {', '.join(step.depends_on)}")


def _show_plan(step: DryStep, plan: Plan) -> None:
    for change in plan.changes:
        write(f"      {change.target} {change.field}: {_value(change.before)} -> {_value(change.after)}")
    write(f"      risk: {step.risk.value}; put back: {plan.undo or 'cannot be'}")
    for text in (plan.blast_radius.summary, *plan.blast_radius.facts):
        if text:
            write(f"      hits: {text}")
    for warning in plan.warnings:
        write(f"      warning: {warning}")
    if step.state == "forbidden":
        return
    decided = f"approval of {_people(step.asked)}" if step.asked is not None else "automatic"
    write(f"      decided: {decided}; {step.rule}")


def _people(asked: Asked) -> str:
    """Whom a step asks, in words."""
    if not asked.roles:
        return "nobody, since no role may give it"
    roles = " or ".join(asked.roles)
    who = f"{asked.needed} {roles}" if asked.needed else roles
    if asked.people is None:
        return f"{who} (there is no roster)"
    names = ", ".join(asked.people) or "nobody has this role, or is not in the alert"
    few = f", too few for {asked.needed}" if len(asked.people) < asked.needed else ""
    return f"{who} ({names}{few})"


def _value(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
