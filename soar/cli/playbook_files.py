"""How the commands about playbooks read one, by name or from a file, and write files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail

if TYPE_CHECKING:
    from soar.playbook.graph import StepGraph
    from soar.playbook.library import Library
    from soar.playbook.loader import LoadedPlaybook
    from soar.runtime.settings import Settings

__all__ = ["read_playbook", "write_new"]


def read_playbook(target: str) -> tuple[LoadedPlaybook, StepGraph]:
    """Read a playbook and compile it.

    Args:
        target: A file, or the name of a playbook in force. The playbooks that a file's steps call are looked for beside
            it first, and then among those in force.

    Raises:
        CommandFailed: There is none.
        PlaybookError: It cannot be used.
    """
    from soar.actions.registry import catalogue
    from soar.playbook.compiler import compile_playbook
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    settings = load_settings()
    library = load_library(settings)
    path = Path(target)
    if not path.is_file():
        if path.suffix in (".yaml", ".yml", ".json"):
            fail(f"{target} does not exist", ExitCode.NOT_FOUND)
        try:
            loaded = library.get(target)
        except KeyError as error:
            fail(f"{error.args[0]}, and no file of this name", ExitCode.NOT_FOUND)
        return loaded, compile_playbook(loaded, catalogue(), library.get)
    find = _Beside(path, library)
    loaded = _cacao(path, find, library, settings) if path.suffix == ".json" else find.read(path)
    return loaded, compile_playbook(loaded, catalogue(), find)


class _Beside:
    """The playbooks that a file may call: those in its folder, then those in force."""

    def __init__(self, path: Path, library: Library) -> None:
        self._path, self._library = path, library
        self._own: dict[str, LoadedPlaybook] | None = None

    def __call__(self, name: str) -> LoadedPlaybook:
        if self._own is None:
            self._own = self._readable()
        return self._own[name] if name in self._own else self._library.get(name)

    @staticmethod
    def read(path: Path) -> LoadedPlaybook:
        from soar.playbook.library import read_text
        from soar.playbook.loader import load_playbook

        return load_playbook(read_text(path), file=str(path))

    def _readable(self) -> dict[str, LoadedPlaybook]:
        from soar.playbook.diagnostics import PlaybookError

        found: dict[str, LoadedPlaybook] = {}
        for path in sorted(self._path.parent.glob("*.y*ml")):
            if path.suffix not in (".yaml", ".yml") or path.stem.endswith(".test"):
                continue
            try:
                loaded = self.read(path)
            except PlaybookError:
                continue  # it is not the one that was asked for; `soar playbook lint` says what is wrong with it
            found.setdefault(loaded.playbook.name, loaded)
        return found


def _cacao(path: Path, find: _Beside, library: Library, settings: Settings) -> LoadedPlaybook:
    """Read a CACAO playbook, with those beside it and in force, which it may call."""
    from datetime import UTC, datetime

    from soar.actions.registry import catalogue
    from soar.playbook.cacao.document import read_cacao
    from soar.playbook.cacao.shelf import Shelf
    from soar.playbook.diagnostics import PlaybookError
    from soar.playbook.library import CACAO_FILE, read_text

    text = read_text(path)
    told, _ = read_cacao(text, file=str(path))
    others = {one.file: one.text for one in library if one.graph is not None}
    for beside in sorted(path.parent.glob(f"*{CACAO_FILE}")):
        with contextlib.suppress(PlaybookError):  # what cannot be read is not the one that was asked for
            others.setdefault(str(beside), read_text(beside))
    texts = {str(path): text}
    known = {told.id}
    for file, other in others.items():
        with contextlib.suppress(PlaybookError):
            ident = read_cacao(other, file=file)[0].id
            if ident not in known:
                known.add(ident)
                texts[file] = other
    shelf = Shelf(texts, catalogue=catalogue(), now=datetime.now(UTC), settings=settings.cacao, find=find)
    found, refused = shelf.read()
    mine = next((one for one in found if one.cacao.id == told.id), None)
    if mine is None:
        raise PlaybookError([d for d in refused if d.file == str(path)] or refused)
    return mine.loaded


def write_new(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a file.

    Args:
        replace: Over one that is there already.

    Raises:
        CommandFailed: It cannot be written, or is there already.
    """
    try:
        with path.open("w" if replace else "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        fail(f"{path} is there already, and was left as it is; choose another name, or remove it")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror or error}")
