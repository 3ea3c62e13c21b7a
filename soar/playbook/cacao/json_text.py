"""JSON text to values, with the line and column of everything in it.

The text may come from anybody: its size, depth and number of values are bounded, a key stands once in an object, and
what RFC 8259 does not allow is refused. Python's own reader tells no places, and takes the last of two equal keys.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from typing import NoReturn

from pydantic import JsonValue

from soar.playbook.diagnostics import Diagnostic, PlaybookError
from soar.playbook.document import Document, Path, Position

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "parse_json"]

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 50_000

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS: dict[str, JsonValue] = {"true": True, "false": False, "null": None}
_UNWANTED = re.compile("[\x00\ud800-\udfff]")
_MAX_DIGITS = 100


def parse_json(text: str, *, file: str) -> Document:
    """Read JSON text.

    Args:
        file: The name for messages.

    Returns:
        The content, with positions.

    Raises:
        PlaybookError: It is not JSON, or exceeds the bounds.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        message = f"the file is {size} bytes; at most {MAX_BYTES} are read"
        raise PlaybookError([Diagnostic(file=file, line=1, column=1, rule="too-large", message=message)])
    reader = _Reader(text, file)
    return Document(file, reader.document(), reader.keys, reader.values)


class _Reader:
    """Recursive descent over the text; `at` is the place of the next character."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.at = 1 if text.startswith("\ufeff") else 0
        self.count = 0
        self.keys: dict[Path, Position] = {}
        self.values: dict[Path, Position] = {}
        self.lines = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]

    def position(self, at: int) -> Position:
        line = bisect_right(self.lines, at)
        return Position(line, at - self.lines[line - 1] + 1)

    def refuse(self, at: int, rule: str, message: str, hint: str = "") -> NoReturn:
        place = self.position(at)
        raise PlaybookError(
            [
                Diagnostic(
                    file=self.file,
                    line=place.line,
                    column=place.column,
                    rule=rule,
                    message=message,
                    hint=hint,
                )
            ]
        )

    def skip(self) -> str:
        """Go to the next character that says something; empty at the end."""
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def document(self) -> JsonValue:
        if not self.skip():
            self.refuse(0, "empty", "the file is empty")
        value = self.value(())
        if self.skip():
            self.refuse(self.at, "json", "not JSON: something follows the end", "remove it")
        return value

    def value(self, path: Path) -> JsonValue:
        first = self.skip()
        at = self.at
        self.values[path] = self.position(at)
        self.count += 1
        if self.count > MAX_NODES:
            self.refuse(at, "too-large", f"more than {MAX_NODES} values")
        if len(path) > MAX_DEPTH:
            self.refuse(at, "too-deep", f"nested too deep; at most {MAX_DEPTH} levels are read")
        if first == "{":
            return self.mapping(path)
        if first == "[":
            return self.sequence(path)
        if first == '"':
            return self.string()
        if first == "-" or first.isdecimal():
            return self.number()
        match = _WORD.match(self.text, at)
        if match is None or match[0] not in _WORDS:
            shown = repr(match[0][:20]) if match else repr(first) if first else "the end"
            self.refuse(
                at, "json", f"not JSON: a value is needed here, not {shown}", "texts stand in double quotes"
            )
        self.at = match.end()
        return _WORDS[match[0]]

    def mapping(self, path: Path) -> JsonValue:
        result: dict[str, JsonValue] = {}
        self.at += 1
        if self.skip() == "}":
            self.at += 1
            return result
        while True:
            if self.skip() != '"':
                self.refuse(self.at, "json", "not JSON: a name in double quotes is needed here")
            at = self.at
            key = self.string()
            if key in result:
                first = self.keys[(*path, key)]
                message = f'"{key[:100]}" stands here a second time; the first is on line {first.line}'
                self.refuse(at, "duplicate-key", message, "keep one of them")
            self.keys[(*path, key)] = self.position(at)
            if self.skip() != ":":
                self.refuse(self.at, "json", "not JSON: : is needed after a name")
            self.at += 1
            result[key] = self.value((*path, key))
            if self.goes_on("}"):
                return result

    def sequence(self, path: Path) -> JsonValue:
        result: list[JsonValue] = []
        self.at += 1
        if self.skip() == "]":
            self.at += 1
            return result
        while True:
            result.append(self.value((*path, len(result))))
            if self.goes_on("]"):
                return result

    def goes_on(self, closing: str) -> bool:
        """Whether an object or a list ends here; else another item follows."""
        found = self.skip()
        if found not in (",", closing) or not found:
            self.refuse(self.at, "json", f"not JSON: , or {closing} is needed here")
        self.at += 1
        return found == closing

    def string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            hint = "close it with a double quote; write a line's end as \\n and a backslash as \\\\"
            self.refuse(self.at, "json", "not JSON: this text cannot be read", hint)
        text = str(json.loads(match[0]))
        if _UNWANTED.search(text):
            self.refuse(
                self.at, "text", "half a character (a lone surrogate) or a null character is not text"
            )
        self.at = match.end()
        return text

    def number(self) -> JsonValue:
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            self.refuse(self.at, "json", "not JSON: this number cannot be read", "write 5, -5, 0.5 or 5e3")
        if len(match[0]) > _MAX_DIGITS:
            self.refuse(self.at, "number", "the number is too long")
        number = int(match[0]) if match[1] is None and match[2] is None else float(match[0])
        if not math.isfinite(number) or abs(number) >= 2**63:
            self.refuse(self.at, "number", f"{match[0]} is too large a number")
        self.at = match.end()
        return number
