"""The playbooks that are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from soar.model.alert import Alert
from soar.playbook.diagnostics import Diagnostic, PlaybookError, nearest
from soar.playbook.document import MAX_BYTES
from soar.playbook.index import MatchIndex
from soar.playbook.loader import LoadedPlaybook, load_playbook
from soar.playbook.match import MatchResult, as_fallback, is_fallback, matches

__all__ = ["CACAO_FILE", "Library", "ReadCacao", "read_text"]

CACAO_FILE = ".cacao.json"
"""How the names of CACAO playbooks end; other JSON files are left alone."""

ReadCacao = Callable[
    [Mapping[str, str], Callable[[str], LoadedPlaybook]], tuple[list[LoadedPlaybook], list[Diagnostic]]
]
"""Reads CACAO files, given by name, that may call our playbooks and each other; and says why others are refused."""


def read_text(path: Path) -> str:
    """Read a playbook's or a policy's file.

    Raises:
        PlaybookError: It cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise _whole_file(path, "too-large", f"the file has more than {MAX_BYTES} bytes")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = _whole_file(path, "text", f"the file is not UTF-8 text (byte {error.start})")
    except OSError as error:
        problem = _whole_file(path, "unreadable", f"it cannot be read: {error.strerror or error}")
    raise problem


def _whole_file(path: Path, rule: str, message: str, hint: str = "") -> PlaybookError:
    return PlaybookError(
        [Diagnostic(file=str(path), line=1, column=1, rule=rule, message=message, hint=hint)]
    )


class Library:
    """Playbooks by name."""

    def __init__(self, playbooks: Iterable[LoadedPlaybook]) -> None:
        """Make a library of playbooks that are loaded.

        Raises:
            PlaybookError: Two of them have one name.
        """
        self._by_name: dict[str, LoadedPlaybook] = {}
        errors = []
        for loaded in playbooks:
            first = self._by_name.setdefault(loaded.playbook.name, loaded)
            if first is not loaded:
                message = f'the name "{loaded.playbook.name}" is taken by {first.file}'
                errors.append(loaded.diagnostic(("name",), "duplicate-name", message, "choose another name"))
        if errors:
            raise PlaybookError(errors)
        self._in_order = sorted(self._by_name.values(), key=lambda p: p.playbook.name)
        self._index = MatchIndex(loaded.playbook for loaded in self._in_order)

    @classmethod
    def load(cls, *folders: Path, read_cacao: ReadCacao | None = None) -> Library:
        """Load every playbook in some folders.

        Args:
            folders: Their `*.yaml` and `*.yml` files are read, but not `*.test.yaml`, which are playbooks' tests,
                and not the folders in them; and their `*.cacao.json` files.
            read_cacao: Reads those. None: they are left out.

        Raises:
            PlaybookError: A folder is missing, or a playbook cannot be used; it names all that are wrong.
        """
        loaded: list[LoadedPlaybook] = []
        errors: list[Diagnostic] = []
        foreign: dict[str, str] = {}
        for folder in folders:
            if not folder.is_dir():
                problem = _whole_file(folder, "no-folder", "there is no such folder of playbooks")
                errors += problem.diagnostics
                continue
            for path in sorted(folder.iterdir()):
                if path.name.endswith(CACAO_FILE) and path.is_file():
                    try:
                        foreign[str(path)] = read_text(path)
                    except PlaybookError as error:
                        errors += error.diagnostics
                    continue
                if path.suffix not in (".yaml", ".yml") or path.stem.endswith(".test") or not path.is_file():
                    continue
                try:
                    loaded.append(load_playbook(read_text(path), file=str(path)))
                except PlaybookError as error:
                    errors += error.diagnostics
        if read_cacao is not None and foreign:
            ours = {one.playbook.name: one for one in loaded}
            more, refused = read_cacao(foreign, ours.__getitem__)
            loaded += more
            errors += refused
        try:
            library = cls(loaded)
        except PlaybookError as error:
            errors += error.diagnostics
        if errors:
            raise PlaybookError(errors)
        return library

    def __iter__(self) -> Iterator[LoadedPlaybook]:
        return iter(self._in_order)

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> LoadedPlaybook:
        """The playbook of this name.

        Raises:
            KeyError: There is none; the message has the nearest name.
        """
        if name not in self._by_name:
            hint = nearest(name, self._by_name)
            raise KeyError(f'there is no playbook "{name}"' + (f" ({hint})" if hint else ""))
        return self._by_name[name]

    def find(self, alert: Alert) -> list[LoadedPlaybook]:
        """The playbooks that answer an alert, by name."""
        able = [self._in_order[number] for number in self._index.candidates(alert)]
        return [loaded for loaded, result in _decided(able, alert) if result.matched]

    def explain(self, alert: Alert) -> list[tuple[LoadedPlaybook, MatchResult]]:
        """Every playbook, by name, with why it answers an alert or does not."""
        return _decided(self._in_order, alert)


def _decided(playbooks: list[LoadedPlaybook], alert: Alert) -> list[tuple[LoadedPlaybook, MatchResult]]:
    """Compare an alert with some playbooks, all that can answer it among them."""
    found = [(loaded, matches(loaded.playbook, alert)) for loaded in playbooks]
    first = next((p.playbook.name for p, r in found if r.matched and not is_fallback(p.playbook)), None)
    return [(p, as_fallback(r, first) if is_fallback(p.playbook) else r) for p, r in found]
