"""Filters that reckon with times. They have no clock: the time is the variable `now`, or one from an alert.

A time is text in ISO 8601 with a zone, `2026-01-31T12:00:00Z`. What they give is in UTC.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from soar.playbook.fields import parse_duration
from soar.playbook.values import BadValue, as_text, missing, plain_text

__all__ = ["TIME_FILTERS"]

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?(?:([Zz])|([+-]\d\d):?(\d\d)?)?"
)
_EXAMPLE = "write 2026-01-31T12:00:00Z"


def _time(value: Any) -> datetime:
    text = as_text(value)
    found = _TIME.fullmatch(text) if len(text) <= 64 and text.isascii() else None
    if found is None:
        raise BadValue(f"{plain_text(value)[:40]!r} is no time", _EXAMPLE)
    date, clock, fraction, zulu, hours, minutes = found.groups()
    if not zulu and not hours:
        raise BadValue(f"the time {text!r} has no zone", f"{_EXAMPLE}, or add one: | replace(…)")
    zone = "+00:00" if zulu else f"{hours}:{minutes or '00'}"
    part = ((fraction or "") + "000000")[:6]  # what is finer than a microsecond is left out
    seconds = clock if len(clock) == 8 else f"{clock}:00"
    try:
        return datetime.fromisoformat(f"{date}T{seconds}.{part}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadValue(f"{text!r} is no time", _EXAMPLE) from None


def _written(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _seconds(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise BadValue("the number is too large")
        return float(value)
    try:
        return parse_duration(as_text(value))
    except ValueError:
        shown = plain_text(value)[:40]
        raise BadValue(
            f"{shown!r} is no duration", "write 30s, 15m, 4h or 2d, or seconds as a number"
        ) from None


def _moved(value: Any, seconds: float) -> str:
    try:
        return _written(_time(value) + timedelta(seconds=seconds))
    except (OverflowError, ValueError):
        raise BadValue("the time is before the year 1 or after the year 9999") from None


def _time_add(value: Any, duration: Any) -> str:
    """A time, later by a duration (30s, 15m, 4h, 2d, or seconds as a number).

    Example: "2026-01-31T23:50:00Z" | time_add("15m") == "2026-02-01T00:05:00Z"
    """
    return _moved(value, _seconds(duration))


def _time_sub(value: Any, duration: Any) -> str:
    """A time, earlier by a duration.

    Example: "2026-03-01T00:00:00Z" | time_sub("1d") == "2026-02-28T00:00:00Z"
    """
    return _moved(value, -_seconds(duration))


def _seconds_between(value: Any, end: Any) -> float:
    """The seconds from a time until another; less than 0 if the other is earlier.

    Example: "2026-01-31T12:00:00Z" | seconds_between("2026-01-31T13:01:00+01:00") == 60
    """
    return (_time(end) - _time(value)).total_seconds()


def _is_before(value: Any, other: Any) -> bool:
    """Whether a time is earlier than another, whatever their zones.

    Example: "2026-01-31T12:00:00+02:00" | is_before("2026-01-31T11:00:00Z")
    """
    return _time(value) < _time(other)


def _is_after(value: Any, other: Any) -> bool:
    """Whether a time is later than another, whatever their zones.

    Example: "2026-01-31T12:00:00Z" | is_after("2026-01-31T11:59:59.5Z")
    """
    return _time(value) > _time(other)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _epoch(value: Any) -> float:
    """The seconds of a time since 1970, as Unix counts them.

    Example: "2026-01-31T12:00:00Z" | epoch == 1769860800
    """
    # A difference, not `timestamp()`: the same on every system, for every year.
    return (_time(value) - _EPOCH).total_seconds()


def _from_epoch(value: Any) -> str:
    """The time of a number of seconds since 1970.

    Example: 1769860800 | from_epoch == "2026-01-31T12:00:00Z"
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise BadValue(f"a number of seconds is needed here, this is {missing(value)}")
    try:
        return _written(_EPOCH + timedelta(seconds=value))
    except (OverflowError, ValueError):
        hint = "divide milliseconds by 1000" if abs(value) < 1e15 else ""
        raise BadValue("the time is before the year 1 or after the year 9999", hint) from None


def _to_utc(value: Any) -> str:
    """A time, written anew in UTC.

    Example: "2026-01-31 13:00:00+0100" | to_utc == "2026-01-31T12:00:00Z"
    """
    return _written(_time(value))


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
# Our own words and not `strftime`, whose words and whose years below 1000 differ between systems.
_DIRECTIVES: dict[str, Callable[[datetime], str]] = {
    "%": lambda _: "%",
    "A": lambda t: _DAYS[t.weekday()],
    "B": lambda t: _MONTHS[t.month - 1],
    "H": lambda t: f"{t.hour:02}",
    "M": lambda t: f"{t.minute:02}",
    "S": lambda t: f"{t.second:02}",
    "Y": lambda t: f"{t.year:04}",
    "a": lambda t: _DAYS[t.weekday()][:3],
    "b": lambda t: _MONTHS[t.month - 1][:3],
    "d": lambda t: f"{t.day:02}",
    "f": lambda t: f"{t.microsecond:06}",
    "j": lambda t: f"{t.timetuple().tm_yday:03}",
    "m": lambda t: f"{t.month:02}",
    "u": lambda t: str(t.isoweekday()),
    "z": lambda t: t.strftime("%z"),
}
_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)")


def _time_format(value: Any, format: Any, offset: Any = "+00:00") -> str:
    """A time in another form: %Y %m %d %H %M %S %f, %a %A %b %B (English), %j, %u (1 is Monday), %z.

    It is in UTC, or at the offset that is given.

    Example: "2026-01-31T12:00:00Z" | time_format("%d %b %Y, %H:%M", "+01:00") == "31 Jan 2026, 13:00"
    """
    pattern, shift = as_text(format), _OFFSET.fullmatch(as_text(offset))
    if shift is None or int(shift[2]) > 23:
        raise BadValue(f"{plain_text(offset)[:20]!r} is no offset from UTC", "write +02:00")
    if len(pattern) > 200:
        raise BadValue("the form has more than 200 characters")
    minutes = (int(shift[2]) * 60 + int(shift[3])) * (-1 if shift[1] == "-" else 1)
    try:
        time = _time(value).astimezone(timezone(timedelta(minutes=minutes)))
    except OverflowError:
        raise BadValue("the time is before the year 1 or after the year 9999") from None

    def put(found: re.Match[str]) -> str:
        if found[1] not in _DIRECTIVES:
            known = " ".join(f"%{name}" for name in sorted(_DIRECTIVES))
            raise BadValue(f'the form has no "%{found[1]}"', f"known: {known}")
        return _DIRECTIVES[found[1]](time)

    return re.sub(r"%(.?)", put, pattern, flags=re.DOTALL)


TIME_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "epoch": _epoch,
    "from_epoch": _from_epoch,
    "is_after": _is_after,
    "is_before": _is_before,
    "seconds_between": _seconds_between,
    "time_add": _time_add,
    "time_format": _time_format,
    "time_sub": _time_sub,
    "to_utc": _to_utc,
}
"""What templates call with `|`, for times."""
