"""`soar playbook import` and `soar playbook export`: CACAO 2.0 in and out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, say, write

if TYPE_CHECKING:
    from soar.playbook.cacao.document import CacaoPlaybook
    from soar.playbook.cacao.importer import Imported
    from soar.playbook.library import Library
    from soar.playbook.loader import LoadedPlaybook
    from soar.runtime.settings import Settings

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add both commands to `soar playbook`."""
    app.command("import")(import_playbook)
    app.command("export")(export)


def import_playbook(
    file: Annotated[Path, typer.Argument(help="A CACAO 2.0 playbook, JSON.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where it is written; the name ends with .cacao.json."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what there is to say; write nothing.")
    ] = False,
) -> None:
    """Check a CACAO 2.0 playbook, and put it beside the playbooks in force.

    What cannot run here refuses it; nothing is left out. It is written as it was received, byte for byte.

    Example: soar playbook import isolate.json --check
    """
    from soar.playbook.diagnostics import PlaybookError
    from soar.playbook.library import CACAO_FILE, read_text
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    settings = load_settings()
    if output is not None and not output.name.endswith(CACAO_FILE):
        fail(f"{output}: the library loads files that end with {CACAO_FILE}; call it so", ExitCode.USAGE)
    library = load_library(settings)
    try:
        text = read_text(file)
        imported = _imported(file, text, library, settings)
    except PlaybookError as error:
        for diagnostic in error.diagnostics:
            write(diagnostic.graded)
        fail(f"{file} cannot run here, and was not written; put right what is listed, and import it again")
    for warning in imported.warnings:
        write(warning.graded)
    name = imported.loaded.playbook.name
    target = output or _default_target(name, settings, check=check)
    for known in library:
        if known.playbook.name == name and (target is None or not _same(Path(known.file), target)):
            if imported.ours and known.digest == imported.loaded.digest:
                return say(f"{file} is an export of {name}, unchanged; {known.file} is it already")
            fail(f"{file}: the name {name} is taken by {known.file}; remove that one, or change `name` here")
    called = f"{name} ({imported.cacao.id}, of {imported.cacao.modified})"
    if check or target is None:
        return say(f"{called} can run here; nothing was written")
    _replace(target, text, imported.cacao)
    say(f"{called} is written to {target}")
    folders = [folder.resolve() for folder in settings.playbook_folders]
    if target.resolve().parent in folders:
        say("it is in force when the orchestrator is started again")
    else:
        say(f"{target.parent} is no folder of playbooks in force; add it to SOAR_PLAYBOOKS")
    if imported.loaded.playbook.match is None:
        say("it answers no alerts by itself, as CACAO has no words for that; a step `playbook:` can call it")
    return None


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _imported(file: Path, text: str, library: Library, settings: Settings) -> Imported:
    """Import it, beside the CACAO playbooks that are in force, which it may call."""
    from soar.actions.registry import catalogue
    from soar.playbook.cacao.document import read_cacao
    from soar.playbook.cacao.shelf import Shelf
    from soar.playbook.diagnostics import PlaybookError

    told, _ = read_cacao(text, file=str(file))
    texts = {str(file): text}
    for loaded in library:
        data = loaded.positions.data
        if loaded.graph is not None and isinstance(data, dict) and data.get("id") != told.id:
            texts[loaded.file] = loaded.text
    shelf = Shelf(
        texts, catalogue=catalogue(), now=datetime.now(UTC), settings=settings.cacao, find=library.get
    )
    found, refused = shelf.read()
    mine = next((one for one in found if one.cacao.id == told.id), None)
    if mine is None:
        raise PlaybookError(refused)
    return mine


def _default_target(name: str, settings: Settings, *, check: bool) -> Path | None:
    from soar.playbook.library import CACAO_FILE

    if settings.playbooks:
        return settings.playbooks[0] / f"{name}{CACAO_FILE}"
    if not check:
        fail(
            "say where it goes: -o FOLDER/NAME.cacao.json, or set SOAR_PLAYBOOKS to the folders of your "
            "playbooks; nothing is written among the playbooks that ship",
            ExitCode.USAGE,
        )
    return None


def _replace(target: Path, text: str, cacao: CacaoPlaybook) -> None:
    """Write it, over an earlier version of the same playbook only."""
    from soar.playbook.cacao.document import parse_timestamp, read_cacao
    from soar.playbook.diagnostics import PlaybookError
    from soar.playbook.library import read_text

    if target.exists():
        try:
            old, _ = read_cacao(read_text(target), file=str(target))
        except PlaybookError as error:
            fail(f"{target} is there already, and is no CACAO playbook: {error.diagnostics[0].message}")
        if old.id != cacao.id:
            fail(f"{target} is another playbook, {old.id}; write this one elsewhere with -o")
        if parse_timestamp(old.modified) > parse_timestamp(cacao.modified):
            fail(f"{target} is a later version, of {old.modified}; remove it if you mean the earlier one")
    _write(target, text)


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.new")
        temporary.write_bytes(text.encode("utf-8"))
        temporary.replace(target)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror or error}")


