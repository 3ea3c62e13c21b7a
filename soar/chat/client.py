"""The Web API methods that we use, typed, with errors that say what to fix.

The SDK's own retries are off: they post twice after a connection reset. Temporal retries instead, and `post` first
looks whether an earlier try got through, by the key that every message carries in its metadata.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from soar.chat.message import Message
from soar.model.base import Fact

__all__ = [
    "ChatClient",
    "ChatError",
    "Identity",
    "Person",
    "SlackRefused",
    "SlackThrottled",
    "SlackUnavailable",
]

EVENT_TYPE = "soar_message"
_HISTORY_PAGES = 5
_TRANSIENT = {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
_HINTS = {
    "invalid_auth": "SLACK_BOT_TOKEN is wrong: copy the bot token from the app's page “OAuth & Permissions”",
    "not_authed": "SLACK_BOT_TOKEN is empty",
    "token_revoked": "the token was revoked: install the app again and set SLACK_BOT_TOKEN",
    "token_expired": "the token has expired: install the app again and set SLACK_BOT_TOKEN",
    "account_inactive": "the app was removed or its workspace closed: install it again",
    "channel_not_found": "SOAR_SLACK_CHANNEL names no channel that the app can see",
    "not_in_channel": "invite the app to the channel",
    "is_archived": "the channel was archived: unarchive it in Slack",
    "restricted_action": "the workspace lets only some members do this: allow the app in its settings",
    "invalid_blocks": "Slack refused a card's form; this is a defect of ours, please report it",
    "msg_too_long": "Slack refused a card's length; this is a defect of ours, please report it",
}


class ChatError(Exception):
    """Slack did not do what was asked."""


class SlackThrottled(ChatError):
    """Too many calls. `retry_after` is what Slack asks to wait, in seconds."""

    def __init__(self, method: str, retry_after: float) -> None:
        super().__init__(f"Slack throttles {method}; again in {retry_after:g} s")
        self.retry_after = retry_after


class SlackRefused(ChatError):
    """Slack answered no. `error` is its word for it, `hint` what to do."""

    def __init__(self, method: str, error: str, hint: str) -> None:
        super().__init__(f"Slack refused {method}: {error}" + (f" ({hint})" if hint else ""))
        self.method, self.error, self.hint = method, error, hint


class SlackUnavailable(ChatError):
    """No answer, or a failure on Slack's side: the call may have taken effect or not."""


class Identity(Fact):
    """Who the token is."""

    team_id: str
    user_id: str
    bot_id: str = ""


class Person(Fact):
    """What Slack says of a user.

    Args:
        problem: Why this is not an ordinary, active member of the workspace; empty if it is one.
    """

    id: str
    team_id: str
    name: str
    problem: str = ""


