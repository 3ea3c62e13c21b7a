"""What workflows run reads no clock, no chance and no world but the workflow's: no sandbox looks after it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULES = {
    "os",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "shutil",
    "tempfile",
    "urllib.request",
    "httpx",
}
NAMES = {
    "asyncio.as_completed",
    "asyncio.to_thread",
    "asyncio.wait",
    "datetime.date.today",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid1",
    "uuid4",
}
BUILTINS = {"open", "input", "hash", "id", "exec", "eval"}
"""`hash` of text and `id` differ from process to process."""


def used_by_workflows() -> list[Path]:
    """Our modules that are loaded with the one that defines the workflow."""
    loaded = "(m.__file__ for name, m in sys.modules.items() if name.startswith('soar.'))"
    code = f"import sys, soar.engine.workflow; print(*{loaded})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return sorted(Path(name) for name in done.stdout.split())


def dotted(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return f"{dotted(node.value)}.{node.attr}"
    return ""


def faults(source: str) -> list[str]:
    """What a workflow could not do twice in the same way."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        match node:
            case ast.Import():
                names = [a.name for a in node.names if {a.name, a.name.partition(".")[0]} & MODULES]
            case ast.ImportFrom(module=str(module)) if {module, module.partition(".")[0]} & MODULES:
                names = [module]
            case ast.Attribute() if dotted(node) in NAMES:
                names = [dotted(node)]
            case ast.Call(func=ast.Name(id=name)) if name in BUILTINS | NAMES:
                names = [name]
            case ast.For(iter=ast.Set() | ast.SetComp()):
                names = ["the order of a set"]
        found += [f"{getattr(node, 'lineno', 0)}: {name}" for name in names]
    return found


def test_the_workflow_is_among_what_is_read() -> None:
    names = {str(path.relative_to(ROOT)) for path in used_by_workflows()}
    assert {"soar/engine/workflow.py", "soar/engine/interpreter.py", "soar/playbook/expressions.py"} <= names


@pytest.mark.parametrize(
    "path", used_by_workflows(), ids=lambda p: ".".join(p.relative_to(ROOT).with_suffix("").parts)
)
def test_a_module_of_workflows_does_nothing_that_a_replay_could_not_repeat(path: Path) -> None:
    assert faults(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from random import choice",
        "x = datetime.now(UTC)",
        "x = uuid.uuid4()",
        "open('x')",
        "for x in {1, 2}: pass",
        "await asyncio.wait([])",
        "key = hash('a')",
    ],
)
def test_what_it_looks_for_is_found(source: str) -> None:
    wrapped = f"async def f():\n    {source}\n"
    assert faults(wrapped)
