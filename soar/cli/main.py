"""`soar`: the command line.

Commands import what they need when they run, so that `soar --help` is there at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from soar import __version__
from soar.cli import actions, admin, alert, halt, incident_commands, playbook, policy
from soar.cli.exit_codes import EXIT_CODES_HELP, ExitCode
from soar.cli.output import CommandFailed, say

__all__ = ["app", "main"]

app = typer.Typer(
    name="soar",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Incident response for cloud applications: planned, approved, verified and reversible.",
    epilog=EXIT_CODES_HELP,
)
app.add_typer(incident_commands.app, name="incident")
app.add_typer(alert.app, name="alert")
app.add_typer(playbook.app, name="playbook")
app.add_typer(actions.app, name="actions")
app.add_typer(actions.sources_app, name="sources")
app.add_typer(policy.app, name="policy")
app.add_typer(admin.token_app, name="token")
app.add_typer(admin.slack_app, name="slack")
app.command("settings")(admin.settings)
app.command("halt")(halt.halt)


@app.callback()
def _every_command(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an unexpected error came from; so does SOAR_DEBUG=1.")
    ] = False,
) -> None:
    context.obj["debug"] = debug


@app.command()
def demo(
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Click Approve for the people, by the same way.")
    ] = False,
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Name of an attack, `leaked-key`; may be repeated. Default: four of them."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the reports go. Default: a temporary folder.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The web app's port.")] = None,
) -> None:
    """Show the main job on a simulated account: attacks, findings, approvals, containment, reports.

    Exit code 0 only if every containment was verified by reading the account, and every report exists.

    Example: soar demo --yes --scenario leaked-key --out results
    """
    from soar.cli.demo import demo_command

    raise typer.Exit(demo_command(yes=yes, scenarios=scenario or (), out=out, keep=keep, port=port))


@app.command()
def up() -> None:
    """Run the whole system in one process, with its state in SOAR_HOME (.soar), until Ctrl-C.

    Example: SOAR_POLICY_FILE=policy.yaml soar up
    """
    from soar.cli.up import up_command

    raise typer.Exit(up_command())


@app.command()
def web() -> None:
    """Run the web app and the alert router; the workers run elsewhere (`python -m workers`).

    Example: SOAR_TEMPORAL_ADDRESS=temporal:7233 soar web
    """
    from soar.cli.up import web_command

    raise typer.Exit(web_command())


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Comma separated: orchestrator, aws, chat.")] = "orchestrator",
) -> None:
    """Serve task queues, those of one credential boundary.

    Example: soar worker --queues aws
    """
    from soar.cli.up import worker_command

    raise typer.Exit(worker_command([q.strip() for q in queues.split(",") if q.strip()]))


@app.command()
def migrate() -> None:
    """Bring the store's tables up to date; safe at any time.

    Example: SOAR_DATABASE_URL=postgresql+asyncpg://soar@db/soar soar migrate
    """
    from soar.cli.up import migrate_command

    raise typer.Exit(migrate_command())


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def run(arguments: list[str]) -> int:
    """Run one command.

    Returns:
        The exit code; every expected error has been told in a line or two.
    """
    options = {"debug": False}
    try:
        app(arguments, prog_name="soar", obj=options)
    except SystemExit as ended:
        return int(ended.code or 0)
    except CommandFailed as error:
        say(f"soar: {error}")
        return error.code
    except KeyboardInterrupt:
        say("soar: stopped")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last one to know turns everything into a line
        return _told(error, debug=options["debug"] or bool(os.environ.get("SOAR_DEBUG")))
    return ExitCode.OK


def _told(error: Exception, *, debug: bool) -> int:
    from soar.playbook.diagnostics import PlaybookError
    from soar.runtime.settings import SettingsError
    from soar.store import StoreUnavailable

    if isinstance(error, PlaybookError | SettingsError):
        say(f"soar: {error}")
        return ExitCode.FAILED
    if isinstance(error, StoreUnavailable):
        say(f"soar: {error}")
        return ExitCode.UNREACHABLE
    if debug:
        import traceback

        say("".join(traceback.format_exception(error)))
    why = " ".join(str(error).split())[:300]
    say(f"soar: unexpectedly {type(error).__name__}: {why}. `soar --debug …` shows where")
    return ExitCode.FAILED


def main() -> NoReturn:
    """The entry point of the `soar` command."""
    from soar.runtime.leave import leave

    leave(run(sys.argv[1:]))
