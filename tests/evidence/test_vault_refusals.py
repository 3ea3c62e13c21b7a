"""What a vault refuses, and how it says so when it cannot work."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from soar.evidence import LocalVault, S3Vault, VaultUnavailable, open_vault


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/e?lokc=COMPLIANCE&days=30",
        "s3://bucket/e?Lock=COMPLIANCE&days=30",
        "s3://bucket/e?lock=&days=30",
        "s3://bucket/e?lock",
        "file:///tmp?lock=COMPLIANCE&days=30",
    ],
)
def test_an_option_that_is_not_understood_gives_no_vault(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be used in a vault's URL"):
        open_vault(url)


async def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    vault = LocalVault(tmp_path / "vault")
    ref = await vault.put(b"evidence")
    path = vault.path(ref.digest)
    path.unlink()
    path.mkdir()
    with pytest.raises(VaultUnavailable, match="vault"):
        await vault.get(ref.digest)
    with pytest.raises(VaultUnavailable, match="vault"):
        await vault.put(b"evidence")


async def test_an_s3_that_does_not_answer_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens: every connection is refused
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )
        vault = S3Vault("plain", client=client)
        with pytest.raises(VaultUnavailable, match="s3://plain"):
            await vault.put(b"evidence")
        with pytest.raises(VaultUnavailable, match="s3://plain"):
            await vault.get("0" * 64)


async def test_many_at_once_keep_one_whole_copy(tmp_path: Path) -> None:
    vaults = [LocalVault(tmp_path / "vault") for _ in range(4)]
    refs = await asyncio.gather(*(v.put(b"x" * 200_000) for v in vaults for _ in range(6)))
    assert len(set(refs)) == 1
    assert await vaults[0].get(refs[0].digest) == b"x" * 200_000
    assert [p.name for p in (tmp_path / "vault").rglob("*") if p.is_file()] == [refs[0].digest]
