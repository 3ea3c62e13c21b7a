"""What commands print, and how they fail.

Alerts, names and tags are an attacker's text: nothing of it may control the terminal or pass for our own words.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Any, NoReturn

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from soar.cli.exit_codes import ExitCode

__all__ = ["CommandFailed", "clean", "data", "fail", "line", "say", "show_json", "table", "write"]

_KEPT = {"\n", "\t"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


class CommandFailed(Exception):
    """A command ends here; the message is for the person at the terminal.

    Args:
        code: The exit code.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


def fail(message: str, code: ExitCode = ExitCode.FAILED) -> NoReturn:
    """End the command.

    Raises:
        CommandFailed: Always.
    """
    raise CommandFailed(message, code)


def clean(value: object, *, lines: bool = False) -> str:
    """Text without anything that a terminal obeys: control, escape and bidi characters are shown as `\ufffd`.

    Args:
        lines: Keep line breaks.
    """
    text = "" if value is None else str(value)
    kept = _KEPT if lines else {"\t"}
    return "".join(
        c if c in kept or unicodedata.category(c) not in _HIDDEN else " " if c == "\n" else "\ufffd"
        for c in text
    )


def data() -> Console:
    """Where data goes: standard output."""
    return Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)


def say(message: str, *, style: str = "") -> None:
    """Tell the person something, on standard error."""
    console = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
    console.print(Text(clean(message, lines=True), style=style))


def line(label: str, value: object, *, style: str = "") -> None:
    """Print one `label  value` line."""
    data().print(Text(f"{clean(label):<12} ", style="dim") + Text(clean(value), style=style))


def write(value: object, *, lines: bool = False) -> None:
    """Print text that is data, on standard output, with nothing in it that a terminal obeys.

    Args:
        lines: Keep line breaks.
    """
    data().print(Text(clean(value, lines=lines)))


def table(headings: list[str], rows: list[list[object]]) -> None:
    """Print a table; nothing in it is taken for markup."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(clean(cell)) for cell in row))
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 200
    console.print(shown)


def show_json(value: Any) -> None:
    """Print a value as JSON; characters beyond ASCII are escaped, so that no terminal obeys them."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=True))  # noqa: T201


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
