"""`soar demo`: the main job on a simulated account, in front of your eyes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from soar.demo.run import DemoFailed, Outcome, run_scenarios
from soar.demo.show import live_view, print_summary
from soar.demo.world import DemoWorld, demo_world
from soar.runtime.logging import configure_logging
from soar.simulated.scenarios import DEMO, SCENARIOS

__all__ = ["demo_command"]

REFRESH_PER_SECOND = 4


def demo_command(
    *,
    yes: bool = False,
    scenarios: Sequence[str] = (),
    out: Path | None = None,
    keep: bool = False,
    port: int | None = None,
) -> int:
    """Run the demonstration.

    Args:
        yes: Click Approve for the people, by the same signed way.
        scenarios: Which attacks; none given: `DEMO`.
        out: Where the reports go; None: a new temporary folder.
        keep: Leave everything running afterwards, until Ctrl-C.
        port: The web app's.

    Returns:
        0 only if every containment was verified by reading the account and every report exists; 2 for a scenario
        that does not exist.
    """
    messages = Console(stderr=True)
    unknown = [name for name in scenarios if name not in SCENARIOS]
    if unknown:
        messages.print(Text(f"there is no scenario {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}"))
        return 2
    if not yes and not sys.stdin.isatty():
        messages.print("No terminal to wait at: the approvals are clicked for you, as with --yes.")
        yes = True
    folder = Path(tempfile.mkdtemp(prefix="soar-demo-"))
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(_demo(messages, folder, yes, scenarios or DEMO, out, keep, port))
    messages.print("stopped")
    return 130


async def _demo(
    messages: Console,
    folder: Path,
    yes: bool,
    names: Sequence[str],
    out: Path | None,
    keep: bool,
    port: int | None,
) -> int:
    with (folder / "soar.log").open("w", encoding="utf-8") as log:
        configure_logging("text", "info", stream=log)
        broken: list[BaseException] = []
        async with demo_world(
            folder,
            port=port,
            progress=lambda what: messages.print(Text(f"· {what}", style="dim")),
            fatal=broken.append,
        ) as world:
            _introduce(messages, world, folder, yes)
            outcomes: list[Outcome] = []
            try:
                outcomes = await _watched(messages, world, names, yes, out or folder / "reports")
            except (DemoFailed, TimeoutError) as error:
                why = str(error) or "it took too long"
                messages.print(Text(f"The demonstration failed: {why}", style="red bold"))
                messages.print(Text(f"the log is {folder / 'soar.log'}"))
            print_summary(Console(), outcomes)
            if broken:
                messages.print(Text(f"a worker failed: {broken[0]}", style="red bold"))
            good = bool(outcomes) and not broken and not any(o.failures for o in outcomes)
            if keep:
                await _keep(messages, world)
    return 0 if good else 1


async def _watched(
    messages: Console, world: DemoWorld, names: Sequence[str], yes: bool, out: Path
) -> list[Outcome]:
    chat = world.workspace.url if world.workspace else ""
    with Live(console=messages, refresh_per_second=REFRESH_PER_SECOND, transient=True) as live:
        return await run_scenarios(
            world,
            names,
            yes=yes,
            out=out,
            progress=lambda what: live.console.print(Text(f"· {what}", style="dim")),
            watch=lambda outcomes: live.update(live_view(outcomes, "" if yes else chat)),
        )


def _introduce(messages: Console, world: DemoWorld, folder: Path, yes: bool) -> None:
    messages.print()
    messages.print(Text(f"  console       {world.stack.url}   (token: {world.token})"), soft_wrap=True)
    if world.stack.temporal_ui_url:
        messages.print(Text(f"  Temporal UI   {world.stack.temporal_ui_url}"))
    if world.workspace is not None:
        messages.print(Text(f"  chat          {world.workspace.url}   (a simulated workspace)"))
    messages.print(Text(f"  account       {world.settings.aws_endpoint_url}   (simulated)"))
    messages.print(Text(f"  everything of this run is in {folder}"), soft_wrap=True)
    messages.print()
    if not yes and world.workspace is not None:
        messages.print(Text(f"Open {world.workspace.url} and decide: pick a person, read the card, click."))


async def _keep(messages: Console, world: DemoWorld) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    messages.print()
    messages.print(Text("Everything is still running; Ctrl-C ends it. To use the command line on it:"))
    messages.print(
        Text(f"  export SOAR_URL={world.stack.url} SOAR_TOKEN={world.token}\n  .venv/bin/soar incident list"),
        soft_wrap=True,
    )
    await stop.wait()
