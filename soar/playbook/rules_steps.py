"""The rules for single steps: their actions, arguments, approvals and children."""

from __future__ import annotations

from typing import Final

from soar.playbook.rule import Rule

__all__ = ["STEP_RULES"]

_USER = "identification:\n  - id: user\n    do: aws.iam.describe_principal\n    with: {name: alice}\n"
_ROLES = "roles: {responder: decides}\n"
_OFF = (
    _ROLES
    + "containment:\n  - id: key_off\n    do: aws.iam.deactivate_access_key\n    with: {user_name: alice}\n"
    + "    approval: {role: responder}\n"
)

STEP_RULES: Final = (
    Rule(
        id="duplicate-id",
        severity="error",
        title="Two steps have one id.",
        why="Every step of a playbook, in any phase, has its own: results and records go by it.",
        bad=_USER + "lessons_learned:\n  - {id: user, do: report.write}\n",
        good=_USER + "lessons_learned:\n  - {id: report, do: report.write}\n",
    ),
    Rule(
        id="unknown-action",
        severity="error",
        title="There is no such action.",
        why="`soar actions list` shows every action that is installed.",
        bad=_USER.replace("describe_principal", "describe_pricipal"),
        good=_USER,
        fixable=True,
    ),
    Rule(
        id="missing-argument",
        severity="error",
        title="An action needs an argument that is not given.",
        why="`soar actions show` lists what it needs.",
        bad=_USER.replace("name: alice", "type: user"),
        good=_USER,
    ),
    Rule(
        id="unknown-argument",
        severity="error",
        title="An action has no such argument.",
        why="It would be passed over, and the action would do more, or other, than is meant.",
        bad=_USER.replace("name: alice", "name: alice, typ: role"),
        good=_USER.replace("name: alice", "name: alice, type: role"),
        fixable=True,
    ),
    Rule(
        id="argument",
        severity="error",
        title="An argument is written that does not fit.",
        why="The action would refuse it in the middle of an incident.",
        bad=_USER.replace("name: alice", "name: alice, type: roel"),
        good=_USER.replace("name: alice", "name: alice, type: role"),
        fixable=True,
    ),
    Rule(
        id="undo",
        severity="error",
        title="`incident.undo` cannot undo that step.",
        why="The step is written out by its id, makes a change that can be undone, and has ended before.",
        bad=_USER + "recovery:\n  - {id: back, do: incident.undo, with: {step: user}}\n",
        good=_OFF + "recovery:\n  - {id: back, do: incident.undo, with: {step: key_off}}\n",
        fixable=True,
    ),
    Rule(
        id="not-undoable",
        severity="error",
        title="A step expires whose change cannot be put back.",
        why="`expires` puts a change back by itself after a time. Leave it out, or choose another action.",
        bad=_USER + "    expires: 1h\n",
        good=_OFF + "    expires: 1h\n",
    ),
    Rule(
        id="undeclared-role",
        severity="error",
        title="A role is named that is not under `roles`.",
        why="Nobody would be found who may answer. Declare it, with what it is for.",
        bad=_OFF.replace("{role: responder}", "{role: responders}"),
        good=_OFF,
        fixable=True,
    ),
    Rule(
        id="unknown-playbook",
        severity="error",
        title="A playbook is called that is not at hand.",
        why="It is looked for by its name in the folders of playbooks, and beside the file that is checked.",
        bad="identification:\n  - {id: child, playbook: nothing-of-the-kind}\n",
        good=_USER,
    ),
    Rule(
        id="playbook-circle",
        severity="error",
        title="Playbooks call each other in a circle.",
        why="An incident would start incidents without end.",
        bad="identification:\n  - {id: child, playbook: example}\n",
        good=_USER,
    ),
    Rule(
        id="unknown-met-by",
        severity="error",
        title="A clock is met by a step that the playbook does not have.",
        why="The deadline would never count as met.",
        bad="clocks:\n  notify: {due: 3d, met_by: reprot}\nlessons_learned:\n  - {id: report, do: report.write}\n",
        good="clocks:\n  notify: {due: 3d, met_by: report}\nlessons_learned:\n  - {id: report, do: report.write}\n",
        fixable=True,
    ),
)
"""In the order in which a step is looked at."""
