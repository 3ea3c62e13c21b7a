"""What the linter finds beyond the examples of its rules: data-flow, types, design. And what it leaves alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lint_world import findings, whole

from soar.playbook.secrets import secrets_in

USER = "  - {id: user, do: aws.iam.describe_principal, with: {name: alice}}\n"
REPORT = "  - {id: report, do: report.write, when: %s}\n"
BRANCHES = (
    "identification:\n  - if: alert.account == '1'\n    then:\n"
    "      - {id: user, do: aws.iam.describe_principal, with: {name: alice}}\n"
    "    else:\n      - {id: other, do: aws.iam.describe_principal, with: {name: bob}}\n"
)
LOOP = (
    "identification:\n  - id: each\n    foreach: alert.resources\n    as: resource\n"
    "    collect: steps.look.result.administrator\n    steps:\n"
    "      - {id: look, do: aws.iam.describe_principal, with: {name: '{{ resource.name }}'}}\n"
)
ACTOR = "match: {source: guardduty, where: %s}\nidentification:\n"
TARGET = "  - {id: user, do: aws.iam.describe_principal, with: {name: '{{ alert.actor.name }}'}}\n"


def reading(expression: str) -> str:
    return "lessons_learned:\n" + REPORT % f'"{expression}"'


CLEAN = {
    "a result on every way": "identification:\n" + USER + reading("steps.user.result.administrator"),
    "the same branch": BRANCHES.replace(
        "    else", "      - {id: report, do: report.write, when: steps.user.result.administrator}\n    else"
    ),
    "a branch that asks the same": BRANCHES
    + "  - if: alert.account == '1' and alert.region != ''\n    then:\n"
    + "    "
    + REPORT % "steps.user.result.administrator",
    "a guarded step of a branch": BRANCHES
    + reading("steps.user is defined and steps.user.result.administrator"),
    "a default": BRANCHES + reading("steps.user.result.administrator | default(false)"),
    "the same condition": "identification:\n"
    + USER.replace("}}", "}, when: alert.account != ''}")
    + reading("alert.account != '' and steps.user.result.administrator"),
    "both branches of parallel": "identification:\n  - parallel:\n    - ["
    + USER[4:-1]
    + "]\n"
    + "    - [{id: b, do: aws.iam.describe_principal, with: {name: b}}]\n"
    + reading("steps.user.result.administrator and steps.b.result.administrator"),
    "a loop's own result": LOOP + reading("steps.each.result.count > 0 and steps.each.result.items[0]"),
    "a round of a repetition": "recovery:\n  - id: gone\n    every: 30s\n    attempts: 5\n"
    "    until: steps.user.result.active_keys | length == 0 or attempt > 3\n    repeat:\n    " + USER,
    "a round of a repetition that may be passed over": "recovery:\n  - id: gone\n    every: 30s\n    attempts: 5\n"
    "    on_error: continue\n    until: steps.user.result.administrator\n    repeat:\n    " + USER,
    "what may be of the right kind": reading(
        "(alert.raw or '') > '' and (1 if alert.title else 'a') != 2 and 1.5 > alert.resources | length"
    ),
    "vars after set": "identification:\n  - set: {n: 3, who: '{{ alert.account }}'}\n"
    + reading("vars.n > 2 and vars.who"),
    "a wait for what is not set yet": "identification:\n  - id: pause\n"
    "    wait: {until: steps.user is defined, limit: 1h}\n" + USER,
    "a further alert": "identification:\n  - {id: more, wait: {alert: alert.title != '', limit: 1h}}\n"
    + reading("steps.more.result.happened and steps.more.result.alert.title"),
    "a child's outputs": "identification:\n  - {id: c, playbook: child, with: {user: '{{ alert.account }}'}}\n"
    + reading("steps.c.result.keys and steps.c.result.incident"),
    "an actor that where sees to": ACTOR % "alert.actor.type == 'IAMUser' and alert.account != ''" + TARGET,
    "an actor that when sees to": "identification:\n" + TARGET.replace("'}}\n", "'}, when: alert.actor}\n"),
    "a nullable name with a default": "identification:\n"
    + TARGET.replace("name }}", "name | default(alert.title) }}"),
    "a number for a whole number": "inputs: {n: {type: number, default: 3}}\nidentification:\n"
    "  - {id: b, do: aws.s3.object_inventory, with: {bucket: bkt, max_objects: '{{ inputs.n }}'}}\n",
    "evidence kept before, and looked at again": "roles: {r: x}\neradication:\n"
    "  - {id: look, do: aws.ec2.describe_instance, with: {instance_id: i-0123456789abcdef0}}\n"
    "  - {id: end, do: aws.ec2.terminate_instance, approval: {role: r}, with: {instance_id: i-0123456789abcdef0}}\n"
    "  - {id: gone, do: aws.ec2.describe_instance, with: {instance_id: i-0123456789abcdef0}}\n",
    "inputs through a loop over all": "inputs: {n: {type: number, default: 3}}\nidentification:\n"
    "  - {id: u, do: aws.iam.describe_principal, with: {name: 'x{% for i in inputs %}{{ i }}{% endfor %}'}}\n",
    "the severity and a clock": "severity:\n  - {when: steps.user.result.administrator, severity: critical}\n"
    "clocks: {law: {due: 3d, when: steps.user.result.administrator, met_by: user}}\nidentification:\n" + USER,
}


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_right_is_left_alone(name: str) -> None:
    assert [d.graded for d in findings(whole(CLEAN[name]))] == []


@pytest.mark.parametrize(
    ("part", "rule", "message"),
    [
        (BRANCHES + reading("steps.user.result.administrator"), "may-not-be-set", "may not be reached"),
        (BRANCHES + reading("steps.user.status == 'succeeded'"), "may-not-be-set", "default('')"),
        (BRANCHES + reading("steps.other.result.administrator"), "may-not-be-set", '"other"'),
        (
            "identification:\n  - when: alert.account == '1'\n    parallel: [[" + USER[4:-1] + "]]\n"
            + reading("steps.user.result.administrator"),
            "may-not-be-set",
            "may not be reached",
        ),
        (
            "identification:\n" + USER.replace("}}", "}, on_error: continue}") + reading("steps.user.result.name"),
            "may-not-be-set",
            "passed over",
        ),
        (
            "identification:\n" + USER + "on_failure:\n" + REPORT % "steps.user.result.administrator",
            "may-not-be-set",
            "when the incident fails",
        ),
        (
            "identification:\n" + USER.replace("}}", "}, when: alert.account}")
            + "outputs: {a: steps.user.result.name}\n",
            "may-not-be-set",
            "has a condition",
        ),
        (
            "identification:\n  - id: p\n    parallel:\n    - [" + USER[4:-1] + "]\n" + reading("steps.p.status == ''"),
            "unknown-name",
            'steps.p has no "status"',
        ),
        (LOOP + reading("steps.look.result.administrator"), "step-not-set", 'inside the loop "each"'),
        (LOOP + reading("steps.each.result.itmes"), "unknown-result", '"items"'),
        (LOOP + reading("resource.name == ''"), "unknown-name", 'no "resource" here'),
        (LOOP.replace("resource.name", "resource.nam"), "unknown-name", '"name"'),
        (LOOP.replace("steps.look.result.administrator", "steps.each.status"), "step-not-set", "comes later"),
        (
            LOOP.replace("    steps:\n", "    steps:\n      - id: inner\n        foreach: resource.tags | list\n"
            "        as: resource\n        steps: [{id: r, do: report.write}]\n"),
            "shadowed-name",
            '"resource"',
        ),
        (reading("vars.n > 2") + "recovery:\n  - set: {m: 3}\n", "unknown-name", "no step sets"),
        (reading("vars.n > 2") + "on_failure:\n  - set: {n: 3}\n", "step-not-set", "vars.n"),
        (
            "identification:\n  - {set: {n: 3}, when: alert.account == '1'}\n" + reading("vars.n > 2"),
            "may-not-be-set",
            "vars.n is set only where",
        ),
        (
            "identification:\n  - {id: e, foreach: alert.resources, steps: [{set: {n: 3}}]}\n" + reading("vars.n > 2"),
            "may-not-be-set",
            "in the rounds of a loop",
        ),
        (
            "identification:\n  - {set: {n: '{{ alert.raw.n | int }}'}, on_error: continue}\n" + reading("vars.n > 2"),
            "may-not-be-set",
            "passed over",
        ),
        *(
            (reading(expression), "wrong-kind", message)
            for expression, message in (
                ("alert.title > 3", "text > a whole number has no meaning here"),
                ("alert.title + 1", "text + a whole number"),
                ("'x' in (alert.title | length)", "something can be in"),
                ("3 in alert.title", "in a text can be text, and this is a whole number"),
                ("(alert.title | length + 1) | upper", '"upper" takes text'),
                ("alert.resources | sum * '2'", "* text has no meaning here"),
                ("-alert.title", "a sign goes before"),
                ("alert.resources.upper()", '".upper()" takes text, and this is a list'),
                ("(alert.title | length)[1:]", "a part can be taken of"),
                ("alert.title | join", '"join" takes a list'),
            )
        ),
        (
            "inputs: {n: {type: number, default: 3}}\nidentification:\n"
            "  - {id: u, do: aws.iam.describe_principal, with: {name: '{% for i in inputs.n %}x{% endfor %}'}}\n",
            "wrong-kind",
            "a loop goes over",
        ),
        (BRANCHES.replace("if: alert.account == '1'", "if: 1 == 1"), "unreachable-step", "always true"),
        (BRANCHES.replace("if: alert.account == '1'", "if: false"), "unreachable-step", "always false"),
        (
            "identification:\n  - {id: p, wait: {alert: 'true', limit: 1h}}\n",
            "constant-condition",
            "holds at once",
        ),
        (ACTOR % "alert.account != '' or alert.actor.type == 'x'" + TARGET, "may-be-null", "alert.actor may be null"),
        (
            "identification:\n  - {id: more, wait: {alert: alert.title != '', limit: 1h}}\n"
            + reading("steps.more.result.alert.title == ''"),
            "may-be-null",
            "steps.more.result.happened",
        ),
        (
            "identification:\n" + USER + "  - {id: t, do: aws.iam.describe_principal, with: "
            "{name: '{{ steps.user.result.keys[0].last_used }}'}}\n",
            "may-be-null",
            "name of aws.iam.describe_principal takes text, and this may be null",
        ),
        (reading("alert.raw.size > 3"), "may-be-null", "alert.raw is not none"),
        (
            "identification:\n" + TARGET.replace('actor.name', 'title | length'),
            "argument-type",
            "takes text, and this gives a whole number",
        ),
        (
            "identification:\n" + USER + "  - {id: u, do: aws.iam.describe_principal, with: "
            "{name: '{{ steps.user.result.keys }}'}}\n",
            "argument-type",
            "a list",
        ),
        (
            "identification:\n  - {id: b, do: aws.s3.object_inventory, with: {bucket: bkt, max_objects: "
            "'{{ 1 }}0'}}\n",
            "argument-type",
            "keeps its type",
        ),
        (
            "identification:\n  - {id: c, playbook: child, with: {user: '{{ alert.resources }}'}}\n",
            "argument-type",
            "user of child takes text",
        ),
        ("identification:\n  - {id: c, playbook: child, with: {user: 3}}\n", "argument", "user: 3 is not"),
        ("identification:\n  - {id: c, playbook: child, with: {usr: x}}\n", "unknown-input", '"user"'),
        (
            "identification:\n  - {id: c, playbook: child}\n" + reading("steps.c.result.kees"),
            "unknown-result",
            '"keys"',
        ),
        (
            "identification:\n" + USER + reading("steps.user.result.keys[0].acces_key_id"),
            "undeclared-result",
            'keys.0.acces_key_id',
        ),
        ("roles: {r: x}\nidentification:\n  - {id: q, approve: Go on?, approval: {role: r}}\n"
         + reading("steps.q.result.aproved"), "unknown-result", '"approved"'),
        ("identification:\n" + USER.replace("}}", "}, notify: [nobody]}"), "undeclared-role", "nobody"),
        ("identification:\n" + USER.replace("}}", "}, role: nobody}"), "undeclared-role", "nobody"),
        (
            "identification:\n" + USER + reading("steps.user.status in ['succeeded', 'done']"),
            "unknown-status",
            '"done"',
        ),
    ],
)  # fmt: skip
def test_findings(part: str, rule: str, message: str) -> None:
    text = whole(part)
    found = findings(text)
    wanted = [d for d in found if d.rule == rule and message in d.graded]
    assert len(wanted) == 1, [d.graded for d in found]
    assert all(d.line > 3 and d.column > 1 for d in wanted)


def test_a_name_in_an_expression_is_pointed_at() -> None:
    text = whole("identification:\n" + USER + reading("alert.account and alert.titel != ''"))
    (found,) = [d for d in findings(text) if d.rule == "unknown-name"]
    line = text.splitlines()[found.line - 1]
    assert found.end_column is not None
    assert line[found.column - 1 : found.end_column - 1] == "titel"


SECRETS = [
    ("key: AKIA" + "Q3EGTSXKVNZFWM2L", "an AWS access key id"),
    ("token: xoxb-" + "2111111111-abcdefghijk", "a Slack token"),
    ("url: https://hooks.slack.com/services/" + "T0AAAAAAA/B0AAAAAAA/abcdefghij", "a Slack webhook"),
    ("ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", "a GitHub token"),
    ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
    ("dsn: postgres://soar:" + "s3cretpassw0rd@db.example/soar", "a password in a URL"),
    ("aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzQ8vT2aLpe", "a secret"),
    ('api_key: "' + "f3a9c1d07be24856a1bd94c7e0f2" + '"', "a secret"),
]
PLAIN = [
    "access_key_id: AKIAIOSFODNN7EXAMPLE",
    "secret_id: prod/application/database-credentials-7",
    "token: '{{ inputs.token_secret_id }}'",
    "password: changeme-changeme-1234",
    "do: aws.iam.deactivate_access_key",
    "secret: a-plain-name-of-a-secret",
    "digest: 0f343b0931126a20f133d67c2b018a3b0f343b0931126a20f133d67c2b018a3b",
    "url: https://example.com/a:b@c",
]


@pytest.mark.parametrize(("line", "kind"), SECRETS)
def test_secrets_are_found_and_not_repeated(line: str, kind: str) -> None:
    (found,) = secrets_in(line)
    assert found.kind == kind
    hidden = line[found.start : found.end]
    text = whole("identification:\n" + USER) + f"# {line}\n"
    (told,) = [d for d in findings(text) if d.rule == "secret"]
    assert (told.line, told.column) == (len(text.splitlines()), found.start + 3)
    assert hidden not in told.graded


@pytest.mark.parametrize("line", PLAIN)
def test_what_only_names_a_secret_is_none(line: str) -> None:
    assert list(secrets_in(line)) == []


def test_looking_for_secrets_takes_no_longer_than_reading() -> None:
    begun = time.monotonic()
    for line in (
        "a-" * 100_000,
        "secret" * 40_000,
        "token: " * 30_000,
        "eyJ" * 80_000,
        "://" + "a" * 250_000,
    ):
        list(secrets_in(line))
    assert time.monotonic() - begun < 5


WORDS = "steps|alert|.|user|result|actor|name| and | or |not |(|)|[0]| == |''|vars|item| in |1| if | else |~"
pieces = st.sampled_from([*WORDS.split("|"), " | length", " | default('')", " is none", " is defined"])


@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, min_size=1, max_size=10), st.lists(pieces, min_size=1, max_size=10))
def test_no_expression_stops_the_linter(one: list[str], other: list[str]) -> None:
    quoted = ["'" + "".join(parts).replace("'", "''") + "'" for parts in (one, other)]
    part = (
        "identification:\n"
        + USER
        + f"  - if: {quoted[0]}\n    then:\n      - id: each\n        foreach: {quoted[1]}\n"
        f"        steps: [{{id: report, do: report.write, when: {quoted[0]}}}]\n"
    )
    for finding in findings(whole(part)):
        assert finding.line <= len(whole(part).splitlines())
