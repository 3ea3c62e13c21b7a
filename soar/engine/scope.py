"""Where a step runs: in which round of which loops, with which names, and until when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from soar.model.incident import Incident

if TYPE_CHECKING:
    from soar.engine.reads import Reads

__all__ = ["OUTSIDE", "Round", "Scope", "StepsSeen", "base_id", "instance_id"]


def base_id(step_id: str) -> str:
    """The id that a step has in the playbook: `isolate` of `isolate[3]`."""
    return step_id.partition("[")[0]


def instance_id(node_id: str, indices: tuple[int, ...]) -> str:
    """The id of a step in one round of the loops around it: `isolate[3]`, `look[0][2]`."""
    return node_id + "".join(f"[{index}]" for index in indices)


@dataclass(frozen=True)
class Round:
    """One round of a loop.

    Args:
        loop: The loop's id in the playbook.
        index: From 0.
    """

    loop: str
    index: int


@dataclass(frozen=True)
class Scope:
    """Where a step runs.

    Args:
        rounds: The loops around it, the outermost first.
        names: What templates can read besides what they always can: the item, its index, the attempt.
        deadline: When the time of a step around it is over.
        owner: The step whose time that is.
        whatever: It runs although the incident was told to stop: the undo, and the steps, that follow a failure.
        beside: The reads that it may join.
        planning: The plans that its own may join.
    """

    rounds: tuple[Round, ...] = ()
    names: Mapping[str, Any] = field(default_factory=dict)
    deadline: datetime | None = None
    owner: str = ""
    whatever: bool = False
    beside: Reads | None = None
    planning: Reads | None = None

    @property
    def indices(self) -> tuple[int, ...]:
        """The rounds' numbers."""
        return tuple(r.index for r in self.rounds)

    def instance(self, node_id: str) -> str:
        """The id that a step has here."""
        return instance_id(node_id, self.indices)

    def round(self, loop: str, index: int, names: Mapping[str, Any]) -> Scope:
        """The scope of one round of a loop that stands here."""
        return replace(self, rounds=(*self.rounds, Round(loop, index)), names={**self.names, **names})

    def until(self, deadline: datetime | None, owner: str) -> Scope:
        """The scope inside a step whose time is limited. An earlier end around it stays."""
        if deadline is None or (self.deadline is not None and self.deadline <= deadline):
            return self
        return replace(self, deadline=deadline, owner=owner)

    def joining(self, reads: Reads) -> Scope:
        """The scope of a step that may do its read together with others."""
        return replace(self, beside=reads)

    def planning_with(self, plans: Reads) -> Scope:
        """The scope of a step that may have its change planned together with others."""
        return replace(self, planning=plans)


OUTSIDE = Scope()
"""Around no loop."""


class StepsSeen(Mapping[str, Any]):
    """`steps`, as a template reads it: the steps that were reached, by their ids in the playbook.

    Inside a loop, the steps of the same round are seen; from outside, those of no round are.

    Args:
        loops: For each step of the playbook, the loops around it.
    """

    def __init__(self, incident: Incident, loops: Mapping[str, tuple[str, ...]], scope: Scope) -> None:
        self._incident, self._loops, self._scope = incident, loops, scope
        self._around = tuple(r.loop for r in scope.rounds)

    def _instance(self, step_id: str) -> str | None:
        around = self._loops.get(step_id)
        if around is None or self._around[: len(around)] != around:
            return None
        return instance_id(step_id, self._scope.indices[: len(around)])

    def __getitem__(self, step_id: str) -> Any:
        instance = self._instance(step_id)
        step = self._incident.steps[instance] if instance is not None else None
        if step is None:
            raise KeyError(step_id)
        return {"status": step.status.value, "result": step.result.data if step.result else {}}

    def __contains__(self, step_id: object) -> bool:
        instance = self._instance(step_id) if isinstance(step_id, str) else None
        return instance is not None and instance in self._incident.steps

    def __iter__(self) -> Iterator[str]:
        return (step_id for step_id in self._loops if step_id in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
