"""Whether a test file names only what exists: a misspelt step must not make a test that cannot fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

from pydantic import JsonValue, ValidationError

from soar.actions.registry import catalogue
from soar.model.base import JsonObject
from soar.model.events import AnyEvent
from soar.model.terms import Risk, Severity
from soar.playbook.compiler import compile_playbook
from soar.playbook.diagnostics import Diagnostic, nearest
from soar.playbook.document import Document
from soar.playbook.document import Path as Place
from soar.playbook.expressions import ExpressionError, check_expression, check_template
from soar.playbook.library import Library
from soar.playbook.loader import LoadedPlaybook
from soar.playbook.policy import Policy
from soar.playbook.schema import InputSpec
from soar.playtest.calls import no_calls_of_its_own
from soar.playtest.spec import (
    AccountSpec,
    AlertSpec,
    AnswerFault,
    Expectations,
    PersonSpec,
    TestCase,
    TestFile,
    Trigger,
    permission_of,
)
from soar.reports.render import MEDIA_TYPES
from soar.reports.sections import Report
from soar.simulated.scenarios import SCENARIOS
from soar.sources.registry import sources

__all__ = ["KINDS", "check"]

KINDS = tuple(sorted(str(event.model_fields["kind"].default) for event in get_args(AnyEvent)))
"""What can stand on a timeline."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_ASKED = re.compile(r"[a-z0-9_]+-[0-9]+")
"""Steps that are in no playbook: people ask for them while it runs, `undo-1`."""


def check(
    document: Document,
    file: TestFile,
    playbook: LoadedPlaybook,
    library: Library,
    policy: Policy,
    folder: Path,
) -> list[Diagnostic]:
    """Find names that do not exist, expressions that cannot be read, and tests that cannot run.

    Args:
        library: The playbooks that the playbook may call.
        folder: Where files that the tests name are.
    """
    steps = set(compile_playbook(playbook, catalogue(), library.get).nodes)
    checker = _Checker(document, file, playbook, steps, policy, folder)
    checker.whole()
    return checker.found


