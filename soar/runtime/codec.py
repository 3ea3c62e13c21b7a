"""What happens to payloads on their way into Temporal's history: encrypted, and the large ones kept elsewhere.

Order on the way in: first encryption, then the claim check, so that the vault too holds only ciphertext.
Workflow ids, search attributes, activity names and headers are not payloads: they stay readable.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from soar.model.alert import RawRef
from soar.runtime.settings import Settings

__all__ = [
    "ChainCodec",
    "ClaimCheckCodec",
    "CodecError",
    "EncryptionCodec",
    "PayloadStore",
    "data_converter",
    "generate_key",
]

CLAIM_CHECK_OVER = 128 * 1024
"""Bytes above which a payload travels as a reference. Temporal warns at 512 KiB and refuses at 2 MiB."""

_ENCRYPTED = b"binary/encrypted"
_CLAIM_CHECK = b"binary/claim-check"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class CodecError(RuntimeError):
    """A payload cannot be read: a missing key, a changed payload, or evidence that is gone.

    It is no reason to fail an incident: the workflow task is tried again until the operator has put it right.
    """


class PayloadStore(Protocol):
    """What the claim check needs of the vault."""

    async def put(self, data: bytes) -> RawRef:
        """Keep bytes under their SHA-256."""
        ...

    async def get(self, digest: str) -> bytes:
        """Read them back."""
        ...


class EncryptionCodec(PayloadCodec):
    """AES-256-GCM over whole payloads, with their metadata.

    Each payload names the key that it was encrypted with, so a key is rotated by putting a new one first and
    keeping the old one until no history uses it. A nonce is 96 random bits: rotate before 2^32 payloads
    (NIST SP 800-38D, 8.3).

    Args:
        keys: 32 bytes by key id; the first encrypts, all decrypt.
        accept_plaintext: Also read payloads that are not encrypted. Anybody who can write to the database could
            then put one in: only for the time of a migration.
    """

    def __init__(self, keys: Mapping[str, bytes], *, accept_plaintext: bool = False) -> None:
        if not keys:
            raise ValueError("encryption needs at least one key")
        for key_id, key in keys.items():
            if len(key) != _KEY_BYTES:
                raise ValueError(f"key {key_id} has {len(key)} bytes and needs {_KEY_BYTES}")
        self._current = next(iter(keys))
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._accept_plaintext = accept_plaintext

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt and authenticate.

        Raises:
            CodecError: A payload was changed, is not encrypted, or its key is not among ours.
        """
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        nonce, key_id = os.urandom(_NONCE_BYTES), self._current
        sealed = self._ciphers[key_id].encrypt(nonce, payload.SerializeToString(), _associated(key_id))
        return Payload(metadata={"encoding": _ENCRYPTED, "key-id": key_id.encode()}, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != _ENCRYPTED:
            if self._accept_plaintext:
                return payload
            raise CodecError(
                "a payload in history is not encrypted though keys are set, so it may not be ours; if the system "
                "ran without keys before, set SOAR_CODEC_ACCEPT_PLAINTEXT=true until those incidents have ended"
            )
        key_id = payload.metadata.get("key-id", b"").decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise CodecError(
                f"no key with the id {key_id!r} to decrypt a payload; add it back to SOAR_CODEC_KEYS"
            )
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        try:
            plain = cipher.decrypt(nonce, sealed, _associated(key_id))
            return Payload.FromString(plain)
        except (InvalidTag, ValueError, DecodeError):
            raise CodecError(
                f"a payload encrypted with key {key_id!r} was changed, or the key is another one of that id"
            ) from None


class ClaimCheckCodec(PayloadCodec):
    """Keeps large payloads in the vault and sends a reference, checked on the way back.

    Args:
        store: The vault; every process that talks to Temporal must reach the same one.
        over: Bytes above which a payload is kept there.
    """

    def __init__(self, store: PayloadStore, *, over: int = CLAIM_CHECK_OVER) -> None:
        self._store = store
        self._over = over

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Put what is large into the vault."""
        return [await self._check_in(p) if p.ByteSize() > self._over else p for p in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Fetch what was kept in the vault.

        Raises:
            CodecError: It is not there, or is not what was put there.
        """
        return [
            await self._check_out(p) if p.metadata.get("encoding") == _CLAIM_CHECK else p for p in payloads
        ]

    async def _check_in(self, payload: Payload) -> Payload:
        data = payload.SerializeToString(deterministic=True)
        kept = await self._store.put(data)
        claim = {"digest": kept.digest, "size": len(data)}
        return Payload(metadata={"encoding": _CLAIM_CHECK}, data=json.dumps(claim, sort_keys=True).encode())

    async def _check_out(self, payload: Payload) -> Payload:
        try:
            claim = json.loads(payload.data)
            digest, size = str(claim["digest"]), int(claim["size"])
        except (ValueError, KeyError, TypeError):
            raise CodecError("a reference to the vault in history is not readable: it was changed") from None
        try:
            data = await self._store.get(digest)
        except Exception as error:
            raise CodecError(f"the vault does not give payload {digest}: {error}") from error
        if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
            raise CodecError(f"payload {digest} in the vault is not what was put there")
        try:
            return Payload.FromString(data)
        except DecodeError:
            raise CodecError(f"payload {digest} in the vault is not a payload") from None


class ChainCodec(PayloadCodec):
    """Codecs one after the other: in order on the way in, in reverse on the way out."""

    def __init__(self, *codecs: PayloadCodec) -> None:
        self._codecs = codecs

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Run every codec's `encode`, first to last."""
        result = list(payloads)
        for codec in self._codecs:
            result = await codec.encode(result)
        return result

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Run every codec's `decode`, last to first."""
        result = list(payloads)
        for codec in reversed(self._codecs):
            result = await codec.decode(result)
        return result


def data_converter(settings: Settings, store: PayloadStore | None = None) -> DataConverter:
    """The one data converter of clients, workers and replays.

    Args:
        settings: Their codec keys decide whether payloads, and the texts of failures, are encrypted.
        store: The vault for large payloads; None keeps them in history.
    """
    codecs: list[PayloadCodec] = []
    if keys := settings.encryption_keys:
        codecs.append(EncryptionCodec(keys, accept_plaintext=settings.codec_accept_plaintext))
    if store is not None:
        codecs.append(ClaimCheckCodec(store))
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=ChainCodec(*codecs) if codecs else None,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes
        if keys
        else DefaultFailureConverter,
    )


def generate_key(key_id: str) -> str:
    """A new random key in the form that `SOAR_CODEC_KEYS` takes."""
    return f"{key_id}:{base64.b64encode(os.urandom(_KEY_BYTES)).decode()}"


def _associated(key_id: str) -> bytes:
    return b"soar payload 1 " + key_id.encode()
