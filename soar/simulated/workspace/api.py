"""The Web API methods of the simulated workspace, with Slack's shapes of requests, answers and errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from soar.simulated.workspace.blockkit import check_message
from soar.simulated.workspace.state import APP_ID, BOT_ID, BOT_USER, TEAM_ID, Channel, Message, WorkspaceState
from soar.simulated.workspace.views import check_view, is_fresh

__all__ = ["METHODS", "Refused", "call"]

Arguments = Mapping[str, Any]
Answer = dict[str, Any]


class Refused(Exception):
    """Slack's `{"ok": false, "error": …}`."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.answer: Answer = {"ok": False, "error": error, **more}


def call(state: WorkspaceState, method: str, arguments: Arguments) -> Answer:
    """Run one method.

    Raises:
        Refused: As Slack would.
    """
    handler = METHODS.get(method)
    if handler is None:
        raise Refused("unknown_method", req_method=method)
    return {"ok": True, **handler(state, arguments)}


def _string(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    return value if isinstance(value, str) else ""


def _flag(arguments: Arguments, name: str) -> bool:
    return arguments.get(name) in (True, "true", "True", "1", 1)


def _json(arguments: Arguments, name: str) -> Any:
    value = arguments.get(name)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise Refused(f"invalid_{name}" if name != "metadata" else "metadata_must_be_valid_json") from None


def _channel(
    state: WorkspaceState, arguments: Arguments, name: str = "channel", *, member: bool = True
) -> Channel:
    wanted = _string(arguments, name)
    channel = state.channels.get(wanted) or state.by_name(wanted.removeprefix("#"))
    if channel is None or (channel.private and BOT_USER not in channel.members):
        raise Refused("channel_not_found")
    if member and BOT_USER not in channel.members:
        raise Refused("not_in_channel")
    if channel.archived:
        raise Refused("is_archived")
    return channel


def _auth_test(state: WorkspaceState, _: Arguments) -> Answer:
    return {
        "url": "http://simulated.invalid/",
        "team": "Simulated workspace",
        "user": state.users[BOT_USER].name,
        "team_id": TEAM_ID,
        "user_id": BOT_USER,
        "bot_id": BOT_ID,
        "app_id": APP_ID,
        "is_enterprise_install": False,
    }


def _create(state: WorkspaceState, arguments: Arguments) -> Answer:
    name = _string(arguments, "name")
    if not name:
        raise Refused("invalid_name_required")
    if len(name) > 80:
        raise Refused("invalid_name_maxlength")
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise Refused("invalid_name_specials")
    if state.by_name(name) is not None:
        raise Refused("name_taken")
    channel = state.add_channel(name, creator=BOT_USER, private=_flag(arguments, "is_private"))
    return {"channel": channel.as_slack()}


def _page(items: list[Any], arguments: Arguments, most: int) -> tuple[list[Any], str]:
    """One page by cursor, as Slack's cursor-based methods give it."""
    try:
        start = int(_string(arguments, "cursor") or 0)
        limit = min(max(int(arguments.get("limit") or 100), 1), most)
    except ValueError:
        raise Refused("invalid_cursor") from None
    end = start + limit
    return items[start:end], str(end) if end < len(items) else ""


def _list(state: WorkspaceState, arguments: Arguments) -> Answer:
    kinds = (_string(arguments, "types") or "public_channel").split(",")
    seen = [
        c
        for c in state.channels.values()
        if ("private_channel" in kinds and BOT_USER in c.members if c.private else "public_channel" in kinds)
        and not (c.archived and _flag(arguments, "exclude_archived"))
    ]
    page, cursor = _page(seen, arguments, 1000)
    return {"channels": [c.as_slack() for c in page], "response_metadata": {"next_cursor": cursor}}


def _join(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel = _channel(state, arguments, member=False)
    if BOT_USER not in channel.members:
        channel.members.append(BOT_USER)
        state.changed()
    return {"channel": channel.as_slack()}


def _set_topic(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel, topic = _channel(state, arguments), _string(arguments, "topic")
    if len(topic) > 250:
        raise Refused("too_long")
    channel.topic = topic
    state.changed()
    return {"channel": channel.as_slack()}


def _invite(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel = _channel(state, arguments)
    users = [u for u in _string(arguments, "users").split(",") if u]
    if not users:
        raise Refused("no_user")
    for user in users:
        known = state.users.get(user)
        if known is None or known.deleted:
            raise Refused("user_not_found")
        if user == BOT_USER:
            raise Refused("cant_invite_self")
        if user in channel.members:
            raise Refused("already_in_channel")
    channel.members.extend(users)
    state.changed()
    return {"channel": channel.as_slack()}


def _history(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel = _channel(state, arguments)
    newest = [m for m in reversed(channel.messages) if not m.thread_ts]
    return _messages(newest, arguments)


def _replies(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel, ts = _channel(state, arguments), _string(arguments, "ts")
    if channel.message(ts) is None:
        raise Refused("thread_not_found")
    return _messages([m for m in channel.messages if ts in (m.ts, m.thread_ts)], arguments)


def _messages(messages: list[Message], arguments: Arguments) -> Answer:
    page, cursor = _page(messages, arguments, 999)
    meta = _flag(arguments, "include_all_metadata")
    return {
        "messages": [m.as_slack(with_metadata=meta) for m in page],
        "has_more": bool(cursor),
        "response_metadata": {"next_cursor": cursor},
    }


def _content(arguments: Arguments) -> tuple[str, list[dict[str, Any]], dict[str, Any] | None]:
    text, blocks, metadata = (
        _string(arguments, "text"),
        _json(arguments, "blocks") or [],
        _json(arguments, "metadata"),
    )
    if not text and not blocks:
        raise Refused("no_text")
    problems = check_message(text, blocks)
    if problems:
        too_long = any("more than 13000" in p for p in problems)
        raise Refused(
            "msg_too_long" if too_long else "invalid_blocks", response_metadata={"messages": problems}
        )
    if metadata is not None and not (
        isinstance(metadata, dict)
        and isinstance(metadata.get("event_type"), str)
        and isinstance(metadata.get("event_payload"), dict)
    ):
        raise Refused("invalid_metadata_format")
    return text, blocks, metadata


def _post(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel = _channel(state, arguments)
    text, blocks, metadata = _content(arguments)
    thread = _string(arguments, "thread_ts")
    if thread and channel.message(thread) is None:
        raise Refused("thread_not_found")
    message = Message(state.new_ts(), BOT_USER, text, _with_ids(blocks), metadata, thread)
    channel.messages.append(message)
    state.changed()
    return {"channel": channel.id, "ts": message.ts, "message": message.as_slack(with_metadata=True)}


def _with_ids(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Slack gives each block an id that has none."""
    return [b if "block_id" in b else {**b, "block_id": f"b{i}"} for i, b in enumerate(blocks)]


def _update(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel = _channel(state, arguments)
    message = channel.message(_string(arguments, "ts"))
    if message is None:
        raise Refused("message_not_found")
    text, blocks, metadata = _content(arguments)
    message.text, message.blocks, message.edited = text, _with_ids(blocks), True
    message.metadata = metadata if metadata is not None else message.metadata
    state.changed()
    return {
        "channel": channel.id,
        "ts": message.ts,
        "text": text,
        "message": message.as_slack(with_metadata=True),
    }


def _ephemeral(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel, user = _channel(state, arguments), _string(arguments, "user")
    if user not in channel.members:
        raise Refused("user_not_in_channel")
    text, blocks, _ = _content(arguments)
    message = Message(state.new_ts(), BOT_USER, text, _with_ids(blocks), visible_to=user)
    channel.ephemerals.append(message)
    state.changed()
    return {"message_ts": message.ts}


def _pin(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel, ts = _channel(state, arguments), _string(arguments, "timestamp")
    if channel.message(ts) is None:
        raise Refused("message_not_found")
    if ts in channel.pins:
        raise Refused("already_pinned")
    channel.pins.append(ts)
    state.changed()
    return {}


def _bookmark_add(state: WorkspaceState, arguments: Arguments) -> Answer:
    channel = _channel(state, arguments, "channel_id")
    title, link = _string(arguments, "title"), _string(arguments, "link")
    if not title or _string(arguments, "type") != "link":
        raise Refused("invalid_arguments")
    if not re.match(r"https?://", link):
        raise Refused("invalid_link")
    if len(channel.bookmarks) >= 100:
        raise Refused("too_many_bookmarks")
    entry = {"id": f"Bk{len(channel.bookmarks):08d}", "channel_id": channel.id, "title": title, "link": link}
    channel.bookmarks.append({**entry, "type": "link"})
    state.changed()
    return {"bookmark": channel.bookmarks[-1]}


def _bookmark_list(state: WorkspaceState, arguments: Arguments) -> Answer:
    return {"bookmarks": _channel(state, arguments, "channel_id").bookmarks}


def _user(state: WorkspaceState, arguments: Arguments) -> Answer:
    user = state.users.get(_string(arguments, "user"))
    if user is None:
        raise Refused("user_not_found")
    return {"user": user.as_slack()}


def _open_view(state: WorkspaceState, arguments: Arguments) -> Answer:
    trigger, view = _string(arguments, "trigger_id"), _json(arguments, "view")
    if trigger in state.exchanged:
        raise Refused("exchanged_trigger_id")
    if trigger not in state.triggers:
        raise Refused("invalid_trigger_id")
    if not is_fresh(state.triggers[trigger][1]):
        raise Refused("expired_trigger_id")
    if len(json.dumps(view)) > 250_000:
        raise Refused("view_too_large")
    if problems := check_view(view):
        raise Refused("invalid_arguments", response_metadata={"messages": problems})
    return {"view": state.open_modal(trigger, view).as_slack()}


METHODS: dict[str, Callable[[WorkspaceState, Arguments], Answer]] = {
    "auth.test": _auth_test,
    "bookmarks.add": _bookmark_add,
    "bookmarks.list": _bookmark_list,
    "chat.postEphemeral": _ephemeral,
    "chat.postMessage": _post,
    "chat.update": _update,
    "conversations.create": _create,
    "conversations.history": _history,
    "conversations.invite": _invite,
    "conversations.join": _join,
    "conversations.list": _list,
    "conversations.replies": _replies,
    "conversations.setTopic": _set_topic,
    "pins.add": _pin,
    "users.info": _user,
    "views.open": _open_view,
}
