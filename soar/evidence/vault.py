"""Content-addressed keeping of bytes, in a local folder or in S3 with Object Lock.

What is kept is never changed: the name is the SHA-256 of the content, and reading checks it. The same bytes are
kept once.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from soar.model.alert import RawRef
from soar.model.base import Digest

__all__ = [
    "LocalVault",
    "S3Vault",
    "Vault",
    "VaultCorrupt",
    "VaultMissing",
    "VaultUnavailable",
    "open_vault",
]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_S3_OPTIONS = ("lock", "days", "endpoint")


class VaultCorrupt(Exception):
    """What is kept is not what was put there; the message names the file or object."""


class VaultMissing(Exception):
    """Nothing is kept under this digest."""


class VaultUnavailable(Exception):
    """The vault cannot be written or read now: a full disk, a missing permission, no network."""


@contextlib.contextmanager
def _reachable(where: str) -> Iterator[None]:
    """Turn what folders and S3 raise into one error."""
    try:
        yield
    except OSError as error:
        raise VaultUnavailable(f"the vault {where} cannot be used: {error.strerror or error}") from error
    except (BotoCoreError, ClientError) as error:
        raise VaultUnavailable(f"the vault {where} cannot be used: {error}") from error


class Vault(Protocol):
    """Where bytes are kept."""

    async def put(self, data: bytes) -> RawRef:
        """Keep bytes; durable when this returns.

        Raises:
            VaultUnavailable: They could not be kept.
            VaultCorrupt: A damaged copy stands in their place.
        """
        ...

    async def get(self, digest: Digest) -> bytes:
        """Read bytes back.

        Raises:
            VaultMissing: Nothing is kept under this digest.
            VaultCorrupt: It is not what was put there.
            VaultUnavailable: It could not be read.
        """
        ...

    def put_sync(self, data: bytes) -> RawRef:
        """`put`, for threads."""
        ...

    def get_sync(self, digest: Digest) -> bytes:
        """`get`, for threads."""
        ...


def _checked(digest: Digest, data: bytes, where: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != digest:
        raise VaultCorrupt(f"{where} does not hold what was put there: its SHA-256 is another")
    return data


def _valid(digest: Digest) -> Digest:
    if not _DIGEST.fullmatch(digest):
        raise VaultMissing(f"{digest!r} is no SHA-256 in lower-case hexadecimal")
    return digest


class LocalVault:
    """A vault in a folder; its files are read-only and only for us.

    Args:
        folder: Made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, digest: Digest) -> Path:
        """Where the bytes of a digest lie, or would."""
        return self._folder / digest[:2] / digest[2:4] / _valid(digest)

    async def put(self, data: bytes) -> RawRef:
        """See `Vault.put`."""
        return await asyncio.to_thread(self.put_sync, data)

    async def get(self, digest: Digest) -> bytes:
        """See `Vault.get`."""
        return await asyncio.to_thread(self.get_sync, digest)

    def put_sync(self, data: bytes) -> RawRef:
        """See `Vault.put`."""
        ref = RawRef(digest=hashlib.sha256(data).hexdigest(), size=len(data))
        with _reachable(str(self._folder)):
            self._keep(ref, data)
        return ref

    def _keep(self, ref: RawRef, data: bytes) -> None:
        path = self.path(ref.digest)
        if path.exists():
            # Kept already; should that copy be damaged, this is the moment to know it.
            _checked(ref.digest, path.read_bytes(), str(path))
            _sync_folder(path.parent)  # whoever put it there may not have come so far
            return
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o440)
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        for folder in (path.parent, path.parent.parent, self._folder):
            _sync_folder(folder)

    def get_sync(self, digest: Digest) -> bytes:
        """See `Vault.get`."""
        path = self.path(digest)
        with _reachable(str(self._folder)):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise VaultMissing(f"the vault {self._folder} has nothing under {digest}") from None
        return _checked(digest, data, str(path))


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class S3Vault:
    """A vault in a bucket.

    Args:
        bucket: It exists.
        prefix: Put before each name.
        lock: `COMPLIANCE` or `GOVERNANCE` (S3 Object Lock): nobody, or only those with a special permission, can
            delete or change what is kept before `days` have passed. Empty: no lock.
        days: For how long.
        client: A boto3 client of `s3`.

    Raises:
        ValueError: A lock is asked for and the bucket has Object Lock switched off, or `days` is missing.
    """

    def __init__(self, bucket: str, prefix: str = "", *, lock: str = "", days: int = 0, client: Any) -> None:
        self._bucket, self._prefix, self._lock, self._days = bucket, prefix.strip("/"), lock, days
        self._s3 = client
        if lock not in ("", "COMPLIANCE", "GOVERNANCE"):
            raise ValueError(f"lock is COMPLIANCE or GOVERNANCE, not {lock}")
        if lock and days < 1:
            raise ValueError("a locked vault needs days=N in its URL: for how long")
        if lock and not self._has_lock():
            raise ValueError(
                f"bucket {bucket} has no Object Lock: it can only be given when a bucket is created"
            )

    def _has_lock(self) -> bool:
        try:
            found = self._s3.get_object_lock_configuration(Bucket=self._bucket)
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "ObjectLockConfigurationNotFoundError":
                return False
            raise
        enabled: bool = found["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled"
        return enabled

    def _key(self, digest: Digest) -> str:
        name = f"{digest[:2]}/{_valid(digest)}"
        return f"{self._prefix}/{name}" if self._prefix else name

    async def put(self, data: bytes) -> RawRef:
        """See `Vault.put`."""
        return await asyncio.to_thread(self.put_sync, data)

    async def get(self, digest: Digest) -> bytes:
        """See `Vault.get`."""
        return await asyncio.to_thread(self.get_sync, digest)

    def put_sync(self, data: bytes) -> RawRef:
        """See `Vault.put`. S3 checks the SHA-256 that is sent along."""
        raw = hashlib.sha256(data)
        ref = RawRef(digest=raw.hexdigest(), size=len(data))
        extra: dict[str, Any] = {}
        if self._lock:
            until = datetime.now(UTC) + timedelta(days=self._days)
            extra = {"ObjectLockMode": self._lock, "ObjectLockRetainUntilDate": until}
        with _reachable(f"s3://{self._bucket}"):
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._key(ref.digest),
                Body=data,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(raw.digest()).decode(),
                **extra,
            )
        return ref

    def get_sync(self, digest: Digest) -> bytes:
        """See `Vault.get`."""
        key = self._key(digest)
        with _reachable(f"s3://{self._bucket}"):
            try:
                data: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except self._s3.exceptions.NoSuchKey:  # S3 says so only to those who have s3:ListBucket
                raise VaultMissing(f"the vault s3://{self._bucket} has nothing under {digest}") from None
        return _checked(digest, data, f"s3://{self._bucket}/{key}")


def open_vault(url: str) -> Vault:
    """Open a vault by its URL.

    Args:
        url: `file:///folder`, or `s3://bucket/prefix` with `?lock=COMPLIANCE|GOVERNANCE&days=N` for Object Lock and
            `&endpoint=URL` for another S3.

    Raises:
        ValueError: The URL is neither, an option in it cannot be used, or the bucket cannot be locked as asked.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    # A lock that is misspelt must not end as a vault without a lock.
    for name, value in options.items():
        if parts.scheme != "s3" or name not in _S3_OPTIONS or not value:
            raise ValueError(
                f"{name}={value} cannot be used in a vault's URL; s3:// takes {', '.join(_S3_OPTIONS)}, "
                "file:// takes nothing"
            )
    if parts.scheme == "file" and not parts.netloc:
        return LocalVault(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        import boto3

        client = boto3.client("s3", endpoint_url=options.get("endpoint") or None)
        days = options.get("days", "0")
        if not days.isdecimal():
            raise ValueError(f"days is a whole number, not {days}")
        return S3Vault(parts.netloc, parts.path, lock=options.get("lock", ""), days=int(days), client=client)
    raise ValueError(f"a vault is file:///folder or s3://bucket/prefix, not {url}")
