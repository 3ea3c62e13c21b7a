"""The rules for CACAO playbooks, which are looked for when one is imported or loaded."""

from __future__ import annotations

from typing import Final

from soar.playbook.rule import Rule

__all__ = ["CACAO_RULES"]


def _error(name: str, title: str, why: str) -> Rule:
    return Rule(id=name, severity="error", title=title, why=why)


def _warning(name: str, title: str, why: str) -> Rule:
    return Rule(id=name, severity="warning", title=title, why=why)


CACAO_RULES: Final = (
    _error(
        "revoked",
        "A CACAO playbook is revoked.",
        "Its creator says that it must not be used any more. Ask for its successor.",
    ),
    _error(
        "expired",
        "A CACAO playbook is not valid any more.",
        "Its `valid_until` is over. Ask its creator for a newer version.",
    ),
    _error(
        "not-yet-valid",
        "A CACAO playbook is not valid yet.",
        "Its `valid_from` is still to come. Import it then.",
    ),
    _error(
        "validity",
        "The times of a CACAO playbook contradict each other.",
        "It ends before it begins, or was changed before it was made. Correct the times.",
    ),
    _error(
        "duplicate-cacao-id",
        "Two files hold a CACAO playbook of one id.",
        "A step that calls the id could mean either. Keep one version.",
    ),
    _error(
        "calls-itself",
        "A CACAO playbook calls itself.",
        "It would never end, whichever playbooks are between. Take one of the `playbook-action` steps out.",
    ),
    _error(
        "dangling",
        "A CACAO playbook points to what it does not have.",
        "Whatever should happen there would not. Correct the id, or add what is meant.",
    ),
    _error("no-end", "No step of a CACAO workflow is an end.", "Each way has to lead to one. Add it."),
    _error(
        "circle",
        "A step of a CACAO playbook leads back to where it came from.",
        "It would never end. Write a `while-condition`, whose rounds are counted.",
    ),
    _error(
        "unreachable",
        "No way leads to a step of a CACAO playbook.",
        "It would never be done, though somebody wrote it. Point at it, or remove it.",
    ),
    _error(
        "runs-twice",
        "A step of a CACAO playbook would run twice.",
        "Its branches end in what follows the branching step. Let each branch lead to an `end`.",
    ),
    _error("start", "The workflow of a CACAO playbook has no right start.", "It begins at one `start` step."),
    _error(
        "pointers",
        "A step of a CACAO playbook says in two ways what follows it, or follows an end.",
        "Write `on_completion`, or `on_success` with `on_failure`; nothing follows an `end`.",
    ),
    _error("parallel", "A parallel step of a CACAO playbook names a branch twice.", "Name each branch once."),
    _error(
        "id-prefix",
        "An id of a CACAO playbook begins with another type than the thing has.",
        "Other systems may look at the prefix. Write the type in front of `--`.",
    ),
    _error(
        "condition",
        "A condition of a CACAO playbook cannot be read.",
        "It must be a STIX comparison, `__count__:value > 3`; what is guessed at would take the wrong branch.",
    ),
    _error(
        "empty-loop",
        "A loop of a CACAO playbook does nothing.",
        "Nothing would change its condition, so it would never end. Put in a step, or take it out.",
    ),
    _error(
        "variable-name",
        "A variable of a CACAO playbook has a name that cannot be used.",
        "Write letters, digits, `_` and `-` between two underscores on each side. Names here have no capitals, so two "
        "that differ only by them are one.",
    ),
    _error(
        "undeclared-variable",
        "A step of a CACAO playbook uses a variable that is not declared.",
        "It would have no value. Declare it in the playbook, or in the step.",
    ),
    _error(
        "constant-written",
        "A step of a CACAO playbook writes a constant variable.",
        "A constant keeps its value. Take it out of `out_args`, or do not call it constant.",
    ),
    _warning(
        "hidden-variable",
        "A variable of a step hides one of the playbook.",
        "The step does not see the value that the others see. Give one of them another name.",
    ),
    _warning(
        "bare-variable",
        "The name of a variable stands in a text without `:value`.",
        "It is sent as it is written. Write `__name__:value` if its value is meant.",
    ),
    _error(
        "command",
        "A command of a CACAO playbook is not complete, or contradicts itself.",
        "An HTTP command needs a start line, `POST /path HTTP/1.1`, and its content once.",
    ),
    _error(
        "command-not-run",
        "A command of a CACAO playbook cannot run here.",
        "It would be left out in silence otherwise. Make it a `manual`, an `http-api` or an `openc2-http` command.",
    ),
    _error(
        "shell",
        "A CACAO playbook has a shell command.",
        "They are imported where `SOAR_CACAO_SHELL` is true, and run on the hosts in `SOAR_SSH_HOSTS`. Set both, or "
        "make it an `http-api` or a `manual` command.",
    ),
    _error(
        "encoding",
        "A part of a CACAO playbook is not base64.",
        "Nobody can tell what it means. Encode it again.",
    ),
    _error(
        "targets",
        "A step of a CACAO playbook has targets of different kinds.",
        "A command cannot be sent to some of them. Split the step.",
    ),
    _error(
        "address",
        "An agent or a target of a CACAO playbook has no address that can be used.",
        "The command would be sent to nothing. Give it one address of a kind that the standard knows.",
    ),
    _error("port", "A port of a CACAO playbook is no port.", "Write a number from 1 to 65535, in quotes."),
    _error(
        "header",
        "A header of an HTTP command must not be written by hand.",
        "It would carry a secret, or is set by whoever sends. Use `authentication_info` with `kms` for secrets.",
    ),
    _error(
        "authentication",
        "A CACAO playbook authenticates in a way that cannot be used here.",
        "Secrets are named and never written: set `kms` to true, and `kms_key_identifier` to the secret's name here.",
    ),
    _error(
        "timeout",
        "A step of a CACAO playbook has no time at all.",
        "It would have failed before it began. Give milliseconds, or leave it out.",
    ),
    _error(
        "playbook-version",
        "A step of a CACAO playbook calls another version than the one at hand.",
        "The versions may do different things. Import the one that it wants.",
    ),
    _error(
        "unknown-output",
        "A step of a CACAO playbook wants a variable that the called playbook does not give.",
        "It would have no value. Take one of its outputs.",
    ),
    _error(
        "playbook",
        "A CACAO playbook has a name or a text that cannot be used here.",
        "The finding says what of it, and why.",
    ),
    _error(
        "carried",
        "A step of an export from here cannot be put back where it stands now.",
        "More than one way leads to it since the edit, and it has one place only. Let one way lead to it.",
    ),
    _warning(
        "extension",
        "The extension of an export from here cannot be used.",
        "The steps are read by what CACAO says of them, which is less. Export it again.",
    ),
    _warning(
        "edited",
        "An export from here was edited.",
        "The steps that nobody touched are what they were; the others are what they say now.",
    ),
)
"""In the order in which an import looks for them."""
