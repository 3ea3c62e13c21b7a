"""`soar alert …`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soar.cli.api import DEFAULT_URL, TIMEOUT_SECONDS, Api, at
from soar.cli.exit_codes import ExitCode
from soar.cli.output import clean, data, fail, line, say, show_json, table, write

if TYPE_CHECKING:
    from soar.model.alert import Alert
    from soar.sources.contract import Source

__all__ = ["alerts_in", "app"]

app = typer.Typer(no_args_is_help=True, help="Send alerts, and see what became of them.")

File = Annotated[
    str, typer.Argument(metavar="FILE", help="JSON, a JSON array or JSON lines; - is standard input.")
]
SourceName = Annotated[str, typer.Option("--source", help="The source whose format it is.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _source(name: str) -> Source:
    from soar.sources.registry import sources

    known = sources()
    if name not in known:
        fail(f"there is no source {name}; there are: {', '.join(known)}", ExitCode.USAGE)
    return known[name]


def _payloads(name: str) -> list[Any]:
    """The alerts in a file."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{name} cannot be read: {error}", ExitCode.NOT_FOUND)
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    except RecursionError:
        fail(f"{name} is nested too deeply")
    if whole == []:
        fail(f"{name} holds no alert")
    if whole is not None:
        return whole if isinstance(whole, list) else [whole]
    found = []
    # Not `splitlines`: it also splits at U+2028, which JSON allows inside a text.
    for number, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            try:
                found.append(json.loads(row))
            except (ValueError, RecursionError) as error:
                fail(f"{name}:{number}: is not JSON: {error}")
    if not found:
        fail(f"{name} holds no alert")
    return found


def alerts_in(file: str, source: str) -> list[Alert]:
    """The alerts in a file, normalised.

    Args:
        file: `-` is standard input.
        source: The name of the source whose format it is.

    Raises:
        CommandFailed: There is no such source or file, or something in it is no alert.
    """
    from soar.intake.accept import read_alerts
    from soar.sources.contract import BadAlert

    known, found = _source(source), []
    for payload in _payloads(file):
        try:
            found += read_alerts(known, json.dumps(payload).encode())
        except BadAlert as error:
            fail(f"not an alert of {source}: {error}")
    return found


@app.command()
def send(
    file: File,
    source: SourceName = "guardduty",
    secret: Annotated[
        str, typer.Option(help="The source's secret. Default: the first of SOAR_SOURCE_<NAME>_SECRETS.")
    ] = "",
) -> None:
    """Deliver alerts to the webhook of their source, signed.

    Example: soar alert send finding.json
    """
    from datetime import UTC, datetime

    import httpx

    from soar.runtime.settings import load_settings
    from soar.sources.auth import sign

    known = _source(source)
    variable = f"SOAR_SOURCE_{source.upper()}_SECRETS"
    if not secret:
        in_force = load_settings().source_secrets.get(source, ())
        secret = in_force[0].get_secret_value() if in_force else ""
    if not secret:
        fail(f"no secret: give --secret, or set {variable} or {variable}_FILE", ExitCode.NOT_PERMITTED)
    url = f"{os.environ.get('SOAR_URL', DEFAULT_URL).rstrip('/')}/hooks/{known.name}"
    failed = 0
    for number, payload in enumerate(_payloads(file), start=1):
        body = json.dumps(payload).encode()
        try:
            reply = httpx.post(
                url, content=body, headers=sign(secret, body, datetime.now(UTC)), timeout=TIMEOUT_SECONDS
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            fail(f"{url} cannot be reached: {error}", ExitCode.UNREACHABLE)
        if reply.status_code == 202:
            answer = reply.json()
            for alert_id in answer["alerts"]:
                write(alert_id)
            if not answer["fresh"]:
                say(f"alert {number} was known already: nothing changes")
            continue
        failed += 1
        if reply.status_code == 401:
            fail(f"{url} does not take this secret; {variable} or --secret has it", ExitCode.NOT_PERMITTED)
        try:
            detail = reply.json()["error"]
            why = clean(f"{detail.get('field', '')} {detail['message']}")
            say(f"alert {number} was refused ({reply.status_code}): {why}")
        except (ValueError, KeyError, TypeError):
            say(f"alert {number} was refused: {url} answered {reply.status_code}")
    if failed:
        fail(f"{failed} alert(s) were not taken")


@app.command()
def explain(file: File, source: SourceName = "guardduty", as_json: Json = False) -> None:
    """Say which playbooks would answer an alert, and why not; without any server.

    Example: soar alert explain finding.json
    """
    from soar.intake.explain import explain as explained
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    library = load_library(load_settings())
    shown = []
    for alert in alerts_in(file, source):
        found = explained(library, alert)
        shown.append({"alert": alert.model_dump(mode="json"), "playbooks": [f.model_dump() for f in found]})
        if as_json:
            continue
        line("alert", alert.title, style="bold")
        line("rule", alert.rule)
        line("severity", f"{alert.severity.label} (as written: {alert.severity_original})")
        for explanation in found:
            data().print()
            line(
                "playbook",
                f"{explanation.playbook}: {'answers' if explanation.matched else 'does not answer'}",
            )
            for reason in explanation.reasons:
                line("", reason)
            if explanation.matched:
                line("incident of", explanation.correlation_key)
    if as_json:
        show_json(shown)


@app.command("list")
def list_alerts(
    status: Annotated[str, typer.Option(help="received, routed, unmatched or invalid.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: Json = False,
) -> None:
    """List alerts, the latest first; also those that nothing answers and those that could not be read.

    Example: soar alert list --status unmatched
    """
    found = Api().get("/alerts", status=status, limit=limit)
    if as_json:
        return show_json(found)
    table(
        ["alert", "received", "source", "status", "incident", "title", "why"],
        [
            [
                a["id"][:20],
                a["received_at"][:19],
                a["source"],
                a["status"],
                a["incident_id"],
                a["title"],
                f"{a['field']} {a['reason']}",
            ]
            for a in found
        ],
    )
    return None


@app.command()
def show(alert_id: str, as_json: Json = False) -> None:
    """Show one alert and what became of it.

    Example: soar alert show 4be2…
    """
    found = Api().get(at("alerts", alert_id))
    if as_json:
        return show_json(found)
    for name in (
        "id",
        "title",
        "source",
        "status",
        "incident_id",
        "playbook",
        "field",
        "reason",
        "received_at",
    ):
        line(name.replace("_", " "), found[name] or "–")
    line("raw bytes", f"sha256 {found['raw_digest']} in the vault")
    for observable in (found["alert"] or {}).get("observables", ()):
        line(observable["type"], observable["value"])
    return None
