"""Change freezes: times in which changes are forbidden, or take more people.

A weekly freeze is written in the local time of a named zone. When it begins and ends in UTC takes the time zone
database, which differs between machines and changes: the engine is handed a policy in which that is worked out
(`Freeze.resolved_at`), so that what it decides is the same whenever its history is replayed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo, model_validator
from pydantic.json_schema import SkipJsonSchema

from soar.model.base import Fact, UtcTime
from soar.playbook.fields import RoleName, SeverityName, written_by_hand
from soar.playbook.policy_limits import moment
from soar.playbook.policy_rules import RuleMatch, Scope

__all__ = ["Freeze", "Span", "Weekly", "freezes_in_force"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKS = range(-2, 6)
"""The weeks around a moment whose freezes are worked out. A span may be almost a week long."""
_NO_ZONE = (KeyError, ValueError, OSError)
"""What `ZoneInfo` raises for a name that is none, which it takes for a path."""


def _written_time(value: Any, info: ValidationInfo) -> Any:
    if written_by_hand(info) and not isinstance(value, str):
        raise ValueError("not a time; write 2026-12-19T00:00:00Z")
    return value


FileTime = Annotated[UtcTime, BeforeValidator(_written_time)]
"""A point in time; written `2026-12-19T00:00:00Z`."""

DayAndTime = Annotated[
    str, StringConstraints(pattern=r"^(mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):[0-5][0-9]$")
]
"""A time of the week: `fri 16:00`."""


class Span(Fact):
    """From a moment, which belongs to it, to another, which does not."""

    start: UtcTime
    end: UtcTime


class Weekly(Fact):
    """The same hours every week, in local time.

    Args:
        start: `from` in a file: `fri 16:00`.
        end: `to` in a file; the first such time after the start.
        zone: The name of a time zone, `Europe/Berlin`.
    """

    model_config = ConfigDict(populate_by_name=True)

    start: DayAndTime = Field(alias="from")
    end: DayAndTime = Field(alias="to")
    zone: str = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _can_be_used(self, info: ValidationInfo) -> Weekly:
        if self.start == self.end:
            raise ValueError("from and to are the same time of the week")
        if written_by_hand(info):
            try:
                ZoneInfo(self.zone)
            except _NO_ZONE:
                raise ValueError(
                    f'there is no time zone "{self.zone}" here; write a name such as Europe/Berlin or UTC'
                ) from None
        return self

    def spans(self, around: datetime) -> tuple[Span, ...]:
        """When it begins and ends, in the weeks around a moment.

        Raises:
            KeyError, ValueError, OSError: This machine does not know the time zone.
        """
        zone = ZoneInfo(self.zone)
        local = around.astimezone(zone).date()
        monday = local - timedelta(days=local.weekday())
        length = _since_monday(self.end) - _since_monday(self.start)
        length += timedelta(days=7) if length <= timedelta(0) else timedelta(0)
        found = []
        for week in _WEEKS:
            start = _at(monday + timedelta(weeks=week)) + _since_monday(self.start)
            # Where the clock shows a time twice or never, the freeze is the longer of what it may mean.
            found.append(
                Span(start=min(_in_utc(start, zone)), end=max(_in_utc(start + length, zone))),
            )
        return tuple(found)


def _at(day: date) -> datetime:
    return datetime.combine(day, clock())


def _since_monday(text: str) -> timedelta:
    day, _, time = text.partition(" ")
    hours, minutes = time.split(":")
    return timedelta(days=_DAYS.index(day), hours=int(hours), minutes=int(minutes))


def _in_utc(local: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


class Freeze(Fact):
    """A time in which changes are forbidden, or take more people.

    Args:
        start: `from` in a file: when it begins, in UTC; with `end`, which is `to` in a file.
        weekly: Instead of these: the hours of every week.
        match: The changes that it is about; none said: all.
        decide: `never`, or `ask`: people decide, as many as `approvers` says at least.
        unless_severity_at_least: From this severity on, it does not hold.
        resolved: A weekly freeze's spans around the moment at which the policy was handed out; in no file.
    """

    model_config = ConfigDict(populate_by_name=True)

    start: FileTime | None = Field(default=None, alias="from")
    end: FileTime | None = Field(default=None, alias="to")
    weekly: Weekly | None = None
    match: RuleMatch = RuleMatch()
    decide: Literal["never", "ask"] = "never"
    approvers: int = Field(default=1, ge=1, le=10)
    roles: tuple[RoleName, ...] = ()
    unless_severity_at_least: SeverityName | None = None
    why: str = Field(default="", max_length=500)
    resolved: SkipJsonSchema[tuple[Span, ...]] = ()

    @model_validator(mode="after")
    def _some_time(self, info: ValidationInfo) -> Freeze:
        if self.resolved and written_by_hand(info):
            raise ValueError("resolved is not for files")
        if (self.start is None) != (self.end is None):
            raise ValueError("from and to belong together")
        if (self.start is None) == (self.weekly is None):
            raise ValueError("give either from and to, or weekly")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise ValueError("to is not after from")
        if self.decide == "never" and (self.approvers != 1 or self.roles):
            raise ValueError("approvers and roles are for freezes that ask: add decide: ask")
        return self

    def holds(self, scope: Scope) -> bool:
        """Whether it is about a change, at whatever time."""
        spared = self.unless_severity_at_least
        return self.match.holds(scope) and (spared is None or scope.severity < spared)

    def resolved_at(self, now: datetime) -> Freeze:
        """The same freeze with its spans around a moment worked out, where this machine knows the time zone."""
        if self.weekly is None:
            return self
        try:
            return self.model_copy(update={"resolved": self.weekly.spans(now)})
        except _NO_ZONE:
            return self

    def state(self, now: datetime | None) -> str:
        """Until when it is in force, in words; empty: it is not.

        Args:
            now: None: not known, so it is taken to be in force.
        """
        if now is None:
            return "the time is not known"
        if self.start is not None and self.end is not None:
            spans: tuple[Span, ...] = (Span(start=self.start, end=self.end),)
        elif self.resolved and self.resolved[0].start <= now < self.resolved[-1].end:
            spans = self.resolved
        else:
            assert self.weekly is not None
            try:
                spans = self.weekly.spans(now)
            except _NO_ZONE:
                return f"the time zone {self.weekly.zone} is not known on this machine"
        end = max((s.end for s in spans if s.start <= now < s.end), default=None)
        return f"it ends at {moment(end)}" if end is not None else ""


def freezes_in_force(
    freezes: Iterable[Freeze], scope: Scope, now: datetime | None
) -> list[tuple[Freeze, str]]:
    """The freezes that are about a change and are in force.

    Returns:
        Each with its words, which say when it ends.
    """
    found = []
    for number, freeze in enumerate(freezes, start=1):
        if freeze.holds(scope) and (state := freeze.state(now)):
            why = f" ({freeze.why})" if freeze.why else ""
            found.append((freeze, f"freeze {number}{why}; {state}"))
    return found
