"""Falco: alerts of its http output, or of Falcosidekick's webhook. A list of them is taken, too.

| alert | alert |
| --- | --- |
| uid | `uuid`, else a digest of it: Falco numbers nothing |
| state | `new`: Falco resolves nothing |
| title | `rule` |
| description | `output` |
| severity | `priority`: Notice low, Warning medium, Error high, Critical and Alert critical, Emergency fatal |
| rule | `rule` |
| time | `time` |
| account, region | `ct.user.accountid`, `ct.region` of the CloudTrail plugin |
| actor | `output_fields` `ct.user`, else `user.name` |
| resources | the host; `container.id`; `k8s.pod.name` in `k8s.ns.name` |
| observables | addresses and names in `output_fields`; the image's digest |
| techniques | tags such as `T1059` |
| attributes | `fields`, `tags`, `hostname`, `source` |

Format: https://falco.org/docs/outputs/formatting/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert, AlertActor, ObservableType, Resource, Technique
from soar.model.base import digest_of
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource
from soar.sources.aws_common import bounded, build, once, resource, texts
from soar.sources.contract import BadAlert
from soar.sources.payload import Node
from soar.sources.reading import SEVERITIES, Found, moment, observable_in, observables

__all__ = ["Falco"]

_PRIORITIES = {**SEVERITIES, "debug": Severity.INFORMATIONAL, "alert": Severity.CRITICAL}
_TECHNIQUE = re.compile(r"T[0-9]{4}(\.[0-9]{3})?")


class Falco(SecretSource):
    """Alerts of Falco."""

    name: ClassVar[str] = "falco"
    title: ClassVar[str] = "Falco"
    docs: ClassVar[str] = "https://falco.org/docs/outputs/formatting/"

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`."""
        if isinstance(payload, list):
            return [_alert(Node.of(one, f"$[{index}]")) for index, one in enumerate(payload)]
        return [_alert(Node.of(payload))]


def _alert(one: Node) -> Alert:
    at = moment(one, "time")
    if at is None:
        raise BadAlert(one.at("time"), "is missing")
    rule, fields = one.needed_text("rule", limit=512), one.node("output_fields")
    user = fields.text("ct.user", limit=512) or fields.text("user.name", limit=512)
    host = one.text("hostname", limit=512)
    priority, tags = one.text("priority", limit=32), texts(one, "tags", limit=256)
    return build(
        lambda: Alert(
            source=Falco.name,
            uid=one.text("uuid", limit=128) or digest_of(one.value),
            state=AlertState.NEW,
            title=rule,
            description=one.text("output", limit=8192),
            severity=_PRIORITIES.get(priority.lower(), Severity.UNKNOWN),
            severity_original=priority,
            rule=rule,
            time=at,
            account=fields.text("ct.user.accountid", limit=64),
            region=fields.text("ct.region", limit=64),
            resources=once(_resources(fields, host)),
            actor=AlertActor(name=user) if user and user != "<NA>" else None,
            observables=observables(_observed(fields, user, host)),
            techniques=tuple(Technique(uid=tag) for tag in dict.fromkeys(tags) if _TECHNIQUE.fullmatch(tag)),
            attributes={
                "fields": bounded(fields.value),
                "tags": [*tags],
                "hostname": host,
                "source": one.text("source", limit=64),
            },
        ),
        one.path,
        "alert",
    )


def _resources(fields: Node, host: str) -> Iterator[Resource]:
    if (container := fields.text("container.id", limit=128)) and container not in ("host", "<NA>"):
        name = fields.text("container.name", limit=512)
        image = fields.text("container.image.repository", limit=512)
        yield from resource(container, "container", name or container, data={"image": image})
    if (pod := fields.text("k8s.pod.name", limit=400)) and pod != "<NA>":
        space = fields.text("k8s.ns.name", limit=400)
        yield from resource(f"{space}/{pod}", "kubernetes.pod", f"{space}/{pod}")
    if host:
        yield from resource(host, "host", host)


def _observed(fields: Node, user: str, host: str) -> Iterator[Found | None]:
    for value in fields.value.values():
        if isinstance(value, str):
            yield observable_in(value)
    if user and user != "<NA>":
        yield ObservableType.PRINCIPAL, user
    if host:
        yield ObservableType.HOST, host
