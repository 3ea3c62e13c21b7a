"""The plugin: how every worker is tuned, and what it registers."""

from __future__ import annotations

from temporalio.worker import WorkerConfig

from soar.engine.workflow import SEARCH_ATTRIBUTES as ENGINE_ATTRIBUTES
from soar.runtime.plugin import SoarPlugin
from soar.runtime.settings import load_settings
from soar.runtime.temporal_server import SEARCH_ATTRIBUTES


def test_the_worker_is_tuned() -> None:
    plugin = SoarPlugin(load_settings(sticky_timeout=3, graceful_timeout=7))
    config = plugin.configure_worker(WorkerConfig())
    assert config["sticky_queue_schedule_to_start_timeout"].total_seconds() == 3
    assert config["graceful_shutdown_timeout"].total_seconds() == 7
    assert config["max_eager_activity_reservations_per_workflow_task"] > 3


def test_the_engine_sets_only_attributes_that_are_registered() -> None:
    kinds = {"KEYWORD": "Keyword", "INT": "Int"}
    used = {key.name: kinds[key.indexed_value_type.name] for key in ENGINE_ATTRIBUTES}
    assert used == SEARCH_ATTRIBUTES
