"""The one plugin of clients, workers and replays: converter, sandbox and worker tuning in one place.

Give it to `Client.connect(plugins=[…])`; workers made from that client take it from there. Give it to
`Replayer(plugins=[…])` as it is.
"""

from __future__ import annotations

from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkerConfig, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from soar.runtime.codec import PayloadStore, data_converter
from soar.runtime.settings import Settings

__all__ = ["PASSTHROUGH", "SoarPlugin", "workflow_runner"]

PASSTHROUGH = (
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_inspection",
    "jinja2",
    "markupsafe",
    "ruamel",
    "soar.model",
    "soar.playbook",
    "soar.actions.calls",
    "soar.engine.action_steps",
    "soar.engine.answers",
    "soar.engine.approvals",
    "soar.engine.change_commands",
    "soar.engine.changes",
    "soar.engine.commands",
    "soar.engine.delivery",
    "soar.engine.forms",
    "soar.engine.interpreter",
    "soar.engine.journal",
    "soar.engine.messages",
    "soar.engine.people_steps",
    "soar.engine.permission",
    "soar.engine.run",
    "soar.engine.scope",
    "soar.engine.steps",
    "soar.engine.upgrade",
    "soar.engine.watch",
)
"""Modules that the workflow sandbox shares with the process instead of importing them anew for each run.

They are pure: no I/O, no clock but the workflow's, no randomness, nothing changed at module level but caches; a test
reads them for that. Importing them anew for each run costs three times the CPU of all the rest. The module that
defines the workflow is not among them, so that it stays inside the sandbox's checks.
"""

_EAGER_ACTIVITIES = 20


def workflow_runner() -> SandboxedWorkflowRunner:
    """The sandbox that workflows run in."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSTHROUGH)
    )


class SoarPlugin(SimplePlugin):
    """Configures clients, workers and replayers alike.

    Args:
        settings: Codec keys and timeouts.
        store: The vault for large payloads, the same for every process.
    """

    def __init__(self, settings: Settings, store: PayloadStore | None = None) -> None:
        super().__init__(
            "soar.Runtime",
            data_converter=data_converter(settings, store),
            workflow_runner=_runner,
        )
        self._settings = settings

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """See base class. The timeouts and eager activities, measured: see `settings`."""
        config = super().configure_worker(config)
        config["sticky_queue_schedule_to_start_timeout"] = self._settings.sticky
        config["graceful_shutdown_timeout"] = self._settings.graceful
        config["max_eager_activity_reservations_per_workflow_task"] = _EAGER_ACTIVITIES
        return config


def _runner(existing: WorkflowRunner | None) -> WorkflowRunner:
    """Widen the default sandbox; a runner of another kind (for debugging) is somebody's explicit wish."""
    if existing is None or isinstance(existing, SandboxedWorkflowRunner):
        return workflow_runner()
    return existing
