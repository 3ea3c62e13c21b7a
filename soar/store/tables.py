"""The tables. What a table is for stands beside it; the migrations make them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

__all__ = [
    "alerts",
    "approvals",
    "changes",
    "chat_refs",
    "halts",
    "inbox",
    "incidents",
    "metadata",
    "timeline",
    "tokens",
]

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC on every database; SQLite keeps no time zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """See base class."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """See base class."""
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text that others wrote. PostgreSQL's text has no NUL, so it is shown as U+FFFD; JSON columns keep it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """See base class."""
        return None if value is None else value.replace("\x00", "\ufffd")


BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only for a column that is called INTEGER."""

incidents = Table(  # the fold of each timeline, and what lists are ordered and filtered by
    "incidents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workflow_id", String(512), nullable=False),
    Column("title", Words, nullable=False),
    Column("status", String(32), nullable=False),
    Column("severity", Integer, nullable=False),
    Column("phase", String(32), nullable=False),
    Column("playbook", String(256), nullable=False),
    Column("account", Words, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("contained_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("open_approvals", Integer, nullable=False),
    Column("head_seq", BigInteger, nullable=False),
    Column("state", JSON, nullable=False),
    Index("incidents_opened", "opened_at", "id"),
    Index("incidents_status", "status", "opened_at", "id"),
)

timeline = Table(  # append-only: nothing updates or deletes here
    "timeline",
    metadata,
    Column("incident_id", String(64), ForeignKey("incidents.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("entry", JSON, nullable=False),
)

approvals = Table(  # a button carries an approval's id and nothing else
    "approvals",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("incident_id", String(64), ForeignKey("incidents.id"), nullable=False),
)

inbox = Table(  # what was acknowledged and is not yet handled
    "inbox",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("key", String(512), nullable=False),
    Column("body", JSON, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),  # null: handled
    Column("attempts", Integer, nullable=False),
    Column("outcome", Words, nullable=False),
    Index("inbox_key", "kind", "key", unique=True),
    Index("inbox_due", "kind", "due_at", "id"),
)

alerts = (
    Table(  # every alert that was ever received, also what no playbook answers and what could not be read
        "alerts",
        metadata,
        Column("id", String(64), primary_key=True),
        Column("source", String(64), nullable=False),
        Column("uid", Words, nullable=False),
        Column("title", Words, nullable=False),
        Column("severity", Integer, nullable=False),
        Column("received_at", UtcDateTime, nullable=False),
        Column("status", String(32), nullable=False),
        Column("playbook", String(256), nullable=False),
        Column("incident_id", String(64), nullable=False),
        Column("workflow_id", String(512), nullable=False),
        Column("reason", Words, nullable=False),
        Column("field", Words, nullable=False),
        Column("raw_digest", String(64), nullable=False),
        Column("alert", JSON(none_as_null=True)),
        Index("alerts_received", "received_at", "id"),
        Index("alerts_status", "status", "received_at", "id"),
        Index("alerts_source_uid", "source", "uid"),
        Index("alerts_incident", "incident_id", "received_at", "id"),
    )
)

chat_refs = Table(  # where things stand in the chat
    "chat_refs",
    metadata,
    Column("incident_id", String(64), primary_key=True),
    Column("key", String(256), primary_key=True),
    Column("channel", String(64), nullable=False),
    Column("ts", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)

tokens = Table(  # people's API tokens; only their digests are kept
    "tokens",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("responder_id", String(256), nullable=False),
    Column("label", Words, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("tokens_responder", "responder_id"),
)

changes = Table(  # what budgets count: a row for each time that a change began, and for each reserved place
    "changes",
    metadata,
    Column("incident_id", String(64), primary_key=True),
    Column("step_id", String(256), primary_key=True),
    Column("plan_digest", String(64), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # 0: reserved
    Column("time", UtcDateTime, nullable=False),
    Column("risk", String(32), nullable=False),
    Column("account", Words, nullable=False),
    Column("playbook", String(256), nullable=False),
    Column("action", String(256), nullable=False),
    Index("changes_time", "time"),
)

halts = Table(  # every halt there ever was; the one that nobody has lifted is in force
    "halts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("responder_id", String(256), nullable=False),
    Column("name", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("lifted_by", String(256), nullable=False),
    Column("lifted_name", Words, nullable=False),
    Column("lift_reason", Words, nullable=False),
    Column("lifted_at", UtcDateTime),  # null: in force
    Index("halts_in_force", "lifted_at"),
)
