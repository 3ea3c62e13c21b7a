"""A notice in the channel: what a playbook wants people with a role to know."""

from __future__ import annotations

import re
from collections.abc import Sequence

from soar.chat.message import Message, context, prose, section
from soar.chat.text import clean, code, escaped
from soar.model.course import Notified
from soar.model.people import Responder

__all__ = ["notice"]

MAX_MENTIONS = 30
_SLACK_ID = re.compile(r"[UW][A-Z0-9]{2,30}")


def notice(event: Notified, roster: Sequence[Responder]) -> Message:
    """Mention the people who have one of the roles, and say it.

    Args:
        roster: The responders. Those without a Slack identity are not mentioned.
    """
    wanted = set(event.roles)
    people = [
        f"<@{person.slack}>"
        for person in roster
        if wanted & set(person.roles) and _SLACK_ID.fullmatch(person.slack)
    ]
    people = list(dict.fromkeys(people))
    roles = ", ".join(code(role, 60) for role in event.roles[:10]) or code("nobody")
    who = " ".join(people[:MAX_MENTIONS])
    if len(people) > MAX_MENTIONS:
        who += f" and {len(people) - MAX_MENTIONS} more"
    small = (
        f"for {roles}" if people else f"for {roles}: nobody with this role has a Slack identity in the policy"
    )
    text = f"{who} " if people else ""
    text += escaped(clean(f"For {', '.join(event.roles)}: {event.text}"), 500)
    blocks = [section(f"🔔 {who}")] if people else []
    return Message(text=text, blocks=(*blocks, prose(event.text, 2_000), context(small)))
