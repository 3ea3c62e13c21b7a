"""The errors that an action may end in. Their names travel to the timeline as `ErrorInfo.type`."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ActionError",
    "BadInput",
    "BadReply",
    "Drifted",
    "InDoubt",
    "NotSent",
    "PermissionMissing",
    "Refused",
    "TargetGone",
    "Throttled",
    "TimedOut",
    "Unavailable",
]


class ActionError(Exception):
    """An action could not do what it was asked to.

    Args:
        message: What happened, to what.
        hint: What a responder can do now.
    """

    retryable: ClassVar[bool] = False
    nothing_done: bool = False
    """Certainly nothing was changed before the error."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class BadInput(ActionError):
    """The parameters cannot be right: nothing of that form exists."""


class TargetGone(ActionError):
    """What should be changed or read does not exist (any more)."""


class Refused(ActionError):
    """The action itself refuses: its guards forbid this target."""


class Drifted(ActionError):
    """The target is not as it was left or planned.

    Args:
        differences: One line each, in words.
        nothing_done: It was seen before the first call that changes anything.
    """

    def __init__(
        self, message: str, *, differences: tuple[str, ...], hint: str = "", nothing_done: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.differences, self.nothing_done = differences, nothing_done


class PermissionMissing(ActionError):
    """The worker's principal may not do this.

    Args:
        permission: The permission that is missing, `iam:UpdateAccessKey`.
    """

    def __init__(self, message: str, *, permission: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.permission = permission


class Throttled(ActionError):
    """The service asks to come back later.

    Args:
        retry_after: Seconds, where the service says so.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(ActionError):
    """The service could not be reached or failed by itself; another try may do."""

    retryable = True


class BadReply(ActionError):
    """The service answered, and the answer cannot be used: not what was agreed, too large, or never ending."""


class TimedOut(ActionError):
    """What was waited for did not come about within the time that was given to it."""


class NotSent(ActionError):
    """The service could not be reached, so nothing was sent; trying again by itself could send twice."""

    nothing_done = True


class InDoubt(ActionError):
    """A change was sent, and nobody here can tell whether it was made: a person looks before it is sent again."""
