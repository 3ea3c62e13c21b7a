"""`soar policy …`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import data, line, say, show_json, table

if TYPE_CHECKING:
    from soar.model.alert import Alert
    from soar.playbook.graph import StepGraph
    from soar.playbook.loader import LoadedPlaybook
    from soar.playbook.policy_explain import StepPolicy

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The organisation's rules.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("check")
def check(file: Path, as_json: Json = False) -> None:
    """Check a policy file, and say who may decide what. Each finding has file, line and column.

    Example: soar policy check policy.yaml
    """
    from datetime import UTC, datetime

    from soar.playbook.diagnostics import PlaybookError
    from soar.playbook.library import read_text
    from soar.playbook.policy import check_policy

    try:
        policy, warnings = check_policy(read_text(file), file=str(file), now=datetime.now(UTC))
    except PlaybookError as error:
        if not as_json:
            raise
        show_json({"usable": False, "digest": None, "diagnostics": _dumped(error.diagnostics)})
        raise typer.Exit(ExitCode.FAILED) from None
    if as_json:
        return show_json({"usable": True, "digest": policy.digest, "diagnostics": _dumped(warnings)})
    table(["responder", "name", "roles"], [[r.id, r.name, ", ".join(r.roles)] for r in policy.responders])
    for warning in warnings:
        say(str(warning), style="yellow")
    say(
        f"{file} can be used: {len(policy.autonomy)} rule(s), {len(policy.protected)} protected target(s), "
        f"{len(policy.budgets)} budget(s), {len(policy.freezes)} freeze(s)"
    )
    return None


def _dumped(diagnostics: object) -> list[object]:
    from soar.playbook.diagnostics import Diagnostic

    assert isinstance(diagnostics, list | tuple)
    return [d.model_dump(mode="json") for d in diagnostics if isinstance(d, Diagnostic)]


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of a policy, for editors.

    Example: soar policy schema > policy.schema.json
    """
    from soar.playbook.policy import policy_schema

    show_json(policy_schema())


@app.command("explain")
def explain(
    playbook: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A playbook in force, or a file: YAML or CACAO JSON.")
    ],
    alert: Annotated[
        str, typer.Option("--alert", metavar="FILE", help="The alert's payload, JSON; - is standard input.")
    ],
    source: Annotated[str, typer.Option(help="The source that the payload is of.")] = "guardduty",
    policy: Annotated[
        Path | None, typer.Option(help="The policy file. Default: the one in force, SOAR_POLICY_FILE.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what the policy would decide about each change of a playbook, and why; without any server.
    So for the playbooks that it calls.

    What only a plan can tell (its targets, their tags, how much of a group it takes) is named as unknown.

    Example: soar policy explain aws-ec2-cryptomining --alert finding.json
    """
    from datetime import UTC, datetime

    from soar.cli.alert import alerts_in
    from soar.cli.playbook_files import read_playbook
    from soar.playbook.match import matches
    from soar.playbook.policy_explain import explain_policy
    from soar.runtime.policy_file import PolicyFile
    from soar.runtime.settings import load_settings

    settings = load_settings()
    in_force = PolicyFile(policy or settings.policy_file).current()
    loaded, graph = read_playbook(playbook)
    name, now = loaded.playbook.name, datetime.now(UTC)
    shown = []
    for found in alerts_in(alert, source):
        steps = explain_policy(in_force, graph.nodes.values(), found, playbook=name, now=now)
        called = {
            other: explain_policy(in_force, child.nodes.values(), found, playbook=other, now=now)
            for other, child in _called(graph)
        }
        answers = matches(loaded.playbook, found).matched
        shown.append(
            {
                "alert": found.title,
                "severity": found.severity.label,
                "account": found.account,
                "playbook": name,
                "answers": answers,
                "policy": in_force.digest if in_force else None,
                "steps": [s.model_dump(mode="json") for s in steps],
                "called": {
                    other: [s.model_dump(mode="json") for s in inner] for other, inner in called.items()
                },
            }
        )
        if not as_json:
            _show(found, loaded, answers, steps, called)
    if as_json:
        show_json(shown)
    elif in_force is None:
        say("there is no policy: set SOAR_POLICY_FILE, or give --policy")


def _called(graph: StepGraph) -> Iterator[tuple[str, StepGraph]]:
    """Every playbook that one calls, and that those call, by name, each once."""
    found: dict[str, StepGraph] = {}
    waiting = [graph]
    while waiting:
        for name, child in waiting.pop().children.items():
            if name not in found:
                found[name] = child.graph
                waiting.append(child.graph)
    yield from found.items()


def _show(
    alert: Alert,
    loaded: LoadedPlaybook,
    answers: bool,
    steps: list[StepPolicy],
    called: Mapping[str, list[StepPolicy]],
) -> None:
    line("alert", alert.title, style="bold")
    line("severity", alert.severity.label)
    line("account", alert.account or "not said")
    line("playbook", f"{loaded.playbook.name}{'' if answers else ', which does not answer this alert'}")
    _show_steps(steps)
    for name, inner in called.items():
        data().print()
        line("calls", name, style="bold")
        _show_steps(inner)


def _show_steps(steps: list[StepPolicy]) -> None:
    if not steps:
        line("changes", "none of its own: its steps only read")
    for step in steps:
        decision = step.decision
        data().print()
        line("step", f"{step.step_id}: {step.name}", style="bold")
        line("change", f"{step.action} ({step.risk.value}, {step.phase.label})")
        if step.when:
            line("only when", step.when)
        asked = f": {decision.needed} of role {' or '.join(decision.roles) or 'nobody'}"
        line("decision", decision.outcome + (asked if decision.outcome == "approval" else ""))
        line("because", decision.rule)
        for unknown in step.unknown:
            line("unknown", unknown)
