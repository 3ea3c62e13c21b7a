"""`soar halt`: the kill switch."""

from __future__ import annotations

from typing import Annotated

import typer

from soar.cli.api import Api
from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, line, say, show_json, table

__all__ = ["halt"]


def halt(
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; it stays on record.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="Let changes be made again.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only say whether changes are halted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --status: print JSON.")] = False,
) -> None:
    """Halt every change of every playbook at once, until it is lifted; reads and messages go on.

    It takes a role that may decide something. What had begun comes to its end, and people can have changes put back;
    steps that are refused meanwhile ask a person, and can be retried once it is lifted.

    Example: soar halt --reason "we are cutting off our own service"
    """
    if (status and (lift or reason)) or (as_json and not status):
        fail("--status stands alone, or with --json", ExitCode.USAGE)
    if status:
        return _status(as_json=as_json)
    if not reason.strip():
        what = "--lift --reason" if lift else "--reason"
        fail(f"say why: soar halt {what} WHY (`soar halt --status` only looks)", ExitCode.USAGE)
    say(Api().post("/halt/lift" if lift else "/halt", {"reason": reason})["message"])
    return None


def _status(*, as_json: bool) -> None:
    found = Api().get("/halt")
    if as_json:
        return show_json(found)
    now = found["halt"]
    line("halted", f"yes, by {now['by']} since {_when(now['since'])}: {now['reason']}" if now else "no")
    if found["history"]:
        table(
            ["halted", "by", "why", "lifted", "by", "why"],
            [
                [
                    _when(h["since"]),
                    h["name"],
                    h["reason"],
                    _when(h["lifted_at"]),
                    h["lifted_name"],
                    h["lift_reason"],
                ]
                for h in found["history"]
            ],
        )
    return None


def _when(value: str | None) -> str:
    return value[:19].replace("T", " ") + " UTC" if value else ""
