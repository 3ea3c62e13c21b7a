"""Every action that is installed.

Ours are the modules under `soar.actions`; others come from installed packages by the entry-point group
`soar.actions`, whose entries name a module that declares them.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

from soar import actions
from soar.actions.contract import Definition, registered
from soar.model.spec import ActionSpec

__all__ = ["catalogue", "definitions", "queues"]


@cache
def definitions() -> dict[str, Definition]:
    """Import everything that declares actions, and return the declarations by name."""
    for module in pkgutil.walk_packages(actions.__path__, f"{actions.__name__}."):
        importlib.import_module(module.name)
    for entry in entry_points(group="soar.actions"):
        importlib.import_module(entry.value)
    return dict(sorted(registered.items()))


def catalogue() -> dict[str, ActionSpec]:
    """What is declared about every action, by name."""
    return {name: definition.spec for name, definition in definitions().items()}


def queues() -> set[str]:
    """The task queues that actions run on."""
    return {spec.queue for spec in catalogue().values()}
