"""What `soar playbook lint` does: find files, check them together, put them right, and tell."""

from __future__ import annotations

import codecs
import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, say, show_json, write
from soar.model.spec import Catalogue
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.fixes import fixed
from soar.playbook.library import CACAO_FILE, Library, read_text
from soar.playbook.lint import lint
from soar.playbook.loader import LoadedPlaybook, load_playbook

__all__ = ["Checker", "file_uri", "playbook_files", "put_right", "show"]


def playbook_files(paths: Iterable[Path], folders: Iterable[Path] = ()) -> list[Path]:
    """The playbooks that some paths name: files, and what is in folders.

    Args:
        folders: Where a playbook is looked for that is given by its name.

    Raises:
        CommandFailed: One does not exist, or there is no playbook.
    """
    in_force = list(folders)
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _in_folder(path)
        elif path.exists():
            files.append(path)
        elif named := _by_name(path, in_force):
            files.append(named)
        else:
            fail(f"{path} does not exist, and no playbook in force has this name", ExitCode.NOT_FOUND)
    if not files:
        fail("no playbook was found there, so nothing was checked", ExitCode.NOT_FOUND)
    return list(dict.fromkeys(files))


def _by_name(path: Path, folders: list[Path]) -> Path | None:
    """The file of a playbook that is named as its file is: which holds its name may not be readable."""
    files = [f for folder in folders if folder.is_dir() for f in _in_folder(folder)]
    return next((f for f in files if str(path) == f.name.partition(".")[0]), None)


def _in_folder(folder: Path) -> list[Path]:
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        fail(f"{folder} cannot be read: {error.strerror or error}")
    return [
        p
        for p in inside
        if (p.name.endswith(CACAO_FILE) or (p.suffix in (".yaml", ".yml") and ".test" not in p.suffixes))
        and p.is_file()
    ]


class Checker:
    """Checks playbooks against the actions that exist and against each other.

    Args:
        files: What is checked.
        folders: Where playbooks that they call are looked for, besides their own folders.
    """

    def __init__(self, catalogue: Catalogue, files: list[Path], folders: Iterable[Path]) -> None:
        self._catalogue = catalogue
        self._files = files
        self._folders = list(dict.fromkeys([*(file.parent for file in files), *folders]))
        self._others: dict[str, LoadedPlaybook] | None = None
        self._checked: dict[str, LoadedPlaybook] = {}

    def check_all(self) -> list[Diagnostic]:
        """Check every file, and whether they could be loaded together."""
        found: list[Diagnostic] = []
        readable: list[LoadedPlaybook] = []
        ours = [file for file in self._files if file.suffix != ".json"]
        for file in ours:
            try:
                readable.append(load_playbook(read_text(file), file=str(file)))
            except PlaybookError as error:
                found += error.diagnostics
        self._checked = {loaded.playbook.name: loaded for loaded in readable}
        foreign, refused = self._cacao([file for file in self._files if file not in ours])
        found += refused
        readable += foreign
        self._checked |= {loaded.playbook.name: loaded for loaded in foreign}
        for loaded in readable:
            found += lint(loaded, self._catalogue, self.find)
        try:
            Library(readable)  # what would be loaded together must not share a name
        except PlaybookError as error:
            found += error.diagnostics
        # What is wrong in a called playbook may have been found by its caller, too.
        return sorted(set(found), key=lambda d: (d.file, d.line, d.column, d.message))

    def _cacao(self, files: list[Path]) -> tuple[list[LoadedPlaybook], list[Diagnostic]]:
        """Read CACAO playbooks, with those beside them that they may call."""
        from datetime import UTC, datetime

        from soar.playbook.cacao.shelf import Shelf
        from soar.runtime.settings import load_settings

        texts: dict[str, str] = {}
        found: list[Diagnostic] = []
        asked = {str(file) for file in files}
        beside = [f for folder in self._folders if folder.is_dir() for f in _in_folder(folder)]
        for file in [*files, *(f for f in beside if f.name.endswith(CACAO_FILE))] if files else []:
            if any(file.samefile(known) for known in texts):
                continue
            try:
                texts[str(file)] = read_text(file)
            except PlaybookError as error:
                found += error.diagnostics if str(file) in asked else []
        shelf = Shelf(
            texts,
            catalogue=self._catalogue,
            now=datetime.now(UTC),
            settings=load_settings().cacao,
            find=self.find,
        )
        imported, refused = shelf.read()
        # What is wrong with those beside is told when they are checked themselves.
        found += [d for d in [*refused, *(w for one in imported for w in one.warnings)] if d.file in asked]
        return [one.loaded for one in imported if one.loaded.file in asked], found

    def check_text(self, text: str, file: Path) -> list[Diagnostic]:
        """Check what a file might say."""
        try:
            return lint(load_playbook(text, file=str(file)), self._catalogue, self.find)
        except PlaybookError as error:
            return list(error.diagnostics)

    def find(self, name: str) -> LoadedPlaybook:
        """The playbook of a name: one that is checked, or another at hand.

        Raises:
            KeyError: There is none.
        """
        if name in self._checked:
            return self._checked[name]
        if self._others is None:
            self._others = {loaded.playbook.name: loaded for loaded in self._at_hand()}
            beside = [f for folder in self._folders if folder.is_dir() for f in _in_folder(folder)]
            foreign, _ = self._cacao([file for file in beside if file.suffix == ".json"])
            self._others |= {loaded.playbook.name: loaded for loaded in foreign}
        if name not in self._others:
            raise KeyError(f'there is no playbook "{name}" beside this file or in the folders of playbooks')
        return self._others[name]

    def _at_hand(self) -> Iterator[LoadedPlaybook]:
        for folder in reversed(self._folders):
            if folder.is_dir():
                for file in _in_folder(folder):
                    if file.suffix == ".json":
                        continue
                    # What is wrong with it is told when it is checked itself.
                    with contextlib.suppress(PlaybookError):
                        yield load_playbook(read_text(file), file=str(file))


