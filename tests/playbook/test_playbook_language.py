from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from soar.model.alert import Alert, AlertActor, Resource
from soar.model.spec import ActionSpec
from soar.model.terms import Phase, Risk, Severity
from soar.playbook.compiler import compile_playbook
from soar.playbook.diagnostics import PlaybookError
from soar.playbook.document import MAX_BYTES
from soar.playbook.graph import ActionNode, ParallelNode, StepGraph
from soar.playbook.jsonschema import playbook_schema
from soar.playbook.library import Library
from soar.playbook.lint import lint
from soar.playbook.loader import LoadedPlaybook, load_playbook
from soar.playbook.match import correlation_key, matches
from soar.playbook.policy import load_policy

KEY_PARAMS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "user": {"type": "string"},
        "key": {"type": "string", "minLength": 16, "description": "The key's id."},
        "days": {"type": "integer"},
    },
    "required": ["key"],
    "additionalProperties": False,
}


def spec(name: str, risk: Risk, **more: Any) -> ActionSpec:
    defaults: dict[str, Any] = {"title": name, "phase": Phase.CONTAINMENT, "queue": "aws", "result": {}}
    return ActionSpec(name=name, risk=risk, **{**defaults, "params": KEY_PARAMS, **more})


CATALOGUE = {
    s.name: s
    for s in (
        spec(
            "aws.iam.get_key",
            Risk.READ,
            result={"type": "object", "properties": {"user": {}}, "additionalProperties": False},
        ),
        spec("aws.iam.deactivate_key", Risk.REVERSIBLE, undoable=True),
        spec("aws.iam.delete_key", Risk.DESTRUCTIVE),
    )
}

PLAYBOOK = """\
name: leaked-key
title: A leaked access key
match:
  source: guardduty
  rule: ["UnauthorizedAccess:IAMUser/*"]
  severity: medium
  where: alert.actor is not none
correlate_by: [alert.account, alert.actor.name]
roles:
  incident-commander: decides on changes
inputs:
  days: {type: number, default: 3}
identification:
  - id: look
    do: aws.iam.get_key
    with: {key: "{{ alert.actor.access_key_id }}", days: "{{ inputs.days }}"}
  - parallel:
      - - {id: left, do: aws.iam.get_key, with: {key: "{{ steps.look.result.user }}"}}
      - - {id: right, do: aws.iam.get_key, when: alert.region == 'eu-west-1', with: {key: AKIAIOSFODNN7EXAMPLE}}
        - {id: after, do: aws.iam.get_key, with: {key: "{{ steps.right.result.user | default('none') }}"}}
containment:
  - id: switch_off
    name: Switch the key off
    do: aws.iam.deactivate_key
    with: {key: "{{ alert.actor.access_key_id }}"}
    approval: {role: incident-commander, approvers: 2, expires: 4h, remind: 15m}
    timeout: 30m
    retry: {attempts: 3, backoff: 5s}
recovery:
  - id: lift
    do: incident.undo
    with: {step: switch_off}
lessons_learned:
  - {id: report, do: report.write}
"""


def loaded(text: str = PLAYBOOK) -> LoadedPlaybook:
    return load_playbook(text, file="p.yaml")


def changed(old: str, new: str) -> str:
    assert old in PLAYBOOK
    return PLAYBOOK.replace(old, new, 1)


def alert(**more: Any) -> Alert:
    defaults: dict[str, Any] = {
        "source": "guardduty",
        "uid": "1",
        "title": "t",
        "severity": Severity.HIGH,
        "rule": "UnauthorizedAccess:IAMUser/MaliciousIPCaller.Custom",
        "time": "2026-01-01T00:00:00Z",
        "account": "111122223333",
        "actor": AlertActor(name="eve"),
    }
    return Alert(**{**defaults, **more})


def test_it_compiles_to_the_graph() -> None:
    graph = compile_playbook(loaded(), CATALOGUE)
    assert list(graph.entries) == [
        Phase.IDENTIFICATION,
        Phase.CONTAINMENT,
        Phase.RECOVERY,
        Phase.LESSONS_LEARNED,
    ]
    look = graph.nodes["look"]
    assert isinstance(look, ActionNode)
    fork = graph.nodes[look.next or ""]
    assert isinstance(fork, ParallelNode)
    assert fork.branches == ("left", "right")
    assert fork.next is None
    assert [graph.nodes[i].next for i in ("left", "right", "after")] == [None, "after", None]
    off = graph.nodes["switch_off"]
    assert isinstance(off, ActionNode)
    assert (off.timeout, off.retry.attempts, off.retry.backoff, off.on_error) == (1800, 3, 5, "ask")
    assert off.approval is not None
    assert (off.approval.role, off.approval.approvers, off.approval.expires) == (
        "incident-commander",
        2,
        14400,
    )
    assert (off.spec.risk, off.spec.queue, off.spec.undoable) == (Risk.REVERSIBLE, "aws", True)
    assert StepGraph.model_validate_json(graph.model_dump_json()) == graph


