"""The one plugin of clients, workers and replays: converter and worker tuning in one place.

Give it to `Client.connect(plugins=[…])`; workers made from that client take it from there. Give it to
`Replayer(plugins=[…])` as it is.
"""

from __future__ import annotations

from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkerConfig

from soar.runtime.codec import PayloadStore, data_converter
from soar.runtime.settings import Settings

__all__ = ["SoarPlugin"]

_EAGER_ACTIVITIES = 20


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
        )
        self._settings = settings

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """See base class. The timeouts and eager activities, measured: see `settings`."""
        config = super().configure_worker(config)
        config["sticky_queue_schedule_to_start_timeout"] = self._settings.sticky
        config["graceful_shutdown_timeout"] = self._settings.graceful
        config["max_eager_activity_reservations_per_workflow_task"] = _EAGER_ACTIVITIES
        return config
