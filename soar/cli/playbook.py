"""`soar playbook …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soar.cli import (
    playbook_backtest,
    playbook_cacao,
    playbook_coverage,
    playbook_diff,
    playbook_graph,
    playbook_new,
    playbook_plan,
    playbook_test,
)
from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, line, say, show_json, table, write

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Check and look at playbooks.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
app.command("test")(playbook_test.run_playbook_tests)
app.command("plan")(playbook_plan.plan_playbook)
app.command("backtest")(playbook_backtest.backtest_playbook)
app.command("diff")(playbook_diff.diff_playbooks)
app.command("coverage")(playbook_coverage.show_coverage)
app.command("new")(playbook_new.new_playbook)
app.command("graph")(playbook_graph.draw_playbook)
playbook_cacao.add_to(app)


@app.command()
def lint(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files, folders, or names of playbooks. Default: all in force."),
    ] = None,
    strict: Annotated[bool, typer.Option(help="Warnings fail as well.")] = False,
    fix: Annotated[
        bool,
        typer.Option("--fix", help="Put right in the files what is beyond doubt; layout and comments stay."),
    ] = False,
    explain: Annotated[
        str, typer.Option(metavar="RULE", help="Say what a rule finds and why, and check nothing.")
    ] = "",
    as_sarif: Annotated[
        bool, typer.Option("--sarif", help="Print SARIF 2.1.0, for code hosts and editors.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check playbooks; each finding has file, line and column, its severity and the rule that found it.

    Example: soar playbook lint playbooks/
    """
    from soar.actions.registry import catalogue
    from soar.cli.lint import Checker, playbook_files, put_right, show
    from soar.playbook.rules import explain as explained
    from soar.runtime.settings import load_settings

    if as_json and as_sarif:
        fail("give one of --json and --sarif", ExitCode.USAGE)
    if explain:
        try:
            return write(explained(explain), lines=True)
        except KeyError as error:
            fail(str(error.args[0]), ExitCode.NOT_FOUND)
    folders = list(load_settings().playbook_folders)
    files = playbook_files(paths or folders, folders)
    checker = Checker(catalogue(), files, folders)
    if fix:
        for diagnostic in put_right(checker, files):
            say(f"put right: {diagnostic.graded}")
    found = checker.check_all()
    show(found, files, as_json=as_json, as_sarif=as_sarif)
    if any(d.severity == "error" or (strict and d.severity == "warning") for d in found):
        raise typer.Exit(ExitCode.FAILED)
    return None


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
    from soar.playbook.compiler import compile_playbook, placed_steps
    from soar.playbook.drawing.words import does, frame_words
    from soar.playbook.graph import ActionNode, AskNode
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    try:
        library = load_library(load_settings())
        loaded = library.get(name)
    except KeyError as error:
        fail(str(error.args[0]), ExitCode.NOT_FOUND)
    graph = compile_playbook(loaded, catalogue(), library.get)
    if as_json:
        return show_json({"name": name, "digest": loaded.digest, "graph": graph.model_dump(mode="json")})
    line("playbook", f"{loaded.playbook.name}: {loaded.playbook.title or ''}", style="bold")
    line("version", loaded.digest)
    line("file", loaded.file)
    write(loaded.playbook.description, lines=True)
    rows: list[list[object]] = []
    # One that was imported has no steps as we write them, only the graph.
    written = {placed.id: placed for placed in placed_steps(loaded) if placed.id in graph.nodes}
    for node_id in written or graph.nodes:
        node, placed = graph.nodes[node_id], written.get(node_id)
        rule = node.approval if isinstance(node, (ActionNode, AskNode)) else None
        depth = sum(isinstance(part, int) for part in placed.path) - 1 if placed else 0
        rows.append(
            [
                "on failure" if placed and placed.failure else node.phase.label,
                "  " * depth + ((placed.step.id or "·") if placed else node_id),
                does(node) or frame_words(node),
                node.spec.risk.value if isinstance(node, ActionNode) else "",
                f"{rule.approvers}× {rule.role or 'whom policy names'}" if rule else "",
                node.when or "",
            ]
        )
    table(["phase", "step", "what it does", "risk", "asks at least", "only when"], rows)
    return None
