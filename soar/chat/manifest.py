"""The Slack app's manifest, with exactly the scopes that the client's methods need."""

from __future__ import annotations

from typing import Any

from soar.chat.settings import ChatSettings

__all__ = ["manifest", "scopes"]


def scopes(*, private_channels: bool) -> list[str]:
    """The bot scopes, sorted; each method's needs are on its page under https://docs.slack.dev/reference/methods/."""
    wanted = {
        "bookmarks:read",  # bookmarks.list
        "bookmarks:write",  # bookmarks.add
        "channels:history",  # conversations.history, conversations.replies
        "channels:join",  # conversations.join: the main channel
        "channels:manage",  # conversations.create, setTopic, invite
        "channels:read",  # conversations.list
        "chat:write",  # chat.postMessage, chat.update, chat.postEphemeral
        "groups:read",  # conversations.list: the main channel may be private
        "pins:write",  # pins.add
        "users:read",  # users.info
    }
    if private_channels:
        wanted |= {"groups:history", "groups:write"}
    return sorted(wanted)


def manifest(settings: ChatSettings, *, socket_mode: bool = True) -> dict[str, Any]:
    """The manifest to paste at https://api.slack.com/apps (“From a manifest”).

    Args:
        socket_mode: Clicks come by Socket Mode; otherwise by HTTP to `<public_url>/slack/interactions`.

    Raises:
        ValueError: HTTP is asked for and no public URL is set.
    """
    interactivity: dict[str, Any] = {"is_enabled": True}
    if not socket_mode:
        if not settings.public_url:
            raise ValueError("clicks by HTTP need a public address: set SOAR_PUBLIC_URL")
        interactivity["request_url"] = f"{settings.public_url.rstrip('/')}/slack/interactions"
    return {
        "display_information": {
            "name": settings.name,
            "description": "Incidents, approvals and reports, decided where people meet.",
        },
        "features": {"bot_user": {"display_name": settings.name, "always_online": True}},
        "oauth_config": {"scopes": {"bot": scopes(private_channels=settings.private_channels)}},
        "settings": {
            "interactivity": interactivity,
            "org_deploy_enabled": False,
            "socket_mode_enabled": socket_mode,
            "token_rotation_enabled": False,
        },
    }
