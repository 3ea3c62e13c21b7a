"""Texts of CACAO playbooks as templates of ours.

In a CACAO text `__name__:value` is the variable, and everything else is what it says: also `{{`, which to us would
begin a template. What a variable holds is data wherever it is put in: within JSON, a URL or a shell's command it stays
one value, whatever is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from soar.playbook.cacao.conditions import VARIABLE_USE, kind_of_type, quoted
from soar.playbook.expressions import is_template

__all__ = ["Names", "as_written", "json_template", "literal", "shell_template", "text_template"]


class Names:
    """The variables that a text may use.

    Args:
        types: The declared types, by name.
        keys: What they are called under `vars`; their own names, where it says nothing else.
    """

    def __init__(self, types: Mapping[str, str], keys: Mapping[str, str]) -> None:
        self.types = types
        self.keys = keys

    def value(self, name: str) -> str:
        """A variable as an expression."""
        return f"vars[{quoted(self.keys.get(name, name))}]"


def text_template(text: str, names: Names, through: str = "string") -> str:
    """A template that gives a text with its variables put in.

    Args:
        through: The filter that makes a variable's value fit: `string`, `url_part`, `shell_quote`.
    """
    parts: list[str] = []
    end = 0
    for match in VARIABLE_USE.finditer(text):
        parts.append(_plain(text[end : match.start()]))
        parts.append(f"{{{{ {names.value(match[1])} | {through} }}}}")
        end = match.end()
    if not parts:
        return literal(text)
    parts.append(_plain(text[end:]))
    return "".join(parts)


def literal(text: str) -> str:
    """A template that gives exactly this text."""
    return f"{{{{ {quoted(text)} }}}}" if is_template(text) else text


def as_written(value: JsonValue) -> JsonValue:
    """A template that gives exactly this value."""
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, list):
        return [as_written(item) for item in value]
    if isinstance(value, dict):
        return {key: as_written(item) for key, item in value.items()}
    return value


def _plain(text: str) -> str:
    # Braces could begin a template together with what follows, and templates keep no line's end as it is.
    if "{" in text or "\r" in text or text.endswith("\n"):
        return f"{{{{ {quoted(text)} }}}}"
    return text


def shell_template(text: str, names: Names) -> str:
    """A template that gives a shell's command with each variable put in as one quoted word.

    Raises:
        ValueError: A variable stands where quoting does not hold it: within quotes, or beside a here-document.
    """
    if "<<" in text and VARIABLE_USE.search(text):
        raise ValueError("variables cannot stand in a command with a here-document")
    starts = {match.start() for match in VARIABLE_USE.finditer(text)}
    quote, at = "", 0
    while at < len(text):
        c = text[at]
        if at in starts and quote:
            raise ValueError(
                "a variable stands inside quotes; leave them out, it is quoted when it is put in"
            )
        if c == "\\" and quote != "'":
            if at + 1 in starts:
                raise ValueError("a backslash stands before a variable")
            at += 1
        elif c in ("'", '"', "`") and quote in ("", c):
            quote = "" if quote else c
        elif c == "#" and not quote and (at == 0 or text[at - 1] in " \t\n;&|()"):
            # A quote within a comment opens nothing.
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            if any(at < start < end for start in starts):
                raise ValueError("a variable stands in a comment")
            at = end
        at += 1
    return text_template(text, names, "shell_quote")


_STRING_OR_USE = re.compile(r'"(?:[^"\\]|\\.)*"|' + VARIABLE_USE.pattern, re.DOTALL)
_TYPED: Final = {
    "integer": "int",
    "number": "float",
    "text": "string",
}


def json_template(text: str, names: Names) -> JsonValue | None:
    """A value of templates for a body that is JSON once its variables are put in.

    Within quotes a variable is a part of that text; outside of them it is a value of its declared type.

    Returns:
        None, if it is no JSON, is null, or has a variable in the name of a field.
    """
    bare: dict[str, str] = {}

    def marked(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]
        mark = f"\ue000{len(bare)}\ue000"
        bare[mark] = match[1]
        return f'"{mark}"'

    if "\ue000" in text:
        return None
    try:
        value: JsonValue = json.loads(_STRING_OR_USE.sub(marked, text))
        return _templates(value, names, bare)
    except (ValueError, RecursionError):
        return None


def _templates(value: JsonValue, names: Names, bare: Mapping[str, str]) -> JsonValue:
    if isinstance(value, str):
        if value in bare:
            return _typed(bare[value], names)
        return text_template(value, names)
    if isinstance(value, list):
        return [_templates(item, names, bare) for item in value]
    if isinstance(value, dict):
        if any(VARIABLE_USE.search(key) or "\ue000" in key for key in value):
            raise ValueError("the name of a field cannot be a variable")
        return {key: _templates(item, names, bare) for key, item in value.items()}
    return value


def _typed(name: str, names: Names) -> str:
    value, kind = names.value(name), kind_of_type(names.types[name])
    if kind == "boolean":
        return f"{{{{ {value} | stix_compare('=', true, 'boolean') }}}}"
    if kind in ("list", "dictionary"):
        return f"{{{{ {value} | from_json if {value} is string else {value} }}}}"
    return f"{{{{ {value} | {_TYPED.get(kind, 'string')} }}}}"
