"""`soar playbook backtest`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, say, show_json, table, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from soar.playbook.policy import Policy
    from soar.rehearse.backtest import Backtest
    from soar.rehearse.prepare import Subject

__all__ = ["backtest_playbook"]

_MARKS = {"same": " ", "changed": "~", "new": "+", "gone": "-", "unknown": "?"}


def backtest_playbook(
    playbook: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="The version that is tried: a file, or one in force.")
    ],
    since: Annotated[str, typer.Option(help="Incidents that opened within this time.")] = "30d",
    incident: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="This incident; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The latest so many.")] = 20,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another policy than the one in force.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Other values for inputs than those in force.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one incident may really take.")] = 120,
    everything: Annotated[bool, typer.Option("--all", help="Show also the steps that are the same.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Replay recorded incidents against another version of their playbook, and show what it would do differently.

    The store is read, and nothing is called: reads and plans are answered from the record. What is not on record is
    marked as not known. Exit code 1 if an incident could not be replayed.

    Example: soar playbook backtest playbooks/aws-s3-public-bucket.yaml --since 90d
    """
    from soar.cli.dry_run import played, policy_in, subject_of
    from soar.playbook.fields import parse_duration
    from soar.rehearse.backtest import NoSuchIncident
    from soar.runtime.settings import load_settings

    try:
        span = timedelta(seconds=parse_duration(since))
    except (ValueError, OverflowError) as error:
        fail(f"--since {since}: {error}", ExitCode.USAGE)
    settings = load_settings()
    subject = subject_of(playbook, settings, inputs)
    rules = policy_in(policy, settings)

    def told(result: Backtest) -> None:
        if not as_json:
            _show(result, everything=everything)

    work = _replay(settings.database, subject, incident or [], span, limit, rules, timeout, told)
    try:
        results = played(work)
    except NoSuchIncident as error:
        fail(str(error), ExitCode.NOT_FOUND)
    if as_json:
        show_json(results)
    elif not results:
        say(f"no incident of {subject.name} has ended within {since}")
    else:
        differ = sum(result.differs for result in results)
        unknown = sum(bool(result.count("unknown")) for result in results)
        write(
            f"{len(results)} incident(s): {differ} would have gone differently; of {unknown} not every step is known"
        )
    if any(result.error for result in results):
        raise typer.Exit(ExitCode.FAILED)


async def _replay(
    url: str,
    subject: Subject,
    incidents: list[str],
    since: timedelta,
    limit: int,
    policy: Policy | None,
    timeout: float,
    done: Callable[[Backtest], None],
) -> list[Backtest]:
    from soar.rehearse.backtest import backtest, incidents_of
    from soar.store import Store

    _there_is(url)
    store = await Store.open(url)
    try:
        chosen = incidents or await incidents_of(store, subject.name, since=since, limit=limit)
        return await backtest(subject, store, chosen, policy, timeout=timeout, done=done) if chosen else []
    finally:
        await store.close()


def _there_is(url: str) -> None:
    """SQLite would make the file that it does not find, and a replay leaves nothing behind."""
    from sqlalchemy.engine import make_url

    made = make_url(url)
    if made.get_backend_name() == "sqlite" and made.database and not Path(made.database).is_file():
        fail(f"there is no store at {made.database}: set SOAR_DATABASE_URL or SOAR_HOME", ExitCode.NOT_FOUND)


def _show(result: Backtest, *, everything: bool) -> None:
    write(f"{result.incident_id}: {result.title}, {result.opened_at:%Y-%m-%d %H:%M} UTC")
    same = " (the same)" if result.version_was == result.version_now else ""
    write(
        f"  version {result.version_was[:12]} → {result.version_now[:12]}{same}; {result.status_was} → "
        f"{result.status_now or 'could not be replayed'}"
    )
    for note in result.notes:
        write(f"  {note}")
    if result.error:
        say(f"{result.incident_id} could not be replayed: {result.error}")
        return
    rows = [row for row in result.rows if everything or row.verdict != "same"]
    if rows:
        table(
            ["", "step", "then", "now", "what"],
            [
                [_MARKS[row.verdict], row.step, row.was or "–", row.now or "–", "; ".join(row.details)]
                for row in rows
            ],
        )
    counts = [f"{result.count(v)} {v}" for v in ("same", "changed", "new", "gone", "unknown")]
    changes = result.automatic + result.approved + result.forbidden
    write(
        f"  steps: {', '.join(counts)}; {changes} changes: {result.automatic} automatic, {result.approved} after "
        f"approval, {result.forbidden} forbidden"
    )
    write("")
