"""The vault's promises, in a folder and in S3 (the simulated account's)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from soar.evidence import LocalVault, S3Vault, Vault, VaultCorrupt, VaultMissing, open_vault


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket="plain")
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    return client


@pytest.fixture(params=["file", "s3"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    if request.param == "file":
        return LocalVault(tmp_path / "vault")
    return S3Vault("plain", "evidence", client=request.getfixturevalue("s3"))


@pytest.mark.parametrize("data", [b"", b"x", b"\x00\xff" * 100_000])
async def test_what_is_put_is_got_back_under_its_hash(vault: Vault, data: bytes) -> None:
    ref = await vault.put(data)
    assert (ref.digest, ref.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert await vault.put(data) == ref
    assert await vault.get(ref.digest) == data == vault.get_sync(ref.digest)


@pytest.mark.parametrize("digest", ["0" * 64, "", "../../etc/passwd", "A" * 64])
async def test_what_was_never_put_is_missing(vault: Vault, digest: str) -> None:
    with pytest.raises(VaultMissing):
        await vault.get(digest)


async def test_damage_is_seen_and_named(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path / "vault")
    ref = await vault.put(b"evidence")
    path = vault.path(ref.digest)
    assert path.stat().st_mode & 0o777 == 0o440
    path.chmod(0o600)
    path.write_bytes(b"forged")
    with pytest.raises(VaultCorrupt, match=ref.digest):
        await vault.get(ref.digest)
    with pytest.raises(VaultCorrupt):
        await vault.put(b"evidence")
    assert not list(path.parent.glob(".new-*"))


async def test_a_locked_bucket_keeps_what_it_has(s3: Any, s3_endpoint: str) -> None:
    vault = open_vault(f"s3://locked/e?lock=COMPLIANCE&days=30&endpoint={s3_endpoint}")
    ref = await vault.put(b"evidence")
    key = f"e/{ref.digest[:2]}/{ref.digest}"
    kept = s3.head_object(Bucket="locked", Key=key)
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    assert await vault.get(ref.digest) == b"evidence"
    with pytest.raises(ValueError, match="Object Lock"):
        S3Vault("plain", lock="COMPLIANCE", days=1, client=s3)
    with pytest.raises(ValueError, match="days"):
        S3Vault("locked", lock="COMPLIANCE", client=s3)


def test_urls(tmp_path: Path) -> None:
    assert isinstance(open_vault((tmp_path / "with space").as_uri()), LocalVault)
    assert (tmp_path / "with space").is_dir()
    for url in ("", "/folder", "http://x/y", "file://host/x", "s3:///x"):
        with pytest.raises(ValueError, match="a vault is"):
            open_vault(url)
