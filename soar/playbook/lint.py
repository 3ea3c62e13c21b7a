"""What is wrong with a playbook that can be read: checked against the actions that exist, before it ever runs."""

from __future__ import annotations

from soar.model.spec import Catalogue
from soar.playbook.compiler import Find, compile_playbook
from soar.playbook.diagnostics import Diagnostic, PlaybookError, near
from soar.playbook.lint_arguments import check_arguments
from soar.playbook.lint_design import DESIGN_CHECKS, check_secrets
from soar.playbook.lint_expressions import check_expressions
from soar.playbook.lint_place import Subject
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.steps import ActionStep

__all__ = ["lint"]


def lint(loaded: LoadedPlaybook, catalogue: Catalogue, find: Find | None = None) -> list[Diagnostic]:
    """Check a playbook.

    Args:
        catalogue: Every action that exists.
        find: The playbooks that its steps may call, by name. None: whether they exist is not looked at.

    Returns:
        The findings in the order of the file. With an error among them, the playbook must not be used.
    """
    subject = Subject.of(loaded, catalogue, find)
    found: list[Diagnostic] = []
    try:
        compile_playbook(loaded, catalogue, find)
    except PlaybookError as error:
        found += [_with_fix(subject, d) for d in error.diagnostics]
    if find is None:
        found = [d for d in found if d.rule != "unknown-playbook"]
    if loaded.graph is not None:
        # Its steps are not written in our language; what there is to say of them, its reader has said.
        found += check_secrets(subject)
    else:
        found += [*check_expressions(subject), *check_arguments(subject)]
        for check in DESIGN_CHECKS:
            found += check(subject)
    # An input that a playbook reads all the same may have been found twice, by its caller and by itself.
    return sorted(set(found), key=lambda d: (d.file, d.line, d.column, d.severity, d.message))


def _with_fix(subject: Subject, finding: Diagnostic) -> Diagnostic:
    """The compiler's finding, with the fix that it does not look for."""
    if finding.rule != "unknown-action":
        return finding
    positions = subject.loaded.positions
    for place in subject.placed:
        path, step = (*place.path, "do"), place.step
        at = positions.position(path)
        if isinstance(step, ActionStep) and (at.line, at.column) == (finding.line, finding.column):
            meant = near(step.do, subject.catalogue)
            fix = positions.written(path, step.do, meant) if meant else ()
            return finding.model_copy(update={"fix": fix})
    return finding
