"""Reads YAML text only as far as its bounds go: what exceeds them is known before it has cost more than they do."""

from __future__ import annotations

from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.nodes import Node

__all__ = ["ExceededError", "compose"]


class ExceededError(Exception):
    """A text is larger than is read.

    Args:
        what: In which way.
        line: Where, from 1.
        column: From 1.
    """

    def __init__(self, what: Literal["deep", "many"], line: int, column: int) -> None:
        super().__init__(what)
        self.what, self.line, self.column = what, line, column


def compose(text: str, *, max_depth: int, max_nodes: int) -> Node | None:
    """The tree of what is written in a text, aliases not followed.

    Args:
        max_depth: Levels.
        max_nodes: Values; keys are not counted.

    Raises:
        ExceededError: It has more.
        YAMLError: It is no YAML. (ruamel.yaml raises other errors as well, for what it was not written for.)
    """
    made = 0

    class Bounded(Composer):
        within = -1

        def compose_node(self, parent: Any, index: Any) -> Any:
            nonlocal made
            key = parent is not None and index is None
            made += not key
            self.within += 1
            if self.within > max_depth or made > max_nodes:
                at = self.parser.peek_event().start_mark
                raise ExceededError("many" if made > max_nodes else "deep", at.line + 1, at.column + 1)
            node = super().compose_node(parent, index)
            self.within -= 1
            return node

    reader = YAML(typ="safe", pure=True)
    reader.Composer = Bounded
    return reader.compose(text)  # type: ignore[no-any-return]
