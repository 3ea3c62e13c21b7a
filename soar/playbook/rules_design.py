"""The rules for what a playbook does as a whole: approvals, evidence, containment, deadlines, secrets."""

from __future__ import annotations

from typing import Final

from soar.playbook.rule import Rule

__all__ = ["DESIGN_RULES"]

_REPORT = "lessons_learned:\n  - {id: report, do: report.write}\n"
_ROLES = "roles: {responder: decides}\n"
_USER = "identification:\n  - id: user\n    do: aws.iam.describe_principal\n    with: {name: alice}\n"
_DISKS = "  - {id: disks, do: aws.ec2.snapshot_volumes, with: {instance_id: i-0123456789abcdef0}}\n"
_END = (
    "  - id: terminate\n    do: aws.ec2.terminate_instance\n    with: {instance_id: i-0123456789abcdef0}\n"
    "    approval: {role: responder}\n"
)
_TASK = (
    _ROLES
    + "containment:\n  - id: call\n    task:\n      role: responder\n      instructions: Call the owner.\n"
)
_POLL = (
    "recovery:\n  - id: healthy\n    repeat:\n"
    "      - {id: probe, do: aws.iam.describe_principal, with: {name: alice}}\n"
    "    until: steps.probe.result.active_keys | length == 0\n    attempts: 10\n"
)

DESIGN_RULES: Final = (
    Rule(
        id="needless-approval",
        severity="warning",
        title="An approval is asked for an action that only reads.",
        why="Nobody is asked for it, so it only misleads whoever reads the playbook.",
        bad=_ROLES + _USER + "    approval: {role: responder}\n",
        good=_USER,
        fixable=True,
    ),
    Rule(
        id="needless-place",
        severity="warning",
        title="A step of the system's own says in which account or region it acts.",
        why="It acts on the incident. What it puts back is put back where it was changed.",
        bad=_USER + "lessons_learned:\n  - id: report\n    do: report.write\n    region: eu-north-1\n",
        good=_USER + "    region: eu-north-1\n",
        fixable=True,
    ),
    Rule(
        id="destructive-without-approval",
        severity="warning",
        title="A step that cannot be undone asks for no approval of its own.",
        why="Without one, a policy could make it automatic. Add `approval: {role: …}`.",
        bad="eradication:\n" + _END.replace("    approval: {role: responder}\n", ""),
        good=_ROLES + "eradication:\n" + _END,
    ),
    Rule(
        id="evidence-after-destruction",
        severity="warning",
        title="Evidence is taken of something that an earlier step destroyed.",
        why="Read and snapshot first: the order of volatility is the order of a playbook.",
        bad=_ROLES + "eradication:\n" + _END + _DISKS,
        good=_ROLES + "eradication:\n" + _DISKS + _END,
    ),
    Rule(
        id="contains-nothing",
        severity="warning",
        title="No step of the containment phase changes anything.",
        why="An incident of this playbook never counts as contained, and its clock goes on running.",
        bad=_USER.replace("identification", "containment"),
        good=_USER,
    ),
    Rule(
        id="unverified-containment",
        severity="warning",
        title="What people contain by hand is not looked at afterwards.",
        why=(
            "Actions verify their own changes by an independent read; a task is only somebody's word. Follow it with a "
            "step that reads the state."
        ),
        bad=_TASK + "      due: 1h\n",
        good=_TASK + "      due: 1h\n  - {id: look, do: aws.iam.describe_principal, with: {name: alice}}\n",
    ),
    Rule(
        id="unreachable-step",
        severity="warning",
        title="A step can never run.",
        why="The condition in front of it is always false, or always true where it stands in the other branch.",
        bad=_USER + "    when: false\n",
        good=_USER + "    when: alert.account != ''\n",
    ),
    Rule(
        id="constant-condition",
        severity="warning",
        title="A condition never changes.",
        why="What is waited for, or repeated until, holds at once or never.",
        bad=_ROLES + "identification:\n  - {id: pause, wait: {until: 1 == 2, limit: 1h}}\n",
        good="identification:\n  - {id: pause, wait: {for: 1h}}\n",
    ),
    Rule(
        id="no-timeout",
        severity="warning",
        title="A task has neither a `due` nor a `timeout`.",
        why="Nobody is reminded, and the incident may wait for ever. `due` reminds; with `timeout` the step fails.",
        bad=_TASK + "  - {id: look, do: aws.iam.describe_principal, with: {name: alice}}\n",
        good=_TASK + "    timeout: 1d\n  - {id: look, do: aws.iam.describe_principal, with: {name: alice}}\n",
        fixable=True,
    ),
    Rule(
        id="repeat-without-pause",
        severity="warning",
        title="Rounds of a loop follow each other without a pause.",
        why="All attempts are used up within seconds, and the service may throttle everything else. Give `every`.",
        bad=_POLL,
        good=_POLL + "    every: 30s\n",
        fixable=True,
    ),
    Rule(
        id="secret",
        severity="error",
        title="A secret is written in the playbook.",
        why=(
            "Playbooks are kept in repositories, histories and reports. Take the secret back where it was issued, "
            "and let the worker resolve it by its name."
        ),
        bad="inputs:\n  webhook: {type: string, default: xoxb-123456789012-abcdefghijklmnop}\n"
        + _REPORT.replace("}", ", when: inputs.webhook}"),
        good="inputs:\n  webhook_secret_id: {type: string, default: soar/webhook}\n"
        + _REPORT.replace("}", ", when: inputs.webhook_secret_id}"),
    ),
    Rule(
        id="unused-input",
        severity="warning",
        title="An input is never read.",
        why="Whoever sets it believes that it changes something.",
        bad="inputs:\n  days: {type: number, default: 3}\n" + _REPORT,
        good=_REPORT,
    ),
    Rule(
        id="unused-role",
        severity="info",
        title="A role is declared that no step names.",
        why="Leave it out, or name it in the approvals that it is for.",
        bad=_ROLES + _REPORT,
        good=_REPORT,
    ),
    Rule(
        id="same-name",
        severity="info",
        title="Two steps are called the same.",
        why="People tell steps apart by their names, on cards and in reports.",
        bad=_USER.replace("do:", "name: Look\n    do:") + _REPORT.replace("do:", "name: Look, do:"),
        good=_USER.replace("do:", "name: Look\n    do:") + _REPORT,
    ),
)
"""In no order that matters."""
