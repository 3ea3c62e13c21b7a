"""`soar playbook …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, line, say, show_json, table, write

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Check and look at playbooks.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def lint(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files or folders. Default: the playbooks in force.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Warnings fail as well.")] = False,
    as_json: Json = False,
) -> None:
    """Check playbooks; each finding has file, line and column.

    Example: soar playbook lint playbooks/
    """
    from soar.actions.registry import catalogue
    from soar.playbook.diagnostics import Diagnostic, PlaybookError
    from soar.playbook.library import Library, read_text
    from soar.playbook.lint import lint as check
    from soar.playbook.loader import load_playbook
    from soar.runtime.settings import load_settings

    files: list[Path] = []
    for path in paths or list(load_settings().playbook_folders):
        if path.is_dir():
            files += sorted(
                p for p in path.iterdir() if p.suffix in (".yaml", ".yml") and ".test" not in p.suffixes
            )
        elif path.exists():
            files.append(path)
        else:
            fail(f"{path} does not exist", ExitCode.NOT_FOUND)
    if not files:
        fail("no playbook was found there, so nothing was checked", ExitCode.NOT_FOUND)
    known, readable = catalogue(), []
    found: list[Diagnostic] = []
    for file in files:
        try:
            loaded = load_playbook(read_text(file), file=str(file))
        except PlaybookError as error:
            found += error.diagnostics
            continue
        readable.append(loaded)
        found += check(loaded, known)
    try:
        Library(readable)  # what would be loaded together must not share a name
    except PlaybookError as error:
        found += error.diagnostics
    if as_json:
        show_json(found)
    else:
        for diagnostic in found:
            write(diagnostic)
        say(f"{len(files)} playbook(s), {len(found)} finding(s)")
    if any(strict or d.severity == "error" for d in found):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a playbook, for editors.

    Example: soar playbook schema > playbook.schema.json
    """
    from soar.actions.registry import catalogue
    from soar.playbook.jsonschema import playbook_schema

    show_json(playbook_schema(catalogue()))


@app.command("list")
def list_playbooks(as_json: Json = False) -> None:
    """List the playbooks in force.

    Example: soar playbook list
    """
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    rows = [
        {
            "name": loaded.playbook.name,
            "title": loaded.playbook.title or "",
            "version": loaded.digest,
            "file": loaded.file,
        }
        for loaded in load_library(load_settings())
    ]
    if as_json:
        return show_json(rows)
    table(
        ["playbook", "title", "version", "file"],
        [[r["name"], r["title"], r["version"][:12], r["file"]] for r in rows],
    )
    return None


@app.command()
def show(name: str, as_json: Json = False) -> None:
    """Show a playbook's steps by phase, with the risk of each.

    Example: soar playbook show aws-s3-public-bucket
    """
    from soar.actions.registry import catalogue
    from soar.playbook.graph import ActionNode, compile_playbook
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    try:
        loaded = load_library(load_settings()).get(name)
    except KeyError as error:
        fail(str(error.args[0]), ExitCode.NOT_FOUND)
    graph = compile_playbook(loaded, catalogue())
    if as_json:
        return show_json({"name": name, "digest": loaded.digest, "graph": graph.model_dump(mode="json")})
    line("playbook", f"{loaded.playbook.name}: {loaded.playbook.title or ''}", style="bold")
    line("version", loaded.digest)
    line("file", loaded.file)
    write(loaded.playbook.description, lines=True)
    rows: list[list[object]] = []
    for node in graph.nodes.values():
        if isinstance(node, ActionNode):
            asks = f"{node.approval.approvers}× {node.approval.role}" if node.approval else ""
            rows.append([node.phase.label, node.id, node.action, node.spec.risk.value, asks, node.when or ""])
    table(["phase", "step", "action", "risk", "asks at least", "only when"], rows)
    return None
