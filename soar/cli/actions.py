"""`soar actions …` and `soar sources …`."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

import typer

from soar.cli import iam_policy
from soar.cli.exit_codes import ExitCode
from soar.cli.output import data, fail, line, show_json, table, write

__all__ = ["app", "sources_app"]

app = typer.Typer(no_args_is_help=True, help="What can be done.")
sources_app = typer.Typer(no_args_is_help=True, help="Where alerts come from.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
app.command("iam-policy")(iam_policy.iam_policy)


@app.command("list")
def list_actions(as_json: Json = False) -> None:
    """List every action that is installed.

    Example: soar actions list
    """
    from soar.actions.registry import catalogue

    found = list(catalogue().values())
    if as_json:
        return show_json(found)
    table(
        ["action", "risk", "phase", "undo", "what it does"],
        [[a.name, a.risk.value, a.phase.label, "yes" if a.undoable else "", a.title] for a in found],
    )
    return None


@app.command()
def show(name: str, as_json: Json = False) -> None:
    """Show an action: what it does, its parameters, its permissions and an example.

    Example: soar actions show aws.iam.deactivate_access_key
    """
    from soar.actions.registry import catalogue

    known = catalogue()
    spec = known.get(name)
    if spec is None:
        near = difflib.get_close_matches(name, known, 1, 0.4)
        fail(
            f"there is no action {name}" + (f"; did you mean {near[0]}?" if near else ""), ExitCode.NOT_FOUND
        )
    if as_json:
        return show_json(spec)
    line(spec.name, spec.title, style="bold")
    write(f"\n{spec.doc}\n", lines=True)
    line("risk", spec.risk.value)
    line("undo", "yes" if spec.undoable else "no")
    line("queue", spec.queue)
    line("permissions", ", ".join(spec.permissions))
    line("tags", " ".join(t for t in (spec.d3fend, spec.react, spec.openc2) if t))
    data().print()
    properties: Any = spec.params.get("properties", {})
    needed: Any = spec.params.get("required", [])
    table(
        ["parameter", "type", "needed", "what it is"],
        [
            [key, value.get("type", ""), "yes" if key in needed else "", value.get("description", "")]
            for key, value in properties.items()
        ],
    )
    write(f"\n{spec.example}", lines=True)
    return None


@sources_app.command("list")
def list_sources(as_json: Json = False) -> None:
    """List every source, where it delivers, and whether it has a secret.

    Example: soar sources list
    """
    from soar.runtime.settings import load_settings
    from soar.sources.registry import sources

    secrets = load_settings().source_secrets
    rows = [
        {
            "name": s.name,
            "title": s.title,
            "address": f"/hooks/{s.name}",
            "ready": bool(secrets.get(s.name)),
            "docs": s.docs,
        }
        for s in sources().values()
    ]
    if as_json:
        return show_json(rows)
    table(
        ["source", "title", "address", "ready", "format"],
        [
            [r["name"], r["title"], r["address"], "yes" if r["ready"] else "no secret is set", r["docs"]]
            for r in rows
        ],
    )
    return None
