"""What the declarations say about themselves: their docstrings, for schemas and editors."""

from __future__ import annotations

import inspect
import re

from pydantic import BaseModel

__all__ = ["args_of", "summary_of"]

_ARG = re.compile(r"    (?P<name>[a-z_]+): (?P<about>.*)")


def summary_of(kind: type[BaseModel]) -> str:
    """A type's docstring without what it says of each field."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("\nArgs:")[0]
    return " ".join(text.split())


def args_of(kind: type[BaseModel]) -> dict[str, str]:
    """What a type's docstring, and those of the types that it is made of, say of each field."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, BaseModel) and "\nArgs:" in inspect.cleandoc(base.__doc__ or ""):
            found |= _args(inspect.cleandoc(base.__doc__ or "").partition("\nArgs:\n")[2])
    return found


def _args(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        begun = _ARG.fullmatch(line)
        if begun is not None:
            name = begun["name"]
            found[name] = begun["about"].strip()
        elif line.startswith("        ") and name:
            found[name] += " " + line.strip()
        elif not line.startswith(" "):
            break
    return found