def put_right(checker: Checker, files: list[Path]) -> list[Diagnostic]:
    """Put right in the files what can be put right.

    Returns:
        The findings that are gone.

    Raises:
        CommandFailed: A file cannot be written.
    """
    checker.check_all()
    done: list[Diagnostic] = []
    for file in files:
        if file.suffix == ".json":
            continue  # its makers sign it, and nothing in it has one right form
        try:
            text = read_text(file)
        except PlaybookError:
            continue  # told when it is checked
        better, gone = fixed(text, lambda changed, file=file: checker.check_text(changed, file))  # type: ignore[misc]
        if better != text:
            _replace(file, better)
            done += gone
    return done


def _replace(file: Path, text: str) -> None:
    """Write a file anew, whole or not at all, with the rights and the byte-order mark that it had."""
    target = file.resolve()  # a link stays a link
    temporary = ""
    try:
        marked = target.read_bytes().startswith(codecs.BOM_UTF8)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as out:
            out.write((codecs.BOM_UTF8 if marked else b"") + text.encode("utf-8"))
        Path(temporary).chmod(target.stat().st_mode & 0o777)
        Path(temporary).replace(target)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        fail(f"{file} cannot be written: {error.strerror or error}")


def file_uri(file: str) -> str:
    """The URI of a file: relative where it lies below the folder that we are in."""
    path = Path(file)
    try:
        return quote(path.resolve().relative_to(Path.cwd().resolve()).as_posix())
    except ValueError:
        return path.resolve().as_uri()


def show(found: list[Diagnostic], files: list[Path], *, as_json: bool, as_sarif: bool) -> None:
    """Print the findings."""
    if as_sarif:
        from soar import __version__
        from soar.playbook.sarif import sarif_log

        show_json(sarif_log(found, version=__version__, uri=file_uri))
    elif as_json:
        show_json(found)
    else:
        for diagnostic in found:
            write(diagnostic.graded)
        numbers = {word: sum(d.severity == word for d in found) for word in ("error", "warning", "info")}
        told = ", ".join(
            f"{number} {word}{'s' if number != 1 and word != 'info' else ''}"
            for word, number in numbers.items()
        )
        say(f"{len(files)} playbook(s): {told}")