def test_branches_may_have_names() -> None:
    text = """
name: p
match: {source: guardduty}
correlate_by: [alert.account]
containment:
  - parallel:
      users: [{id: a, do: aws.iam.get_key}, {id: b, do: aws.iam.get_key}]
      roles:
        - parallel: [[{id: c, do: aws.iam.get_key}]]
        - {id: d, do: aws.iam.get_key}
"""
    graph = compile_playbook(loaded(text), CATALOGUE)
    fork = graph.nodes[graph.entries[Phase.CONTAINMENT]]
    assert isinstance(fork, ParallelNode)
    assert fork.branches[0] == "a"
    inner = graph.nodes[fork.branches[1]]
    assert isinstance(inner, ParallelNode)
    assert (inner.branches, inner.next) == (("c",), "d")


def test_the_digest_is_of_what_is_said() -> None:
    moved = PLAYBOOK.replace("name: leaked-key\n", "").replace(
        "inputs:", "# words\nname:   'leaked-key'\ninputs:"
    )
    assert loaded(moved).digest == loaded().digest
    assert loaded(changed("approvers: 2", "approvers: 3")).digest != loaded().digest


def test_a_good_playbook_has_no_findings() -> None:
    assert lint(loaded(), CATALOGUE) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "correlate_by:",
            "corelate_by:",
            'p.yaml:8:1: there is no field "corelate_by" (did you mean "correlate_by"?)',
        ),
        (
            "id: switch_off",
            "id: switch-off",
            "begin with a small letter; go on with small letters, digits and _",
        ),
        ("expires: 4h", "expires: 4", "p.yaml:26:65: containment[0].approval.expires: not a duration"),
        ("severity: medium", "severity: mid", "match.severity: not a severity"),
        ("name: leaked-key", "name: leaked-key\nname: b", 'p.yaml:2:1: "name" stands here a second time'),
        ("title: A", "title: '{{ alert.title }}' # ", "a title is plain text"),
        ("default: 3", "default: x", "the default is not a number"),
        ("    timeout: 30m", "    on_error: contiune", 'did you mean "continue"?'),
        ("  source: guardduty", "  1: guardduty", "p.yaml:4:3: a key is not text"),
        ("  source: guardduty", "  <<: {source: a}", "merge keys"),
        ("  source: guardduty", "  source: !!python/name:os.system x", "the tag"),
        ("  source: guardduty", "  source: [", "not YAML"),
        ("    do: aws.iam.deactivate_key\n", "", 'p.yaml:22:5: "do" is missing'),
        ("- {id: report, do: report.write}", "- report.write", "lessons_learned[0]"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    with pytest.raises(PlaybookError) as caught:
        loaded(changed(old, new))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "severity", "message"),
    [
        (
            "do: aws.iam.deactivate_key",
            "do: aws.iam.deactivate_keys",
            "error",
            'did you mean "aws.iam.deactivate_key"?',
        ),
        ("id: lift", "id: look", "error", 'two steps with the id "look"'),
        ("key: AKIAIOSFODNN7EXAMPLE", "kee: AKIAIOSFODNN7EXAMPLE", "error", 'has no argument "kee"'),
        ("key: AKIAIOSFODNN7EXAMPLE", "user: bob", "error", 'needs the argument "key"'),
        ("key: AKIAIOSFODNN7EXAMPLE", "key: short", "error", "key: 'short' is too short (The key's id.)"),
        ('days: "{{ inputs.days }}"', "days: three", "error", "days: 'three' is not of type 'integer'"),
        ("inputs.days", "inputs.dais", "error", 'there is no input "dais" (did you mean "days"?)'),
        (
            "alert.actor.access_key_id",
            "alert.actor.acces_key_id",
            "error",
            'alert.actor has no "acces_key_id"',
        ),
        ("alert.actor.access_key_id", "alert.resources.name", "error", "alert.resources is a list"),
        ("alert.actor.access_key_id", "incident.titel", "error", 'incident has no "titel"'),
        (
            "alert.actor.access_key_id",
            "alrt.actor",
            "error",
            'there is no "alrt" here (did you mean "alert"?)',
        ),
        (
            "steps.look.result.user",
            "steps.lok.result.user",
            "error",
            'there is no step "lok" (did you mean "look"?)',
        ),
        ("steps.look.result.user", "steps.look.result.usr", "error", 'has no "usr" (did you mean "user"?)'),
        ("steps.look.result.user", "steps.look.user", "error", "write steps.look.result.user"),
        ("steps.look.result.user", "steps.right.status", "error", '"right" has not ended before this step'),
        ("steps.look.result.user", "steps.switch_off.status", "error", "it comes later"),
        ("steps.look.result.user", "steps.left.status", "error", '"left" has not ended before this step'),
        (
            "steps.right.result.user | default('none')",
            "steps.right.result.user",
            "warning",
            "may not be there",
        ),
        ("steps.look.result.user", "steps.look.result.user | uper", "error", 'there is no filter "uper"'),
        ("alert.actor is not none", "alert.actor is nothing", "error", 'there is no test "nothing"'),
        ("alert.account, alert", "incident.account, alert", "error", 'there is no "incident" here'),
        (
            "incident-commander: decides",
            "commander: decides",
            "error",
            'the role "incident-commander" is not under',
        ),
        (
            "do: aws.iam.deactivate_key",
            "do: aws.iam.get_key",
            "warning",
            "no step of the containment phase changes",
        ),
        ("do: aws.iam.deactivate_key", "do: aws.iam.get_key", "warning", "only reads, so nobody is asked"),
        ("do: report.write", "do: aws.iam.delete_key", "warning", "cannot be undone"),
        ("step: switch_off", "step: look", "error", '"look" makes no change that can be undone'),
        ("step: switch_off", "step: switch_of", "error", 'did you mean "switch_off"?'),
        ("step: switch_off", "step: report", "error", '"report" has not ended before this step'),
        ("step: switch_off", 'step: "{{ alert.title }}"', "error", "written out, not a template"),
    ],
)
def test_findings(old: str, new: str, severity: str, message: str) -> None:
    found = lint(loaded(changed(old, new)), CATALOGUE)
    wanted = [d for d in found if message in str(d)]
    assert wanted, "\n".join(map(str, found))
    assert {d.severity for d in wanted} == {severity}
    assert all(d.line > 1 and d.file == "p.yaml" for d in wanted)


