"""An incident-response orchestrator for cloud applications, durable on Temporal."""

__version__ = "0.1.0"
