"""What the chat part needs to know of the installation."""

from __future__ import annotations

from pydantic import Field

from soar.chat.cards import Links
from soar.model.base import Fact

__all__ = ["ChatSettings"]


class ChatSettings(Fact):
    """How the workspace is used.

    Args:
        main_channel: The id or name of the channel that gets one line per incident; empty: none does.
        private_channels: Incident channels can be seen only by those who are invited.
        public_url: The base of links to the console, `https://soar.example.com`; empty: no links.
        team_id: The workspace that clicks are taken from; empty: the one that the token belongs to.
        app_id: The app that clicks must come from; empty: not checked beyond the signature.
    """

    main_channel: str = ""
    private_channels: bool = False
    public_url: str = ""
    team_id: str = ""
    app_id: str = ""
    name: str = Field(default="Incident response", max_length=35)

    def links(self, incident_id: str) -> Links:
        """The addresses of one incident's pages."""
        base = self.public_url.rstrip("/")
        if not base:
            return Links()
        return Links(
            console=f"{base}/incidents/{incident_id}", report=f"{base}/incidents/{incident_id}/report"
        )
