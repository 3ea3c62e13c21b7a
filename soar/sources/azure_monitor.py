"""Azure Monitor: alerts in the common alert schema, by the webhook of an action group.

The webhook sends no header of ours: give its address as `/hooks/azure_monitor/<secret>`. Azure sends again after 503,
and gives up after 500.

| alert | alert |
| --- | --- |
| uid | `essentials.originAlertId`, else `essentials.alertId` |
| revision | `essentials.monitorCondition` and its time |
| state | `resolved` if `essentials.monitorCondition` is Resolved; else `new` |
| title | `essentials.alertRule` |
| description | `essentials.description` |
| severity | `essentials.severity`: Sev0 critical, Sev1 high, Sev2 medium, Sev3 low, Sev4 informational |
| rule | `essentials.alertRule` |
| time | `essentials.firedDateTime` |
| last seen | `essentials.resolvedDateTime` |
| account | the subscription, of the first target's id |
| region | `alertContext.properties.region` or `essentials.targetResourceRegion`, where there is one |
| actor | `caller` of an activity-log alert |
| resources | `essentials.alertTargetIDs[]`: `azure.<provider>.<kind>`, `azure.microsoft.compute.virtualmachines` |
| observables | targets, the caller, addresses in dimensions and in the claims |
| attributes | `monitoring_service`, `signal_type`, `condition`, `context` (cut to size) |

Format: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource
from soar.sources.aws_common import bounded, build, once, resource, texts
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import Found, dotted, moment, observable_in, observables

__all__ = ["AzureMonitor"]

_SEVERITIES = {
    "sev0": Severity.CRITICAL,
    "sev1": Severity.HIGH,
    "sev2": Severity.MEDIUM,
    "sev3": Severity.LOW,
    "sev4": Severity.INFORMATIONAL,
}
_SCHEMA = "azureMonitorCommonAlertSchema"


class AzureMonitor(SecretSource):
    """Alerts of Azure Monitor."""

    name: ClassVar[str] = "azure_monitor"
    title: ClassVar[str] = "Azure Monitor"
    docs: ClassVar[str] = "https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One delivery is one alert."""
        whole = Node.of(payload)
        schema = whole.text("schemaId", limit=64)
        if schema != _SCHEMA:
            raise BadAlert(
                "$.schemaId", f"is not {_SCHEMA}: turn the common alert schema on in the action group"
            )
        return [_alert(whole.needed("data"))]


def _alert(data: Node) -> Alert:
    essentials, context = data.needed("essentials"), data.node("alertContext")
    fired = moment(essentials, "firedDateTime")
    if fired is None:
        raise BadAlert(essentials.at("firedDateTime"), "is missing")
    condition = essentials.needed_text("monitorCondition", limit=32)
    resolved = moment(essentials, "resolvedDateTime")
    targets = texts(essentials, "alertTargetIDs")
    rule = essentials.needed_text("alertRule", limit=512)
    caller = context.text("caller", limit=512)
    written = essentials.text("severity", limit=32)
    return build(
        lambda: Alert(
            source=AzureMonitor.name,
            uid=essentials.text("originAlertId", limit=512) or essentials.needed_text("alertId", limit=512),
            revision=f"{condition}@{(resolved or fired).isoformat()}",
            state=AlertState.RESOLVED if condition.lower() == "resolved" else AlertState.NEW,
            title=rule,
            description=essentials.text("description", limit=8192),
            severity=_SEVERITIES.get(written.lower(), Severity.UNKNOWN),
            severity_original=written,
            rule=rule,
            time=fired,
            last_seen=resolved,
            provider="azure",
            account=next((s for s in map(_subscription, targets) if s), ""),
            region=essentials.text("targetResourceRegion", limit=64)
            or next(
                (str(r)[:64] for r in dotted(context.value, "properties.region") if isinstance(r, str)), ""
            ),
            resources=once(one for target in targets for one in _resource(target)),
            actor=AlertActor(name=caller) if caller else None,
            observables=observables(_observed(context, caller)),
            attributes={
                "monitoring_service": essentials.text("monitoringService", limit=128),
                "signal_type": essentials.text("signalType", limit=64),
                "condition": bounded(context.get("condition")),
                "context": bounded(context.value),
            },
        ),
        data.path,
        "alert",
    )


def _subscription(target: str) -> str:
    parts = target.strip("/").split("/")
    return parts[1][:64] if len(parts) > 1 and parts[0].lower() == "subscriptions" else ""


def _resource(target: str) -> Iterator[Resource]:
    """`/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/vm-7`."""
    parts = target.strip("/").split("/")
    lower = [part.lower() for part in parts]
    if "providers" in lower and len(parts) > lower.index("providers") + 3:
        at = lower.index("providers")
        kind = ".".join(("azure", *lower[at + 1 : at + 3]))
        yield from resource(target, kind[:128], parts[-1])
    elif target:
        yield from resource(target, "azure.resource", parts[-1] or target)


def _observed(context: Node, caller: str) -> Iterator[Found | None]:
    if caller:
        yield ObservableType.PRINCIPAL, caller
        yield observable_in(caller)
    for value in dotted(context.value, "condition.allOf.dimensions.value"):
        if isinstance(value, str):
            yield observable_in(value)
    for name in ("httpRequest.clientIpAddress", "properties.ipAddress"):
        for value in dotted(context.value, name):
            if isinstance(value, str):
                yield observable_in(value)
    claims = context.get("claims")  # the activity log writes them as a text that holds JSON
    if isinstance(claims, str):
        try:
            claims = json.loads(claims)
        except (ValueError, RecursionError):
            return
    if isinstance(claims, dict) and isinstance(claims.get("ipaddr"), str):
        yield observable_in(str(claims["ipaddr"]))
