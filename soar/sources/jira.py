"""Jira and Jira Service Management: an issue that is opened there starts a response here.

Webhooks of Jira sign their body (`X-Hub-Signature: sha256=…`) with the secret that they were made with; where none can
be set, any way of a shared secret does. Jira may deliver half an hour late, and more than once.

| alert | issue |
| --- | --- |
| uid | `issue.id` |
| revision | `issue.fields.updated` |
| state | `resolved` if deleted, or its status is of the category done; `new` if just created; else `updated` |
| title | `issue.fields.summary` |
| description | `issue.fields.description`, as text or as an Atlassian document |
| severity | `issue.fields.priority.name`: Highest or Blocker critical, High, Medium, Low, Lowest |
| rule | `issue.fields.issuetype.name` in its project: `SEC/Security incident` |
| time | `issue.fields.created` |
| actor | – : the reporter is not who did it |
| observables | addresses, domains, hashes and links in the description |
| links | the issue |
| attributes | `key`, `status`, `labels`, `reporter`, `event`, `changed` (the names of the fields that changed) |

Format: https://developer.atlassian.com/cloud/jira/platform/webhooks/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import JsonValue

from soar.model.alert import Alert
from soar.model.terms import AlertState, Severity
from soar.sources.auth import SecretSource, verify_hmac
from soar.sources.aws_common import build, texts
from soar.sources.contract import BadAlert, SourceRequest
from soar.sources.payload import Node
from soar.sources.reading import SEVERITIES, link, moment, observables
from soar.sources.servicenow import words_of

__all__ = ["Jira"]

_PRIORITIES = {
    **SEVERITIES,
    "blocker": Severity.CRITICAL,
    "highest": Severity.CRITICAL,
    "lowest": Severity.INFORMATIONAL,
    "trivial": Severity.INFORMATIONAL,
}
_PARTS = 2000


class Jira(SecretSource):
    """Issues of Jira."""

    name: ClassVar[str] = "jira"
    title: ClassVar[str] = "Jira Service Management"
    docs: ClassVar[str] = "https://developer.atlassian.com/cloud/jira/platform/webhooks/"

    def verify(self, request: SourceRequest, secrets: tuple[str, ...]) -> None:
        """See `Source.verify`: by Jira's signature if there is one, else by a shared secret."""
        if "x-hub-signature" in request.headers:
            verify_hmac(request, secrets, header="x-hub-signature", setting=self.setting)
        else:
            super().verify(request, secrets)

    def normalise(self, payload: JsonValue) -> list[Alert]:
        """See `Source.normalise`. One delivery is one alert."""
        return [_alert(Node.of(payload))]


def _alert(whole: Node) -> Alert:
    event, issue = whole.text("webhookEvent", limit=64), whole.needed("issue")
    fields = issue.needed("fields")
    created, updated = moment(fields, "created"), moment(fields, "updated")
    if created is None:
        raise BadAlert(fields.at("created"), "is missing")
    done = fields.node("status").node("statusCategory").text("key", limit=32) == "done"
    if done or event == "jira:issue_deleted":
        state = AlertState.RESOLVED
    else:
        state = AlertState.NEW if event == "jira:issue_created" else AlertState.UPDATED
    priority = fields.node("priority").text("name", limit=64)
    key = issue.needed_text("key", limit=64)
    kind, project = (
        fields.node("issuetype").text("name", limit=200),
        fields.node("project").text("key", limit=64),
    )
    description = _written(fields.get("description"))
    site = issue.text("self").partition("/rest/")[0]
    return build(
        lambda: Alert(
            source=Jira.name,
            uid=issue.needed_text("id", limit=64),
            revision=fields.text("updated", limit=64) or "1",
            state=state,
            title=fields.text("summary") or key,
            description=description[:8192],
            severity=_PRIORITIES.get(priority.lower(), Severity.UNKNOWN),
            severity_original=priority,
            rule=f"{project or key.partition('-')[0]}/{kind or 'issue'}",
            time=created,
            last_seen=updated,
            observables=observables(words_of(description[:8192])),
            links=link(f"{site}/browse/{key}" if site else ""),
            attributes={
                "key": key,
                "status": fields.node("status").text("name", limit=128),
                "labels": [*texts(fields, "labels", limit=256)],
                "reporter": fields.node("reporter").text("displayName", limit=256),
                "event": event,
                "changed": [i.text("field", limit=128) for i in whole.node("changelog").nodes("items")][:50],
            },
        ),
        issue.path,
        "issue",
    )


def _written(value: JsonValue) -> str:
    """The text of a description: text already, or the leaves of an Atlassian document."""
    if isinstance(value, str):
        return value
    parts: list[str] = []
    for part in _leaves(value):
        parts.append(part)
        if len(parts) >= _PARTS:
            break
    return " ".join(parts)


def _leaves(value: JsonValue) -> Iterator[str]:
    match value:
        case {"type": "text", "text": str() as text}:
            yield text
        case {"content": list() as inner}:
            for one in inner:
                yield from _leaves(one)
