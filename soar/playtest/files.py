"""Finding and reading test files, each with its playbook and its policy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soar.actions.registry import catalogue
from soar.playbook.diagnostics import Diagnostic, PlaybookError, nearest
from soar.playbook.document import Document, parse_yaml, validate
from soar.playbook.library import Library, read_text
from soar.playbook.lint import lint
from soar.playbook.loader import LoadedPlaybook, load_playbook
from soar.playbook.policy import Policy, load_policy
from soar.playtest.check import check
from soar.playtest.policy import TEST_POLICY
from soar.playtest.spec import TestFile

__all__ = ["SUFFIX", "LoadedTests", "find_tests", "load_tests"]

SUFFIX = ".test.yaml"
_SUFFIXES = (SUFFIX, ".test.yml")


@dataclass(frozen=True)
class LoadedTests:
    """A test file, and what it is about.

    Args:
        path: The file.
        document: Where everything in it stands.
        library: The playbook, and those beside it, which it may call.
        policy_text: The policy that its tests run under.
    """

    path: Path
    document: Document
    file: TestFile
    playbook: LoadedPlaybook
    library: Library
    policy_text: str
    policy: Policy


def find_tests(targets: Sequence[str], folders: Iterable[Path]) -> list[Path]:
    """Find test files.

    Args:
        targets: Test files, playbooks (whose tests stand beside them), folders, or names of playbooks in force.
            None: everything in the folders in force.
        folders: The folders in force.

    Raises:
        FileNotFoundError: A target leads to no test; the message says what to do.
    """
    folders = tuple(folders)
    found: list[Path] = []
    for target in targets or [str(folder) for folder in folders]:
        found += _find(target, folders)
    return list(dict.fromkeys(found))


def _find(target: str, folders: Sequence[Path]) -> list[Path]:
    path = Path(target)
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.name.endswith(_SUFFIXES))
        if not inside:
            raise FileNotFoundError(f"no test is in {path}: write one as <playbook>{SUFFIX}")
        return inside
    if path.name.endswith(_SUFFIXES) and path.is_file():
        return [path]
    if path.is_file():
        beside = [path.with_name(path.stem + suffix) for suffix in _SUFFIXES]
        tests = [p for p in beside if p.is_file()]
        if not tests:
            raise FileNotFoundError(f"{path} has no tests: write them into {beside[0]}")
        return tests
    known = {
        p.name.removesuffix(suffix): p
        for folder in folders
        if folder.is_dir()
        for p in sorted(folder.iterdir())
        for suffix in _SUFFIXES
        if p.name.endswith(suffix)
    }
    if target in known:
        return [known[target]]
    hint = nearest(target, known)
    raise FileNotFoundError(
        f"there is no file, folder or tested playbook {target}" + (f" ({hint})" if hint else "")
    )


def load_tests(path: Path) -> LoadedTests:
    """Read a test file, its playbook and its policy, and check that they fit together.

    Raises:
        PlaybookError: With file, line and column of everything that is wrong.
    """
    document = parse_yaml(read_text(path), file=str(path))
    file = validate(document, TestFile)
    playbook, library = _playbook(path, document, file)
    policy_text, policy = _policy(path, document, file)
    found = check(document, file, playbook, library, policy, path.parent)
    if found:
        raise PlaybookError(found)
    return LoadedTests(path, document, file, playbook, library, policy_text, policy)


def _playbook(path: Path, document: Document, file: TestFile) -> tuple[LoadedPlaybook, Library]:
    name = file.playbook or next(
        path.name.removesuffix(suffix) + suffix.removeprefix(".test")
        for suffix in _SUFFIXES
        if path.name.endswith(suffix)
    )
    target = path.parent / name
    if not target.is_file():
        raise PlaybookError([_missing(document, "playbook", target)])
    loaded = load_playbook(read_text(target), file=str(target))
    library = Library([loaded, *_beside(target, loaded.playbook.name)])
    errors = [d for d in lint(loaded, catalogue(), library.get) if d.severity == "error"]
    if errors:
        raise PlaybookError(errors)
    return loaded, library


def _beside(target: Path, name: str) -> list[LoadedPlaybook]:
    """The other playbooks of a folder. What is none, or is broken, is only missed if the playbook calls it."""
    found: dict[str, LoadedPlaybook] = {}
    for path in sorted(target.parent.iterdir()):
        if path.suffix not in (".yaml", ".yml") or path.name.endswith(_SUFFIXES) or path == target:
            continue
        with contextlib.suppress(PlaybookError):
            loaded = load_playbook(read_text(path), file=str(path))
            found.setdefault(loaded.playbook.name, loaded)
    found.pop(name, None)
    return list(found.values())


def _policy(path: Path, document: Document, file: TestFile) -> tuple[str, Policy]:
    if file.policy is None:
        return TEST_POLICY, load_policy(TEST_POLICY, file="the policy of tests")
    target = path.parent / file.policy
    if not target.is_file():
        raise PlaybookError([_missing(document, "policy", target)])
    text = read_text(target)
    return text, load_policy(text, file=str(target))


def _missing(document: Document, field: str, target: Path) -> Diagnostic:
    return document.diagnostic(
        (field,), f"no-{field}", f"the {field} {target} does not exist", f"say where it is: `{field}: FILE`"
    )
