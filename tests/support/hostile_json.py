"""JSON that is made to cost too much, or to be something else than it seems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cacao_world import END, http_step, ident, playbook, written

__all__ = ["json_texts", "nested"]


def nested(levels: int) -> Any:
    """Lists in lists; those further in are many."""
    value: Any = 1
    for _ in range(levels):
        value = [value, {"k": value}] if levels < 20 else [value]
    return value


def json_texts() -> Iterator[tuple[str, str | bytes]]:
    """Each text with its name."""
    for levels in (41, 5_000, 100_000):
        yield f"{levels} lists", "[" * levels + "]" * levels
        yield f"{levels} lists that are not closed", "[" * levels
        yield f"{levels} objects", '{"a":' * levels + "1" + "}" * levels
    yield "as many values as fit", "[" + "1," * 500_000 + "1]"
    yield "as many lists as fit", '{"workflow": [' + "[]," * 300_000 + "[]]}"
    yield "a text that is as long as a file", '{"name": "' + "x" * 1_000_000 + '"}'
    yield "a text of escapes", '{"name": "' + "\\u0041" * 160_000 + '"}'
    yield "a text that is not closed", '{"name": "' + "x" * 1_000_000
    yield "backslashes", '{"name": "' + "\\" * 900_000
    yield "a number of many digits", '{"name": ' + "9" * 900_000 + "}"
    yield "a number too large", '{"name": 1e999}'
    for word in ("NaN", "Infinity", "-Infinity", "undefined", "nul", "tru"):
        yield f"the word {word}", f'{{"name": {word}}}'
    yield "a name twice", '{"name": "a", "name": "b"}'
    yield "many names", "{" + ",".join(f'"k{n}": 1' for n in range(40_000)) + "}"
    yield "bytes that are no UTF-8", b'{"name": "\xff"}'
    yield "half a character", '{"name": "\\ud800"}'
    yield "a zero character", '{"name": "\\u0000"}'
    yield "a zero byte", '{"name": "\0"}'
    yield "a mark of the byte order", "\ufeff{}"
    yield "nothing", ""
    yield "spaces", " " * 1_000_000
    yield "lines", "\n" * 1_000_000 + "x"
    yield "comments", "// x\n{}"
    yield "a comma too many", '{"a": [1,]}'
    yield "two values", "{} {}"
    yield "digits of another script", '{"a": ٣}'

    def workflow(count: int, last: str) -> str:
        ids = [ident("action", str(n)) for n in range(count)]
        after = [*ids[1:], last or ids[0]]
        return written(playbook({i: http_step(f"s{n}", after[n]) for n, i in enumerate(ids)}))

    for count in (4_000, 900):
        yield f"a workflow of {count} steps", workflow(count, END)
        yield f"a workflow of {count} steps in a circle", workflow(count, "")
    yield "a workflow that is a list", written(playbook(workflow=[]))
    ids = [ident("if-condition", str(n)) for n in range(502)]
    shared = {
        one: {
            "type": "if-condition",
            "condition": "__x__:value = '1'",
            "on_true": ids[n + 1],
            "on_false": ids[n + 2],
        }
        for n, one in enumerate(ids[:500])
    }
    ends = {one: {"type": "end"} for one in ids[500:]}
    variable = {"__x__": {"type": "string", "value": "1"}}
    yield (
        "branches that share what follows",
        written(playbook({**shared, **ends}, playbook_variables=variable)),
    )
    only = ident("while-condition", "only")
    for condition in (
        "(" * 4_000,
        "NOT " * 1_000 + "1 = 1",
        "1 = 1" + " AND 1 = 1" * 400,
        "'" + "x" * 4_000,
        "__x__:value LIKE '" + "%" * 4_000 + "'",
    ):
        step = {
            "type": "while-condition",
            "condition": condition,
            "on_true": ident("action", "a"),
            "on_completion": END,
        }
        steps = {only: step, ident("action", "a"): http_step("a", only)}
        yield f"the condition {condition[:20]}", written(playbook(steps, playbook_variables=variable))
    command = {"type": "http-api", "command": "POST /" + "__x__:value" * 50_000 + " HTTP/1.1"}
    yield (
        "a long command",
        written(
            playbook({ident("action", "a"): http_step("a", commands=[command])}, playbook_variables=variable)
        ),
    )
    names = {
        f"__x{n}__": {"type": "string", "value": "__x__:value" * 20, "external": True} for n in range(2_000)
    }
    yield "many variables", written(playbook(playbook_variables=names))
    yield (
        "deep values of a variable",
        written(playbook(playbook_variables={"__x__": {"type": "dictionary", "value": nested(30)}})),
    )