class ChatClient:
    """One workspace. Use as an async context manager, or call `close`."""

    def __init__(self, token: str, *, base_url: str = "https://slack.com/api/", timeout: float = 10) -> None:
        """Args: timeout: Seconds for one call."""
        self._token, self._base_url, self._timeout = token, base_url, timeout
        self._session: aiohttp.ClientSession | None = None
        self._web: AsyncWebClient | None = None
        self._identity: Identity | None = None

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
        self._session = self._web = None

    def _client(self) -> AsyncWebClient:
        # Made on first use: aiohttp binds a session to the running loop.
        if self._web is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout))
            self._web = AsyncWebClient(
                token=self._token,
                base_url=self._base_url,
                timeout=int(self._timeout),
                session=self._session,
                retry_handlers=[],
            )
        return self._web

    async def _call(self, method: str, call: Callable[[AsyncWebClient], Awaitable[Any]]) -> Any:
        try:
            return await call(self._client())
        except SlackApiError as error:
            raise _typed(method, error) from None
        except (aiohttp.ClientError, TimeoutError, SlackClientError, OSError) as error:
            raise SlackUnavailable(
                f"{method}: no answer from Slack ({type(error).__name__}: {error})"
            ) from error

    async def identity(self) -> Identity:
        """Who the token is (`auth.test`, asked once)."""
        if self._identity is None:
            found = await self._call("auth.test", lambda web: web.auth_test())
            self._identity = Identity(
                team_id=str(found["team_id"]),
                user_id=str(found["user_id"]),
                bot_id=str(found.get("bot_id") or ""),
            )
        return self._identity

    async def create_channel(self, name: str, *, private: bool = False) -> str:
        """Make a channel, or find the one of this name that we made before.

        Returns:
            Its id.

        Raises:
            SlackRefused: The name is taken by a channel that somebody else made (`name_taken`), or is archived.
        """
        try:
            made = await self._call(
                "conversations.create", lambda web: web.conversations_create(name=name, is_private=private)
            )
            return str(made["channel"]["id"])
        except SlackRefused as error:
            if error.error != "name_taken":
                raise
            found = await self.find_channel(name, private=private)
            me = await self.identity()
            if found is None or found.get("creator") != me.user_id:
                # Never talk about an incident in a channel that somebody else prepared.
                hint = f"a channel #{name} exists that the app did not make: rename it in Slack"
                raise SlackRefused("conversations.create", "name_taken", hint) from None
            if found.get("is_archived"):
                raise SlackRefused("conversations.create", "is_archived", _HINTS["is_archived"]) from None
            return str(found["id"])

    async def find_channel(self, name: str, *, private: bool = False) -> dict[str, Any] | None:
        """Look a channel up by name, archived ones too."""
        cursor = ""
        kinds = "public_channel,private_channel" if private else "public_channel"
        while True:
            page = await self._call(
                "conversations.list",
                partial(_list, cursor=cursor, types=kinds),
            )
            for channel in page["channels"]:
                if channel.get("name") == name:
                    return dict(channel)
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return None

    async def join(self, channel: str) -> None:
        """Join a public channel; harmless when in it already."""
        await self._call("conversations.join", lambda web: web.conversations_join(channel=channel))

    async def set_topic(self, channel: str, topic: str) -> None:
        """Set a channel's topic, at most 250 characters."""
        await self._call(
            "conversations.setTopic", lambda web: web.conversations_setTopic(channel=channel, topic=topic)
        )

    async def invite(self, channel: str, user: str) -> None:
        """Bring one person in; harmless when in already."""
        await self._quietly(
            "conversations.invite",
            lambda web: web.conversations_invite(channel=channel, users=user),
            ("already_in_channel", "cant_invite_self"),
        )

    async def pin(self, channel: str, ts: str) -> None:
        """Pin a message; harmless when pinned already."""
        await self._quietly(
            "pins.add", lambda web: web.pins_add(channel=channel, timestamp=ts), ("already_pinned",)
        )

    async def bookmark(self, channel: str, title: str, url: str) -> None:
        """Put a link at the channel's top, once."""
        known = await self._call("bookmarks.list", lambda web: web.bookmarks_list(channel_id=channel))
        if not any(b.get("title") == title for b in known["bookmarks"]):
            await self._call(
                "bookmarks.add",
                lambda web: web.bookmarks_add(channel_id=channel, title=title, type="link", link=url),
            )

    async def _quietly(
        self, method: str, call: Callable[[AsyncWebClient], Awaitable[Any]], harmless: tuple[str, ...]
    ) -> None:
        try:
            await self._call(method, call)
        except SlackRefused as error:
            if error.error not in harmless:
                raise

    async def post(
        self, channel: str, message: Message, *, key: str, thread: str = "", again: bool = False
    ) -> str:
        """Post a message once.

        Args:
            key: What the message is; travels in its metadata.
            thread: The `ts` of the message to answer in a thread.
            again: An earlier try may have got through: look before posting.

        Returns:
            The message's `ts`.
        """
        if again and (found := await self.find(channel, key, thread=thread)):
            return found
        try:
            sent = await self._call(
                "chat.postMessage",
                lambda web: web.chat_postMessage(
                    channel=channel,
                    text=message.text,
                    blocks=list(message.blocks) or None,
                    thread_ts=thread or None,
                    metadata={"event_type": EVENT_TYPE, "event_payload": {"key": key}},
                    unfurl_links=False,
                    unfurl_media=False,
                ),
            )
            return str(sent["ts"])
        except SlackUnavailable:
            found = await self.find(channel, key, thread=thread)
            if found is None:
                raise
            return found

    async def find(self, channel: str, key: str, *, thread: str = "") -> str | None:
        """Look for our message with this key among the newest of a channel or thread; its `ts`, or None."""
        cursor, me = "", await self.identity()
        for _ in range(_HISTORY_PAGES):
            common: dict[str, Any] = {
                "channel": channel,
                "limit": 200,
                "include_all_metadata": True,
                "cursor": cursor,
            }
            if thread:
                page = await self._call("conversations.replies", partial(_replies, ts=thread, **common))
            else:
                page = await self._call("conversations.history", partial(_history, **common))
            for message in page["messages"]:
                payload = (message.get("metadata") or {}).get("event_payload") or {}
                # Anybody's app can write metadata: only a message of our own counts.
                ours = me.user_id == message.get("user") or (me.bot_id and me.bot_id == message.get("bot_id"))
                if ours and payload.get("key") == key:
                    return str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                break
        return None

    async def update(self, channel: str, ts: str, message: Message, *, key: str) -> None:
        """Replace a message. Doing it again changes nothing."""
        await self._call(
            "chat.update",
            lambda web: web.chat_update(
                channel=channel,
                ts=ts,
                text=message.text,
                blocks=list(message.blocks),
                metadata={"event_type": EVENT_TYPE, "event_payload": {"key": key}},
            ),
        )

    async def tell(self, channel: str, user: str, text: str) -> None:
        """Tell one person something in a channel that nobody else sees. `text` is escaped already."""
        await self._call(
            "chat.postEphemeral", lambda web: web.chat_postEphemeral(channel=channel, user=user, text=text)
        )

    async def open_view(self, trigger_id: str, view: Mapping[str, Any]) -> None:
        """Show a modal to whoever clicked.

        Raises:
            SlackRefused: The click is more than three seconds old (`expired_trigger_id`), or has opened one already
                (`exchanged_trigger_id`).
        """
        await self._call("views.open", lambda web: web.views_open(trigger_id=trigger_id, view=dict(view)))

    async def person(self, user: str) -> Person:
        """What Slack says of a user now.

        Raises:
            SlackRefused: There is no such user (`user_not_found`).
        """
        found = await self._call("users.info", lambda web: web.users_info(user=user))
        data = found["user"]
        profile = data.get("profile") or {}
        return Person(
            id=str(data.get("id", "")),
            team_id=str(data.get("team_id", "")),
            name=str(profile.get("real_name") or data.get("real_name") or data.get("name") or user),
            problem=_problem(data),
        )