def test_an_unknown_action_is_refused_when_compiling() -> None:
    with pytest.raises(PlaybookError, match="there is no action"):
        compile_playbook(loaded(changed("do: aws.iam.deactivate_key", "do: nothing.at_all")), CATALOGUE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "x",
        "a: &a [*a]",
        "[" * 5000,
        "a: " * 2000,
        "%YAML 1.1\n---\nname: yes",
        "a: &x [1,1,1,1,1,1,1,1]\nb: &y [*x,*x,*x,*x,*x,*x,*x,*x]\nc: &z [*y,*y,*y,*y,*y,*y,*y,*y]\n"
        "d: &w [*z,*z,*z,*z,*z,*z,*z,*z]\ne: &v [*w,*w,*w,*w,*w,*w,*w,*w]\nf: [*v,*v,*v,*v,*v,*v,*v]",
        "a: " + "x" * MAX_BYTES,
        'a: "\\ud800"',
        "a: 1e999",
        "a: \x00",
        "---\na: 1\n---\nb: 2",
        "? [a]\n: b",
        "a: !!binary aGk=",
    ],
)
def test_hostile_yaml_is_refused(text: str) -> None:
    for load in (load_playbook, load_policy):
        with pytest.raises(PlaybookError):
            load(text, file="x.yaml")


@given(st.text() | st.text(alphabet="{}[]:-,&*!|>'\"%@`#? \n\tab01~<=._"))
def test_any_text_is_read_or_refused(text: str) -> None:
    for load in (load_playbook, load_policy):
        with pytest.raises(PlaybookError):
            load(text, file="x.yaml")


@given(st.integers(0, len(PLAYBOOK)), st.integers(0, 30), st.text(max_size=5))
def test_a_damaged_playbook_is_read_or_refused(start: int, length: int, put: str) -> None:
    try:
        damaged = loaded(PLAYBOOK[:start] + put + PLAYBOOK[start + length :])
    except PlaybookError:
        return
    lint(damaged, CATALOGUE)


def test_yaml_is_read_as_version_1_2() -> None:
    text = changed("title: A leaked access key", "title: on").replace("default: 3", "default: 0x10")
    playbook = loaded(text).playbook
    assert (playbook.title, playbook.default_inputs) == ("on", {"days": 16})


