"""Random workflows, compiled and played, against an interpreter that follows CACAO's pointers by itself."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import Any

from cacao_world import END, NOW, START, ident, playbook, written
from graph_player import Player
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from soar.model.spec import ActionSpec
from soar.playbook.cacao.importer import import_cacao
from soar.playbook.compiler import compile_playbook
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.graph import bodies, enclosing_loops

CATALOGUE: dict[str, ActionSpec] = {}
GROUP = ident("group", "people")


@dataclass
class Maker:
    """Draws a workflow: steps in rows, rows within branching steps, pointers for failures."""

    draw: st.DrawFn
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    loops: list[str] = field(default_factory=list)
    tails: list[str] = field(default_factory=list)
    left: int = 14

    def new(self, kind: str) -> str:
        return ident(kind, f"{kind} {len(self.steps)}")

    def name(self) -> str:
        return f"s{'abcdefghijklmnopqrstuvwxyz'[len(self.steps) % 26]}{'x' * (len(self.steps) // 26)}"

    def action(self, after: str, **more: Any) -> str:
        step_id = self.new("action")
        self.steps[step_id] = {
            "type": "action",
            "name": self.name(),
            "commands": [{"type": "manual", "command": "x"}],
            "agent": GROUP,
            "on_completion": after,
            **more,
        }
        return step_id

    def end(self) -> str:
        step_id = self.new("end")
        self.steps[step_id] = {"type": "end"}
        return step_id

    def row(self, depth: int) -> str:
        """A row of steps that ends at an end of its own."""
        entry = self.end()
        if self.draw(st.integers(0, 5)) == 0 and self.tails:
            # Several ways may lead to the same steps.
            entry = self.draw(st.sampled_from(self.tails))
        elif self.draw(st.booleans()):
            entry = self.action(entry)
            self.tails.append(entry)
        for _ in range(self.draw(st.integers(1, 3))):
            entry = self.step(entry, depth)
        return entry

    def answer(self, kind: str, after: str) -> str:
        """Where a failure leads: to an end, to a step of its own, to one that goes on after it, or straight on."""
        match kind:
            case "end":
                return self.end()
            case "own":
                return self.action(self.end())
            case "rejoin":
                return self.action(after)
        return after

    def step(self, after: str, depth: int) -> str:
        self.left -= 1
        kinds = ["action", "action", "if-condition", "switch-condition", "parallel", "while-condition"]
        kind = self.draw(st.sampled_from(kinds)) if depth < 3 and self.left > 0 else "action"
        answered = self.draw(st.sampled_from(["", "", "end", "own", "rejoin", "same"]))
        led: dict[str, Any] = {"on_completion": after}
        if answered:
            led = {"on_success": after, "on_failure": self.answer(answered, after)}
        if kind == "action":
            step_id = self.action(after)
            del self.steps[step_id]["on_completion"]
            self.steps[step_id] |= led
            return step_id
        step_id = self.new(kind)
        self.steps[step_id] = {"type": kind, "name": self.name(), **led}
        told = self.steps[step_id]
        if kind == "if-condition":
            told["condition"] = self.draw(st.sampled_from(["__yes__", "__yes__:value = false"]))
            told["on_true"] = self.row(depth + 1)
            if self.draw(st.booleans()):
                told["on_false"] = self.row(depth + 1)
        elif kind == "switch-condition":
            told["switch"] = "__case__:value"
            told["cases"] = {"b": self.row(depth + 1), "c": self.row(depth + 1)}
            told["cases"][self.draw(st.sampled_from(["a", "default", "d"]))] = self.row(depth + 1)
        elif kind == "parallel":
            told["next_steps"] = [self.row(depth + 1), self.action(self.end())]
        else:
            # Each loop runs for two rounds: its first step says when it is enough.
            variable = f"__w{len(self.loops)}__"
            self.loops.append(variable)
            told["condition"] = f"{variable}:value > 0"
            told["on_true"] = self.action(self.row(depth + 1), out_args=[variable])
        return step_id


@st.composite
def workflows(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    maker = Maker(draw)
    first = maker.row(0)
    handler = {"workflow_exception": maker.action(END)} if draw(st.booleans()) else {}
    variables: dict[str, Any] = {
        "__yes__": {"type": "bool", "value": "true"},
        "__case__": {"type": "string", "value": "a"},
        **{name: {"type": "integer", "value": "2"} for name in maker.loops},
    }
    told = playbook(maker.steps, first, playbook_variables=variables, **handler)
    told["agent_definitions"] = {GROUP: {"type": "group", "name": "people"}}
    reached = _reached(told)
    told["workflow"] = {i: s for i, s in told["workflow"].items() if i in reached or s["type"] == "end"}
    names = [s["name"] for s in told["workflow"].values() if s["type"] == "action"]
    fails = draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names else []
    return told, fails


def _targets(step: dict[str, Any]) -> list[str]:
    single = [step.get(k) for k in ("on_true", "on_false", "on_completion", "on_success", "on_failure")]
    return [t for t in (*single, *step.get("next_steps", ()), *step.get("cases", {}).values()) if t]


def _reached(told: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [START, told.get("workflow_exception", END)]
    while waiting:
        step_id = waiting.pop()
        if step_id not in found:
            found.add(step_id)
            waiting += _targets(told["workflow"][step_id])
    return found


class Fatal(Exception):
    """A failure that nothing answers."""


class Escape(Exception):
    """A failure that the branching step around answers."""


class Reference:
    """Follows the pointers of a CACAO workflow, and keeps the names of what it does."""

    def __init__(self, told: dict[str, Any], fails: list[str]) -> None:
        self.steps = told["workflow"]
        self.exception = told.get("workflow_exception")
        self.fails = fails
        self.done: list[str] = []
        self.values = dict.fromkeys(told["playbook_variables"], 2)
        self.ticks: dict[str, int] = {}

    def play(self) -> list[str]:
        try:
            self.row(self.steps[START]["on_completion"], answered=False)
        except Fatal:
            if self.exception is not None:
                with contextlib.suppress(Fatal):
                    self.row(self.exception, answered=False)
        return self.done

    def row(self, step_id: str, *, answered: bool) -> None:
        while self.steps[step_id]["type"] != "end":
            step = self.steps[step_id]
            inside = answered or "on_failure" in step
            try:
                self.step(step, inside)
                step_id = step.get("on_completion") or step["on_success"]
            except Escape:
                if "on_failure" in step:
                    step_id = step["on_failure"]
                elif answered:
                    raise
                else:
                    raise Fatal from None

    def step(self, step: dict[str, Any], answered: bool) -> None:
        match step["type"]:
            case "action":
                self.done.append(step["name"])
                if step["name"] in self.fails:
                    raise Escape
                for variable in step.get("out_args", ()):
                    self.values[variable] -= 1
            case "if-condition":
                entry = step["on_true"] if step["condition"] == "__yes__" else step.get("on_false")
                if entry:
                    self.row(entry, answered=answered)
            case "switch-condition":
                entry = step["cases"].get("a") or step["cases"].get("default")
                if entry:
                    self.row(entry, answered=answered)
            case "parallel":
                escaped = False
                for entry in step["next_steps"]:
                    try:
                        self.row(entry, answered=answered)
                    except Escape:
                        escaped = True
                if escaped:
                    raise Escape
            case "while-condition":
                variable = step["condition"].partition(":")[0]
                while self.values[variable] > 0:
                    self.row(step["on_true"], answered=answered)


class Ticks(dict[str, Any]):
    """What each step gives: the counter of its loop, one less than it is."""

    def __init__(self, player: Player, told: dict[str, Any]) -> None:
        self.player = player
        self.out = {s["name"]: s["out_args"][0] for s in told["workflow"].values() if s.get("out_args")}

    def get(self, step_id: str, default: Any = None) -> Any:
        variable = self.out.get(step_id.partition(".")[0])
        return (
            default if variable is None else {variable.strip("_"): int(self.player.variables[variable]) - 1}
        )


class Fails(dict[str, int]):
    """Steps that always fail, the copies of one step all alike."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def get(self, step_id: str, default: Any = None) -> Any:
        name, _, part = step_id.partition(".")
        return 10_000 if name in self.names and (not part or re.fullmatch("copy[0-9]+", part)) else default


@settings(max_examples=300, deadline=None)
@given(workflows())
def test_a_workflow_does_what_its_pointers_say(drawn: tuple[dict[str, Any], list[str]]) -> None:
    told, fails = drawn
    try:
        loaded = import_cacao(written(told), file="p.json", catalogue=CATALOGUE, now=NOW).loaded
    except PlaybookError as error:
        refused = {d.rule for d in error.diagnostics if d.severity == "error"}
        assume(refused - {"runs-twice"})  # what cannot be meant has no meaning to compare
        raise
    graph = compile_playbook(loaded, CATALOGUE)
    for node in graph.nodes.values():
        assert all(target in graph.nodes for target in (*bodies(node), *([node.next] if node.next else [])))
    loops = enclosing_loops(graph)
    assert loops.keys() <= graph.nodes.keys()
    player = Player(graph, fails=Fails(fails))
    player.results = Ticks(player, told)
    played = [step_id.partition(".")[0] for step_id in player.play()]
    assert played == Reference(told, fails).play()
