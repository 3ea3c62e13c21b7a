"""Drawings of playbooks: everything is drawn, nothing overlaps, every text fits, and no text is more than text."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from cacao_world import END, NOW, http_step, ident, playbook, written
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_cacao_flow import CATALOGUE, workflows

from soar.actions.registry import catalogue
from soar.model.terms import Risk
from soar.playbook.cacao.importer import import_cacao
from soar.playbook.compiler import compile_playbook
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.drawing.layout import lay_out
from soar.playbook.drawing.mermaid import mermaid_of
from soar.playbook.drawing.outline import Again, Outline, Step, every_step, outline_of
from soar.playbook.drawing.shapes import (
    AgainBox,
    BandBox,
    Drawing,
    Frame,
    Label,
    Line,
    Rect,
    StepBox,
)
from soar.playbook.drawing.svg import svg_of
from soar.playbook.drawing.text import Font, cut, plain, width_of, wrapped
from soar.playbook.graph import StepGraph, walk
from soar.playbook.loader import LoadedPlaybook, load_playbook

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [p for p in sorted((ROOT / "playbooks").glob("*.yaml")) if not p.stem.endswith(".test")]
SVG = "{http://www.w3.org/2000/svg}"

CHILD = """
name: check-host
title: Check a host
identification:
  - id: both
    parallel:
      left:
        - {id: rest, wait: {for: 10m}}
      right:
        - {id: report, do: report.write}
"""

EVERYTHING = """
name: everything
title: Every kind of step
roles: {responder: decides, owner: knows}
on_cancel: undo
on_failure:
  - {id: alarm, task: {role: owner, instructions: Call everybody.}}
identification:
  - {id: call, task: {role: owner, instructions: Is it so?, due: 1h, form: {known: {}}}}
  - {id: go_on, approve: Shall it be?, approval: {role: responder, approvers: 2}}
  - set: {made: [1, 2]}
  - {id: child, playbook: check-host}
containment:
  - id: grave
    if: steps.call.result.known == "yes"
    then:
      - id: loop
        name: Each thing
        foreach: vars.made
        as: thing
        concurrency: 3
        steps:
          - id: way
            switch: thing
            cases:
              low:
                - {id: low, wait: {until: 'incident.severity == "high"', limit: 30m}}
              high:
                - {id: off, do: aws.iam.quarantine_user, with: {user_name: x}, approval: {role: responder}, expires: 2d}
                - id: inner
                  parallel:
                    - [{id: a, do: report.write}]
                    - - {id: b, do: aws.ec2.terminate_instance, with: {instance_id: x}}
                      - {id: c, when: 'steps.b.status == "failed"', do: incident.undo, with: {step: off}}
            default:
              - {id: quiet, wait: {alert: 'alert.state == "resolved"', limit: 30m}}
    else:
      - id: settled
        repeat:
          - {id: look, do: report.write}
        until: steps.look.status == "succeeded"
        attempts: 5
        every: 1m
