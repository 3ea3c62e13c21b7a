"""The playbooks that `soar playbook new` begins with, each with its tests: data, and what there is to say of each.

Each file is a playbook, or a test of one, by itself; its name and title are put in when it is written.
"""

from __future__ import annotations

__all__ = ["NAME", "TEMPLATES", "TITLE"]

NAME, TITLE = "new-playbook", "New playbook"
"""What stands in the files in place of the new playbook's own name and title."""

TEMPLATES = {
    "minimal": "looks at who did it, and writes the report; nothing is changed",
    "containment": "denies everything to a user once a responder agrees, verifies it, and puts it back",
    "approval": "asks people first: a form for whoever knows, and a question that decides",
    "loop": "reads in parallel, takes away each key that was made, one by one, and says what if that fails",
}
"""What each is for."""