def _list(web: AsyncWebClient, **arguments: Any) -> Awaitable[Any]:
    return web.conversations_list(limit=1000, **arguments)


def _history(web: AsyncWebClient, **arguments: Any) -> Awaitable[Any]:
    return web.conversations_history(**arguments)


def _replies(web: AsyncWebClient, **arguments: Any) -> Awaitable[Any]:
    return web.conversations_replies(**arguments)


def _problem(user: Mapping[str, Any]) -> str:
    """Why a Slack user is not an ordinary, active member (https://docs.slack.dev/reference/objects/user-object/)."""
    for flag, words in (
        ("deleted", "the account is deactivated"),
        ("is_bot", "this is a bot, not a person"),
        ("is_workflow_bot", "this is a workflow, not a person"),
        ("is_stranger", "the person belongs to another workspace"),
        ("is_ultra_restricted", "the person is a guest"),
        ("is_restricted", "the person is a guest"),
        ("is_invited_user", "the invitation is not accepted yet"),
    ):
        if user.get(flag):
            return words
    return "this is a bot, not a person" if user.get("id") == "USLACKBOT" else ""


def _typed(method: str, error: SlackApiError) -> ChatError:
    response = error.response
    status = getattr(response, "status_code", 200)
    headers = getattr(response, "headers", {}) or {}
    try:
        word = str(response.get("error") or "")
    except (AttributeError, TypeError, ValueError):
        word = ""
    if status == 429 or word in ("ratelimited", "rate_limited"):
        waits = {k.lower(): v for k, v in headers.items()}.get("retry-after", "1")
        try:
            seconds = max(float(waits), 1.0)
        except ValueError:
            seconds = 1.0
        return SlackThrottled(method, min(seconds, 3600.0))
    if status >= 500 or word in _TRANSIENT or not word:
        return SlackUnavailable(f"{method}: Slack failed with status {status} {word}".rstrip())
    hint = _HINTS.get(word, "")
    if word == "missing_scope":
        hint = f"give the app the scope {response.get('needed')} and install it again"
    return SlackRefused(method, word, hint)
