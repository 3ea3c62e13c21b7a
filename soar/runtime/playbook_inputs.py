"""An organisation's values for the inputs of playbooks, from one YAML file: `playbook: {input: value}`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from soar.model.base import JsonObject
from soar.playbook.diagnostics import Diagnostic, PlaybookError, nearest
from soar.playbook.document import parse_yaml
from soar.playbook.library import Library, read_text
from soar.playbook.schema import InputSpec, Playbook

__all__ = ["PlaybookInputs"]


class PlaybookInputs:
    """Values that take the place of the playbooks' defaults.

    Args:
        values: By playbook and input.
    """

    def __init__(self, values: dict[str, JsonObject] | None = None) -> None:
        self._values = values or {}

    @classmethod
    def load(cls, path: Path | None, library: Library) -> PlaybookInputs:
        """Read and check the file.

        Args:
            path: None: every playbook runs with its own defaults.

        Raises:
            PlaybookError: It names a playbook or an input that does not exist, or a value of another type.
        """
        if path is None:
            return cls()
        document = parse_yaml(read_text(path), file=str(path))
        playbooks = {loaded.playbook.name: loaded.playbook for loaded in library}
        values: dict[str, JsonObject] = {}
        errors: list[Diagnostic] = []

        def wrong(place: tuple[str, ...], message: str, hint: str) -> None:
            errors.append(document.diagnostic(place, "playbook-input", message, hint))

        if not isinstance(document.data, dict):
            wrong((), "the file is not a mapping of playbooks", "write `playbook: {input: value}`")
            raise PlaybookError(errors)
        for name, given in document.data.items():
            playbook = playbooks.get(name)
            if playbook is None:
                wrong((name,), f'there is no playbook "{name}"', nearest(name, playbooks))
                continue
            if not isinstance(given, dict):
                wrong((name,), f"{name} is not a mapping of inputs", "write `playbook: {input: value}`")
                continue
            for key, value in given.items():
                spec = playbook.inputs.get(key)
                if spec is None:
                    wrong((name, key), f'{name} has no input "{key}"', nearest(key, playbook.inputs))
                    continue
                try:
                    InputSpec(type=spec.type, default=value)
                except ValidationError:
                    wrong((name, key), f"{name}: {key} is not a {spec.type}", "write a value of that type")
                    continue
                values.setdefault(name, {})[key] = value
        if errors:
            raise PlaybookError(errors)
        return cls(values)

    def of(self, playbook: Playbook) -> JsonObject:
        """The inputs that an incident of this playbook starts with."""
        return {**playbook.default_inputs, **self._values.get(playbook.name, {})}