def test_matching_says_why() -> None:
    playbook = loaded().playbook
    good = matches(playbook, alert())
    assert good.matched
    assert len(good.reasons) == 4
    for other in (
        alert(source="splunk"),
        alert(rule="unauthorizedaccess:IAMUser/x"),
        alert(severity=Severity.LOW),
        alert(actor=None),
    ):
        result = matches(playbook, other)
        assert not result.matched
        assert sum(r.startswith("fails: ") for r in result.reasons) == 1
    assert playbook.match is not None
    typed = playbook.model_copy(
        update={"match": playbook.match.model_copy(update={"resource_type": ("aws.s3.*",)})}
    )
    assert not matches(typed, alert()).matched
    bucket = Resource(uid="arn:aws:s3:::b", type="aws.s3.bucket", name="b")
    assert matches(typed, alert(resources=(bucket,))).matched


def test_the_correlation_key_is_what_alerts_have_in_common() -> None:
    playbook = loaded().playbook
    key = correlation_key(playbook, alert())
    assert key.startswith("111122223333_eve-")
    assert correlation_key(playbook, alert(uid="2", title="other")) == key
    assert correlation_key(playbook, alert(account="111122223333_eve", actor=AlertActor(name=""))) != key
    alone = [correlation_key(playbook, alert(uid=u, account="", actor=None)) for u in ("1", "2", "1")]
    assert alone[0] == alone[2] != alone[1]


@given(st.text(max_size=1000), st.text(max_size=1000))
def test_correlation_keys_are_printable_short_and_distinct(one: str, two: str) -> None:
    playbook = loaded().playbook
    first, second = (correlation_key(playbook, alert(actor=AlertActor(name=n))) for n in (one, two))
    assert (first == second) == (one == two)
    assert first.isascii()
    assert first.isprintable()
    assert not set(first) & set(" /\\")
    assert 0 < len(first) <= 200
    assert first == correlation_key(playbook, alert(actor=AlertActor(name=one)))


def test_the_library_finds_and_explains(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PLAYBOOK)
    (tmp_path / "b.yml").write_text(changed("leaked-key", "other").replace("guardduty", "splunk"))
    (tmp_path / "a.test.yaml").write_text("not a playbook")
    library = Library.load(tmp_path)
    assert [p.playbook.name for p in library] == ["leaked-key", "other"]
    assert [p.playbook.name for p in library.find(alert())] == ["leaked-key"]
    assert [r.matched for _, r in library.explain(alert())] == [True, False]
    assert library.get("other").file.endswith("b.yml")
    with pytest.raises(KeyError, match="leaked-key"):
        library.get("leaked-keys")


def test_a_fallback_answers_only_what_no_other_playbook_does() -> None:
    narrow = PLAYBOOK[PLAYBOOK.index("  source:") : PLAYBOOK.index("correlate_by")]
    last = changed(narrow, "  {fallback: true, severity: medium}\n").replace("leaked-key", "a-last-one")
    library = Library([loaded(), loaded(last)])
    assert [p.playbook.name for p in library.find(alert())] == ["leaked-key"]
    assert library.explain(alert())[0][1].reasons[-1] == "fails: it is a fallback, and leaked-key answers it"
    others = alert().model_copy(update={"source": "elsewhere"})
    assert [p.playbook.name for p in library.find(others)] == ["a-last-one"]
    assert library.explain(others)[0][1].reasons[-1] == "holds: no other playbook answers it"
    harmless = others.model_copy(update={"severity": Severity.INFORMATIONAL})
    assert library.find(harmless) == []


def test_the_library_names_everything_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PLAYBOOK)
    (tmp_path / "b.yaml").write_text(PLAYBOOK)
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "d.yaml").write_text("name: x")
    with pytest.raises(PlaybookError) as caught:
        Library.load(tmp_path, tmp_path / "missing")
    told = str(caught.value)
    for part in (
        "b.yaml:1:7: the name",
        "c.yaml:1:1: the file is not UTF-8",
        "d.yaml:1:1: no steps",
    ):
        assert part in told
    assert "missing:1:1: there is no such folder" in told


def test_the_editors_schema_agrees_with_the_loader() -> None:
    schema = playbook_schema(CATALOGUE)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    yaml = YAML(typ="safe", pure=True)
    assert list(validator.iter_errors(yaml.load(PLAYBOOK))) == []
    for old, new in (
        ("correlate_by:", "corelate_by:"),
        ("do: aws.iam.deactivate_key", "do: aws.iam.deactivate_keys"),
        ("key: AKIAIOSFODNN7EXAMPLE", "kee: AKIAIOSFODNN7EXAMPLE"),
        ('days: "{{ inputs.days }}"', "days: three"),
        ("expires: 4h", "expires: 4"),
        ("severity: medium", "severity: mid"),
    ):
        assert list(validator.iter_errors(yaml.load(changed(old, new)))), new