"""


def outlined(text: str) -> tuple[Outline, StepGraph]:
    child = load_playbook(CHILD, file="child")
    loaded = load_playbook(text, file="test")
    graph = compile_playbook(loaded, catalogue(), {child.playbook.name: child}.__getitem__)
    return outline_of(loaded, graph), graph


def imported(told: dict[str, Any]) -> LoadedPlaybook:
    return import_cacao(written(told), file="a.cacao.json", catalogue=catalogue(), now=NOW).loaded


def drawn_ids(drawing: Drawing) -> list[str]:
    return [shape.id for shape in drawing.shapes if isinstance(shape, (StepBox, Frame))]


def ids_in(graph: StepGraph) -> set[str]:
    starts = [*graph.entries.values(), *([graph.failure] if graph.failure else [])]
    own = {node.id for start in starts for node in walk(graph, start)}
    return own.union(*(ids_in(child.graph) for child in graph.children.values()))


def check(drawing: Drawing) -> None:
    """Nothing overlaps that should not, and every text stands in its place."""
    page = Rect(0, 0, drawing.width, drawing.height)
    boxes, frames = list(drawing.of(StepBox)), list(drawing.of(Frame))
    bands = list(drawing.of(BandBox))
    solid = [box.rect for box in boxes] + [box.rect for box in drawing.of(AgainBox)]
    for one, other in itertools.combinations([*solid, *(frame.head for frame in frames)], 2):
        assert not one.overlaps(other)
    for frame, beside in itertools.combinations(frames, 2):
        nested = frame.rect.holds(beside.rect) or beside.rect.holds(frame.rect)
        assert nested or not frame.rect.overlaps(beside.rect)
    for frame, rect in itertools.product(frames, solid):
        assert frame.rect.holds(rect) or not frame.rect.overlaps(rect)
    for one_band, other_band in itertools.combinations(bands, 2):
        assert not one_band.rect.overlaps(other_band.rect)
    for rect in [*solid, *(frame.rect for frame in frames)]:
        band = next(band for band in bands if band.rect.holds(rect))
        assert not band.head.overlaps(rect)
    for band in bands:
        assert page.holds(band.rect)
    for box in boxes:
        check_labels(box.rect, [*box.labels], [badge.rect for badge in box.badges])
        for badge in box.badges:
            check_labels(badge.rect, [badge.label], [])
    for frame in frames:
        check_labels(frame.head, [*frame.labels], [badge.rect for badge in frame.badges])
    for again in drawing.of(AgainBox):
        check_labels(again.rect, [*again.labels], [])
    for band in bands:
        check_labels(band.head, [*band.labels], [])
    loose = list(drawing.of(Label))
    check_labels(page, loose, [*solid, *(frame.head for frame in frames)])
    for line in drawing.of(Line):
        for (x1, y1), (x2, y2) in itertools.pairwise(line.points):
            thin = Rect(min(x1, x2), min(y1, y2), abs(x1 - x2) + 0.1, abs(y1 - y2) + 0.1)
            inner = [Rect(r.x + 0.2, r.y + 0.2, r.width - 0.4, r.height - 0.4) for r in solid]
            assert not any(rect.overlaps(thin) for rect in inner)


def check_labels(place: Rect, labels: list[Label], others: list[Rect]) -> None:
    rects = [label.rect for label in labels]
    for rect in [*rects, *others]:
        if rect in rects:
            assert place.holds(rect)
    for one, other in itertools.combinations(rects, 2):
        assert not one.overlaps(Rect(other.x, other.y + 1, other.width, other.height - 2))
    for rect, other in itertools.product(rects, others):
        assert not rect.overlaps(other)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_step_of_the_shipped_playbooks_is_drawn(path: Path) -> None:
    outline, graph = outlined(path.read_text(encoding="utf-8"))
    drawing = lay_out(outline)
    check(drawing)
    assert sorted(drawn_ids(drawing)) == sorted(ids_in(graph))
    tree = ET.fromstring(svg_of(drawing))
    assert {g.get("data-step") for g in tree.iter(f"{SVG}g") if g.get("data-step")} == ids_in(graph)
    assert tree.findtext(f"{SVG}title") == outline.sections[0].title
    assert outline.sections[0].name in (tree.findtext(f"{SVG}desc") or "")


def test_every_kind_of_step_is_drawn_where_it_stands() -> None:
    outline, graph = outlined(EVERYTHING)
    drawing = lay_out(outline)
    check(drawing)
    assert sorted(drawn_ids(drawing)) == sorted(ids_in(graph))
    frames = {frame.id: frame for frame in drawing.of(Frame)}
    boxes = {box.id: box for box in drawing.of(StepBox)}
    for outer, inner in [("grave", "loop"), ("grave", "settled"), ("loop", "way"), ("way", "inner")]:
        assert frames[outer].rect.holds(frames[inner].rect)
    assert frames["inner"].rect.holds(boxes["b"].rect)
    assert boxes["a"].rect.y == boxes["b"].rect.y  # side by side
    assert boxes["c"].rect.y > boxes["b"].rect.bottom  # one after the other
    assert not frames["grave"].rect.overlaps(boxes["alarm"].rect)
    bands = [" ".join(label.text for label in band.labels) for band in drawing.of(BandBox)]
    assert bands == ["Identification", "Containment", "On failure", "On cancel", "Identification"]
    assert [band.failure for band in drawing.of(BandBox)] == [False, False, True, True, False]
    assert [line for line in drawing.of(Line) if line.back] != []


def test_what_a_step_does_and_asks_is_written_on_it() -> None:
    drawing = lay_out(outlined(EVERYTHING)[0])
    said = {
        shape.id: " ".join(label.text for label in shape.labels + tuple(b.label for b in shape.badges))
        for shape in drawing.shapes
        if isinstance(shape, (StepBox, Frame))
    }
    assert said["call"] == "call task for owner due after 1h · asks for known"
    assert said["go_on"] == "go on asks: Shall it be? asks responder ×2"
    assert said["off"] == "off aws.iam.quarantine_user put back after 2d CHANGES asks responder"
    assert said["b"] == "b aws.ec2.terminate_instance CHANGES FOR GOOD"
    assert 'only if steps.b.status == "failed"' in said["c"]
    assert "puts back off" in said["c"]
    assert said["child"] == "child runs the playbook check-host"
    assert said["loop"] == "Each thing for each thing in vars.made, 3 at once"
    assert (
        said["settled"] == 'settled again until steps.look.status == "succeeded", 5 times at most, every 1m'
    )
    assert said["way"] == "way by thing"
    assert said["low"] == 'low waits until incident.severity == "high", 30m at most'
    loose = {label.text for label in drawing.of(Label)}
    assert {"yes", "no", "low", "high", "otherwise", "left", "right", "Called: Check a host"} <= loose
    assert "every change is put back, the newest first" in loose


def test_risks_can_be_told_without_colours() -> None:
    drawing = lay_out(outlined(EVERYTHING)[0])
    text = re.sub(r"#[0-9a-f]{3,6}\b", "#000", svg_of(drawing))
    tree = ET.fromstring(text)
    marks = {
        box.id: sorted(str(r.get("fill")) for r in group.iter(f"{SVG}rect"))
        for box in drawing.of(StepBox)
        for group in tree.iter(f"{SVG}g")
        if group.get("data-step") == box.id
    }
    assert marks["off"] != marks["b"] != marks["a"]
    assert "url(#soar-reversible)" in marks["off"]


def test_the_drawing_of_one_version_is_the_same_bytes_and_needs_nothing_else() -> None:
    first, second = (svg_of(lay_out(outlined(EVERYTHING)[0])) for _ in range(2))
    assert first == second
    assert mermaid_of(outlined(EVERYTHING)[0]) == mermaid_of(outlined(EVERYTHING)[0])
    assert re.findall(r"url\((?!#)|(?:href|src)=|@import|@font-face", first) == []
    assert "<script" not in first
    assert re.findall(r"https?://[^\"]+", first) == ["http://www.w3.org/2000/svg"]


def names() -> st.SearchStrategy[str]:
    cjk = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=120)
    long = st.text("Wabc_.-", min_size=60, max_size=400)
    hostile = st.sampled_from(
        ['"] --> x["', "end", "%%{init: {}}%%", "</text><script>alert(1)</script>", "a\nb\r\n\tc", "]]>", "&quot;",
         "#quot;", "1. a list", "`code` *b* _i_", "\u202eabc", "a\u0301" + "\u0301" * 40, "\ufdfd" * 9, "x" * 900,
         "subgraph x", "<!--", "\x00\x1b[31m", "click n1 call", "|\"|"]
    )  # fmt: skip
    anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
    return st.one_of(cjk, long, hostile, anything)


@st.composite
def playbooks(draw: st.DrawFn) -> dict[str, Any]:
    """Playbooks with steps of every kind in each other, and names that nobody would give."""
    count = itertools.count()

    def block(depth: int) -> list[dict[str, Any]]:
        return [step(depth) for _ in range(draw(st.integers(1, 3 if depth < 2 else 2)))]

    def step(depth: int) -> dict[str, Any]:
        kinds = ["do", "task", "approve", "wait", "set"]
        if depth < 3:
            kinds += ["if", "switch", "parallel", "foreach", "repeat"]
        common = {"id": f"s{next(count)}", "name": draw(names())}
        if draw(st.booleans()):
            common["when"] = "alert.title == " + json.dumps(draw(st.text("a_b.c ", max_size=300)))
        match draw(st.sampled_from(kinds)):
            case "do":
                names_of = ["report.write", "aws.iam.rotate_access_key", "aws.ec2.terminate_instance"]
                return {**common, "do": draw(st.sampled_from(names_of)), "approval": {"role": "r" * 64}}
            case "task":
                return {**common, "task": {"role": "r", "instructions": draw(names())}, "timeout": "7d"}
            case "approve":
                return {**common, "approve": draw(names()), "approval": {"role": "r", "approvers": 10}}
            case "wait":
                return {**common, "wait": {"until": "vars." + "x" * draw(st.integers(1, 200)), "limit": "1h"}}
            case "set":
                return {**common, "set": {"v" * draw(st.integers(1, 60)): 1}}
            case "if":
                more = {"else": block(depth + 1)} if draw(st.booleans()) else {}
                return {**common, "if": "true", "then": block(depth + 1), **more}
            case "switch":
                cases = {draw(names()): block(depth + 1) for _ in range(draw(st.integers(1, 3)))}
                return {**common, "switch": "alert.title", "cases": cases}
            case "parallel":
                return {**common, "parallel": [block(depth + 1) for _ in range(draw(st.integers(1, 3)))]}
            case "foreach":
                return {**common, "foreach": "[1]", "steps": block(depth + 1)}
        return {**common, "repeat": block(depth + 1), "until": "true", "attempts": 3}

    return {
        "name": "made",
        "title": draw(names()).replace("{{", "").replace("{%", "")[:200],
        "roles": {"r": "x", "r" * 64: "y"},
        "containment": block(0),
        "on_failure": block(2),
    }


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(playbooks())
def test_nothing_overlaps_and_every_text_fits_whatever_it_is(told: dict[str, Any]) -> None:
    try:
        outline, graph = outlined(json.dumps(told))
    except PlaybookError:
        assume(False)
    drawing = lay_out(outline)
    check(drawing)
    assert sorted(drawn_ids(drawing)) == sorted(ids_in(graph))
    tree = ET.fromstring(svg_of(drawing))
    assert {g.get("data-step") for g in tree.iter(f"{SVG}g") if g.get("data-step")} == ids_in(graph)
    assert {element.tag.removeprefix(SVG) for element in tree.iter()} <= {
        "svg", "title", "desc", "defs", "marker", "pattern", "path", "rect", "g", "text", "polyline", "circle"
    }  # fmt: skip
    check_mermaid(mermaid_of(outline), len(ids_in(graph)))


_TEXT = r'(?:[^"#;<>\[\]{}`%\\\n]|#\d+;|<br/>)*'
_SHAPES = (("[", "]"), ("([", "])"), ("(", ")"), ("((", "))"), ("{", "}"), ("{{", "}}"), ("[[", "]]"),
           ("[/", "/]"), ("[/", "\\]"), ("[\\", "/]"))  # fmt: skip
_NODE = "|".join(f'{re.escape(left)}"{_TEXT}"{re.escape(right)}' for left, right in _SHAPES)
_LINES = re.compile(
    rf'subgraph n\d+ \["{_TEXT}"\]|direction TB|end|n\d+(?:{_NODE})(?::::[a-z]+)?'
    rf'|n\d+ -?-\.?->(?:\|"{_TEXT}"\|)? n\d+|class n\d+ failure|classDef [a-z]+ [^"]+'
)


def check_mermaid(text: str, least: int) -> None:
    """Each line is one of the few that there are, every arrow leads somewhere, and every frame is closed."""
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "---"
    assert re.fullmatch(r'title: "[^%{}<>#`"]*"', lines[1])
    assert lines[2:6] == ["config:", "theme: neutral", "---", "flowchart TB"]
    body = lines[6:]
    for line in body:
        assert _LINES.fullmatch(line), line
    opened = [line for line in body if line.startswith("subgraph ")]
    assert len(opened) == body.count("end")
    made = set(
        re.findall(r"^(?:subgraph )?(n\d+)\W", "\n".join(b for b in body if "->" not in b), re.MULTILINE)
    )
    for line in body:
        if "->" in line and not line.startswith(("subgraph", "classDef")):
            ends = re.fullmatch(r"(n\d+) .* (n\d+)", line)
            if ends is not None and '"' not in line.split("->")[0]:
                assert set(ends.groups()) <= made
    assert len(made) - len(opened) >= least


def test_mermaid_has_a_frame_for_each_phase_and_loop_and_says_the_same() -> None:
    outline, graph = outlined(EVERYTHING)
    text = mermaid_of(outline)
    check_mermaid(text, len(ids_in(graph)))
    for words in (
        'subgraph n1 ["Identification"]',
        '(["call<br/>task for owner<br/>due after 1h, asks for known"])',
        '{{"go on<br/>asks: Shall it be#63;<br/>asks responder ×2"}}',
        '[["child<br/>runs the playbook check#45;host"]]',
        '["off<br/>aws.iam.quarantine_user<br/>put back after 2d<br/>CHANGES – asks responder"]:::reversible',
        '["b<br/>aws.ec2.terminate_instance<br/>CHANGES FOR GOOD"]:::destructive',
        '["Called: Check a host"]',
        '|"otherwise"|',
    ):
        assert words in text


def test_a_cacao_playbook_is_drawn_with_where_its_failures_lead() -> None:
    first, second, answer = (ident("action", name) for name in ("first", "second", "answer"))
    steps = {
        first: {k: v for k, v in http_step("first").items() if k != "on_completion"}
        | {"on_success": second, "on_failure": answer},
        second: {k: v for k, v in http_step("second").items() if k != "on_completion"}
        | {"on_success": END, "on_failure": answer},
        answer: http_step("answer"),
    }
    loaded = imported(playbook(steps))
    assert loaded.graph is not None
    outline = outline_of(loaded, loaded.graph)
    drawing = lay_out(outline)
    check(drawing)
    assert sorted(drawn_ids(drawing)) == sorted(ids_in(loaded.graph))
    items = outline.sections[0].bands[0].items
    # What follows a success stands below, not one frame deeper for each step.
    assert [item.name for item in items if isinstance(item, Step)][:3] == ["first", "first: done?", "second"]
    check_mermaid(mermaid_of(outline), len(ids_in(loaded.graph)))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(workflows())
def test_every_step_of_any_workflow_is_drawn_once(made: tuple[dict[str, Any], list[str]]) -> None:
    try:
        loaded = import_cacao(written(made[0]), file="a.json", catalogue=CATALOGUE, now=NOW).loaded
    except PlaybookError:
        assume(False)
    assert loaded.graph is not None
    outline = outline_of(loaded, loaded.graph)
    drawing = lay_out(outline)
    check(drawing)
    assert sorted(drawn_ids(drawing)) == sorted(ids_in(loaded.graph))
    # Each mark stands at the one step that it means.
    steps = [s for band in outline.sections[0].bands for s in every_step(band.items)]
    marks = {step.mark: step.id for step in steps if step.mark}
    assert len(marks) == len([step for step in steps if step.mark])
    for again in agains(tuple(i for band in outline.sections[0].bands for i in band.items)):
        assert marks[again.mark] == again.step_id
    check_mermaid(mermaid_of(outline), len(ids_in(loaded.graph)))


def agains(items: tuple[Any, ...]) -> list[Again]:
    found: list[Again] = []
    for item in items:
        if isinstance(item, Again):
            found.append(item)
        else:
            found += [again for way in item.ways for again in agains(way.items)]
    return found


@given(names(), st.floats(40, 400), st.booleans(), st.booleans(), st.integers(1, 4))
def test_wrapped_text_fits_and_only_the_last_line_is_cut(
    text: str, room: float, bold: bool, code: bool, lines: int
) -> None:
    font = Font(12, bold=bold, code=code)
    found = wrapped(text, room, font, lines)
    assert len(found) <= lines
    assert all(width_of(line, font) <= room + 1e-6 for line in found)
    if not found or not found[-1].endswith("…"):
        assert "".join(found).replace(" ", "") == plain(text).replace(" ", "")


def test_text_is_cut_with_an_ellipsis_and_kept_where_it_fits() -> None:
    font = Font(10, code=True)
    assert cut("short", 100, font) == "short"
    assert cut("much too long for it", 80, font).endswith("…")
    assert wrapped("aws.iam.deactivate_access_key", 130, font, 2) == ("aws.iam.deactivate_", "access_key")


def test_the_risks_that_are_marked_are_all_but_reading() -> None:
    from soar.playbook.drawing.boxes import RISK_WORDS

    assert set(RISK_WORDS) == set(Risk) - {Risk.READ}
