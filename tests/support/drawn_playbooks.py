"""Playbooks that nobody thought of: strategies that draw whole ones, over every kind of step.

A sure playbook reads only what is surely there, and of the right kind, so that nothing in it can be wrong. A risky one
also reads what may not be there, and what cannot be; the linter is asked which of them are good.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from typing import Any

from drawn_expressions import ROUNDS, Expressions, Name, Seen
from hypothesis import strategies as st

__all__ = ["CALLED", "PEOPLE", "Drawn", "playbooks"]

PEOPLE = "incident-commander"
"""The role that everything is asked of."""
Step = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Drawn:
    """A playbook, the one that it calls, and the lamps that they need.

    Args:
        lamps: Each change has lamps of its own, but for those that surely follow one another. If two change one lamp at
            the same time, the later of them is planned anew, or refused as drift; that is no fault of theirs. And what
            lies under a newer change of the same lamp is not put back alone.
    """

    playbook: dict[str, Any]
    called: dict[str, Any]
    lamps: tuple[str, ...]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        del cycle
        printer.text(f"Drawn({self.text})")

    @property
    def text(self) -> str:
        """The playbook as YAML, of which JSON is a part."""
        return json.dumps(self.playbook, ensure_ascii=False)

    @property
    def called_text(self) -> str:
        return json.dumps(self.called, ensure_ascii=False)

    @property
    def calls(self) -> bool:
        """Whether it calls the other one."""
        return '"playbook":' in self.text


CALLED: dict[str, Any] = {
    "name": "called",
    "inputs": {"word": {"type": "string", "default": "x"}},
    "outputs": {"said": "inputs.word", "colour": "steps.look.result.colour"},
    "identification": [{"id": "look", "do": "lamp.look", "with": {"lamp": "hall"}, "on_error": "stop"}],
}

_INPUTS: dict[str, Any] = {
    "word": {"type": "string", "default": "a-b"},
    "count": {"type": "number", "default": 2},
    "flag": {"type": "boolean", "default": True},
    "rooms": {"type": "list", "default": ["hall", "yard"]},
}


class _Builder(Expressions):
    """Draws one playbook.

    Args:
        risky: Whether it may read what is not there, or of another kind.
        timed: Whether it may have waits, expiries and limits of time.
        people: Whether people are asked.
        crossing: Whether what runs at the same time may put the same changes back.
    """

    def __init__(self, draw: st.DrawFn, *, risky: bool, timed: bool, people: bool, crossing: bool) -> None:
        super().__init__(draw, risky=risky)
        self.timed, self.people, self.crossing = timed, people, crossing
        self.count, self.budget = 0, 14
        self.lamps = ["hall"]
        self.same: dict[str, list[str]] = {}

    # -- drawing

    def _id(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def block(self, depth: int, seen: Seen) -> tuple[list[Step], Seen]:
        """Steps that run one after the other, and what may be used after them."""
        steps: list[Step] = []
        for _ in range(self.draw(st.integers(1, 3))):
            step, seen = self.step(depth, seen)
            steps.append(step)
            self.budget -= 1
            if self.budget <= 0:
                break
        return steps, seen

    def step(self, depth: int, seen: Seen) -> tuple[Step, Seen]:
        """A step, and what may be used after it."""
        kinds = ["look", "change", "change", "set", "undo"]
        kinds += ["task", "question"] if self.people else []
        kinds += ["wait"] if self.timed else []
        kinds += ["call"] if seen.alone and not seen.rounds else []
        if depth > 0 and self.budget > 2:
            kinds += ["if", "switch", "parallel", "foreach", "repeat"]
        kind = self.one(*kinds)
        step_id = self._id(kind)
        common, inside = self._when(seen)
        step, gives, after = getattr(self, f"_{kind}")(step_id, depth, inside)
        if "on_error" not in step:
            step |= self.one({}, {"on_error": "ask"}, {"on_error": self._failing(seen)})
        if self.timed and self.chance(6):
            step["timeout"] = self.one("90s", "4h")
        new = (*after.sure[len(inside.sure) :], *(replace(name, step=step_id) for name in gives))
        self.everywhere += new
        # A parallel step of which there is nothing to tell has no status.
        told = "id" in step and ("parallel" not in step or "when" in common or "timeout" in step)
        status = (Name(f"steps.{step_id}.status", "text"),) if told else ()
        self.everywhere += [] if told else [Name(f"steps.{step_id}.status", "text")]
        passed = "when" in common or step.get("on_error") == "continue"
        # That it was left out, or has failed, is a status as well.
        sure = (*seen.sure, *status) if passed else (*seen.sure, *new, *status)
        maybe = (*after.maybe, *new) if passed else after.maybe
        return {**step, **common}, replace(after, sure=sure, maybe=maybe)

    def _when(self, seen: Seen) -> tuple[Step, Seen]:
        """A condition, or none; and what may be used where it holds."""
        if not self.chance(4):
            return {}, seen
        askable = [name.step for name in seen.maybe if name.step and name.path.startswith("steps.")]
        if not askable or self.chance(2):
            return {"when": self.expression("boolean", seen)}, seen
        step = self.one(*askable)
        held = tuple(name for name in seen.maybe if name.step == step)
        return {"when": f"steps.{step}.status | default('') == 'succeeded'"}, replace(
            seen, sure=(*seen.sure, *held)
        )

    def _failing(self, seen: Seen) -> str:
        """What becomes of a step that fails, if nobody is asked."""
        return str(
            self.one("continue", "continue", "stop", *(["undo"] if seen.alone or self.crossing else []))
        )

    def _look(self, step_id: str, depth: int, seen: Seen) -> _Made:
        del depth
        lamp = self.one("hall", "hall", "hall", "gone", self.template("text", seen))
        step = {"id": step_id, "do": "lamp.look", "with": {"lamp": lamp}}
        if lamp != "hall":  # it fails, and would fail again
            step["on_error"] = self._failing(seen)
        result = f"steps.{step_id}.result"
        return step, (Name(f"{result}.colour", "text"),), seen

    def _change(self, step_id: str, depth: int, seen: Seen) -> _Made:
        del depth
        undoable, lamps = seen.undoable, seen.lamps
        if seen.alone and lamps and self.chance(3):
            lamp = self.one(*lamps)
            # Only what was changed last is put back by itself: an older change lies under a newer one.
            undoable = tuple(
                i for i in undoable if lamp.partition("-")[0] != i and i not in self.same.get(lamp, ())
            )
            self.same.setdefault(lamp, []).append(step_id)
        else:
            rounds = () if seen.rounds and seen.alone and self.chance(3) else seen.rounds
            self.lamps += ["-".join((step_id, *r)) for r in itertools.product("0123", repeat=len(rounds))]
            lamp = "-".join((step_id, *(f"{{{{ {r} }}}}" for r in rounds)))
            # One that every round changes lies under the changes of the others.
            lamps = lamps if len(rounds) < len(seen.rounds) else (*lamps, lamp)
        to = self.one("off", "red", "green", "on", self.template("text", seen))
        step: Step = {"id": step_id, "do": "lamp.switch", "with": {"lamp": lamp, "to": to}}
        if self.people and self.chance(3):
            step["approval"] = {"role": PEOPLE}
        if self.timed and self.chance(3):
            step["expires"] = self.one("1h", "2d")
        return step, (), replace(seen, undoable=(*undoable, step_id), lamps=lamps)

    def _undo(self, step_id: str, depth: int, seen: Seen) -> _Made:
        del depth
        choices: list[dict[str, Any]] = [{"step": one} for one in seen.undoable]
        if seen.alone:
            # Where others go on at the same time, what they change is not put back under their hands.
            choices += [{"phase": "containment"}, {"all": True}]
        elif not choices or (seen.rounds and not self.crossing):
            # A step in a loop is that of every round.
            return self._set(step_id, 0, seen)
        return {"id": step_id, "do": "incident.undo", "with": self.one(*choices)}, (), seen

    def _set(self, step_id: str, depth: int, seen: Seen) -> _Made:
        del depth
        again = [n for n in seen.sure if n.path.startswith("vars.") and n.kind != "any"]
        # Of a name that is set twice the linter does not know the kind.
        if again and not self.risky and self.chance(2):
            name = self.one(*again)
        else:
            name = Name(f"vars.v{step_id}", self.one("text", "number", "boolean", "list"))
        value = self.template(name.kind, seen)
        step: Step = {"set": {name.path.removeprefix("vars."): value}}
        return {**step, **self.one({"id": step_id}, {})}, (name,), seen

    def _task(self, step_id: str, depth: int, seen: Seen) -> _Made:
        del depth
        form = {"known": {"type": "boolean"}, "many": {"type": "number"}, "remark": {"required": False}}
        instructions = f"Look at {self.template('any', seen)}"
        step = {"id": step_id, "task": {"role": PEOPLE, "instructions": instructions, "form": form}}
        result = f"steps.{step_id}.result"
        names = (
            Name(f"{result}.known", "boolean"),
            Name(f"{result}.many", "number"),
            Name(f"{result}.remark", "any"),
        )
        return step, (*names, Name(f"{result}.completed_by", "text")), seen

    def _question(self, step_id: str, depth: int, seen: Seen) -> _Made:
        del depth
        step = {
            "id": step_id,
            "approve": f"Is it {self.template('any', seen)}?",
            "approval": {"role": PEOPLE},
        }
        result = f"steps.{step_id}.result"
        return step, (Name(f"{result}.approved", "boolean"), Name(f"{result}.outcome", "text")), seen

    def _wait(self, step_id: str, depth: int, seen: Seen) -> _Made:
        del depth
        until = {"until": self.expression("boolean", seen), "limit": self.one("10m", "1h")}
        step = {"id": step_id, "wait": self.one({"for": "30s"}, until)}
        return step, (Name(f"steps.{step_id}.result.happened", "boolean"),), seen

    def _call(self, step_id: str, depth: int, seen: Seen) -> _Made:
        del depth
        step: Step = {"id": step_id, "playbook": "called"}
        if self.chance(2):
            step["with"] = {"word": self.template("text", seen)}
        result = f"steps.{step_id}.result"
        names = (
            Name(f"{result}.status", "text"),
            Name(f"{result}.said", "any"),
            Name(f"{result}.colour", "any"),
        )
        return step, names, seen

    def _if(self, step_id: str, depth: int, seen: Seen) -> _Made:
        step: Step = {"if": self.expression("boolean", seen), **self.one({"id": step_id}, {})}
        step["then"], after = self.block(depth - 1, seen)
        ends = [after]
        if self.chance(2):
            step["else"], after = self.block(depth - 1, seen)
            ends.append(after)
        return step, (), self._one_of(seen, ends)

    def _switch(self, step_id: str, depth: int, seen: Seen) -> _Made:
        step: Step = {"id": step_id, "switch": self.expression(self.one("text", "number"), seen), "cases": {}}
        ends = []
        for case in self.one(["on"], ["3", "x'{{"], ["a-b", ""]):
            if case:
                step["cases"][case], after = self.block(depth - 1, seen)
                ends.append(after)
        if self.chance(2):
            step["default"], after = self.block(depth - 1, seen)
            ends.append(after)
        return step, (), self._one_of(seen, ends)

    def _one_of(self, seen: Seen, ends: list[Seen]) -> Seen:
        """What may be used after one of several ways."""
        maybe = [n for end in ends for n in (*end.sure[len(seen.sure) :], *end.maybe[len(seen.maybe) :])]
        return replace(self._several(seen, ends), sure=seen.sure, maybe=(*seen.maybe, *maybe))

    def _several(self, seen: Seen, ends: list[Seen]) -> Seen:
        return replace(
            seen,
            sure=(*seen.sure, *(n for end in ends for n in end.sure[len(seen.sure) :])),
            maybe=(*seen.maybe, *(n for end in ends for n in end.maybe[len(seen.maybe) :])),
            # What one of the ways took away stays away.
            undoable=tuple(
                dict.fromkeys(
                    i
                    for end in (seen, *ends)
                    for i in end.undoable
                    if all(i in other.undoable or i not in seen.undoable or not other.alone for other in ends)
                )
            ),
            lamps=tuple(dict.fromkeys(lamp for end in (seen, *ends) for lamp in end.lamps)),
        )

    def _parallel(self, step_id: str, depth: int, seen: Seen) -> _Made:
        branches: list[list[Step]] = []
        ends = []
        for _ in range(self.draw(st.integers(1, 3))):
            beside = replace(seen, alone=False, lamps=(), undoable=seen.undoable if self.crossing else ())
            block, after = self.block(depth - 1, beside)
            branches.append(block)
            ends.append(after)
        named = self.one(branches, {f"b{n}": block for n, block in enumerate(branches)})
        step: Step = {"parallel": named, **self.one({"id": step_id}, {})}
        if self.chance(3):
            step["concurrency"] = self.draw(st.integers(1, 3))
        return step, (), self._several(seen, ends)

    def _foreach(self, step_id: str, depth: int, seen: Seen) -> _Made:
        bound, several = f"item{self.count}", self.one(1, 1, 2, 3)
        step: Step = {"id": step_id, "foreach": self.expression("list", seen, 1), "as": bound}
        names = Name(bound, "text"), Name(f"{bound}_index", "number")
        rounds = (*seen.rounds, f"{bound}_index")
        inner = replace(seen, sure=(*seen.sure, *names), rounds=rounds, lamps=())
        if several > 1:
            step["concurrency"] = several
            inner = replace(inner, alone=False, undoable=seen.undoable if self.crossing else ())
        step["steps"], after = self.block(depth - 1, inner)
        if self.chance(2):
            step["collect"] = self.expression("any", after)
        result = f"steps.{step_id}.result"
        gives = Name(f"{result}.count", "number"), Name(f"{result}.failed", "number")
        return step, (*gives, Name(f"{result}['items']", "any")), self._after_loop(seen, after)

    def _repeat(self, step_id: str, depth: int, seen: Seen) -> _Made:
        # No repeat in another: `attempt` is that of the inner one.
        if "attempt" in seen.rounds:
            return self._set(step_id, depth, seen)
        names = (Name("attempt", "number"),)
        inner = replace(seen, sure=(*seen.sure, *names), rounds=(*seen.rounds, "attempt"), lamps=())
        step: Step = {"id": step_id}
        step["repeat"], after = self.block(depth - 1, inner)
        enough = f"attempt >= {self.draw(st.integers(1, ROUNDS))}"
        step["until"] = self.one(enough, self.expression("boolean", after))
        step["attempts"] = self.draw(st.integers(1, ROUNDS))
        step["on_error"] = self._failing(seen)
        if self.timed and self.chance(3):
            step["every"] = "1m"
        result = f"steps.{step_id}.result"
        gives = Name(f"{result}.attempts", "number"), Name(f"{result}.satisfied", "boolean")
        return step, gives, self._after_loop(seen, after)

    def _after_loop(self, seen: Seen, after: Seen) -> Seen:
        """Of what stands in a loop, only names are seen from outside, and only if there was a round."""
        new = [n for n in (*after.sure[len(seen.sure) :], *after.maybe) if n.path.startswith("vars.")]
        return replace(seen, maybe=(*seen.maybe, *(n for n in new if n not in seen.sure)))


_Made = tuple[Step, tuple[Name, ...], Seen]
"""A step, the names that it gives, and what may be used after what is inside of it."""


@st.composite
def playbooks(
    draw: st.DrawFn,
    *,
    risky: bool = False,
    timed: bool = False,
    people: bool = True,
    crossing: bool = False,
) -> Drawn:
    """Whole playbooks. Whatever their steps have changed is put back at their end.

    Args:
        risky: Whether they may read what is not there, or of another kind.
        timed: Whether they may have waits, expiries and limits of time.
        people: Whether people are asked.
        crossing: Whether what runs at the same time may put the same changes back.
    """
    builder = _Builder(draw, risky=risky, timed=timed, people=people, crossing=crossing)
    playbook: dict[str, Any] = {
        "name": "drawn",
        "match": {"source": "test"},
        "correlate_by": ["alert.uid"],
        "roles": {PEOPLE: "decides"},
        "inputs": _INPUTS,
        "on_failure": draw(
            st.sampled_from(
                ["keep", "undo", [{"id": "failing", "do": "incident.undo", "with": {"all": True}}]]
            )
        ),
        "on_cancel": draw(st.sampled_from(["keep", "undo"])),
    }
    seen = Seen()
    playbook["containment"], seen = builder.block(3, seen)
    if builder.budget > 0:
        playbook["eradication"], seen = builder.block(2, replace(seen, lamps=()))
    everything = {"id": "everything", "do": "incident.undo", "with": {"all": True}, "on_error": "continue"}
    playbook["recovery"] = [everything]
    return Drawn(playbook, CALLED, tuple(builder.lamps))
