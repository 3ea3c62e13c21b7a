"""A simulated AWS account: moto's server in a process of its own. Never anybody's real account.

It is what `soar demo`, the drills and the tests change. It needs the `demo` extra.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
import urllib.parse
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from soar.runtime.process import ChildDied, ChildProcess, Progress, child_process, free_ports, port_is_free

__all__ = [
    "IMAGES_FILE",
    "SIMULATED_ACCOUNT_ID",
    "SimulatedAccount",
    "SimulatedAccountError",
    "simulated_account",
]

SIMULATED_ACCOUNT_ID = "123456789012"
"""The account number that moto gives to callers without an account of their own (AWS' documentation's example)."""

IMAGES_FILE = Path(__file__).with_name("images.json")
"""The account's public images. Of its own it would make a thousand in each region whenever it is emptied, and let go of
none."""

_START_TRIES = 3


class SimulatedAccountError(RuntimeError):
    """The simulated account could not be started; the message says what to do."""


@dataclass(frozen=True)
class SimulatedAccount:
    """A running simulated account.

    Args:
        endpoint_url: The one endpoint of all services, for `SOAR_AWS_ENDPOINT_URL` and boto3's `endpoint_url`.
        region: The default region.
        account_id: The account's number.
        process: The child.
    """

    endpoint_url: str
    process: ChildProcess = field(repr=False)
    region: str = "us-east-1"
    account_id: str = SIMULATED_ACCOUNT_ID

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point AWS clients here, with credentials that are good for nothing else."""
        return {
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_SESSION_TOKEN": "simulated",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    async def reset(self) -> None:
        """Empty the account: everything in it is gone."""
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.post(f"{self.endpoint_url}/moto-api/reset", timeout=30)).raise_for_status()


@contextlib.asynccontextmanager
async def simulated_account(
    *,
    port: int | None = None,
    region: str = "us-east-1",
    log_file: Path | None = None,
    start_timeout: float = 60.0,
    progress: Progress | None = None,
) -> AsyncIterator[SimulatedAccount]:
    """Run a simulated AWS account for the length of a block. It starts empty and keeps nothing.

    Args:
        port: Where it listens on loopback; None takes a free port.
        region: The default region of its clients.
        log_file: Where its log goes; by default a temporary file.
        start_timeout: Seconds until it must answer.
        progress: Told in words how the start is coming along.

    Raises:
        SimulatedAccountError: It is not installed, or did not start.
    """
    if importlib.util.find_spec("moto") is None:
        raise SimulatedAccountError("the simulated account is not installed: pip install 'soar[demo]'")
    if port is not None and not port_is_free(port):
        raise SimulatedAccountError(f"port {port} is in use: choose another for the simulated account")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "MOTO_"))}
    # Playbooks look at AWS' own policies; without this moto knows none of them.
    environment["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    environment["MOTO_AMIS_PATH"] = str(IMAGES_FILE)
    async with contextlib.AsyncExitStack() as stack:
        if log_file is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="soar-account-"))
            log_file = Path(folder) / "account.log"
        for attempt in range(1, _START_TRIES + 1):
            url = f"http://127.0.0.1:{port or free_ports(1)[0]}"
            try:
                child = await stack.enter_async_context(
                    _started(url, log_file, environment, start_timeout, progress)
                )
                break
            except ChildDied as error:
                if "in use" not in str(error) or attempt == _START_TRIES:
                    raise SimulatedAccountError(
                        f"the simulated account could not be started\n{error}"
                    ) from error
        yield SimulatedAccount(endpoint_url=url, region=region, process=child)


@contextlib.asynccontextmanager
async def _started(
    url: str, log_file: Path, environment: dict[str, str], timeout: float, progress: Progress | None
) -> AsyncIterator[ChildProcess]:
    port = str(urllib.parse.urlsplit(url).port)
    command = [sys.executable, "-P", "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    async with (
        httpx.AsyncClient(trust_env=False, timeout=5) as http,
        child_process("the simulated account", command, log_file=log_file, env=environment) as child,
    ):
        if progress:
            progress("starting the simulated account")

        async def answers() -> bool:
            if port_is_free(int(port)):
                return False
            try:
                return (await http.get(f"{url}/moto-api/data.json")).status_code == 200
            except httpx.TransportError:
                return False

        await child.wait_until(answers, timeout=timeout, progress=progress)
        yield child
