"""Filters that change text, take it apart, hash it and search it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NoReturn

import re2
from jinja2 import pass_context
from jinja2.runtime import Context

from soar.playbook.values import BUDGET, BadValue, as_text, bounded, plain_text

__all__ = ["TEXT_FILTERS", "split"]

_MAX_PATTERN = 1000
_PROGRAM_MEMORY = 1 << 20  # bytes; a pattern that compiles to more is refused
_STEP = 16
"""Instructions of a compiled pattern that one unit of work pays for, at each character."""


def _lower(value: Any) -> str:
    """The text in small letters.

    Example: "Alice" | lower == "alice"
    """
    return as_text(value).lower()


def _upper(value: Any) -> str:
    """The text in capital letters.

    Example: "eu-west-1" | upper == "EU-WEST-1"
    """
    return as_text(value).upper()


def _trim(value: Any) -> str:
    """The text without white space around it.

    Example: "  alice " | trim == "alice"
    """
    return as_text(value).strip()


def _replace(value: Any, old: Any, new: Any) -> str:
    """The text with one part put for another, wherever it stands.

    Example: "a-b-c" | replace("-", "_") == "a_b_c"
    """
    text, old, new = as_text(value), as_text(old), as_text(new)
    bounded(len(text) + (len(new) - len(old)) * text.count(old))
    return text.replace(old, new)


def split(value: Any, separator: Any = None) -> list[str]:
    """The parts of a text; at white space, if no separator is given.

    Example: "a, b, c" | split(", ") == ["a", "b", "c"]
    """
    if separator == "":
        raise BadValue("text cannot be split at nothing", 'give a separator: | split(",")')
    return as_text(value).split(None if separator is None else as_text(separator))


def _truncate(value: Any, length: Any = 255, end: Any = "…") -> str:
    """The text, cut to a number of characters, with `…` (or `end`) if something was cut off.

    Example: "a long title" | truncate(7) == "a long…"
    """
    text, end = as_text(value), as_text(end)
    if not isinstance(length, int) or isinstance(length, bool) or length < len(end):
        raise BadValue(f"the length is a whole number, at least {len(end)}")
    return text if len(text) <= length else text[: length - len(end)] + end


def as_bytes(value: Any) -> bytes:
    """Text as UTF-8.

    Raises:
        BadValue: It is no text, or holds half a character.
    """
    try:
        return as_text(value).encode()
    except UnicodeEncodeError:
        raise BadValue("the text holds half a character (a lone surrogate)") from None


def _sha256(value: Any) -> str:
    """The SHA-256 of the text's UTF-8 bytes, in small hexadecimal digits.

    Example: "" | sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    """
    return hashlib.sha256(as_bytes(value)).hexdigest()


def _sha1(value: Any) -> str:
    """The SHA-1 of the text's UTF-8 bytes: for looking things up, not for safety.

    Example: "" | sha1 == "da39a3ee5e6b4b0d3255bfef95601890afd80709"
    """
    return hashlib.sha1(as_bytes(value), usedforsecurity=False).hexdigest()


def _md5(value: Any) -> str:
    """The MD5 of the text's UTF-8 bytes: for looking things up, not for safety.

    Example: "" | md5 == "d41d8cd98f00b204e9800998ecf8427e"
    """
    return hashlib.md5(as_bytes(value), usedforsecurity=False).hexdigest()


_ENCODINGS = ("utf-8", "utf-16-le", "latin-1")


def _encoding(name: Any) -> str:
    if name not in _ENCODINGS:
        raise BadValue(f"{plain_text(name)[:40]!r} is no encoding here", f"known: {', '.join(_ENCODINGS)}")
    return str(name)


def _b64encode(value: Any, encoding: Any = "utf-8") -> str:
    """The text in Base64; of its UTF-8, or of another encoding (utf-16-le, latin-1).

    Example: "whoami" | b64encode == "d2hvYW1p"
    """
    try:
        data = as_text(value).encode(_encoding(encoding))
    except UnicodeEncodeError:
        raise BadValue(f"the text cannot be written as {encoding}") from None
    text = base64.b64encode(data).decode()
    bounded(len(text))
    return text


def _b64decode(value: Any, encoding: Any = "utf-8") -> str:
    """The text that Base64 stands for, the URL-safe kind and without padding as well.

    Commands of PowerShell are in utf-16-le.

    Example: "dwBoAG8AYQBtAGkA" | b64decode("utf-16-le") == "whoami"
    """
    text = "".join(as_text(value).split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadValue("it is not Base64") from None
    try:
        return data.decode(_encoding(encoding))
    except UnicodeDecodeError:
        hint = f"give the encoding that it is in: {', '.join(_ENCODINGS)}"
        raise BadValue(f"what the Base64 stands for is no {encoding} text", hint) from None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.max_mem = _PROGRAM_MEMORY
    options.log_errors = False
    try:
        return re2.compile(as_bytes(pattern), options)
    except re2.error as error:
        told = error.args[0] if error.args else b""
        words = told.decode(errors="replace") if isinstance(told, bytes) else str(told)
        _bad_pattern(words[:200] or "it cannot be read")


def _bad_pattern(problem: str) -> NoReturn:
    raise BadValue(f"the pattern cannot be used: {problem}", "write it in the syntax of RE2")


def _searched(context: Context, value: Any, pattern: Any) -> tuple[Any, bytes]:
    """A compiled pattern and the text, paid for: RE2 takes at most text times program."""
    text, pattern = as_bytes(value), as_text(pattern)
    if len(pattern) > _MAX_PATTERN:
        _bad_pattern(f"it has {len(pattern)} characters, at most {_MAX_PATTERN}")
    compiled = _compiled(pattern)
    size = max(compiled.programsize, compiled.reverseprogramsize)
    context[BUDGET].charge(len(text) * (1 + size // _STEP))
    return compiled, text


def _group(compiled: Any, group: Any) -> Any:
    if isinstance(group, str):
        group = group.encode(errors="replace")
    known = isinstance(group, int) and not isinstance(group, bool) and 0 <= group <= compiled.groups
    if not known and not (isinstance(group, bytes) and group in compiled.groupindex):
        raise BadValue(f"the pattern has no group {_words(group)!r}; it has {compiled.groups}")
    return group


def _words(data: Any) -> Any:
    # What stops inside a character can only come from \C, which takes single bytes.
    return data.decode(errors="replace") if isinstance(data, bytes) else data


@pass_context
def _regex_search(context: Context, value: Any, pattern: Any, group: Any = 0) -> str | None:
    """The first part of a text that fits a pattern (or a group of it, by number or name); null if there is none.

    Patterns are those of RE2, which takes time in proportion to the text, whatever the pattern.

    Example: "user=alice ip=198.51.100.7" | regex_search("user=(\\\\w+)", 1) == "alice"
    """
    compiled, text = _searched(context, value, pattern)
    group = _group(compiled, group)
    found = compiled.search(text)
    return None if found is None else _words(found.group(group))


@pass_context
def _regex_findall(context: Context, value: Any, pattern: Any, group: Any = 0) -> list[str | None]:
    """Every part of a text that fits a pattern of RE2 (or a group of it), in order.

    Example: "CVE-2021-44228 and CVE-2014-0160" | regex_findall("CVE-\\\\d+-\\\\d+") | length == 2
    """
    compiled, text = _searched(context, value, pattern)
    group = _group(compiled, group)
    found = []
    for match in compiled.finditer(text):
        context[BUDGET].charge(8 + match.end() - match.start())
        found.append(_words(match.group(group)))
    return found


@pass_context
def _regex_replace(context: Context, value: Any, pattern: Any, new: Any) -> str:
    """The text with another put for every part that fits a pattern of RE2. The new text is taken as it is.

    Example: "key=abc&x=1" | regex_replace("key=[^&]*", "key=***") == "key=***&x=1"
    """
    compiled, text = _searched(context, value, pattern)
    put, parts, end, length = as_bytes(new), [], 0, 0
    for match in compiled.finditer(text):
        length += match.start() - end + len(put)
        bounded(length)
        context[BUDGET].charge(len(put) + 8)
        parts += [text[end : match.start()], put]
        end = match.end()
    bounded(length + len(text) - end)
    return b"".join([*parts, text[end:]]).decode(errors="replace")


TEXT_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "b64decode": _b64decode,
    "b64encode": _b64encode,
    "lower": _lower,
    "md5": _md5,
    "regex_findall": _regex_findall,
    "regex_replace": _regex_replace,
    "regex_search": _regex_search,
    "replace": _replace,
    "sha1": _sha1,
    "sha256": _sha256,
    "split": split,
    "trim": _trim,
    "truncate": _truncate,
    "upper": _upper,
}
"""What templates call with `|`, for text."""
