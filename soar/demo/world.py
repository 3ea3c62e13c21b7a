"""What the demonstration runs on: a simulated account with a company in it, and a simulated workspace if none is set.

Everything else is the real system. Whatever is simulated says so in its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from soar.runtime.account import simulated_account
from soar.runtime.process import free_ports, port_is_free
from soar.runtime.settings import Settings, load_settings
from soar.runtime.stack import Stack, running_stack
from soar.simulated.company import Company, seed_company
from soar.simulated.workspace import APP_ID, SimulatedWorkspace, running_workspace
from soar.sources.registry import sources

__all__ = ["APPROVERS", "DEMO_POLICY", "DemoWorld", "demo_world"]

DEMO_POLICY = """\
# The policy of the demonstration: who may decide what. Slack ids are those of the simulated workspace.
version: 1
responders:
  - id: irene
    name: Irene Castellano
    email: irene.castellano@example.com
    slack: U0IRENE001
    roles: [incident-commander, responder, security-lead]
    identities: [irene.castellano]
  - id: jonas
    name: Jonas Weber
    email: jonas.weber@example.com
    slack: U0JONAS001
    roles: [responder]
  - id: priya
    name: Priya Raman
    email: priya.raman@example.com
    slack: U0PRIYA001
    roles: [responder, security-lead]
  - id: maya
    name: Maya Okafor
    email: maya.okafor@example.com
    slack: U0MAYA0001
    roles: [developer]
    identities: [maya.okafor]
autonomy:
  - match: {action: [aws.ec2.protect_evidence, aws.ec2.snapshot_volumes, aws.cloudtrail.restore_logging]}
    decide: automatic
    why: evidence is kept at once; it takes nothing away from anybody
  - match:
      risk: [reversible, disruptive]
      action: [aws.iam.*, aws.s3.*, aws.elb.*, aws.autoscaling.*, aws.ec2.isolate_instance, incident.undo]
    decide: ask
    approvers: 1
    roles: [responder]
    why: what can be put back takes one responder
  - match: {risk: [destructive]}
    decide: ask
    approvers: 2
    roles: [responder]
    why: what cannot be put back takes two
protected:
  - name: "break-glass*"
    why: the way back in
approvals: {expires: 4h, remind: 15m}
"""

APPROVERS = ("U0IRENE001", "U0PRIYA001")
"""Who clicks when the demonstration runs unattended."""

_SIGNING_SECRET_BYTES = 32
PREFERRED_PORT = 8080


@dataclass(frozen=True)
class DemoWorld:
    """A running demonstration.

    Args:
        workspace: None where a real workspace is connected.
        source_secret: What deliveries to the webhook are signed with.
        token: An API token of the incident commander.
    """

    stack: Stack
    company: Company
    workspace: SimulatedWorkspace | None
    source_secret: str
    token: str
    settings: Settings


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a block; boto3 finds the simulated account by them, and only there."""
    before = {key: os.environ.get(key) for key in (*values, "AWS_PROFILE")}
    os.environ.update(values)
    os.environ.pop("AWS_PROFILE", None)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@contextlib.asynccontextmanager
async def demo_world(
    home: Path, *, port: int | None, progress: Callable[[str], None], fatal: Callable[[BaseException], None]
) -> AsyncIterator[DemoWorld]:
    """Run everything for the length of a block.

    Args:
        home: An empty folder for what the system keeps.
        port: The web app's; None: the usual one, or any that is free.
        progress: Told in words what is being done.

    Raises:
        SettingsError, SimulatedAccountError, TemporalStartError, PlaybookError: With what to do.
    """
    asked = load_settings()
    async with contextlib.AsyncExitStack() as stack:
        account = await stack.enter_async_context(
            simulated_account(log_file=home / "simulated-account.log", progress=progress)
        )
        stack.enter_context(_environment(account.environment))
        progress("setting up the simulated company")
        now = datetime.now(UTC).replace(microsecond=0)
        company = await asyncio.to_thread(seed_company, account.endpoint_url, now=now)
        port = port or (PREFERRED_PORT if port_is_free(PREFERRED_PORT) else free_ports(1)[0])
        url = f"http://127.0.0.1:{port}"
        policy = asked.policy_file or _write(home / "policy.yaml", DEMO_POLICY)
        inputs = _write(
            home / "inputs.yaml",
            f"# Where the deployer's key is kept, so that recovery can issue a new one there.\n"
            f"aws-access-key-compromise: {{secret_id: {company.secret_id}}}\n"
            f"aws-ec2-cryptomining: {{replace_instance: true}}\n",
        )
        source_secret = secrets.token_urlsafe(32)
        chosen: dict[str, object] = {
            "home": home,
            "web_port": port,
            "public_url": url,
            "policy_file": policy,
            "playbook_inputs": inputs,
            "aws_endpoint_url": account.endpoint_url,
            "source_secrets": {name: (SecretStr(source_secret),) for name in sources()},
        }
        workspace = None
        if asked.slack_bot_token is None:
            progress("starting the simulated chat workspace")
            signing = secrets.token_hex(_SIGNING_SECRET_BYTES)
            workspace = await stack.enter_async_context(
                running_workspace(signing_secret=signing, interactivity_url=f"{url}/slack/interactions")
            )
            chosen |= {
                "slack_bot_token": SecretStr(workspace.token),
                "slack_signing_secret": SecretStr(signing),
                "slack_base_url": workspace.api_url,
                "slack_channel": "incidents",
                "slack_app_id": APP_ID,
            }
        settings = load_settings(**chosen)
        running = await stack.enter_async_context(running_stack(settings, progress=progress, fatal=fatal))
        token = secrets.token_urlsafe(32)
        await running.parts.store.add_token(
            "irene", hashlib.sha256(token.encode()).hexdigest(), "demonstration"
        )
        yield DemoWorld(running, company, workspace, source_secret, token, settings)


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
