"""What depends on what, as far as a playbook's expressions say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soar.actions.registry import catalogue
from soar.playbook.compiler import compile_playbook
from soar.playbook.graph import StepGraph
from soar.playbook.loader import load_playbook
from soar.rehearse.depends import Dependencies


def graph(steps: str) -> StepGraph:
    text = f"name: p\nmatch: {{source: guardduty}}\ncorrelate_by: [alert.account]\ncontainment:\n{steps}"
    return compile_playbook(load_playbook(text, file="p.yaml"), catalogue())


LOOK = "do: aws.iam.describe_principal, with: {name: n, type: user}"
GRAPH = graph(f"""
  - {{id: a, {LOOK}}}
  - {{id: b, when: steps.a.status == "succeeded", {LOOK}}}
  - {{id: c, set: {{x: "{{{{ steps.b.result.name }}}}"}}}}
  - {{id: d, do: aws.iam.describe_principal, with: {{name: "{{{{ vars.x }}}}", type: user}}}}
  - {{id: e, do: aws.iam.quarantine_user, with: {{user_name: n}}}}
  - {{id: f, do: incident.undo, with: {{step: e}}}}
  - {{id: g, do: incident.undo, with: {{phase: containment}}}}
  - id: h
    if: steps.a.result.name == "n"
    then:
      - {{id: i, {LOOK}}}
  - id: j
    foreach: "[1, 2]"
    steps:
      - {{id: k, when: item == 1, {LOOK}}}
  - {{id: m, when: steps.j.result.failed == 0, {LOOK}}}
  - id: q
    attempts: 3
    until: steps.r.status == "succeeded"
    repeat:
      - {{id: r, {LOOK}}}
  - {{id: s, {LOOK}}}
""")
FOUND = Dependencies(GRAPH)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("s", {}),
        ("b", {"c": ("b",), "d": ("c",)}),
        ("a", {"b": ("a",), "c": ("b",), "d": ("c",), "h": ("a",), "i": ("a",)}),
        ("e", {"f": ("e",), "g": ("e",)}),
        ("k", {"m": ("j",)}),
        ("r", {"q": ("r",)}),
        ("i", {}),
    ],
)
def test_what_is_not_known_goes_on_to_what_reads_it(start: str, expected: dict[str, tuple[str, ...]]) -> None:
    assert FOUND.unsure(frozenset({start})) == expected


@given(st.sets(st.sampled_from(sorted(GRAPH.nodes))), st.sets(st.sampled_from(sorted(GRAPH.nodes))))
def test_knowing_less_never_makes_more_known(some: set[str], more: set[str]) -> None:
    fewer, all_of_them = FOUND.unsure(frozenset(some)), FOUND.unsure(frozenset(some | more))
    assert fewer.keys() <= all_of_them.keys()
    assert all(set(why) <= set(all_of_them[step]) for step, why in fewer.items())
    assert all(step not in why for step, why in all_of_them.items())
