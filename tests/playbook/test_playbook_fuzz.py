"""Texts made to break their readers: each gives a clear error, or a value, within a second and 200 MB.

They are read in processes of their own, within limits that the system keeps (`hostile_texts`). How long each took is
not asserted to the second, since a busy machine is slow; one that takes several seconds of computing is given up.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hostile_expressions import BLOCKS, ESCAPES
from hostile_texts import CASES, SPACE
from hypothesis import given, settings
from hypothesis import strategies as st

from soar.playbook.cacao.document import read_cacao
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.document import MAX_ERRORS, parse_yaml
from soar.playbook.expressions import ExpressionError, evaluate, render
from soar.playbook.lint import lint
from soar.playbook.loader import MAX_STEPS, load_playbook
from soar.playbook.policy import load_policy

WORKER = Path(__file__).parents[1] / "support" / "hostile_texts.py"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """What became of each case, by its name."""
    names = list(CASES)
    workers = []
    for part in (names[::2], names[1::2]):
        worker = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert worker.stdin is not None
        worker.stdin.write("".join(json.dumps(name) + "\n" for name in part))
        worker.stdin.close()
        workers.append((worker, part))
    found: dict[str, Row] = {}
    for worker, part in workers:
        assert worker.stdout is not None
        with worker.stdout:
            told = [json.loads(line) for line in worker.stdout]
        code = worker.wait()
        assert len(told) == len(part), f"it ended the process ({code}): {part[len(told)]!r}"
        found |= {row["name"]: row for row in told}
    return found


@pytest.mark.parametrize(
    "kind", ["yaml", "policy", "cacao", "expression", "template", "text", "block", "no template"]
)
def test_hostile_text_is_read_or_refused_and_costs_little(rows: dict[str, Row], kind: str) -> None:
    mine = [row for name, row in rows.items() if name.startswith(f"{kind}: ")]
    assert mine
    escaped = [(r["name"], r["outcome"], r["told"]) for r in mine if r["outcome"] not in ("read", "refused")]
    assert not escaped
    large = [(r["name"], r["space"]) for r in mine if r["space"] > SPACE]
    assert not large
    unclear = [r["name"] for r in mine if r["outcome"] == "refused" and not r["told"].strip()]
    assert not unclear
    endless = [(r["name"], r["length"]) for r in mine if r["length"] > 200_000]
    assert not endless, "nobody reads so long an error"


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_leads_out_of_the_sandbox(rows: dict[str, Row], source: str) -> None:
    shown = f"{source[:60]} ({len(source)})"
    for kind in ("expression", "template", "text"):
        assert rows[f"{kind}: {shown}"]["outcome"] == "refused"


def test_a_block_that_does_something_is_refused(rows: dict[str, Row]) -> None:
    read = {source for source in BLOCKS if rows[f"block: {source[:60]} ({len(source)})"]["outcome"] == "read"}
    allowed = (
        "{{ 1 }}",
        "{% for x in [",
        "{% for x in alert %}",
        "{% for alert in",
        "{% if 0 %}",
        "{% raw %}",
        "{{ '",
        "{#",
        "}}",
    )
    assert all(source.startswith(allowed) for source in read)


def test_what_is_too_deep_or_too_large_is_refused_where_it_is() -> None:
    head = "name: a\nmatch: {source: test}\ncorrelate_by: [alert.uid]\n"
    for text, place in (
        ("a: " + "[" * 5_000, "x.yaml:1:44: nested too deep"),
        ("a: [" + "1," * 100_000, "x.yaml:1:20001: more than"),
        (
            f"{head}containment:\n" + "- {id: s, do: x}\n" * (MAX_STEPS + 1),
            f"x.yaml:4:1: it has more than {MAX_STEPS}",
        ),
    ):
        with pytest.raises(PlaybookError, match=place):
            load_playbook(text, file="x.yaml")


def test_an_error_is_short_whatever_it_is_about() -> None:
    for text in ("name: " + "x" * 200_000, "? " + "x" * 200_000 + "\n: 1", "on_cancel: " + "x" * 200_000):
        with pytest.raises(PlaybookError) as told:
            load_playbook(text, file="x.yaml")
        assert all(len(str(d)) < 2_000 for d in told.value.diagnostics)
    with pytest.raises(PlaybookError) as told:
        load_playbook("".join(f"k{n}: 1\n" for n in range(5_000)), file="x.yaml")
    assert len(told.value.diagnostics) == MAX_ERRORS + 1
    assert "4901 more errors are not told" in str(told.value)


def test_half_a_character_is_no_text_of_an_expression() -> None:
    with pytest.raises(ExpressionError, match="half a character"):
        evaluate(r"'\ud800'", {})


_YAML_PARTS = st.sampled_from(
    [
        *(
            "name: a\n",
            "match: ",
            "{source: x}",
            "containment:\n",
            "- ",
            "  ",
            "    ",
            "id: s\n",
            "do: lamp.look\n",
            "with: ",
        ),
        *(
            "&a ",
            "*a",
            "<<: ",
            "!!str ",
            "!!python/name:x ",
            "? ",
            ": ",
            "|\n",
            ">-\n",
            "---\n",
            "...\n",
            "# x\n",
            "%YAML 1.1\n",
        ),
        *(
            "[",
            "]",
            "{",
            "}",
            ",",
            "'",
            '"',
            "\t",
            "\n",
            "\r",
            "\x85",
            "\u2028",
            "\ufeff",
            "0x1f",
            "1e999",
            "~",
            "\\x",
        ),
        *("if: ", "then:\n", "foreach: ", "when: ", "{{ alert.x }}", "on_error: ask\n", "\0", "\ud800", "🕯"),
    ]
)
_EXPRESSION_PARTS = st.sampled_from(
    [
        *(
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "alert",
            ".",
            "title",
            "items",
            "__class__",
            "[",
            "]",
            "(",
            ")",
            "'",
            '"',
            "|",
        ),
        *(
            "upper",
            "join",
            "map",
            "attribute=",
            "default",
            "length",
            " if ",
            " else ",
            "for x in ",
            "endfor",
            "not ",
            " and ",
        ),
        *(
            "in ",
            "is ",
            "defined",
            "none",
            "==",
            "<",
            "+",
            "-",
            "*",
            "**",
            "/",
            "%",
            "~",
            "1",
            "0",
            "9" * 30,
            "1e308",
            ",",
            ":",
        ),
        *(
            "_budget",
            "loop",
            "self",
            "range",
            "steps",
            "\\",
            "\n",
            " ",
            "é",
            "\u2028",
            "sort",
            "regex_search",
            "split",
            "replace",
        ),
    ]
)
_JSON_PARTS = st.sampled_from(
    [
        *'{}[],:"',
        "type",
        "playbook",
        "\\u",
        "\\ud800",
        "\\",
        "1",
        "-",
        "0",
        ".",
        "e9",
        "true",
        "null",
        "NaN",
        " ",
        "\n",
        "\0",
        "\ufeff",
        '"id"',
        '"workflow"',
    ]
)


def _texts(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(parts, max_size=40).map("".join)


@settings(max_examples=150, deadline=None)
@given(_texts(_YAML_PARTS))
def test_what_looks_like_yaml_is_read_or_refused(text: str) -> None:
    with suppress(PlaybookError):
        parse_yaml(text, file="x.yaml")
    with suppress(PlaybookError):
        load_policy(text, file="x.yaml")
    with suppress(PlaybookError):
        lint(load_playbook(text, file="x.yaml"), {})


@settings(max_examples=150, deadline=None)
@given(_texts(_JSON_PARTS))
def test_what_looks_like_json_is_read_or_refused(text: str) -> None:
    with pytest.raises(PlaybookError, match=r"^x\.json:[0-9]+:[0-9]+: "):
        read_cacao(text, file="x.json")


@settings(max_examples=300, deadline=None)
@given(_texts(_EXPRESSION_PARTS))
def test_what_looks_like_an_expression_has_a_value_or_is_refused(text: str) -> None:
    variables = {"alert": {"title": "x", "items": [1, "a", None], "n": 2}, "steps": {}}
    for run in (evaluate, render):
        with suppress(ExpressionError):
            json.dumps(run(text, variables), allow_nan=False).encode()
