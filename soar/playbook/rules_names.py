"""The rules for what expressions read: whether it exists, is set by then, and is of the right kind."""

from __future__ import annotations

from typing import Final

from soar.playbook.rule import Rule

__all__ = ["NAME_RULES"]

_USER = "identification:\n  - id: user\n    do: aws.iam.describe_principal\n    with: {name: alice}\n"
_KEY = "inputs:\n  key: {type: string, default: AKIAIOSFODNN7EXAMPLE}\n"
_ACTOR = "match: {source: guardduty, where: alert.actor is not none}\n"

NAME_RULES: Final = (
    Rule(
        id="expression",
        severity="error",
        title="An expression or a template cannot be read.",
        why="It is a part of Jinja2 without calls; docs/reference/expressions.md lists its filters and tests.",
        bad="title: x\n" + _USER + "    when: inputs | lenght\n",
        good="title: x\n" + _USER + "    when: inputs | length == 0\n",
    ),
    Rule(
        id="unknown-name",
        severity="error",
        title="An expression reads something that does not exist.",
        why="It would fail in the middle of an incident. The message lists what there is.",
        bad=_USER + "    when: alert.titel != ''\n",
        good=_USER + "    when: alert.title != ''\n",
        fixable=True,
    ),
    Rule(
        id="unknown-input",
        severity="error",
        title="An input is used that the playbook does not declare.",
        why="Declare it under `inputs` with a type and a default: incidents start without a person to ask.",
        bad=_KEY + _USER + "    when: inputs.keyy != '' and inputs.key != ''\n",
        good=_KEY + _USER + "    when: inputs.key != ''\n",
        fixable=True,
    ),
    Rule(
        id="unknown-step",
        severity="error",
        title="A step is named that the playbook does not have.",
        why="Steps are known by their `id`.",
        bad=_USER
        + "lessons_learned:\n  - {id: report, do: report.write, when: steps.usr.result.administrator}\n",
        good=_USER
        + "lessons_learned:\n  - {id: report, do: report.write, when: steps.user.result.administrator}\n",
        fixable=True,
    ),
    Rule(
        id="step-not-set",
        severity="error",
        title="A step's result is read where the step cannot have ended.",
        why=(
            "It comes later, runs at the same time in another branch, or runs inside a loop, of which only the loop's "
            "own result is seen from outside. Move the step that reads."
        ),
        bad="identification:\n  - parallel:\n"
        "      - [{id: user, do: aws.iam.describe_principal, with: {name: alice}}]\n"
        "      - [{id: report, do: report.write, when: steps.user.result.administrator}]\n",
        good=_USER + "  - {id: report, do: report.write, when: steps.user.result.administrator}\n",
    ),
    Rule(
        id="may-not-be-set",
        severity="warning",
        title="A step's result is read that is not there on every way to it.",
        why=(
            "The step has a condition, stands in a branch that may not be taken, or may fail and be passed over. "
            "Ask for `steps.<id>.status` in `when`, or give a default."
        ),
        bad=_USER
        + "    when: alert.account != ''\n"
        + "  - id: key\n    do: aws.iam.find_key_owner\n"
        + "    with: {access_key_id: '{{ steps.user.result.active_keys[0] }}'}\n",
        good=_USER
        + "    when: alert.account != ''\n"
        + "  - id: key\n    do: aws.iam.find_key_owner\n    when: steps.user.status == 'succeeded'\n"
        + "    with: {access_key_id: '{{ steps.user.result.active_keys[0] }}'}\n",
    ),
    Rule(
        id="may-be-null",
        severity="warning",
        title="Something is read of an alert that it need not have.",
        why=(
            "Not every alert has an actor or a raw payload; where it is null, the expression fails. Ask for it in "
            "`match.where`, so that the playbook answers no alert without it, or in the step's `when`."
        ),
        bad=_USER.replace("alice", "'{{ alert.actor.name }}'"),
        good=_ACTOR + _USER.replace("alice", "'{{ alert.actor.name }}'"),
    ),
    Rule(
        id="unknown-result",
        severity="error",
        title="A result is read that the step does not have.",
        why="What a step gives is declared: `soar actions show` lists it for an action, the form for a task.",
        bad="identification:\n  - id: ask\n    task:\n      role: responder\n      instructions: Is it ours?\n"
        "      due: 1h\n      form: {ours: {type: boolean}}\n"
        "  - {id: report, do: report.write, when: steps.ask.result.our}\n"
        "roles: {responder: answers}\n",
        good="identification:\n  - id: ask\n    task:\n      role: responder\n      instructions: Is it ours?\n"
        "      due: 1h\n      form: {ours: {type: boolean}}\n"
        "  - {id: report, do: report.write, when: steps.ask.result.ours}\nroles: {responder: answers}\n",
        fixable=True,
    ),
    Rule(
        id="undeclared-result",
        severity="warning",
        title="A result is read that the action does not declare, though it may give it.",
        why="The action may add fields of its own, but a misspelt one is more likely.",
        bad=_USER
        + "lessons_learned:\n  - {id: report, do: report.write, when: steps.user.result.administator}\n",
        good=_USER
        + "lessons_learned:\n  - {id: report, do: report.write, when: steps.user.result.administrator}\n",
        fixable=True,
    ),
    Rule(
        id="unknown-status",
        severity="error",
        title="A step's status is compared with a word that is no status.",
        why="The comparison would never hold, and the step would silently never run.",
        bad=_USER
        + "lessons_learned:\n  - {id: report, do: report.write, when: steps.user.status == 'suceeded'}\n",
        good=_USER
        + "lessons_learned:\n  - {id: report, do: report.write, when: steps.user.status == 'succeeded'}\n",
        fixable=True,
    ),
    Rule(
        id="shadowed-name",
        severity="error",
        title="A loop gives its item a name that is taken.",
        why="Inside the loop nothing could read what has the name already. Choose another with `as`.",
        bad="identification:\n  - id: each\n    foreach: alert.resources\n    as: alert\n"
        "    steps: [{id: report, do: report.write}]\n",
        good="identification:\n  - id: each\n    foreach: alert.resources\n    as: resource\n"
        "    steps: [{id: report, do: report.write}]\n",
    ),
    Rule(
        id="argument-type",
        severity="error",
        title="A template gives a value of a kind that the argument does not take.",
        why=(
            "A template that is one expression keeps its type, and the types of alerts, inputs and results are "
            "declared. Turn the value into the right kind with a filter, or take a part of it."
        ),
        bad=_USER.replace("alice", "'{{ alert.resources }}'"),
        good=_USER.replace("alice", "'{{ alert.resources[0].name }}'"),
    ),
    Rule(
        id="wrong-kind",
        severity="error",
        title="An operation or a filter is given a value of a kind that it does not take.",
        why=(
            "The types of alerts, inputs and results are declared, and so is what filters take. The step would fail "
            "whenever it is come to."
        ),
        bad="identification:\n  - {id: report, do: report.write, when: alert.title > 3}\n",
        good="identification:\n  - {id: report, do: report.write, when: alert.title | length > 3}\n",
    ),
    Rule(
        id="foreach-not-list",
        severity="error",
        title="A loop goes over something that is not a list.",
        why="Its type is declared, and it is no list. Take a list from it: `| items`, `| list`, or one of its fields.",
        bad="identification:\n  - id: each\n    foreach: alert.title\n    steps: [{id: report, do: report.write}]\n",
        good="identification:\n  - id: each\n    foreach: alert.resources\n"
        "    steps: [{id: report, do: report.write}]\n",
    ),
)
"""In the order in which an expression is looked at."""
