"""Templates and bare expressions: Jinja2, natively typed, strictly defined, bounded, rendered once.

Values come from attackers; templates from playbooks. A value is never read as a template, never changes its type
by what it says, and never makes a template cost more than its bounds. To that end the language is a small part of
Jinja2: names, attributes, operators, conditions, loops, and the filters and methods of `soar.playbook.filters`.
There are no calls, no assignments, no macros and no includes, and attributes are keys of mappings, never those of
Python objects. Rendering has no clock and no randomness: equal variables give an equal value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, nodes, pass_context
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue

from soar.playbook.diagnostics import nearest
from soar.playbook.filters import FILTERS, GUARDS, METHOD_PREFIX, METHODS, TESTS
from soar.playbook.syntax import NameUse, NotAllowed, checked, used_names
from soar.playbook.values import BUDGET, BadValue, Budget, kind_of, plain_text

__all__ = [
    "MAX_SOURCE",
    "MAX_TEXT",
    "MAX_VALUE",
    "ExpressionError",
    "NameUse",
    "check_expression",
    "check_template",
    "evaluate",
    "expression_in",
    "is_template",
    "names_used",
    "render",
    "syntax_of",
]

MAX_SOURCE = 16 * 1024
"""Characters of one template."""
MAX_TEXT = 64 * 1024
"""Characters that one text template may give."""
MAX_VALUE = 256 * 1024
"""Size that one call of `render` may give altogether: characters of text, and 8 for everything else."""
_MAX_DEPTH = 60


class ExpressionError(Exception):
    """A template or an expression cannot be read, or has no value here.

    Args:
        expression: It, shortened.
        message: What is wrong.
        hint: What to do about it.
    """

    def __init__(self, expression: str, message: str, hint: str = "") -> None:
        self.expression = expression if len(expression) <= 200 else expression[:199] + "…"
        self.message = message
        self.hint = hint
        super().__init__(f"{self.expression!r}: {message}" + (f" ({hint})" if hint else ""))


class _Missing(StrictUndefined):
    """A name that is not set. It may be tested (`is defined`) and defaulted, and nothing else."""

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name = str(self._undefined_name)
        message = f'"{name[:100]}" is not set'
        if not isinstance(self._undefined_obj, Mapping):
            return message
        # Only now that somebody reads it: looking for the nearest name is slow, and a default needs none.
        known = [key[:100] for key in islice(self._undefined_obj, 200) if isinstance(key, str)]
        hint = nearest(name, known)
        return f"{message} ({hint})" if hint else message


_LOOP_ATTRIBUTES = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with attributes narrowed from what is not dangerous to what is data."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj  # so that `steps.a.result.b | default(…)` holds whichever part is missing
        if isinstance(obj, Mapping):
            if isinstance(argument, str) and argument in obj:
                return obj[argument]
            return _Missing(obj=obj, name=str(argument))
        if isinstance(obj, (list, tuple, str)) and isinstance(argument, (int, slice)):
            try:
                return obj[argument]
            except IndexError:
                return _Missing(hint=f"there is no item {argument}; there are {len(obj)}")
        if isinstance(obj, LoopContext) and argument in _LOOP_ATTRIBUTES:
            return getattr(obj, argument)
        kind = kind_of(obj)
        return _Missing(hint=f'"{str(argument)[:100]}" is not set: what should have it is {kind}')

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for operand in (left, right):
            if isinstance(operand, Undefined):
                str(operand)  # raises, naming what is missing
        numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (left, right))
        if not numbers:
            same = type(left) is type(right) and isinstance(left, (str, list, tuple))
            if operator != "+" or not same:
                raise BadValue(f"{kind_of(left)} {operator} {kind_of(right)} has no meaning here")
            if len(left) + len(right) > MAX_TEXT:
                raise BadValue(f"it is longer than {MAX_TEXT}")
            context[BUDGET].charge(len(left) + len(right))
        value = super().call_binop(context, operator, left, right)
        if numbers and not abs(value) < 2**63:
            raise BadValue("the number is too large")
        return value


@pass_context
def _finalize(context: Context, value: Any) -> str:
    context[BUDGET].charge_value(value)
    return plain_text(value)


def _environment() -> _Environment:
    environment = _Environment(
        undefined=_Missing,
        finalize=_finalize,
        autoescape=False,  # nothing here is HTML; whoever shows a value escapes it
        cache_size=0,
        optimized=False,  # no template code runs while it is compiled
    )
    environment.globals.clear()
    environment.filters.clear()
    methods = {METHOD_PREFIX + name: method for name, method in METHODS.items()}
    environment.filters.update({**FILTERS, **GUARDS, **methods})
    environment.tests = {name: test for name, test in environment.tests.items() if name in TESTS}
    return environment


_ENVIRONMENT = _environment()
_RESULT = "_result"


class _Compiled(NamedTuple):
    template: Template
    native: bool
    uses: tuple[NameUse, ...]


def _parsed(source: str, *, bare: bool) -> nodes.Template:
    if len(source) > MAX_SOURCE:
        raise ExpressionError(source, f"it has {len(source)} characters; at most {MAX_SOURCE} are read")
    if not bare:
        return _ENVIRONMENT.parse(source)
    parser = Parser(_ENVIRONMENT, source, state="variable")
    expression = parser.parse_expression()
    if not parser.stream.eos:
        raise NotAllowed("it goes on after its end", "write one expression, without {{ }}")
    return nodes.Template([nodes.Output([expression], lineno=1)], lineno=1)


def _native(tree: nodes.Template) -> nodes.Expr | None:
    """The expression that is all of a template, or None if the template is text."""
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output) and len(tree.body[0].nodes) == 1:
        only = tree.body[0].nodes[0]
        return None if isinstance(only, nodes.TemplateData) else only
    return None


@lru_cache(maxsize=2048)
def _compile(source: str, bare: bool) -> _Compiled:
    try:
        tree = _parsed(source, bare=bare)
        uses = used_names(tree)
        tree = checked(tree, _MAX_DEPTH)
        expression = _native(tree)
        if expression is not None:
            assign = nodes.Assign(nodes.Name(_RESULT, "store", lineno=1), expression, lineno=1)
            tree = nodes.Template([assign], lineno=1)
        tree.set_environment(_ENVIRONMENT)
        return _Compiled(_ENVIRONMENT.from_string(tree), expression is not None, uses)
    except NotAllowed as error:
        raise ExpressionError(source, error.message, error.hint) from None
    except TemplateError as error:
        hint = "write a bare expression, without {{ }}" if bare and "{{" in source else ""
        raise ExpressionError(source, error.message or "it cannot be read", hint) from None
    except (RecursionError, MemoryError, SyntaxError):
        raise ExpressionError(source, "it is nested too deep") from None
    except (ValueError, TypeError, OverflowError, LookupError, ArithmeticError) as error:
        raise ExpressionError(source, f"it cannot be read: {error}"[:300]) from None


def is_template(text: str) -> bool:
    """Whether a text of a playbook is rendered; anything else is left as it is."""
    return "{{" in text or "{%" in text


def check_template(template: str) -> None:
    """Check that a template can be read.

    Raises:
        ExpressionError: It cannot.
    """
    if is_template(template):
        _compile(template, False)


def check_expression(expression: str) -> None:
    """Check that a bare expression can be read.

    Raises:
        ExpressionError: It cannot.
    """
    _compile(expression, True)


def names_used(source: str, *, bare: bool = False) -> tuple[NameUse, ...]:
    """List what a template reads: `alert.actor.name` is one use of the path alert, actor, name.

    Args:
        source: The template, or with `bare` the expression.

    Returns:
        Each use of a name that the template does not itself set.

    Raises:
        ExpressionError: It cannot be read.
    """
    if not bare and not is_template(source):
        return ()
    return _compile(source, bare).uses


@lru_cache(maxsize=2048)
def expression_in(source: str, *, bare: bool = False) -> nodes.Expr | None:
    """The syntax of a bare expression, or of the one expression that is all of a template. Do not change it.

    Returns:
        None, if the template is text, or cannot be read.
    """
    tree = syntax_of(source, bare=bare)
    return None if tree is None else _native(tree)


@lru_cache(maxsize=2048)
def syntax_of(source: str, *, bare: bool = False) -> nodes.Template | None:
    """The syntax of an expression or of a whole template. Do not change it.

    Returns:
        None, if it cannot be read, or is plain text.
    """
    if not bare and not is_template(source):
        return None
    try:
        return _parsed(source, bare=bare)
    except (ExpressionError, NotAllowed, TemplateError, RecursionError, ValueError):
        return None


def evaluate(expression: str, variables: Mapping[str, Any]) -> JsonValue:
    """Evaluate a bare expression, as in `when`.

    Args:
        expression: Without `{{ }}`.
        variables: What it may read; JSON values.

    Returns:
        Its value.

    Raises:
        ExpressionError: It cannot be read, reads a name that is not set, or exceeds its bounds.
    """
    return _run(expression, True, variables, Budget())


def render(value: JsonValue, variables: Mapping[str, Any]) -> JsonValue:
    """Render every template in a value, once.

    A text that is one `{{ … }}` gives the value of the expression with its type; any other text with templates
    gives text, in which lists and mappings are written as JSON and null is empty. Keys of mappings are no templates.

    Args:
        value: Text, or lists and mappings of it in any depth. What is not text stays as it is.
        variables: What the templates may read; JSON values. They are data: nothing in them is rendered.

    Returns:
        The value rendered.

    Raises:
        ExpressionError: A template cannot be read, reads a name that is not set, or exceeds its bounds.
    """
    return _render(value, variables, Budget(), 0)


def _render(value: JsonValue, variables: Mapping[str, Any], budget: Budget, depth: int) -> JsonValue:
    if depth > _MAX_DEPTH:
        raise ExpressionError("…", f"nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, str):
        return _run(value, False, variables, budget) if is_template(value) else value
    if isinstance(value, list):
        return [_render(item, variables, budget, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _render(item, variables, budget, depth + 1) for key, item in value.items()}
    return value


def _run(source: str, bare: bool, variables: Mapping[str, Any], budget: Budget) -> JsonValue:
    compiled = _compile(source, bare)
    template = compiled.template
    context = template.new_context({**variables, BUDGET: budget})
    try:
        if compiled.native:
            for _ in template.root_render_func(context):
                pass  # it only assigns
            return _plain(context.vars[_RESULT], budget, 0)
        parts: list[str] = []
        length = 0
        for part in template.root_render_func(context):
            length += len(part)
            if length > MAX_TEXT:
                raise BadValue(f"it gives more than {MAX_TEXT} characters")
            parts.append(part)
        budget.keep(length, MAX_VALUE)
        return "".join(parts)
    except BadValue as error:
        raise ExpressionError(source, str(error), error.hint) from None
    except TemplateError as error:
        raise ExpressionError(source, *_missing_name(error, compiled.uses, variables)) from None
    except RecursionError:
        raise ExpressionError(source, "a value is nested too deep") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise ExpressionError(source, f"{type(error).__name__}: {error}"[:300]) from None


def _missing_name(
    error: TemplateError, uses: tuple[NameUse, ...], variables: Mapping[str, Any]
) -> tuple[str, str]:
    message = error.message or "it has no value"
    for name in (use.path[0] for use in uses):
        if name not in variables and message == f'"{name}" is not set':
            return message, nearest(name, [v for v in variables if not v.startswith("_")])
    return message, ""


def _plain(value: Any, budget: Budget, depth: int) -> JsonValue:
    """A result as JSON, copied, so that nothing shares parts with the variables."""
    if isinstance(value, Undefined):
        str(value)  # raises, naming what is missing
    if depth > _MAX_DEPTH:
        raise BadValue(f"the value is nested deeper than {_MAX_DEPTH} levels")
    if value is None or isinstance(value, (bool, int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            raise BadValue("the number is too large")
        budget.keep(8, MAX_VALUE)
        return value
    if isinstance(value, str):
        budget.keep(8 + len(value), MAX_VALUE)
        return str(value)
    if isinstance(value, Mapping):
        budget.keep(8 + sum(len(str(k)) for k in value), MAX_VALUE)
        return {str(key): _plain(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        budget.keep(8, MAX_VALUE)
        return [_plain(item, budget, depth + 1) for item in value]
    raise BadValue(f"the value is no plain value ({type(value).__name__})")
