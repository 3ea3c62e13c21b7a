"""CACAO files that are read together, because they may call each other by their CACAO ids."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from soar.model.spec import Catalogue
from soar.playbook.cacao.document import read_cacao
from soar.playbook.cacao.importer import Imported, import_cacao
from soar.playbook.cacao.work import CacaoSettings
from soar.playbook.compiler import Find
from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.document import Document
from soar.playbook.loader import LoadedPlaybook

__all__ = ["Shelf"]


class Shelf:
    """CACAO files, each imported once.

    Args:
        texts: JSON by file name.
        catalogue: Every action that exists.
        now: The time; what is revoked, not valid yet or not valid any more is refused.
        settings: What the organisation allows.
        find: Our playbooks by name.
    """

    def __init__(
        self,
        texts: Mapping[str, str],
        *,
        catalogue: Catalogue,
        now: datetime,
        settings: CacaoSettings,
        find: Find | None = None,
    ) -> None:
        self._texts, self._catalogue, self._now = texts, catalogue, now
        self._settings, self._find = settings, find
        self._done: dict[str, Imported] = {}
        self._under_way: list[str] = []
        self._files: dict[str, tuple[str, Document]] = {}
        self._errors: list[Diagnostic] = []
        for file, text in texts.items():
            try:
                told, document = read_cacao(text, file=file)
            except PlaybookError as error:
                self._errors += error.diagnostics
                continue
            first = self._files.setdefault(told.id, (file, document))
            if first[0] != file:
                message = f"{told.id} is the id of {first[0]} too"
                self._errors.append(
                    document.diagnostic(("id",), "duplicate-cacao-id", message, "keep one version")
                )

    def read(self) -> tuple[list[Imported], list[Diagnostic]]:
        """Import all of them.

        Returns:
            What can run, in the order of the files, and why the others are refused.
        """
        found, errors = [], list(self._errors)
        for ident in self._files:
            try:
                found.append(self._read(ident))
            except PlaybookError as error:
                errors += error.diagnostics
        # What is wrong in a called playbook is found by each of its callers, too.
        return found, list(dict.fromkeys(errors))

    def _read(self, ident: str) -> Imported:
        if ident not in self._done:
            file, document = self._files[ident]
            if ident in self._under_way:
                message = f"{ident} calls itself, by way of {len(self._under_way) - 1} other playbook(s)"
                raise PlaybookError([document.diagnostic(("id",), "calls-itself", message)])
            self._under_way.append(ident)
            try:
                self._done[ident] = import_cacao(
                    self._texts[file],
                    file=file,
                    catalogue=self._catalogue,
                    now=self._now,
                    settings=self._settings,
                    find=self._find,
                    find_cacao=self._called,
                )
            finally:
                self._under_way.pop()
        return self._done[ident]

    def _called(self, ident: str) -> LoadedPlaybook:
        if ident not in self._files:
            raise KeyError(ident)
        return self._read(ident).loaded
