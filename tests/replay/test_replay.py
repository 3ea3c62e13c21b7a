"""Histories that were recorded of released engine versions still replay: a running incident survives an upgrade.

Record anew with `SOAR_RECORD_HISTORIES=1 pytest tests/e2e/test_e2e_scenarios.py`, into a folder of the version's name,
when the engine's version goes up; never over the histories of an older one.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from soar.engine.workflow import IncidentWorkflow
from soar.runtime.plugin import SoarPlugin
from soar.runtime.settings import load_settings

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*/*.json"))


def test_there_are_histories() -> None:
    assert HISTORIES


@pytest.mark.parametrize("path", HISTORIES, ids=lambda p: f"{p.parent.name}/{p.stem}")
async def test_a_recorded_history_replays(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text(encoding="utf-8"))  # noqa: ASYNC240
    replayer = Replayer(workflows=[IncidentWorkflow], plugins=[SoarPlugin(load_settings())])
    await replayer.replay_workflow(history)
