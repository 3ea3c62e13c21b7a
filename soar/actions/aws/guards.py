"""What no action on AWS ever changes, whoever approved it."""

from __future__ import annotations

from soar.actions.errors import Refused

__all__ = ["PROTECTED_TAG", "ensure_not_protected"]

PROTECTED_TAG = "soar:protected"
"""Whatever carries this tag is never changed by an action; only a person may act on it."""


def ensure_not_protected(kind: str, name: str, tags: dict[str, str]) -> None:
    """Refuse what is tagged as protected.

    Args:
        kind: What it is, in words: `instance`.

    Raises:
        Refused: It carries the tag `soar:protected`.
    """
    if PROTECTED_TAG in tags:
        raise Refused(
            f"{kind} {name} is tagged {PROTECTED_TAG}; this step has changed nothing, and what earlier steps did stays "
            "in place",
            hint=f"act by hand, or remove the tag {PROTECTED_TAG} and retry the step",
        )
