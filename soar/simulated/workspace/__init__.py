"""A small, SIMULATED Slack: Web API, signed clicks, and a page that draws the channels.

It is what `soar demo` talks to where no workspace is configured, and what the tests talk to. It is not Slack: it has
the methods that we use and no others, and it does not throttle unless told to.
"""

from soar.simulated.workspace.blockkit import check_blocks, check_message
from soar.simulated.workspace.clicks import ClickRefused
from soar.simulated.workspace.server import Fault, SimulatedWorkspace, running_workspace
from soar.simulated.workspace.state import APP_ID, DEFAULT_USERS, TEAM_ID, User

__all__ = [
    "APP_ID",
    "DEFAULT_USERS",
    "TEAM_ID",
    "ClickRefused",
    "Fault",
    "SimulatedWorkspace",
    "User",
    "check_blocks",
    "check_message",
    "running_workspace",
]
