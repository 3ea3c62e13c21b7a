"""Which alerts a playbook answers, and which of them belong to one incident."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from pydantic import JsonValue

from soar.model.alert import Alert
from soar.model.base import Fact, digest_of
from soar.playbook.expressions import ExpressionError, evaluate
from soar.playbook.schema import Playbook

__all__ = ["MatchResult", "as_fallback", "correlation_key", "is_fallback", "matches"]

_SLUG = 120
_HASH = 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=-]+")


class MatchResult(Fact):
    """Whether a playbook answers an alert.

    Args:
        reasons: One line for each condition: why it holds, or not.
    """

    matched: bool
    reasons: tuple[str, ...]


def matches(playbook: Playbook, alert: Alert) -> MatchResult:
    """Compare an alert with a playbook's `match`, whatever other playbooks there are.

    Returns:
        The outcome. All conditions are looked at, even after one that does not hold.
    """
    match, checks = playbook.match, []
    if match is None:
        return MatchResult(matched=False, reasons=("fails: it answers no alerts; other playbooks call it",))
    if match.source is not None:
        checks.append((alert.source in match.source, f"source {alert.source}", _one_of(match.source)))
    if match.rule is not None:
        checks.append((_fits(alert.rule, match.rule), f"rule {alert.rule!r}", _one_of(match.rule)))
    if match.severity is not None:
        wanted = f"at least {match.severity.label}"
        checks.append((alert.severity >= match.severity, f"severity {alert.severity.label}", wanted))
    if match.resource_type is not None:
        types = list(dict.fromkeys(r.type for r in alert.resources))
        held = any(_fits(t, match.resource_type) for t in types)
        shown = f"resource types {', '.join(types) or 'none'}"
        checks.append((held, shown, _one_of(match.resource_type)))
    reasons = [f"{'holds' if ok else 'fails'}: {shown}, wanted {wanted}" for ok, shown, wanted in checks]
    matched = all(ok for ok, _, _ in checks)
    if match.where is not None:
        ok, reason = _where(match.where, alert)
        reasons.append(reason)
        matched = matched and ok
    return MatchResult(matched=matched, reasons=tuple(reasons))


def is_fallback(playbook: Playbook) -> bool:
    """Whether a playbook answers only what no other one does."""
    return playbook.match is not None and playbook.match.fallback


def as_fallback(result: MatchResult, other: str | None) -> MatchResult:
    """What comes of a fallback's own conditions beside the other playbooks.

    Args:
        other: A playbook, no fallback, that answers the alert; None: there is none.
    """
    if other is None:
        return result.model_copy(update={"reasons": (*result.reasons, "holds: no other playbook answers it")})
    reason = f"fails: it is a fallback, and {other} answers it"
    return MatchResult(matched=False, reasons=(*result.reasons, reason))


def _where(expression: str, alert: Alert) -> tuple[bool, str]:
    try:
        held = bool(evaluate(expression, _variables(alert)))
    except ExpressionError as error:
        return False, f"fails: where {error}"
    return held, f"{'holds' if held else 'fails'}: where {expression}"


def correlation_key(playbook: Playbook, alert: Alert) -> str:
    """What alerts of one incident have in common.

    An expression that has no value for the alert counts as null. If none has a value, the alert has nothing in
    common with any other, and the key is made of its source and id.

    Args:
        playbook: Its `correlate_by` says what is compared.

    Returns:
        The values in readable form and a hash of them as they are, so that different values never share a key;
        printable ASCII, at most 200 characters.
    """
    variables = _variables(alert)
    values: list[JsonValue] = [_value(expression, variables) for expression in playbook.correlate_by]
    if all(value in (None, "", [], {}) for value in values):
        values = [alert.source, alert.uid]
    words = "_".join(
        value if isinstance(value, str) else repr(value) for value in values if value is not None
    )
    slug = _UNSAFE.sub("-", words[: 4 * _SLUG]).strip("-")[:_SLUG]
    digest = digest_of(values)[:_HASH]
    return f"{slug}-{digest}" if slug else digest


def _value(expression: str, variables: dict[str, Any]) -> JsonValue:
    try:
        return evaluate(expression, variables)
    except ExpressionError:
        return None


def _variables(alert: Alert) -> dict[str, Any]:
    return {"alert": alert.model_dump(mode="json")}


def _fits(value: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(value, glob) for glob in globs)


def _one_of(globs: tuple[str, ...]) -> str:
    return globs[0] if len(globs) == 1 else "one of " + ", ".join(globs)
