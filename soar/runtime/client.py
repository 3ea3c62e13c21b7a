"""Connecting to Temporal."""

from __future__ import annotations

from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from soar.runtime.codec import PayloadStore
from soar.runtime.plugin import SoarPlugin
from soar.runtime.settings import Settings, SettingsError

__all__ = ["TemporalUnreachable", "connect"]


class TemporalUnreachable(RuntimeError):
    """No working connection to Temporal; the message says what was tried and what to look at."""


async def connect(
    settings: Settings, *, address: str | None = None, store: PayloadStore | None = None
) -> Client:
    """Connect to Temporal with our converter and plugin.

    Args:
        settings: Address, namespace, TLS and API key.
        address: Another `host:port` than the settings say: the embedded server's.
        store: The vault for large payloads.

    Raises:
        SettingsError: No address is known, or a TLS file cannot be read.
        TemporalUnreachable: Nothing answers, it refuses us, or the namespace does not exist.
    """
    target = address or settings.temporal_address
    if not target:
        raise SettingsError([("SOAR_TEMPORAL_ADDRESS", "is not set, and no embedded server was started")])
    namespace = settings.temporal_namespace
    # An address that is handed over is the embedded server's, which speaks no TLS.
    tls = _tls(settings) if address is None else False
    api_key = settings.temporal_api_key if address is None else None
    try:
        client = await Client.connect(
            target,
            namespace=namespace,
            api_key=api_key.get_secret_value() if api_key else None,
            tls=tls,
            plugins=[SoarPlugin(settings, store)],
        )
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except RuntimeError as error:  # what the SDK raises when it cannot connect
        raise TemporalUnreachable(
            f"cannot reach Temporal at {target} ({_how(settings) if address is None else 'without TLS'}): {error}. "
            "Check SOAR_TEMPORAL_ADDRESS and the SOAR_TEMPORAL_TLS settings, and that the server runs"
        ) from error
    except RPCError as error:
        raise TemporalUnreachable(f"Temporal at {target} {_refusal(error, namespace)}") from error
    return client


def _refusal(error: RPCError, namespace: str) -> str:
    if error.status is RPCStatusCode.NOT_FOUND:
        return (
            f"has no namespace {namespace}: set SOAR_TEMPORAL_NAMESPACE, or create it with "
            f"temporal operator namespace create --namespace {namespace}"
        )
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
        return (
            f"refused the credentials for namespace {namespace}: {error.message}. Check SOAR_TEMPORAL_API_KEY or "
            "the client certificate"
        )
    return f"does not answer for namespace {namespace}: {error.message}"


def _how(settings: Settings) -> str:
    if not settings.temporal_uses_tls:
        return "without TLS"
    return "with mutual TLS" if settings.temporal_tls_cert else "with TLS"


def _tls(settings: Settings) -> TLSConfig | bool:
    if not settings.temporal_uses_tls:
        return False
    return TLSConfig(
        server_root_ca_cert=_pem("SOAR_TEMPORAL_TLS_CA", settings.temporal_tls_ca),
        domain=settings.temporal_tls_server_name or None,
        client_cert=_pem("SOAR_TEMPORAL_TLS_CERT", settings.temporal_tls_cert),
        client_private_key=_pem("SOAR_TEMPORAL_TLS_KEY", settings.temporal_tls_key),
    )


def _pem(variable: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError([(variable, f"cannot read {path}: {error.strerror}")]) from None
    if b"-----BEGIN" not in data:
        raise SettingsError([(variable, f"{path} is not a PEM file")])
    return data