def export(
    playbook: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A playbook in force, or a file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where it is written. Default: standard output.")
    ] = None,
    modified: Annotated[
        str, typer.Option(help="Its version, a time. Default: when the playbook's file was last changed.")
    ] = "",
    created_by: Annotated[
        str, typer.Option(help="Your organisation's STIX identity. Default: one made of SOAR_PUBLIC_URL.")
    ] = "",
) -> None:
    """Write a playbook as CACAO 2.0 JSON; the same version gives the same bytes.

    Where the output is an export of the same playbook already, its times stay if nothing else has changed.

    Example: soar playbook export aws-s3-public-bucket -o bucket.cacao.json
    """
    loaded, settings = _ours(playbook)
    # What is CACAO already stays as it is: its signatures cover every byte.
    is_cacao = loaded.graph is not None
    text = loaded.text if is_cacao else _exported(loaded, settings, modified, created_by, output)
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text)
        say(f"{loaded.playbook.name} is written to {output}")


def _ours(playbook: str) -> tuple[LoadedPlaybook, Settings]:
    from soar.playbook.library import read_text
    from soar.playbook.loader import load_playbook
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    settings = load_settings()
    path = Path(playbook)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            fail(f"{path} does not exist", ExitCode.NOT_FOUND)
        if path.suffix == ".json":
            fail(f"{path} is JSON, as an export would be; name a playbook in YAML", ExitCode.USAGE)
        return load_playbook(read_text(path), file=str(path)), settings
    try:
        return load_library(settings).get(playbook), settings
    except KeyError as error:
        fail(str(error.args[0]), ExitCode.NOT_FOUND)


def _exported(
    loaded: LoadedPlaybook, settings: Settings, modified: str, created_by: str, output: Path | None
) -> str:
    from urllib.parse import urlsplit

    from pydantic import ValidationError

    from soar.actions.registry import catalogue
    from soar.playbook.cacao.export_writer import NAMESPACE
    from soar.playbook.cacao.exporter import ExportSettings, export_playbook
    from soar.playbook.cacao.native import ident_of

    maker = created_by or ident_of(NAMESPACE, "identity", settings.public_url or "soar")
    # The clock would make another version of what is the same; the file's own time is that of its last change.
    time = modified or _changed(Path(loaded.file))
    try:
        place = urlsplit(settings.public_url)
        server, port = place.hostname, str(place.port or (80 if place.scheme == "http" else 443))
    except ValueError as error:
        fail(f"SOAR_PUBLIC_URL: {settings.public_url[:80]!r} is no address: {error}", ExitCode.USAGE)

    def made(created: str, version: str) -> str:
        told = ExportSettings(created_by=maker, created=created, modified=version, server=server, port=port)
        return _json(export_playbook(loaded, catalogue(), told).document)

    try:
        before = _before(output)
        if before is None:
            return made(time, time)
        old_text, created, version = before
        # Made again with the times that it has: if these are the same bytes, it is the same version.
        same = made(created, version)
        return same if same == old_text and not modified else made(created, time)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        fail(f"--{str(problem['loc'][0]).replace('_', '-')}: {problem['msg']}", ExitCode.USAGE)


def _changed(file: Path) -> str:
    time = datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _before(output: Path | None) -> tuple[str, str, str] | None:
    """The export that is there already, with its times."""
    from soar.playbook.cacao.document import read_cacao
    from soar.playbook.diagnostics import PlaybookError
    from soar.playbook.library import read_text

    if output is None or not output.exists():
        return None
    try:
        text = read_text(output)
        told, _ = read_cacao(text, file=str(output))
    except PlaybookError as error:
        fail(f"{output} is there already, and is no CACAO playbook: {error.diagnostics[0].message}")
    return text, told.created, told.modified


def _json(document: object) -> str:
    import json

    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
