"""`soar playbook new`."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from soar.cli.exit_codes import ExitCode
from soar.cli.output import fail, say
from soar.cli.playbook_files import write_new

__all__ = ["from_template", "new_playbook"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SUFFIXES = (".yaml", ".yml")
_DEFAULT = "minimal"


def new_playbook(
    name: Annotated[str, typer.Argument(help="What it is called: small letters, digits, - and _.")] = "",
    template: Annotated[
        str,
        typer.Option("--template", "-t", help="minimal, containment, approval or loop; see --list."),
    ] = _DEFAULT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where it is written. Default: NAME.yaml in this folder."),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Say what each template is, and write nothing.")
    ] = False,
) -> None:
    """Write a new playbook that runs as it is, with tests beside it that pass.

    Nothing is overwritten.

    Example: soar playbook new stolen-key --template containment
    """
    from soar.cli.output import table
    from soar.playbook.templates import TEMPLATES

    if listed:
        return table(["template", "what it does"], [[one, about] for one, about in TEMPLATES.items()])
    _check_name(name)
    _check_template(template)
    target = _target(name, output)
    tests = target.with_name(f"{target.stem}.test{target.suffix}")
    for path in (target, tests):
        if path.exists():
            fail(
                f"{path} is there already, and was left as it is; choose another name, or another place with -o"
            )
    playbook, tested = from_template(template, name)
    write_new(target, playbook)
    write_new(tests, tested)
    say(f"{target} is written, with its tests in {tests.name}. What comes next:")
    schema = target.with_name("playbook.schema.json")
    steps = [
        (f"soar playbook lint {target}", "check it, after each change"),
        (f"soar playbook test {target}", "run its tests on a simulated account"),
        (f"soar playbook graph {target} -o {target.with_suffix('.svg')}", "draw it"),
    ]
    if not schema.exists():
        steps.insert(0, (f"soar playbook schema > {schema}", "let your editor complete and check it"))
    for command, why in steps:
        say(f"  {command}   # {why}")
    say(_force(target))
    return None


def from_template(template: str, name: str) -> tuple[str, str]:
    """A template's playbook and its tests, under another name.

    Raises:
        KeyError: There is no such template.
    """
    from soar.playbook.templates import NAME, TEMPLATES, TITLE

    if template not in TEMPLATES:
        raise KeyError(template)
    folder = resources.files("soar.playbook.templates")
    title = name.replace("-", " ").replace("_", " ").capitalize()
    texts = [
        folder.joinpath(f"{template}{suffix}").read_text(encoding="utf-8")
        for suffix in (".yaml", ".test.yaml")
    ]
    playbook, tests = (text.replace(NAME, name).replace(TITLE, title) for text in texts)
    return playbook, tests


def _check_name(name: str) -> None:
    """Refuse what no playbook may be called, and what another one is called.

    Raises:
        CommandFailed: With a name that would do.
    """
    from soar.playbook.diagnostics import PlaybookError
    from soar.runtime.parts import load_library
    from soar.runtime.settings import load_settings

    if not name:
        fail("give it a name: soar playbook new NAME", ExitCode.USAGE)
    if not _NAME.fullmatch(name):
        better = re.sub(r"[^a-z0-9_]+", "-", name.lower()).lstrip("0123456789-_").rstrip("-_")[:64]
        hint = f"; write {better}" if better else ""
        fail(
            f"{name!r} is no name of a playbook: begin with a small letter, go on with small letters, digits, - and _, "
            f"64 at most{hint}",
            ExitCode.USAGE,
        )
    try:
        known = {loaded.playbook.name: loaded.file for loaded in load_library(load_settings())}
    except PlaybookError:
        return  # that another playbook in force is broken does not keep a new one from being written
    if name in known:
        fail(f"the name {name} is taken by {known[name]}; choose another one", ExitCode.USAGE)


def _check_template(template: str) -> None:
    from soar.playbook.diagnostics import nearest
    from soar.playbook.templates import TEMPLATES

    if template not in TEMPLATES:
        hint = nearest(template, TEMPLATES)
        fail(f"there is no template {template!r} ({hint})", ExitCode.USAGE)


def _target(name: str, output: Path | None) -> Path:
    if output is None:
        return Path(f"{name}.yaml")
    if output.is_dir():
        return output / f"{name}.yaml"
    if output.suffix not in _SUFFIXES or output.stem.endswith(".test"):
        fail(f"{output}: a playbook's file ends with .yaml; call it {name}.yaml", ExitCode.USAGE)
    return output


def _force(target: Path) -> str:
    """How the new playbook comes into force."""
    from soar.runtime.settings import load_settings

    folders = [folder.resolve() for folder in load_settings().playbook_folders]
    if target.resolve().parent in folders:
        return "It is in force when the orchestrator is started again."
    folder = target.resolve().parent
    return f"It is in force once SOAR_PLAYBOOKS names its folder, {folder}, and the orchestrator is started again."
