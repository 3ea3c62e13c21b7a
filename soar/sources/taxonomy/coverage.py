"""Which playbooks answer what AWS can detect: found by matching, never by a list of ours.

For each row of the tables, the alerts that its source would make go through the very matching that live alerts go
through. A playbook that answers them, and would answer a detection that does not exist as well, is a catch-all: it
takes the row as triage. Any other that answers is the row's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import Literal, NamedTuple

from soar.model.base import Fact
from soar.model.terms import Severity
from soar.playbook.match import is_fallback, matches
from soar.playbook.schema import Playbook
from soar.sources.contract import Source
from soar.sources.taxonomy.samples import Sample, cloudtrail_samples, control_samples, finding_samples
from soar.sources.taxonomy.taxonomy import (
    Control,
    FindingType,
    StratusTechnique,
    guardduty_findings,
    securityhub_controls,
    stratus_techniques,
)

__all__ = ["GROUPS", "Coverage", "Covered", "Group", "Status", "Tally", "coverage_of"]

Group = Literal["guardduty", "securityhub", "stratus"]
GROUPS: dict[Group, str] = {
    "guardduty": "GuardDuty",
    "securityhub": "Security Hub",
    "stratus": "Stratus Red Team",
}
_TRIAGE = "triage"
_NOTHING = "Zz:Zz/Zz"
"""A type that GuardDuty never had, with a beginning that no pattern is likely to ask for."""


class Status(StrEnum):
    """How far a row is answered.

    `partly`: not for every resource that it can be about.
    """

    OWN = "own"
    PARTLY = "partly"
    TRIAGE = "triage"
    NONE = "none"


class Covered(Fact):
    """What answers one row.

    Args:
        id: The finding type, the control or the technique.
        title: In our words; empty where the id says it.
        counted: Whether it counts in the sums: not if AWS no longer raises it, or the project does not list it.
        own: The playbooks that answer it.
        catch_all: Those that would answer anything.
        missing: Of what it can be about, what no playbook of its own answers.
        several: Alerts that more than one playbook answers, catch-alls among them: each starts an incident of its own.
        intended: The playbooks meant for it.
    """

    group: Group
    id: str
    title: str
    status: Status
    counted: bool
    own: tuple[str, ...] = ()
    catch_all: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    intended: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether it is answered as it should be: by a playbook of its own, or by triage if it is meant for that."""
        return self.status is Status.OWN or (self.status is Status.TRIAGE and self.intended == (_TRIAGE,))


class Tally(Fact):
    """The sums of a group.

    Args:
        total: The rows that count; those of each status are among them.
        met: How many of them are answered as they should be.
        uncounted: The rows that do not count.
    """

    group: Group
    total: int
    own: int
    partly: int
    triage: int
    none: int
    met: int
    uncounted: int

    @property
    def percent(self) -> float:
        """The share that is met, of 100."""
        return 100.0 * self.met / self.total if self.total else 100.0


class Coverage(Fact):
    """What answers each row of the tables.

    Args:
        installed: The names of the playbooks that were looked at.
        modelled: The sources that are not installed, and whose alerts were modelled.
    """

    rows: tuple[Covered, ...]
    installed: frozenset[str]
    modelled: tuple[str, ...]

    def tallies(self) -> tuple[Tally, ...]:
        """The sums of each group that has rows."""
        found = []
        for group in GROUPS:
            rows = [row for row in self.rows if row.group == group]
            counted = [row for row in rows if row.counted]
            by = {status: sum(row.status is status for row in counted) for status in Status}
            if rows:
                found.append(
                    Tally(
                        group=group,
                        total=len(counted),
                        own=by[Status.OWN],
                        partly=by[Status.PARTLY],
                        triage=by[Status.TRIAGE],
                        none=by[Status.NONE],
                        met=sum(row.met for row in counted),
                        uncounted=len(rows) - len(counted),
                    )
                )
        return tuple(found)

    def remark(self, row: Covered) -> str:
        """What is not as it should be about a row, for people; empty if nothing is."""
        parts = [f"more than one answers {line}" for line in row.several]
        if row.met:
            return "; ".join(parts)
        if row.missing and row.status is Status.PARTLY:
            parts.append(f"not for {', '.join(row.missing)}")
        for name in row.intended:
            if name == _TRIAGE:
                if not row.catch_all:
                    parts.append("meant for triage, which no playbook does")
            elif name not in self.installed:
                parts.append(f"intended {name}, not installed")
            elif name not in row.own:
                parts.append(f"intended {name}, which does not answer it")
        return "; ".join(parts)


class _Answer(NamedTuple):
    """What answers one alert."""

    about: str
    own: tuple[str, ...]
    catch_all: tuple[str, ...]


