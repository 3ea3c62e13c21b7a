"""Secrets that are written into a text, by their looks. What is found is never repeated in a message."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import re2

__all__ = ["FoundSecret", "secrets_in"]


class FoundSecret(NamedTuple):
    """A secret in one line.

    Args:
        start: Its first character in the line, from 0; `end` is the one after its last.
        kind: What it looks like.
    """

    start: int
    end: int
    kind: str


# RE2 reads a line once, whatever it holds; a backtracking engine could be kept busy by a hostile file.
_LOOKS: Final = tuple(
    (kind, re2.compile(look))
    for kind, look in (
        ("an AWS access key id", r"\b((?:AKIA|ASIA)[A-Z2-7]{16})\b"),
        ("a Slack token", r"\b(xox[abeoprs]-[A-Za-z0-9-]{10,})"),
        ("a Slack app token", r"\b(xapp-[0-9]-[A-Za-z0-9-]{10,})"),
        (
            "a Slack webhook",
            r"(https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,})",
        ),
        ("a GitHub token", r"\b(gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
        ("a Google API key", r"\b(AIza[A-Za-z0-9_-]{35})"),
        ("a Stripe key", r"\b([rs]k_live_[A-Za-z0-9]{16,})"),
        ("a signed token (JWT)", r"\b(eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"),
        ("a private key", r"(-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----)"),
        ("a password in a URL", r"://([^/\s:@{}'\"]{1,64}:[^/\s:@{}'\"]{6,128})@"),
    )
)
_ASSIGNED: Final = re2.compile(
    r"(?i)\b([\w-]{0,40}(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential)[\w-]{0,40}"
    r"['\"]?\s{0,8}[:=])\s{0,8}['\"]?([A-Za-z0-9+/_=.~!@#$%^&*-]{16,200})"
)
_HINT: Final = re2.compile(
    r"(?i)AKIA|ASIA|xox|xapp-|hooks\.slack|gh[opsur]_|github_pat_|AIza|k_live_|eyJ|PRIVATE KEY|://"
    r"|passw|secret|token|key|credential"
)
# `secret_id: prod/app` names a secret and is none.
_NAMES_ONE: Final = re2.compile(r"(?i)[_-](?:id|ids|name|names|arn|ref|path|field|role)['\"]?\s*[:=]$")
_EXAMPLES: Final = re2.compile(r"EXAMPLE|(?i:changeme|placeholder|redacted|xxxx|\*\*\*)")
_LEAST_ENTROPY = 3.5
"""Bits for each character. English words have some 3, random Base64 of 20 characters more than 4."""


def secrets_in(line: str) -> Iterator[FoundSecret]:
    """Find what looks like a secret in one line. Documentation's own examples are left alone."""
    found: list[FoundSecret] = []
    line = line.encode(errors="replace").decode()  # half a character, which no file has, would be refused
    if not _HINT.search(line):
        return
    for kind, look in _LOOKS:
        for match in look.finditer(line):
            if not _EXAMPLES.search(match.group(1)):
                found.append(FoundSecret(match.start(1), match.end(1), kind))
    for match in _ASSIGNED.finditer(line):
        value = match.group(2)
        start, end = match.start(2), match.end(2)
        named = _NAMES_ONE.search(match.group(1)) or _EXAMPLES.search(value)
        seen = any(start < f.end and f.start < end for f in found)
        if not named and not seen and _random(value):
            found.append(FoundSecret(start, end, "a secret"))
    yield from sorted(found)


def _random(text: str) -> bool:
    mixed = any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
    return mixed and "/" not in text[:1] and _entropy(text) >= _LEAST_ENTROPY


def _entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
