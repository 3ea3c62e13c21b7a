"""The rules for policies. `soar policy lint` looks for them."""

from __future__ import annotations

from typing import Final

from soar.playbook.rule import Rule

__all__ = ["POLICY_RULES"]

POLICY_RULES: Final = (
    Rule(
        id="too-few-responders",
        severity="error",
        title="A policy asks for more approvers than hold the role.",
        why="No question under it could ever be decided. Give the role to more responders, or ask for fewer.",
    ),
    Rule(
        id="unknown-environment",
        severity="error",
        title="A rule of a policy names an environment that is not described.",
        why="The rule would never match. Name the environment under `environments`, with how it is told.",
    ),
    Rule(
        id="environment-by-tag",
        severity="error",
        title="A budget counts changes in an environment that only tags tell.",
        why="Of earlier changes only the account is known, so they could not be counted. Count by account.",
    ),
    Rule(
        id="never-matches",
        severity="error",
        title="A rule of a policy can never match.",
        why="Its conditions exclude each other, so it gives a safety that is not there.",
    ),
    Rule(
        id="only-reads",
        severity="warning",
        title="A rule of a policy is about reads alone.",
        why="Reads are never asked about and never counted, so the rule changes nothing.",
    ),
    Rule(
        id="without-effect",
        severity="warning",
        title="A rule of a policy changes nothing.",
        why="A stricter rule matches all that it matches, and the stricter one counts.",
    ),
    Rule(
        id="over",
        severity="warning",
        title="A freeze of a policy is over.",
        why="Leave it out, so that nobody believes it still holds.",
    ),
)
"""In the order of a policy's sections."""