class _Matcher:
    """Tries playbooks on samples."""

    def __init__(self, playbooks: Iterable[Playbook], sources: Mapping[str, Source]) -> None:
        self._playbooks = sorted(playbooks, key=lambda playbook: playbook.name)
        self._fallbacks = frozenset(p.name for p in self._playbooks if is_fallback(p))
        self._sources = sources
        self._anything: dict[tuple[str, str], frozenset[str]] = {}
        self.modelled: set[str] = set()

    def finding(self, row: FindingType) -> list[_Answer]:
        """What answers a finding, for each thing that it can be about."""
        answers = []
        for kind in row.resources:
            probe = partial(finding_samples, _NOTHING, kind, Severity.CRITICAL)
            anything = self._takers_of_anything(("guardduty", kind), probe)
            answers += self._answers(finding_samples(row.type, kind, row.severity), anything)
        return answers

    def control(self, row: Control) -> list[_Answer]:
        """What answers a failed control."""
        make = partial(control_samples, resource=row.resource, installed=self._sources)
        probe = partial(make, "Zz.0", severity=Severity.CRITICAL, title=_NOTHING)
        anything = self._takers_of_anything(("securityhub", row.resource), probe)
        return self._answers(make(row.id, severity=row.severity, title=row.title), anything)

    def event(self, event: str) -> list[_Answer]:
        """What answers a CloudTrail event."""
        probe = partial(cloudtrail_samples, "zz:Zz", installed=self._sources)
        anything = self._takers_of_anything(("cloudtrail", ""), probe)
        return self._answers(cloudtrail_samples(event, installed=self._sources), anything)

    def _answers(self, samples: Iterable[Sample], anything: frozenset[str]) -> list[_Answer]:
        found = []
        for sample in samples:
            names, anything = self._takers(sample), anything | self._fallbacks
            own = tuple(name for name in names if name not in anything)
            catch_all = tuple(name for name in names if name in anything)
            if sample.modelled:
                self.modelled.add(sample.alert.source)
            found.append(_Answer(sample.about, own, catch_all))
        return found

    def _takers(self, sample: Sample) -> list[str]:
        found = [p.name for p in self._playbooks if matches(p, sample.alert).matched]
        return [name for name in found if name not in self._fallbacks] or found

    def _takers_of_anything(
        self, key: tuple[str, str], probe: Callable[[], Iterable[Sample]]
    ) -> frozenset[str]:
        """The playbooks that answer a detection that does not exist, of the same source about the same thing."""
        if key not in self._anything:
            self._anything[key] = frozenset(name for sample in probe() for name in self._takers(sample))
        return self._anything[key]


def coverage_of(
    playbooks: Iterable[Playbook], sources: Mapping[str, Source], *, groups: Iterable[Group] = tuple(GROUPS)
) -> Coverage:
    """Find out what answers each row of the tables.

    Args:
        sources: Those that are installed, by name.
        groups: The tables to look at.
    """
    playbooks = tuple(playbooks)
    matcher, rows = _Matcher(playbooks, sources), []
    wanted = set(groups)
    if "guardduty" in wanted:
        rows += [
            _row("guardduty", one.type, "", one.intended, matcher.finding(one), one.status == "active")
            for one in guardduty_findings()
        ]
    if "securityhub" in wanted:
        rows += [
            _row("securityhub", one.id, one.title, one.intended, matcher.control(one), True)
            for one in securityhub_controls()
        ]
    if "stratus" in wanted:
        rows += [_stratus(one, matcher) for one in stratus_techniques()]
    names = frozenset(playbook.name for playbook in playbooks)
    return Coverage(rows=tuple(rows), installed=names, modelled=tuple(sorted(matcher.modelled)))


def _row(
    group: Group, id_: str, title: str, intended: tuple[str, ...], answers: list[_Answer], counted: bool
) -> Covered:
    return Covered(
        group=group,
        id=id_,
        title=title,
        status=_status(answers),
        counted=counted,
        own=_names(answer.own for answer in answers),
        catch_all=_names(answer.catch_all for answer in answers),
        missing=tuple(answer.about for answer in answers if not answer.own),
        several=_several(answers),
        intended=intended,
    )


def _stratus(technique: StratusTechnique, matcher: _Matcher) -> Covered:
    """A technique is answered as well as the best answered of the alerts that AWS raises for it."""
    types = {one.type: one for one in guardduty_findings()}
    controls = {one.id: one for one in securityhub_controls()}
    events = [matcher.event(event) for event in technique.events]
    detections = [
        *(matcher.finding(types[name]) for name in technique.guardduty),
        *(matcher.control(controls[name]) for name in technique.controls),
        *events,
    ]
    names = (*technique.guardduty, *technique.controls, *technique.events)
    ranks = [_status(answers) for answers in detections]
    return Covered(
        group="stratus",
        id=technique.id,
        title=technique.title,
        status=min(ranks, key=list(Status).index, default=Status.NONE),
        counted=technique.status == "listed",
        own=_names(answer.own for answers in detections for answer in answers),
        catch_all=_names(answer.catch_all for answers in detections for answer in answers),
        missing=tuple(name for name, rank in zip(names, ranks, strict=True) if rank is not Status.OWN),
        several=tuple(line for answers in events for line in _several(answers)),
        intended=technique.intended,
    )


def _status(answers: list[_Answer]) -> Status:
    if answers and all(answer.own for answer in answers):
        return Status.OWN
    if any(answer.own for answer in answers):
        return Status.PARTLY
    if answers and all(answer.catch_all for answer in answers):
        return Status.TRIAGE
    return Status.NONE


def _several(answers: list[_Answer]) -> tuple[str, ...]:
    named = ((answer.about, (*answer.own, *answer.catch_all)) for answer in answers)
    return tuple(f"{about}: {', '.join(names)}" for about, names in named if len(names) > 1)


def _names(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({name for group in groups for name in group}))
