"""What a dry run is of: a playbook, in force or in a file, its inputs, and what an incident of it starts with."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from soar.actions.registry import catalogue
from soar.engine.messages import IncidentStart
from soar.model.alert import Alert
from soar.model.base import JsonObject
from soar.playbook.cacao.shelf import Shelf
from soar.playbook.compiler import compile_playbook
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.graph import StepGraph
from soar.playbook.library import CACAO_FILE, Library, read_text
from soar.playbook.lint import lint
from soar.playbook.loader import LoadedPlaybook, load_playbook
from soar.playbook.match import correlation_key
from soar.runtime.parts import load_library
from soar.runtime.playbook_inputs import PlaybookInputs
from soar.runtime.settings import Settings, load_settings

__all__ = ["Subject", "load_subject", "throwaway_settings"]


@dataclass(frozen=True)
class Subject:
    """The playbook of a dry run.

    Args:
        graph: It compiled.
        inputs: The values of its inputs.
        chosen: They were given for this dry run, and win over those on record.
    """

    loaded: LoadedPlaybook
    graph: StepGraph
    inputs: PlaybookInputs
    chosen: bool = False

    @property
    def name(self) -> str:
        """The playbook's name."""
        return self.loaded.playbook.name

    def start(
        self, incident_id: str, alerts: Sequence[Alert], *, inputs: JsonObject | None = None
    ) -> IncidentStart:
        """What a dry run of an incident starts with.

        Args:
            inputs: Those on record, which win over those in force; what the playbook does not declare is left out.
        """
        first, declared = alerts[0], self.loaded.playbook.inputs
        recorded = {} if inputs is None or self.chosen else inputs
        won = {name: value for name, value in recorded.items() if name in declared}
        matched = self.loaded.playbook.match is not None
        return IncidentStart(
            incident_id=incident_id,
            title=first.title,
            playbook=self.name,
            playbook_text=self.loaded.text,
            playbook_digest=self.loaded.digest,
            graph=self.graph,
            inputs={**self.inputs.of(self.loaded.playbook), **won},
            correlation_key=correlation_key(self.loaded.playbook, first) if matched else incident_id,
            dry_run=True,
        )


def load_subject(target: str, settings: Settings, *, inputs: Path | None = None) -> Subject:
    """Load the playbook of a dry run.

    Args:
        target: A file, or the name of a playbook in force.
        inputs: Values of inputs, instead of those in force.

    Raises:
        PlaybookError: A playbook, or the inputs, cannot be used.
        KeyError: There is no such playbook; the message has the nearest name.
    """
    library, known = load_library(settings), catalogue()
    if Path(target).is_file():
        loaded = _read(Path(target), library, settings)
        library = Library([loaded, *(p for p in library if p.playbook.name != loaded.playbook.name)])
        errors = [d for d in lint(loaded, known, library.get) if d.severity == "error"]
        if errors:
            raise PlaybookError(errors)
    else:
        loaded = library.get(target)
    graph = compile_playbook(loaded, known, library.get)
    values = PlaybookInputs.load(inputs or settings.playbook_inputs, library)
    return Subject(loaded, graph, values, chosen=inputs is not None)


def _read(path: Path, library: Library, settings: Settings) -> LoadedPlaybook:
    text = read_text(path)
    if not path.name.endswith(CACAO_FILE):
        return load_playbook(text, file=str(path))
    shelf = Shelf(
        {str(path): text},
        catalogue=catalogue(),
        now=datetime.now(UTC),
        settings=settings.cacao,
        find=library.get,
    )
    found, refused = shelf.read()
    if not found:
        raise PlaybookError(refused)
    return found[0].loaded


@contextlib.contextmanager
def throwaway_settings(**more: object) -> Iterator[Settings]:
    """The settings in force for a home that is gone at the end of the block.

    Everything that could keep something elsewhere, or reach anybody, is cut off: the database, the vault, Temporal and
    chat. How accounts and services are reached stays as it is.

    Args:
        more: Values by field name that win over the environment.

    Raises:
        SettingsError: A setting cannot be used.
    """
    home = Path(tempfile.mkdtemp(prefix="soar-dry-run-"))
    try:
        yield load_settings(
            **{
                "home": home,
                "database_url": f"sqlite+aiosqlite:///{home / 'soar.db'}",
                "vault_url": (home / "vault").as_uri(),
                "temporal_address": "",
                "temporal_namespace": "default",
                "slack_bot_token": None,
                "slack_app_token": None,
                "slack_signing_secret": None,
                "chat": False,
                "graceful_timeout": 5,
                **more,
            }
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)
