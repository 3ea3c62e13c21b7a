"""Write docs/reference from the declarations: `python scripts/reference.py`. A test sees that it was done."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer
import typer.main

from soar.actions.registry import catalogue
from soar.cli.exit_codes import EXIT_CODES_HELP
from soar.cli.main import app
from soar.model.spec import ActionSpec
from soar.playbook.builtins import BUILTIN_SPECS
from soar.playbook.jsonschema import playbook_schema
from soar.playbook.policy import policy_schema
from soar.playbook.reference import expressions_page
from soar.playbook.rules import rules_page
from soar.reports.render import report_schema
from soar.runtime.settings import settings_reference
from soar.sources.registry import sources

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
GENERATED = "<!-- Generated from the code by scripts/reference.py: do not edit. -->\n\n"


def _action(spec: ActionSpec) -> str:
    lines = [f"## `{spec.name}`\n", f"{spec.title}\n"]
    if spec.doc:
        lines.append(f"{spec.doc}\n")
    facts = {
        "risk": spec.risk.value,
        "usual phase": spec.phase.label,
        "can be undone": "yes" if spec.undoable else "no",
        "queue": f"`{spec.queue}`",
        "permissions": ", ".join(f"`{p}`" for p in spec.permissions) or "none",
        "D3FEND": spec.d3fend,
        "RE&CT": spec.react,
        "OpenC2": spec.openc2,
    }
    lines += [f"- {name}: {value}" for name, value in facts.items() if value]
    properties = spec.params.get("properties")
    if isinstance(properties, dict) and properties:
        needed = spec.params.get("required")
        lines += ["", "| parameter | needed | default | what it is |", "| --- | --- | --- | --- |"]
        for name, value in properties.items():
            about = value if isinstance(value, dict) else {}
            is_needed = "yes" if isinstance(needed, list) and name in needed else ""
            default = f"`{json.dumps(about['default'])}`" if "default" in about else ""
            what = str(about.get("description", "")).replace("|", "\\|").replace("\n", " ")
            lines.append(f"| `{name}` | {is_needed} | {default} | {what} |")
    lines += ["", "```yaml", spec.example.strip(), "```", ""]
    return "\n".join(lines)


def _commands(command: Any, path: str) -> list[str]:
    inner = getattr(command, "commands", None)
    if inner:
        return [line for name in sorted(inner) for line in _commands(inner[name], f"{path} {name}")]
    usage = " ".join(command.collect_usage_pieces(typer.Context(command, info_name=path)))
    lines = [f"## `{path} {usage}`\n", f"{(command.help or '').strip()}\n"]
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            names = ", ".join(f"`{o}`" for o in parameter.opts)
            lines.append(f"- {names}: {parameter.help or ''}")
    return [*lines, ""]


def pages() -> dict[str, str]:
    """Every page of the reference, by file name."""
    actions = {**catalogue(), **BUILTIN_SPECS}
    source_rows = [
        f"## {s.title}\n\n- address: `/hooks/{s.name}`\n- secrets: `SOAR_SOURCE_{s.name.upper()}_SECRETS`\n"
        f"- format: {s.docs}\n\n{(sys.modules[type(s).__module__].__doc__ or '').strip()}\n"
        for s in sources().values()
    ]
    return {
        "settings.md": f"{GENERATED}# Settings\n\n{settings_reference()}",
        "actions.md": f"{GENERATED}# Actions\n\n" + "\n".join(_action(a) for a in actions.values()),
        "expressions.md": f"{GENERATED}# Expressions\n\n{expressions_page()}",
        "lint.md": f"{GENERATED}# Lint rules\n\n{rules_page()}",
        "sources.md": f"{GENERATED}# Sources\n\n" + "\n".join(source_rows),
        "commands.md": f"{GENERATED}# Commands\n\n{EXIT_CODES_HELP}\n\n"
        + "\n".join(_commands(typer.main.get_command(app), "soar")),
        "playbook.schema.json": json.dumps(playbook_schema(catalogue()), indent=1, sort_keys=True) + "\n",
        "policy.schema.json": json.dumps(policy_schema(), indent=1, sort_keys=True) + "\n",
        "report.schema.json": json.dumps(report_schema(), indent=1, sort_keys=True) + "\n",
    }


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
