"""Accepting a delivery: verified, kept as it came, read, and committed before it is acknowledged."""

from __future__ import annotations

import json
import logging
import math
import uuid
from typing import Any

from soar.evidence import Vault, VaultCorrupt, VaultUnavailable
from soar.model.alert import Alert, RawRef
from soar.model.base import Fact
from soar.sources.contract import BadAlert, Source, SourceRequest
from soar.sources.sns import inner, is_envelope
from soar.store import AlertRow, Store, StoreUnavailable

__all__ = ["MAX_BODY", "Accepted", "accept", "read_alerts"]

MAX_BODY = 1024 * 1024
"""Bytes of the largest delivery that is taken."""
MAX_DEPTH = 64
"""Lists and objects within each other. An alert is wrapped further on its way (in the inbox, the workflow, the
timeline), and what reads it there gives up at 255: one that is deeper would be taken and never be read again."""

_log = logging.getLogger("soar.intake")


class Accepted(Fact):
    """What is acknowledged.

    Args:
        alerts: The ids of the alerts in the delivery.
        fresh: How many of them were not known yet.
    """

    alerts: tuple[str, ...]
    fresh: int


def read_alerts(source: Source, body: bytes) -> list[Alert]:
    """Read a delivery's alerts; what SNS delivers is taken out of its envelope first.

    Raises:
        BadAlert: It is not JSON, or not an alert of this source.
    """
    try:
        payload = _well_formed(json.loads(body, parse_constant=_refuse_constant), MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise BadAlert("$", f"is not JSON: {error}") from None
    if not is_envelope(payload):
        return source.normalise(payload)
    try:
        message = _well_formed(inner(payload), MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise BadAlert("$.Message", f"is not JSON: {error}") from None
    try:
        return source.normalise(message)
    except BadAlert as error:
        raise BadAlert(f"$.Message{error.field.removeprefix('$')}", error.message) from None


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's (RFC 8259, section 6), and no database keeps them."""
    raise ValueError(f"{name} is no JSON value")


def _well_formed(value: Any, depth: int) -> Any:
    """Replace what JSON can write and others cannot keep: halves of surrogate pairs, and NUL."""
    match value:
        case str():
            text = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
            return text.replace("\x00", "\ufffd")
        case float() if not math.isfinite(value):
            raise ValueError("a number is out of range")
        case list() | dict() if depth == 0:
            raise BadAlert("$", f"it is nested more than {MAX_DEPTH} levels deep")
        case list():
            return [_well_formed(item, depth - 1) for item in value]
        case dict():
            return {_well_formed(key, depth): _well_formed(item, depth - 1) for key, item in value.items()}
    return value


async def accept(
    source: Source, request: SourceRequest, secrets: tuple[str, ...], store: Store, vault: Vault
) -> Accepted:
    """Accept a delivery. When this returns, everything in it is durable.

    Args:
        secrets: The source's, those in force.

    Raises:
        Unauthenticated: It does not prove where it is from; nothing was kept.
        BadAlert: It is not an alert of its source; the bytes are kept, and it is listed as invalid.
        StoreUnavailable: The store or the vault does not take it, so nothing was acknowledged; the sender has to
            try again.
    """
    if len(request.body) > MAX_BODY:
        raise BadAlert("$", f"the delivery has more than {MAX_BODY} bytes")
    if not request.proven:
        source.verify(request, secrets)
    try:
        raw = await vault.put(request.body)
    except (VaultUnavailable, VaultCorrupt) as error:
        raise StoreUnavailable(f"the delivery cannot be kept in the vault: {error}") from error
    try:
        alerts = read_alerts(source, request.body)
    except BadAlert as error:
        error.raw_digest = raw.digest
        await store.save_alert(_invalid(source, request, raw, error))
        _log.warning(
            "alert.invalid",
            extra={"source": source.name, "field": error.field, "reason": error.message, "raw": raw.digest},
        )
        raise
    fresh = 0
    ids = []
    for alert in alerts:
        kept = alert.model_copy(update={"raw": raw})
        fresh += await store.receive_alert(
            AlertRow(
                id=alert.key,
                source=source.name,
                uid=alert.uid,
                title=alert.title,
                severity=alert.severity,
                received_at=request.received_at,
                status="received",
                raw_digest=raw.digest,
                alert=kept,
            )
        )
        ids.append(alert.key)
    return Accepted(alerts=tuple(ids), fresh=fresh)


def _invalid(source: Source, request: SourceRequest, raw: RawRef, error: BadAlert) -> AlertRow:
    return AlertRow(
        id=f"invalid-{uuid.uuid4().hex}",
        source=source.name,
        title="Not an alert",
        received_at=request.received_at,
        status="invalid",
        field=error.field,
        reason=error.message,
        raw_digest=raw.digest,
    )
