"""`soar playbook graph`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from soar.cli.output import say
from soar.cli.playbook_files import read_playbook, write_new

__all__ = ["draw_playbook"]


def draw_playbook(
    playbook: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A playbook in force, or a file with one.")
    ],
    form: Annotated[
        Literal["svg", "mermaid"],
        typer.Option(
            "--format", help="svg: a picture of its own; mermaid: for pages that draw it themselves."
        ),
    ] = "svg",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where it is written. Default: standard output.")
    ] = None,
) -> None:
    """Draw a playbook: its phases, its steps, what each changes and whom it asks, and every way through it.

    The same version gives the same bytes. Risks are told by words and patterns, so it can be printed without colours.

    Example: soar playbook graph aws-s3-public-bucket -o bucket.svg
    """
    from soar.playbook.drawing.layout import lay_out
    from soar.playbook.drawing.mermaid import mermaid_of
    from soar.playbook.drawing.outline import outline_of
    from soar.playbook.drawing.svg import svg_of

    loaded, graph = read_playbook(playbook)
    outline = outline_of(loaded, graph)
    text = svg_of(lay_out(outline)) if form == "svg" else mermaid_of(outline)
    if output is None:
        typer.echo(text, nl=False)
        return
    write_new(output, text, replace=True)
    say(f"{loaded.playbook.name} is drawn in {output}")
