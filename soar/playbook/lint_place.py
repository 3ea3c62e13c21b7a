"""What the checks of the linter look at: a playbook, the steps in it, and what each of them can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from soar.model.spec import Catalogue
from soar.playbook.builtins import with_builtins
from soar.playbook.compiler import Find, PlacedStep, placed_steps
from soar.playbook.document import Path
from soar.playbook.flow import Condition, Flow, ensured
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.names import Scope
from soar.playbook.results import alert_shape, item_shape, roots_of
from soar.playbook.shapes import Shape, shape_of
from soar.playbook.steps import ForeachStep, RepeatStep

__all__ = ["Subject", "alert_scope", "texts_in"]


@dataclass(frozen=True)
class Subject:
    """A playbook that is checked.

    Args:
        catalogue: Every action, the engine's own included.
        find: The playbooks that it may call; None: they are not looked at.
        roots: The shape of each name that its steps may read.
    """

    loaded: LoadedPlaybook
    catalogue: Catalogue
    find: Find | None
    flow: Flow
    roots: Mapping[str, Shape | None]

    @classmethod
    def of(cls, loaded: LoadedPlaybook, catalogue: Catalogue, find: Find | None) -> Subject:
        """The subject of a check."""
        known, placed = with_builtins(catalogue), placed_steps(loaded)
        roots = roots_of(loaded.playbook, placed, known, find)
        return cls(loaded, known, find, Flow(placed), roots)

    @property
    def placed(self) -> list[PlacedStep]:
        """Every step, in the order written."""
        return self.flow.placed

    def scope(self, place: PlacedStep, *, own: bool = True) -> Scope:
        """What a step can read: in its arguments, or without `own` in its `when`."""
        return self._scope(place, self.flow.conditions(place, own=own))

    def inside(self, place: PlacedStep) -> Scope:
        """What can be read at the end of a round of a loop."""
        loop = place.step
        assert isinstance(loop, (ForeachStep, RepeatStep))
        loops = (*place.loops, loop)
        inner = (p.id for p in self.placed if p.path[: len(place.path)] == place.path and p.loops == loops)
        reader = replace(place, loops=loops, before=(*place.before, *inner))
        return self._scope(reader, self.flow.conditions(place))

    def at_the_end(self) -> Scope:
        """What the outputs can read."""
        before = frozenset(p.id for p in self.placed if not p.loops and not p.failure)
        return Scope(roots=self.roots, flow=self.flow, before=before, not_null=self._not_null([]))

    def at_any_time(self) -> Scope:
        """What rules can read that are looked at whenever the incident changes."""
        return replace(self.at_the_end(), always=True)

    def _scope(self, place: PlacedStep, conditions: list[Condition]) -> Scope:
        roots = dict(self.roots)
        for loop in place.loops:
            if isinstance(loop, ForeachStep):
                roots[loop.bound] = item_shape(loop, roots)
                roots[f"{loop.bound}_index"] = shape_of({"type": "integer"})
            else:
                roots["attempt"] = shape_of({"type": "integer"})
        return Scope(
            roots=roots,
            flow=self.flow,
            reader=place,
            before=frozenset(place.before),
            conditions=tuple(conditions),
            not_null=self._not_null(conditions),
        )

    def _not_null(self, conditions: list[Condition]) -> frozenset[tuple[str, ...]]:
        match = self.loaded.playbook.match
        found = ensured(match.where) if match is not None and match.where is not None else frozenset()
        for condition in conditions:
            if condition.case is None:
                found |= ensured(condition.source, holds=condition.holds)
        return found


def alert_scope() -> Scope:
    """What is read before there is an incident: the alert."""
    return Scope(roots={"alert": alert_shape()}, always=True)


def texts_in(value: JsonValue, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text in a value, and where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from texts_in(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts_in(item, (*path, key))
