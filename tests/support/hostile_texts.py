"""Texts that are made to break their reader: files and expressions that cost too much, or lead out of the sandbox.

Run as a program it reads the names of cases, runs each within limits of time and memory that the system keeps, and
writes what became of it, a line of JSON for each: so that no case can harm whoever asks.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from cacao_world import NOW
from hostile_expressions import BLOCKS, BOMBS, ESCAPES
from hostile_json import json_texts, nested
from hostile_yaml import yaml_texts

__all__ = ["CASES", "SPACE", "Case"]

SPACE = 200 * 1024 * 1024
"""Bytes that a case may take."""
_CPU = 8
"""Seconds of computing after which a case is given up. The promise is one; a busy machine may be slow."""

Case = tuple[str, str | bytes]
"""What reads it (`yaml`, `policy`, `cacao`, `template`, `expression`), and the text."""


def _cases() -> Iterator[tuple[str, Case]]:
    for name, text in yaml_texts():
        yield f"yaml: {name}", ("yaml", text)
        yield f"policy: {name}", ("policy", text)
    for name, text in json_texts():
        yield f"cacao: {name}", ("cacao", text)
    for source in (*ESCAPES, *BOMBS):
        yield f"expression: {source[:60]} ({len(source)})", ("expression", source)
        yield f"template: {source[:60]} ({len(source)})", ("template", f"{{{{ {source} }}}}")
        yield (
            f"text: {source[:60]} ({len(source)})",
            ("template", f"x{{{{ {source} }}}}{{% if {source} %}}y{{% endif %}}"),
        )
    for source in BLOCKS:
        yield f"block: {source[:60]} ({len(source)})", ("template", source)
        yield f"no template: {source[:60]} ({len(source)})", ("expression", source)
    yield "expression: a megabyte", ("expression", "alert.title or " * 70_000 + "1")
    yield "template: a megabyte", ("template", "{{ alert.title }}" * 60_000)


CASES: dict[str, Case] = dict(_cases())


def _readers() -> dict[str, Callable[[str | bytes, Path], object]]:
    from soar.playbook.cacao.importer import import_cacao
    from soar.playbook.expressions import (
        ExpressionError,
        check_expression,
        check_template,
        evaluate,
        names_used,
        render,
    )
    from soar.playbook.library import read_text
    from soar.playbook.lint import lint
    from soar.playbook.loader import load_playbook
    from soar.playbook.policy import load_policy

    variables: dict[str, Any] = {
        "alert": {
            "title": "hello", "numbers": [1, 2, 3], "many": list(range(9_000)), "long": "x" * 60_000, "text": "a b",
            "deep": nested(12), "items": "no method",
        },
        "now": "2026-01-01T00:00:00Z", "steps": {}, "vars": {}, "inputs": {}, "alerts": [], "incident": {},
    }  # fmt: skip

    def of_file(text: str | bytes, folder: Path) -> str:
        path = folder / "x"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return read_text(path)

    def yaml(text: str | bytes, folder: Path) -> object:
        if isinstance(text, bytes):
            text = of_file(text, folder)
        loaded = load_playbook(text, file="x.yaml")
        return [str(d) for d in lint(loaded, {})]

    def policy(text: str | bytes, folder: Path) -> object:
        return load_policy(of_file(text, folder) if isinstance(text, bytes) else text, file="x.yaml")

    def cacao(text: str | bytes, folder: Path) -> object:
        text = of_file(text, folder) if isinstance(text, bytes) else text
        return import_cacao(text, file="x.json", catalogue={}, now=NOW)

    def expression(text: str | bytes, folder: Path) -> object:
        del folder
        with suppress(ExpressionError):
            check_expression(str(text))
            names_used(str(text), bare=True)
        return evaluate(str(text), variables)

    def template(text: str | bytes, folder: Path) -> object:
        del folder
        with suppress(ExpressionError):
            check_template(str(text))
            names_used(str(text))
        return render(str(text), variables)

    return {"yaml": yaml, "policy": policy, "cacao": cacao, "expression": expression, "template": template}


class _TooLong(BaseException):
    """A case has computed for too long."""


def _give_up(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _TooLong


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _run(
    name: str, readers: dict[str, Callable[[str | bytes, Path], object]], folder: Path
) -> dict[str, Any]:
    from soar.playbook.diagnostics import PlaybookError
    from soar.playbook.expressions import ExpressionError

    kind, text = CASES[name]
    before, peak = time.process_time(), _peak()
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU)
    told = ""
    try:
        readers[kind](text, folder)
        outcome = "read"
    except PlaybookError as error:
        outcome, told = "refused", str(error)
        if not all(d.line >= 1 and d.column >= 1 and d.message for d in error.diagnostics):
            outcome = "refused without a place"
    except ExpressionError as error:
        outcome, told = "refused", str(error)
    except _TooLong:
        outcome = "too long"
    except BaseException as error:  # any other is what is looked for
        outcome, told = f"escaped: {type(error).__name__}", str(error)[:300]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    seconds = time.process_time() - before
    return {
        "name": name,
        "outcome": outcome,
        "told": told[:500],
        "length": len(told),
        "seconds": seconds,
        "space": _peak() - peak,
    }


def _main() -> None:
    signal.signal(signal.SIGVTALRM, _give_up)
    readers = _readers()
    # What every reader needs once is not what a case takes.
    with tempfile.TemporaryDirectory() as folder:
        for name in (
            "yaml: a key twice",
            "policy: a key twice",
            "cacao: a name twice",
            "expression: alert. (6)",
        ):
            _run(name, readers, Path(folder))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 3 * SPACE, used + 3 * SPACE))
        resource.setrlimit(resource.RLIMIT_CPU, (300, 310))
        for line in sys.stdin:
            print(json.dumps(_run(json.loads(line), readers, Path(folder))), flush=True)


if __name__ == "__main__":
    _main()