class _Checker:
    def __init__(
        self,
        document: Document,
        file: TestFile,
        playbook: LoadedPlaybook,
        steps: set[str],
        policy: Policy,
        folder: Path,
    ) -> None:
        self._document, self._file, self._policy, self._folder = document, file, policy, folder
        self._playbook, self._steps = playbook.playbook, steps
        self._catalogue = catalogue()
        self.found: list[Diagnostic] = []

    def _wrong(self, place: Place, rule: str, message: str, hint: str = "", *, key: bool = False) -> None:
        self.found.append(self._document.diagnostic(place, rule, message, hint, key=key))

    def _known(self, place: Place, what: str, name: str, known: Iterable[str], *, key: bool = False) -> None:
        names = set(known)
        if name not in names:
            self._wrong(
                place, f"unknown-{what}", f'there is no {what} "{name}"', nearest(name, names), key=key
            )

    def whole(self) -> None:
        self._inputs(("inputs",), self._file.inputs)
        self._account(("account",), self._file.account)
        names: dict[str, int] = {}
        for index, case in enumerate(self._file.tests):
            place: Place = ("tests", index)
            if names.setdefault(case.name, index) != index:
                self._wrong((*place, "name"), "duplicate-name", f'another test is called "{case.name}"')
            self._case(place, case)

    def _case(self, place: Place, case: TestCase) -> None:
        self._inputs((*place, "inputs"), case.inputs)
        if case.account is not None:
            self._account((*place, "account"), case.account)
        account = case.account or self._file.account
        if case.alerts is None and account.scenario is None:
            self._wrong(place, "no-alert", "no alert comes in", "name a scenario, or say `alerts`")
        for index, alert in enumerate(case.alerts or ()):
            self._alert((*place, "alerts", index), alert, account)
        for index, person in enumerate(case.people):
            self._person((*place, "people", index), person)
        self._expectations((*place, "expect"), case.expect, account)

    def _inputs(self, place: Place, inputs: JsonObject) -> None:
        for name, value in inputs.items():
            spec = self._playbook.inputs.get(name)
            if spec is None:
                self._known((*place, name), "input", name, self._playbook.inputs, key=True)
                continue
            try:
                InputSpec(type=spec.type, default=value)
            except ValidationError:
                self._wrong((*place, name), "input-type", f"{name} is not a {spec.type}")

    def _account(self, place: Place, account: AccountSpec) -> None:
        if account.scenario is not None:
            self._known((*place, "scenario"), "scenario", account.scenario, SCENARIOS)
        permissions = {p for spec in self._catalogue.values() for p in spec.permissions}
        for index, fault in enumerate(account.faults):
            field, name = permission_of(fault)
            where = (*place, "faults", index, field)
            if no_calls_of_its_own(name):
                self._wrong(where, "no-call", f"{name} is asked about by no call of its own")
            else:
                self._known(where, "permission", name, permissions)
            if isinstance(fault, AnswerFault):
                self._templates((*place, "faults", index, "body"), fault.body)

    def _alert(self, place: Place, alert: AlertSpec, account: AccountSpec) -> None:
        if alert.scenario is not None and account.scenario is None:
            self._wrong((*place, "scenario"), "no-scenario", "the account has no scenario", "name it there")
        if alert.alert is None and alert.source is not None:
            self._known((*place, "source"), "source", alert.source, sources())
        if alert.file is not None and not (self._folder / alert.file).is_file():
            self._wrong((*place, "file"), "no-file", f"{self._folder / alert.file} does not exist")
        for field in ("payload", "alert", "set"):
            self._templates((*place, field), getattr(alert, field))
        if alert.when is not None:
            self._trigger((*place, "when"), alert.when)

    def _trigger(self, place: Place, trigger: Trigger) -> None:
        for step in trigger.step or ():
            self._step((*place, "step"), step)
        if trigger.kind is not None:
            self._known((*place, "kind"), "kind", trigger.kind, KINDS)

    def _step(self, place: Place, step: str, *, key: bool = False) -> None:
        if _PLAIN.fullmatch(step) and not _ASKED.fullmatch(step):
            self._known(place, "step", step, self._steps, key=key)

    def _person(self, place: Place, person: PersonSpec) -> None:
        self._known((*place, "who"), "person", person.who, [r.id for r in self._policy.responders])
        for step in person.step or ():
            self._step((*place, "step"), step)
        if person.when is not None:
            self._trigger((*place, "when"), person.when)
        self._templates((*place, "with"), person.data)

    def _templates(self, place: Place, value: JsonValue) -> None:
        match value:
            case str():
                self._readable(place, check_template, value)
            case dict():
                for key, item in value.items():
                    self._templates((*place, key), item)
            case list():
                for index, item in enumerate(value):
                    self._templates((*place, index), item)

    def _readable(self, place: Place, reader: Callable[[str], None], text: str, *, key: bool = False) -> None:
        try:
            reader(text)
        except ExpressionError as error:
            self._wrong(place, "expression", error.message, error.hint, key=key)

    def _compared(self, place: Place, expected: JsonObject) -> None:
        for expression in expected:
            self._readable((*place, expression), check_expression, expression, key=True)
            self._templates((*place, expression), expected[expression])

    def _expectations(self, place: Place, expect: Expectations, account: AccountSpec) -> None:
        if expect == Expectations():
            self._wrong(place, "nothing-expected", "nothing is expected, so nothing can fail")
        if expect.checks is not None and account.scenario is None:
            self._wrong((*place, "checks"), "no-scenario", "the account has no scenario whose checks to make")
        for step, wanted in expect.steps.items():
            self._step((*place, "steps", step), step, key=True)
            self._compared((*place, "steps", step, "result"), wanted.result)
        for field in ("order", "reached"):
            for index, step in enumerate(getattr(expect, field) or ()):
                self._step((*place, field, index), step)
        for index, approval in enumerate(expect.approvals or ()):
            self._step((*place, "approvals", index, "step"), approval.step)
            for who in (*(approval.by or ()), *(approval.asked or ())):
                self._known(
                    (*place, "approvals", index), "person", who, [r.id for r in self._policy.responders]
                )
        for field in ("timeline", "never"):
            for index, kind in enumerate(getattr(expect, field)):
                self._known((*place, field, index), "kind", kind, KINDS)
        if expect.incident is not None and expect.incident.severity is not None:
            labels = [severity.label for severity in Severity]
            self._known((*place, "incident", "severity"), "severity", expect.incident.severity, labels)
        for index, read in enumerate(expect.account):
            where = (*place, "account", index)
            reads = [name for name, spec in self._catalogue.items() if spec.risk is Risk.READ]
            self._known((*where, "read"), "read", read.read, reads)
            self._templates((*where, "with"), read.data)
            self._compared((*where, "expect"), read.expect)
        if expect.report is not None:
            for field in ("sections", "empty"):
                for index, name in enumerate(getattr(expect.report, field)):
                    self._known((*place, "report", field, index), "section", name, Report.model_fields)
            for index, name in enumerate(expect.report.formats):
                self._known((*place, "report", "formats", index), "format", name, MEDIA_TYPES)
