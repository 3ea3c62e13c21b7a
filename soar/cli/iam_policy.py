"""`soar actions iam-policy`: the least that the responder's role must be allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, say, show_json, write

if TYPE_CHECKING:
    from soar.actions.aws.least_privilege import Granted
    from soar.model.spec import ActionSpec
    from soar.playbook.graph import StepGraph

__all__ = ["iam_policy"]

MOST_ATTACHED = 10
"""The managed policies that a role takes, where the quota was not raised."""


class Form(StrEnum):
    """What is printed."""

    JSON = "json"
    TERRAFORM = "terraform"
    CLOUDFORMATION = "cloudformation"


def iam_policy(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PLAYBOOK|ACTION]...",
            help="Names or files of playbooks, or names of actions. Default: every AWS action that is installed.",
        ),
    ] = None,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="json: the policy. terraform: policies for the module in deploy/aws. cloudformation: a template of "
            "the role with its policies.",
        ),
    ] = Form.JSON,
    split: Annotated[
        bool, typer.Option("--split", help="What reads and what changes in policies of their own.")
    ] = False,
    account: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER",
            help="Changes only to this account's resources, where IAM can say so. May be repeated.",
        ),
    ] = None,
    role: Annotated[
        str, typer.Option(help="The responder's own role, which must not be changed by it.")
    ] = "soar-responder",
    guard: Annotated[
        bool, typer.Option("--guard/--no-guard", help="Keep the responder from changing its own role.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, which is the default.")] = False,
) -> None:
    """Print the IAM policy that exactly the named playbooks and actions need.

    What undoes a change is in it. A permission is under SoarRead if it only reads, and under SoarChange if not. Several
    policies (--split, or more than a managed policy takes) are printed as an object, by name.

    Example: soar actions iam-policy aws-access-key-compromise
    """
    from soar.actions.aws.least_privilege import POLICY_LIMIT, Scope, documents
    from soar.cli import iam_policy_formats as formats

    if as_json and form is not Form.JSON:
        fail("--json and --format say different things; give one of them", ExitCode.USAGE)
    accounts = _accounts(account or [])
    if not re.fullmatch(r"[\w+=,.@-]+(/[\w+=,.@-]+)*", role, re.ASCII):
        fail(f"{role[:80]!r} is no name of a role", ExitCode.USAGE)
    granted = _granted(_chosen(names or []))
    if form is Form.JSON:
        scope = Scope(accounts, formats.own_parts(role) if guard else ())
        found = documents(granted, scope, name=role.rpartition("/")[2], split=split)
        _tell_of_size(len(found), split=split, granted=granted)
        show_json(next(iter(found.values())) if len(found) == 1 and not split else found)
        return
    scope = formats.scope_for(form.value, accounts, guard=guard)
    found = documents(granted, scope, name="", split=True, limit=POLICY_LIMIT - formats.MARGIN)
    _tell_of_size(len(found), split=True, granted=granted)
    render = formats.terraform if form is Form.TERRAFORM else formats.cloudformation
    write(
        render({name.removeprefix("-"): document for name, document in found.items()}).rstrip("\n"),
        lines=True,
    )


def _accounts(given: list[str]) -> tuple[str, ...]:
    for number in given:
        if not re.fullmatch(r"[0-9]{12}", number):
            fail(f"{number[:60]!r} is no AWS account; an account is a number of 12 digits", ExitCode.USAGE)
    return tuple(sorted(set(given)))


def _chosen(names: list[str]) -> list[ActionSpec]:
    """The AWS actions that are meant; the others are named on standard error."""
    from soar.actions.registry import catalogue

    known = catalogue()
    wanted = {action for name in names for action in _actions_of(name, known)} if names else set(known)
    # What is not in the catalogue is built into the engine: `incident.undo`, `report.write`.
    chosen = [known[name] for name in sorted(wanted) if name in known and known[name].queue == "aws"]
    others = sorted(wanted - {spec.name for spec in chosen})
    if others and names:
        say(f"needs no AWS permission: {', '.join(others)}")
    if not chosen:
        fail("nothing that is named needs an AWS permission, and a policy that allows nothing is none")
    return chosen


def _actions_of(name: str, known: dict[str, ActionSpec]) -> set[str]:
    """An action's own name, or the names of the actions in a playbook and in those that it calls."""
    from soar.cli.playbook_files import read_playbook
    from soar.playbook.diagnostics import nearest
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    if name in known:
        return {name}
    path, file = Path(name), False
    possible = True
    try:
        file = path.is_file()
    except OSError:  # it is too long, or else cannot be the name of a file
        possible = False
    if not possible or (not file and path.suffix not in (".yaml", ".yml", ".json")):
        playbooks = {one.playbook.name for one in load_library(load_settings())}
        if name not in playbooks:
            hint = nearest(name, {*known, *playbooks})
            fail(
                f"there is no playbook and no action {name[:200]}, and no file of this name"
                + (f"; {hint}" if hint else ""),
                ExitCode.NOT_FOUND,
            )
    return set(_actions_in(read_playbook(name)[1]))


def _actions_in(graph: StepGraph) -> Iterator[str]:
    """Every action of a graph: whatever holds it, what runs on failure, and the playbooks that are called."""
    from soar.playbook.graph import ActionNode

    for node in graph.nodes.values():
        if isinstance(node, ActionNode):
            yield node.action
    for child in graph.children.values():
        yield from _actions_in(child.graph)


def _granted(specs: list[ActionSpec]) -> list[Granted]:
    from soar.actions.aws.iam_reference import granted

    found = [granted(name) for name in sorted({p for spec in specs for p in spec.permissions})]
    unknown = [g.name for g in found if not g.levels]
    if unknown:
        say(f"not known to the reference that is installed, and taken for changes: {', '.join(unknown)}")
    return found


def _tell_of_size(count: int, *, split: bool, granted: list[Granted]) -> None:
    expected = len({g.changes for g in granted}) if split else 1
    if count > expected:
        say(f"divided by service into {count} policies: a managed policy takes 6,144 characters")
    if count > MOST_ATTACHED:
        say(f"a role takes {MOST_ATTACHED} managed policies unless its account's quota is raised")
