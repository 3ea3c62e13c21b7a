"""What a policy says wrongly or in vain, beyond its form; each finding with its place in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from soar.model.terms import Risk, Severity
from soar.playbook.diagnostics import Diagnostic, nearest
from soar.playbook.document import Document, Path
from soar.playbook.policy_rules import RuleMatch

if TYPE_CHECKING:
    from soar.playbook.policy_document import Policy

__all__ = ["policy_findings"]

_STRICTNESS = {"automatic": 0, "ask": 1, "never": 2}
_WILD = frozenset("*?[")


def policy_findings(document: Document, policy: Policy, now: datetime | None) -> list[Diagnostic]:
    """Check what the types alone do not.

    Args:
        now: For freezes that are over; None: that is not looked at.
    """
    return [
        *_too_few_responders(document, policy),
        *_environments(document, policy),
        *_never_matching(document, policy),
        *_without_effect(document, policy),
        *_over(document, policy, now),
    ]


def _matches(policy: Policy) -> Iterator[tuple[Path, RuleMatch]]:
    for section in ("autonomy", "budgets", "freezes"):
        for index, rule in enumerate(getattr(policy, section)):
            yield (section, index), rule.match


def _too_few_responders(document: Document, policy: Policy) -> Iterator[Diagnostic]:
    for section in ("autonomy", "freezes"):
        for index, rule in enumerate(getattr(policy, section)):
            held = sum(bool(set(rule.roles) & set(r.roles)) for r in policy.responders)
            if rule.roles and held < rule.approvers:
                roles = " or ".join(rule.roles)
                yield document.diagnostic(
                    (section, index),
                    "too-few-responders",
                    f"{rule.approvers} approvers with the role {roles} are asked for, {held} exist",
                    "give the role to more responders, or ask for fewer",
                )


def _environments(document: Document, policy: Policy) -> Iterator[Diagnostic]:
    for path, match in _matches(policy):
        names = match.environment or ()
        for index, name in enumerate(names):
            where: Path = (*path, "match", "environment", *((index,) if len(names) > 1 else ()))
            if name not in policy.environments:
                yield document.diagnostic(
                    where,
                    "unknown-environment",
                    f'there is no environment "{name[:80]}"',
                    nearest(name, policy.environments) or "name it under environments",
                )
            elif (
                path[0] == "budgets"
                and policy.budgets[int(path[1])].changes is not None
                and all(way.tag is not None for way in policy.environments[name])
            ):
                yield document.diagnostic(
                    where,
                    "environment-by-tag",
                    f'of earlier changes only the account is known, and "{name}" is told by tags alone',
                    "count by account, or give the environment a way that is told by accounts alone",
                )


def _never_matching(document: Document, policy: Policy) -> Iterator[Diagnostic]:
    for path, match in _matches(policy):
        least, most = match.severity_at_least, match.severity_at_most
        if most is not None and (most is Severity.UNKNOWN or (least is not None and least > most)):
            yield document.diagnostic(
                (*path, "match", "severity_at_most"),
                "never-matches",
                "no severity fits, so this never counts",
                "severity_at_most takes a known severity that is not below severity_at_least",
            )
        vain = path[0] != "autonomy" or policy.autonomy[int(path[1])].decide != "never"
        if vain and match.risk is not None and set(match.risk) == {Risk.READ}:
            yield document.diagnostic(
                (*path, "match", "risk"),
                "only-reads",
                "this is about reads alone, which are never asked about nor counted",
                "name the risks of changes, or leave the rule out",
                severity="warning",
            )


def _without_effect(document: Document, policy: Policy) -> Iterator[Diagnostic]:
    for index, rule in enumerate(policy.autonomy):
        for other_index, other in enumerate(policy.autonomy):
            stricter = _STRICTNESS[other.decide] > _STRICTNESS[rule.decide]
            if stricter and _covers(other.match, rule.match):
                yield document.diagnostic(
                    ("autonomy", index),
                    "without-effect",
                    f"rule {index + 1} ({rule.decide}) changes nothing: rule {other_index + 1} ({other.decide}) "
                    "matches all that it matches, and the stricter one counts",
                    "leave it out, or narrow the other",
                    severity="warning",
                )
                break


def _covers(wide: RuleMatch, narrow: RuleMatch) -> bool:
    """Whether all that one matches surely is matched by the other too."""
    lists = [(wide.risk, narrow.risk), (wide.phase, narrow.phase), (wide.environment, narrow.environment)]
    globs = [(wide.action, narrow.action), (wide.account, narrow.account), (wide.playbook, narrow.playbook)]
    least, most = wide.severity_at_least, wide.severity_at_most
    return (
        all(_within(mine, its) for mine, its in lists)
        and all(_globs_within(mine, its) for mine, its in globs)
        and (least is None or (narrow.severity_at_least is not None and narrow.severity_at_least >= least))
        and (most is None or (narrow.severity_at_most is not None and narrow.severity_at_most <= most))
    )


def _within(wide: Sequence[object] | None, narrow: Sequence[object] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))


def _globs_within(wide: Sequence[str] | None, narrow: Sequence[str] | None) -> bool:
    if wide is None:
        return True
    return narrow is not None and all(any(_glob_within(w, n) for w in wide) for n in narrow)


def _glob_within(wide: str, narrow: str) -> bool:
    if wide == narrow or wide == "*":
        return True
    # `aws.*` has all that `aws.iam.*` has; what else there may be between two globs is left open.
    return wide.endswith("*") and not _WILD & set(wide[:-1]) and narrow.startswith(wide[:-1])


def _over(document: Document, policy: Policy, now: datetime | None) -> Iterator[Diagnostic]:
    for index, freeze in enumerate(policy.freezes):
        if now is not None and freeze.end is not None and freeze.end <= now:
            yield document.diagnostic(
                ("freezes", index), "over", "this freeze is over", "leave it out", severity="warning"
            )
