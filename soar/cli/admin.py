"""`soar token …`, `soar slack …` and `soar settings`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import data, fail, line, say, show_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soar.store import Store

__all__ = ["settings", "slack_app", "token_app"]

slack_app = typer.Typer(no_args_is_help=True, help="The connection to Slack.")
token_app = typer.Typer(no_args_is_help=True, help="API tokens of responders.")


async def _with_store(work: Callable[[Store], Awaitable[None]]) -> None:
    from soar.runtime.settings import load_settings
    from soar.store import Store, migrate

    url = load_settings().database
    await migrate(url)
    store = await Store.open(url)
    try:
        await work(store)
    finally:
        await store.close()


@token_app.command("create")
def create(responder: str, label: Annotated[str, typer.Option(help="What it is for.")] = "") -> None:
    """Make a token for a responder of the policy. It is shown this once; only its hash is kept.

    Example: soar token create alice --label laptop
    """
    import hashlib
    import secrets

    from soar.runtime.policy_file import PolicyFile
    from soar.runtime.settings import load_settings

    policy = PolicyFile(load_settings().policy_file).current()
    if policy is None:
        fail("there is no policy, so there are no responders: set SOAR_POLICY_FILE", ExitCode.USAGE)
    if policy.responder(responder) is None:
        names = ", ".join(r.id for r in policy.responders)
        fail(f"the policy has no responder {responder}; it has: {names}", ExitCode.NOT_FOUND)
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    asyncio.run(_with_store(lambda store: store.add_token(responder, digest, label)))
    data().print(token)
    say("keep it: it is not shown again. Use it as SOAR_TOKEN, or as the token file of SOAR_HOME")


@token_app.command("revoke")
def revoke(responder: str) -> None:
    """Make every token of a responder worthless, at once.

    Example: soar token revoke alice
    """

    async def work(store: Store) -> None:
        say(f"{await store.revoke_tokens(responder)} token(s) revoked")

    asyncio.run(_with_store(work))


@slack_app.command("manifest")
def manifest(
    http: Annotated[
        bool, typer.Option("--http", help="Clicks come by HTTP instead of by Socket Mode.")
    ] = False,
) -> None:
    """Print the manifest of the Slack app, with exactly the scopes that are used.

    Example: soar slack manifest > manifest.json
    """
    from soar.chat.manifest import manifest as made
    from soar.chat.settings import ChatSettings
    from soar.runtime.settings import load_settings

    chat = ChatSettings(public_url=load_settings().public_url)
    try:
        show_json(made(chat, socket_mode=not http))
    except ValueError as error:
        fail(str(error), ExitCode.USAGE)


def settings(
    reference: Annotated[
        bool, typer.Option("--reference", help="Print the reference of all settings.")
    ] = False,
) -> None:
    """Show the settings in force (secrets are masked), or their reference.

    Example: soar settings --reference
    """
    from soar.runtime.settings import load_settings, settings_reference, unknown_variables

    if reference:
        data().print(settings_reference())
        return
    for name, value in load_settings():
        line(name, value if value not in (None, "", (), {}) else "–")
    for name, near in unknown_variables(os.environ):
        say(f"nothing reads the variable {name}" + (f"; did you mean {near}?" if near else ""))
