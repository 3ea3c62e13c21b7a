"""The plugin: what the workflow sandbox shares with the process, and what it must not."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from temporalio.worker import UnsandboxedWorkflowRunner, WorkerConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from soar.engine.workflow import SEARCH_ATTRIBUTES as ENGINE_ATTRIBUTES
from soar.runtime.plugin import PASSTHROUGH, SoarPlugin
from soar.runtime.settings import load_settings
from soar.runtime.temporal_server import SEARCH_ATTRIBUTES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", [name for name in PASSTHROUGH if name.startswith("soar.")])
def test_shared_modules_exist_and_define_no_workflow(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    path = Path(module.__file__)
    for file in path.parent.rglob("*.py") if path.name == "__init__.py" else [path]:
        assert not re.search(r"^\s*@workflow\.(defn|run)", file.read_text(), re.MULTILINE), file


def test_the_worker_is_tuned_and_an_explicit_runner_kept() -> None:
    plugin = SoarPlugin(load_settings(sticky_timeout=3, graceful_timeout=7))
    config = plugin.configure_worker(WorkerConfig())
    assert config["sticky_queue_schedule_to_start_timeout"].total_seconds() == 3
    assert config["graceful_shutdown_timeout"].total_seconds() == 7
    assert config["max_eager_activity_reservations_per_workflow_task"] > 3
    runner = config["workflow_runner"]
    assert isinstance(runner, SandboxedWorkflowRunner)
    assert set(PASSTHROUGH) <= runner.restrictions.passthrough_modules

    bare = UnsandboxedWorkflowRunner()
    assert plugin.configure_worker(WorkerConfig(workflow_runner=bare))["workflow_runner"] is bare


def test_the_engine_sets_only_attributes_that_are_registered() -> None:
    kinds = {"KEYWORD": "Keyword", "INT": "Int"}
    used = {key.name: kinds[key.indexed_value_type.name] for key in ENGINE_ATTRIBUTES}
    assert used == SEARCH_ATTRIBUTES


def test_every_module_of_the_engine_but_the_workflow_is_shared() -> None:
    modules = {f"soar.engine.{path.stem}" for path in (ROOT / "soar/engine").glob("[a-z]*.py")}
    shared = {name for name in PASSTHROUGH if name.startswith("soar.engine.")}
    # The client talks to workflows from outside of them.
    assert shared == modules - {"soar.engine.workflow", "soar.engine.client"}


NOT_THE_WORKFLOWS = re.compile(
    r"\b(datetime\.now|datetime\.utcnow|time\.time|time\.monotonic|time\.sleep|random\.|secrets\.|uuid\.uuid|os\.|"
    r"open\(|asyncio\.wait\b|asyncio\.as_completed|threading\.|subprocess)"
)


@pytest.mark.parametrize("path", sorted((ROOT / "soar/engine").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_what_is_shared_has_no_clock_and_no_randomness_but_the_workflows(path: Path) -> None:
    """The sandbox does not look into shared modules, so this does."""
    if path.stem == "client":
        return
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        code = line.split("#")[0].replace("workflow.uuid4", "")
        assert not NOT_THE_WORKFLOWS.search(code), f"{path.name}:{number}: {line.strip()}"
