"""The contract of a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert

__all__ = ["BadAlert", "Source", "SourceRequest", "Unauthenticated"]


class Unauthenticated(Exception):
    """A delivery does not prove that it is from its source. The reason is for our log, not for the sender."""


class BadAlert(Exception):
    """A payload is not an alert of its source.

    Args:
        field: The JSON path of what is wrong, `$.detail.severity`.
        message: What is wrong with it.
        raw_digest: Where the payload is kept in the vault, once it is.
    """

    def __init__(self, field: str, message: str) -> None:
        field, message = field[:200], message[:500]  # both may hold names that the sender chose
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message
        self.raw_digest = ""


@dataclass(frozen=True)
class SourceRequest:
    """A delivery as it came in.

    Args:
        headers: Names in lower case, whatever they came in: see `of`.
        received_at: By our clock, with its time zone.
        token: The last part of the address behind the source's name; empty: there was none.
        proven: How the way it came has already proved where it is from, `signed by SNS for arn:…`; empty: the source
            has to verify it.
    """

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    token: str = field(default="", repr=False)
    proven: str = ""

    @classmethod
    def of(
        cls, headers: Mapping[str, str], body: bytes, received_at: datetime, token: str = ""
    ) -> SourceRequest:
        """A request whose headers are named in any letter case."""
        return cls({name.lower(): value for name, value in headers.items()}, body, received_at, token)


class Source(ABC):
    """A system that raises alerts.

    Args:
        name: In addresses and settings, `guardduty`.
        title: For people.
        docs: The vendor's page of the format.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    docs: ClassVar[str]

    @abstractmethod
    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        """Make sure that a delivery is from the source.

        Args:
            secrets: Those in force: two while one is being replaced.

        Raises:
            Unauthenticated: It is not, or cannot be told.
        """

    @abstractmethod
    def normalise(self, payload: JsonValue) -> list[Alert]:
        """Read a payload's alerts.

        Raises:
            BadAlert: It is not one of this source's; names the field.
        """
