"""The vault: where raw payloads, evidence and reports are kept under the SHA-256 of their bytes."""

from soar.evidence.vault import (
    LocalVault,
    S3Vault,
    Vault,
    VaultCorrupt,
    VaultMissing,
    VaultUnavailable,
    open_vault,
)

__all__ = [
    "LocalVault",
    "S3Vault",
    "Vault",
    "VaultCorrupt",
    "VaultMissing",
    "VaultUnavailable",
    "open_vault",
]
