"""The reference of the expression language, from the code that runs it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from soar.playbook.cacao.filters import CACAO_FILTERS
from soar.playbook.filters import FILTERS, METHODS, TESTS

__all__ = ["FilterDoc", "expressions_page", "filter_docs"]


class FilterDoc(NamedTuple):
    """What there is to know of a filter.

    Args:
        usage: `time_add(duration)`.
        example: An expression that is true.
    """

    name: str
    usage: str
    text: str
    example: str


def filter_docs() -> list[FilterDoc]:
    """Every filter, by name, from its docstring: what it does, and after `Example:` an expression that is true.

    Those of CACAO's conditions are left out: nobody writes them by hand.
    """
    return [_doc(name, filter_) for name, filter_ in sorted(FILTERS.items()) if name not in CACAO_FILTERS]


def _doc(name: str, filter_: Callable[..., Any]) -> FilterDoc:
    text, _, example = inspect.cleandoc(filter_.__doc__ or "").partition("Example:")
    given = inspect.signature(filter_).parameters
    # The first is the value, after the context of those that ask for it.
    names = [n for n in given if n != "context"][1:]
    arguments = ", ".join(_argument(given[n]) for n in names)
    return FilterDoc(
        name, f"{name}({arguments})" if arguments else name, " ".join(text.split()), example.strip()
    )


def _argument(parameter: inspect.Parameter) -> str:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return "…"
    if parameter.default in (parameter.empty, None):
        return parameter.name if parameter.default is parameter.empty else f"{parameter.name}=none"
    default = parameter.default
    return f"{parameter.name}={str(default).lower() if isinstance(default, bool) else repr(default)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def expressions_page() -> str:
    """The page of the reference, in Markdown."""
    rows = [
        f"| `{_cell(doc.usage)}` | {_cell(doc.text)} | `{_cell(doc.example)}` |"
        for doc in filter_docs()
        if doc.name not in ("count", "d")  # other names of `length` and `default`
    ]
    methods = ", ".join(f"`.{name}()`" for name in sorted(METHODS))
    tests = ", ".join(f"`{name}`" for name in sorted(TESTS) if name[0].isalpha())
    return "\n".join(
        [
            "Templates are written `{{ … }}`; `when`, `if`, `until` and the like are bare expressions. The language is",
            "a part of Jinja2 without calls. There is no clock in it: the time is the variable `now`.",
            "",
            "## Filters",
            "",
            "Each example is true.",
            "",
            "| filter | what it gives | example |",
            "| --- | --- | --- |",
            *rows,
            "",
            "## Methods",
            "",
            f"{methods}.",
            "",
            "## Tests",
            "",
            f"`value is …`: {tests}.",
            "",
        ]
    )
