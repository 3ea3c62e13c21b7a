"""Tables and queries: SQLite embedded, PostgreSQL in production, the same code and the same tests for both."""

from soar.store.database import migrate
from soar.store.rows import (
    AlertRow,
    ApprovalLocation,
    ChatRef,
    HaltChange,
    HaltRecord,
    InboxItem,
    IncidentSummary,
    Received,
    StoreConflict,
    StoreGap,
    StoreUnavailable,
)
from soar.store.store import Store

__all__ = [
    "AlertRow",
    "ApprovalLocation",
    "ChatRef",
    "HaltChange",
    "HaltRecord",
    "InboxItem",
    "IncidentSummary",
    "Received",
    "Store",
    "StoreConflict",
    "StoreGap",
    "StoreUnavailable",
    "migrate",
]
