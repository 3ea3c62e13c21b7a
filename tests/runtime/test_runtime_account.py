"""The simulated account: starts, answers as an account, ends with us."""

from __future__ import annotations

import socket
from pathlib import Path

import boto3
import httpx
import pytest

from soar.runtime.account import SIMULATED_ACCOUNT_ID, SimulatedAccountError, simulated_account


async def test_answers_as_an_account_with_managed_policies(tmp_path: Path) -> None:
    async with simulated_account(log_file=tmp_path / "account.log") as account:
        environment = account.environment
        session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=account.region,
        )
        sts = session.client("sts", endpoint_url=account.endpoint_url)
        assert sts.get_caller_identity()["Account"] == SIMULATED_ACCOUNT_ID
        iam = session.client("iam", endpoint_url=account.endpoint_url)
        iam.create_user(UserName="ada")
        iam.attach_user_policy(UserName="ada", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
        await account.reset()
        assert iam.list_users()["Users"] == []
        sts.close()
        iam.close()
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(account.endpoint_url)


async def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SimulatedAccountError, match="is in use"):
            async with simulated_account(port=taken.getsockname()[1]):
                pass
