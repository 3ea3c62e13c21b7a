"""What templates can do with values: filters, methods of text and mappings, tests.

Everything here is pure, gives JSON values, and costs at most a small multiple of the size of what it is given. The
size is charged to the budget of the rendering, so that no combination of loops and filters runs away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context

from soar.playbook.address_filters import ADDRESS_FILTERS
from soar.playbook.cacao.filters import CACAO_FILTERS
from soar.playbook.data_filters import DATA_FILTERS, items
from soar.playbook.incident_filters import INCIDENT_FILTERS
from soar.playbook.list_filters import LIST_FILTERS
from soar.playbook.text_filters import TEXT_FILTERS, split
from soar.playbook.time_filters import TIME_FILTERS
from soar.playbook.values import (
    BUDGET,
    MAX_LOOPS,
    BadValue,
    Budget,
    as_items,
    as_mapping,
    as_text,
    bounded,
    plain_text,
)

__all__ = ["FILTERS", "GUARDS", "METHODS", "METHOD_PREFIX", "TESTS"]

METHOD_PREFIX: Final = "_method_"

# Guards: put around parts of every template by `soar.playbook.syntax`; no template can name them.


@pass_context
def _charge(context: Context, value: Any) -> Any:
    budget: Budget = context[BUDGET]
    budget.charge(len(value) if isinstance(value, (str, list, tuple, Mapping)) else 1)
    return value


@pass_context
def _loop(context: Context, value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        value = list(value)
    items = as_items(value)
    budget: Budget = context[BUDGET]
    budget.charge(len(items))
    budget.loops -= len(items)
    if budget.loops < 0:
        raise BadValue(f"it loops more than {MAX_LOOPS} times")
    return items


@pass_context
def _concat(context: Context, value: list[Any]) -> str:
    context[BUDGET].charge_value(value)
    parts = [plain_text(part) for part in value]
    bounded(sum(map(len, parts)))
    return "".join(parts)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    **ADDRESS_FILTERS,
    **DATA_FILTERS,
    **INCIDENT_FILTERS,
    **CACAO_FILTERS,
    **LIST_FILTERS,
    **TEXT_FILTERS,
    **TIME_FILTERS,
}
"""What templates call with `|`. Those that Jinja2 has as well have its names, but take and give JSON values."""

METHODS: Final[dict[str, Callable[..., Any]]] = {
    "endswith": lambda value, end: as_text(value).endswith(as_text(end)),
    "get": lambda value, key, default=None: as_mapping(value).get(key, default),
    "items": items,
    "keys": lambda value: list(as_mapping(value)),
    "lower": lambda value: as_text(value).lower(),
    "removeprefix": lambda value, start: as_text(value).removeprefix(as_text(start)),
    "removesuffix": lambda value, end: as_text(value).removesuffix(as_text(end)),
    "split": split,
    "startswith": lambda value, start: as_text(value).startswith(as_text(start)),
    "strip": lambda value: as_text(value).strip(),
    "upper": lambda value: as_text(value).upper(),
    "values": lambda value: list(as_mapping(value).values()),
}
"""What templates call with a dot. They are ours: no method of a Python object is ever called."""

GUARDS: Final[dict[str, Callable[..., Any]]] = {"_charge": _charge, "_loop": _loop, "_concat": _concat}

TESTS: Final = frozenset(
    {
        "boolean", "defined", "eq", "equalto", "even", "false", "float", "ge", "gt", "in", "integer", "le", "lt",
        "mapping", "ne", "none", "number", "odd", "string", "true", "undefined", "==", "!=", "<", "<=", ">", ">=",
    }
)  # fmt: skip
"""What templates ask with `is`."""
