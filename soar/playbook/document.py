"""YAML text to typed values, with the line and column of everything in it.

The text may come from anybody, so nothing in it costs more than its size: no tags, no duplicate or merge keys,
and what aliases expand to is counted like what is written out. Scalars are read by YAML 1.2's core schema, whatever
version the text claims: `yes` and `on` are text.
"""

from __future__ import annotations

import math
import re
import types
import warnings
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from soar.playbook.diagnostics import Diagnostic, Edit, PlaybookError, near, nearest
from soar.playbook.rules import severity_of
from soar.playbook.steps import MEMBER_TAGS
from soar.playbook.yaml_nodes import ExceededError, compose

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "Document",
    "Path",
    "Position",
    "Span",
    "parse_yaml",
    "validate",
]

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_NODES = 10_000
MAX_ERRORS = 100
"""Errors of one file that are told; whoever made more of them makes the same one many times."""

Path = tuple[str | int, ...]
"""Where in the tree: keys and indexes from the top."""

M = TypeVar("M", bound=BaseModel)


class Position(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


class Span(NamedTuple):
    """From where to where something is written.

    Args:
        end: The place after it.
        quote: What stands around a text: nothing, a quotation mark, or `|` or `>` before a block.
        flow: Whether it is a list or mapping in brackets.
    """

    start: Position
    end: Position
    quote: str = ""
    flow: bool = False


@dataclass(frozen=True)
class Document:
    """A file's content and where everything in it stands.

    Args:
        file: The name for messages.
        data: What the file says.
    """

    file: str
    data: JsonValue
    _keys: dict[Path, Position] = field(default_factory=dict, repr=False)
    _values: dict[Path, Position] = field(default_factory=dict, repr=False)
    _spans: dict[tuple[Path, bool], Span] = field(default_factory=dict, repr=False)

    def span(self, path: Path, *, key: bool = False) -> Span | None:
        """From where to where a value, or its key, is written; None if it is not."""
        return self._spans.get((path, key))

    def spans_below(self, path: Path) -> list[Span]:
        """From where to where a value and everything in it is written."""
        return [s for (at, _), s in self._spans.items() if at[: len(path)] == path]

    def written(self, path: Path, old: str, new: str, *, key: bool = False) -> tuple[Edit, ...]:
        """The edit that writes one plain name for another, in the same quotes.

        Returns:
            Nothing, if the old one is not written just so (it is a block, has an anchor, or is escaped).
        """
        span = self.span(path, key=key)
        if span is None or span.quote in ("|", ">") or span.start.line != span.end.line:
            return ()
        if span.end.column - span.start.column != len(old) + 2 * len(span.quote):
            return ()
        text = f"{span.quote}{new}{span.quote}"
        return (Edit(line=span.start.line, column=span.start.column, **_end(span), text=text),)

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Where a value stands (or its key), or the nearest thing around it that is written in the file."""
        first, second = (self._keys, self._values) if key else (self._values, self._keys)
        for length in range(len(path), -1, -1):
            here = path[:length]
            if here in first or here in second:
                # Around a thing that is missing, the key names the place better than the value's beginning.
                order = (first, second) if length == len(path) else (self._keys, self._values)
                return order[0].get(here) or order[1][here]
        return Position(1, 1)

    def diagnostic(self, path: Path, rule: str, message: str, hint: str = "", **more: Any) -> Diagnostic:
        """A finding at a place of this file.

        Args:
            path: Where.
            rule: The check that found it.
            more: `key=True` points at the key; `fix`; `at`, a `Span` inside the value that it is about.
        """
        key, inside = more.pop("key", False), more.pop("at", None)
        at, span = self.position(path, key=key), inside or self.span(path, key=key)
        if span is not None and (inside is not None or at == span.start):
            at = span.start
            if span.start.line == span.end.line:
                more.update(_end(span))
        more.setdefault("severity", severity_of(rule))
        return Diagnostic(
            file=self.file, line=at.line, column=at.column, rule=rule, message=message, hint=hint, **more
        )


def _end(span: Span) -> dict[str, int]:
    return {"end_line": span.end.line, "end_column": span.end.column}


def parse_yaml(text: str, *, file: str) -> Document:
    """Read YAML text.

    Args:
        file: The name for messages.

    Returns:
        The content, with positions.

    Raises:
        PlaybookError: It is not YAML, or it uses what is refused here (see the module).
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        _refuse(file, Position(1, 1), "too-large", f"the file is {size} bytes; at most {MAX_BYTES} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor that is used twice is bounded below like any other
            root = compose(text, max_depth=MAX_DEPTH, max_nodes=MAX_NODES)
    except ExceededError as error:
        _exceeded(file, Position(error.line, error.column), error.what)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        _refuse(file, at, "yaml", f"not YAML: {error.problem or error.context or 'it cannot be read'}")
    except (
        YAMLError,
        RecursionError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        AssertionError,
        NotImplementedError,
    ):
        # The parser meets text that it was not written for; what it is surprised by is of no use to the author.
        _refuse(file, Position(1, 1), "yaml", "not YAML: it holds something that cannot be read")
    if root is None:
        _refuse(file, Position(1, 1), "empty", "the file is empty")
    reader = _Reader(file)
    return Document(file, reader.read(root, ()), reader.keys, reader.values, reader.spans)


def _refuse(file: str, at: Position, rule: str, message: str, hint: str = "") -> NoReturn:
    raise PlaybookError(
        [Diagnostic(file=file, line=at.line, column=at.column, rule=rule, message=message, hint=hint)]
    )


def _exceeded(file: str, at: Position, what: Literal["deep", "many"]) -> NoReturn:
    if what == "deep":
        _refuse(file, at, "too-deep", f"nested too deep; at most {MAX_DEPTH} levels are read")
    _refuse(file, at, "too-large", f"more than {MAX_NODES} values, with what aliases stand for")


_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = {
    _TAG + kind for kind in ("null", "bool", "int", "float", "str", "timestamp", "merge", "value")
}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Reader:
    """Turns composed nodes into values, and notes where they stand."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Path, Position] = {}
        self.values: dict[Path, Position] = {}
        self.spans: dict[tuple[Path, bool], Span] = {}
        self.count = 0

    def read(self, node: Node, path: Path) -> JsonValue:
        at = _position(node)
        self.values[path] = at
        self.spans[path, False] = _span(node)
        self.count += 1
        if len(path) > MAX_DEPTH:
            _exceeded(self.file, at, "deep")
        if self.count > MAX_NODES:
            _exceeded(self.file, at, "many")
        if isinstance(node, ScalarNode):
            return self.scalar(node, at)
        if isinstance(node, SequenceNode) and str(node.tag) == _TAG + "seq":
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, MappingNode) and str(node.tag) == _TAG + "map":
            return self.mapping(node, path)
        _refuse(self.file, at, "tag", f"the tag {str(node.tag)[:80]} is not known here", "leave the tag out")

    def mapping(self, node: MappingNode, path: Path) -> JsonValue:
        result: dict[str, JsonValue] = {}
        for key_node, value_node in node.value:
            at = _position(key_node)
            key = self.scalar(key_node, at) if isinstance(key_node, ScalarNode) else None
            if key == "<<" or str(key_node.tag) == _TAG + "merge":
                _refuse(self.file, at, "merge-key", "merge keys (<<) are not read", "write the fields out")
            if not isinstance(key, str):
                _refuse(self.file, at, "key", "a key is not text", "put it into quotes")
            if key in result:
                first = self.keys[(*path, key)]
                message = f'"{_short(key)}" stands here a second time; the first is on line {first.line}'
                _refuse(self.file, at, "duplicate-key", message, "keep one of them")
            self.keys[(*path, key)] = at
            self.spans[(*path, key), True] = _span(key_node)
            result[key] = self.read(value_node, (*path, key))
        return result

    def scalar(self, node: ScalarNode, at: Position) -> JsonValue:
        text, tag = str(node.value), str(node.tag)
        if tag not in _SCALAR_TAGS:
            _refuse(self.file, at, "tag", f"the tag {tag[:80]} is not known here", "leave the tag out")
        if _SURROGATE.search(text):
            _refuse(self.file, at, "text", "half a character (a lone surrogate) is not text")
        if node.style is not None or tag == _TAG + "str":
            return text
        if text in ("", "~", "null", "Null", "NULL"):
            return None
        if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
            return text.lower() == "true"
        return self.number(text, at)

    def number(self, text: str, at: Position) -> JsonValue:
        if len(text) > 100:
            return text
        if _INT.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            value = float(text)
            if not math.isfinite(value):
                _refuse(self.file, at, "number", f"{text} is too large a number")
            return value
        return text


def _position(node: Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _span(node: Node) -> Span:
    end = Position(node.end_mark.line + 1, node.end_mark.column + 1)
    if isinstance(node, ScalarNode):
        return Span(_position(node), end, quote=node.style or "")
    return Span(_position(node), end, flow=bool(getattr(node, "flow_style", False)))


def validate(document: Document, model: type[M]) -> M:
    """Read a document into a type.

    Args:
        model: What the file is to be.

    Returns:
        The value.

    Raises:
        PlaybookError: It does not fit; one diagnostic for each error.
    """
    if not isinstance(document.data, dict):
        raise PlaybookError(
            [document.diagnostic((), "shape", "the file is not a mapping of names to values")]
        )
    try:
        return model.model_validate(document.data, context={"written_by_hand": True})
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    # A list whose items are wrong is reported as too short as well, which is not what is wrong with it.
    within = {detail["loc"][:end] for detail in details for end in range(len(detail["loc"]))}
    told = [d for d in details if not (d["type"] == "too_short" and d["loc"] in within)]
    found = [_explain(document, model, detail) for detail in told[:MAX_ERRORS]]
    if len(told) > len(found):
        last = max(found, key=lambda d: (d.line, d.column))
        message, hint = f"{len(told) - len(found)} more errors are not told", "put the first ones right"
        found.append(
            Diagnostic(
                file=last.file,
                line=last.line,
                column=last.column,
                rule="too-large",
                message=message,
                hint=hint,
            )
        )
    raise PlaybookError(found)


def _explain(document: Document, model: type[BaseModel], error: ErrorDetails) -> Diagnostic:
    path = _written_path(document.data, error["loc"])
    kind, message, hint = error["type"], error["msg"], ""
    name = _short(str(path[-1])) if path else ""
    where = _short(_dotted(path))
    if kind == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        message, meant = f'there is no field "{name}"', near(name, known)
        taken = _value_at(document.data, path[:-1])
        free = meant is not None and isinstance(taken, dict) and meant not in taken
        renamed = document.written(path, name, meant, key=True) if meant and free else ()
        return document.diagnostic(
            path, "unknown-field", message, nearest(name, known), key=True, fix=renamed
        )
    if kind == "missing":
        return document.diagnostic(path, "missing-field", f'"{name}" is missing', "add it")
    message = message.removeprefix("Value error, ")
    context = error.get("ctx", {})
    rule = "bad-value"
    fix: tuple[Edit, ...] = ()
    if kind == "literal_error":
        value = _value_at(document.data, path)
        expected = [part.strip("'") for part in re.split(r", | or ", str(context.get("expected", "")))]
        known_here = f'"{_short(value)}" is not known here' if isinstance(value, str) else ""
        message = known_here or f"{_short(repr(value))} is not one of them"
        hint = nearest(str(value), expected)
        rule, meant = "unknown-value", near(str(value), expected) if isinstance(value, str) else None
        fix = document.written(path, str(value), meant) if meant else ()
    elif kind == "string_pattern_mismatch":
        rule = "bad-name"
        message = f"{_short(repr(_value_at(document.data, path)))} is not a name here"
        hint = _pattern_hint(context)
    message = _short(message, 1000)
    return document.diagnostic(path, rule, f"{where}: {message}" if where else message, hint, fix=fix)


def _short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _pattern_hint(context: dict[str, Any]) -> str:
    pattern = str(context.get("pattern", ""))
    if pattern.startswith("^[a-z][a-z0-9_]{"):
        return "begin with a small letter; go on with small letters, digits and _"
    if pattern.startswith(("^[a-z][a-z0-9_-]", "^[a-z][a-z0-9-]")):
        return "begin with a small letter; go on with small letters, digits, - and _"
    return f"it must fit {pattern}"


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _value_at(data: JsonValue, path: Path) -> JsonValue:
    for part in path:
        if _has(data, part):
            data = data[part]  # type: ignore[index]
    return data


def _has(data: JsonValue, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _written_path(data: JsonValue, loc: tuple[int | str, ...]) -> Path:
    """The part of an error's location that exists in the file; the names of union members are left out."""
    path: list[str | int] = []
    for index, part in enumerate(loc):
        missing_field = index == len(loc) - 1 and isinstance(data, dict) and part not in MEMBER_TAGS
        if _has(data, part):
            data = data[part]  # type: ignore[index]
        elif not missing_field:
            continue
        path.append(part)
    return tuple(path)


def _models(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    if get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, dict, list):
        return {found for part in get_args(annotation) for found in _models(part)}
    return set()


def _fields_at(model: type[BaseModel], path: Path) -> set[str]:
    models = {model}
    for part in path:
        inner = {
            found
            for candidate in models
            for name, info in candidate.model_fields.items()
            if part == (info.alias or name)
            for found in _models(info.annotation)
        }
        models = inner or models  # an index, or a key that the author chose
    return {info.alias or name for candidate in models for name, info in candidate.model_fields.items()}
